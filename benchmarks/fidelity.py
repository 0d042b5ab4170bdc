"""The zoo's likelihoods beside the published ones, and the gaps between models example by example.

    python benchmarks/fidelity.py            print the tables
    python benchmarks/fidelity.py --cards    write what is missed, and why, on the cards of the entries

`fidelity.json` has what entries are to reach, in nats or, in `accuracy`, as the share of test labels that are right,
and which model is to be better than which, by how much at least and in the papers. `measures` are
numbers of the overview in which one is to be better. `missed` says why where they are not: "NAME", "BETTER below WORSE"
or "BETTER beside WORSE in METRIC", and the reason. Of an entry of several seeds, their mean counts. `elsewhere` is
for the cards, of claims that other programs measure.
"""

import argparse
import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rate_distortion
import seeds

from keras_vae import files, zoo
from keras_vae.evaluation.estimates import Estimate, mean_of
from keras_vae.zoo import store
from keras_vae.zoo.wording import TITLES, number, table_lines

FILE = Path(__file__).with_suffix(".json")
EARLIER = (
    "Not trained anew: the weights and the numbers are of an earlier training than those of other entries. "
    f"The recipe that it is to be trained with is `{store.NEXT}`, beside this card in the repository."
)

TARGET = "The target, "  # how a sentence of `elsewhere` on one that is missed, or met, begins
ONE_SEED = "Its numbers are of one seed; the further ones that `benchmarks/seeds.py` lists are not trained yet."
SEEDS = "Over seeds: mean and standard deviation of trainings of the same recipe."
GAPS_OF_SEEDS = (
    "Over seeds, where both recipes were trained with several (`python benchmarks/seeds.py`): the difference of the "
    "two means, with the standard error that the seeds give it."
)


def plan() -> dict[str, Any]:
    """The contents of fidelity.json."""
    return json.loads(FILE.read_text(encoding="utf-8"))


def measured(name: str) -> np.ndarray | None:
    """-log p(x) of each test example of an entry, float64; None until it is trained on this protocol."""
    path = store.root() / name / store.LOG_PROBS
    return -np.load(path).astype("float64") if path.is_file() else None


def difference(better: str, worse: str) -> Estimate | None:
    """By how many nats the first entry lies below the second, the mean over the examples that both were measured on.

    The error is that of the paired differences, far smaller than those of the two numbers: the examples are the same.
    """
    first, second = measured(better), measured(worse)
    if first is None or second is None:
        return None
    count = min(len(first), len(second))
    return mean_of(second[:count] - first[:count], examples=count)


def over_seeds(name: str, metric: str) -> list[float]:
    """A metric of an entry for each seed that its recipe was trained with, that of its weights first."""
    results = _results(name)
    runs = [results, *results.get("seeds", [])]
    return [float(run["metrics"][metric]["value"]) for run in runs if metric in run["metrics"]]


def _results(name: str) -> dict[str, Any]:
    path = store.root() / name / store.RESULTS
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {"metrics": {}}


def difference_over_seeds(better: str, worse: str) -> Estimate | None:
    """By how many nats the first entry lies below the second on average over seeds; the error is that of the means.

    None unless both were trained with two seeds or more.
    """
    first, second = over_seeds(better, "log_prob"), over_seeds(worse, "log_prob")
    if min(len(first), len(second)) < 2:
        return None
    error = sum(statistics.variance(values) / len(values) for values in (first, second)) ** 0.5
    return {"value": statistics.mean(first) - statistics.mean(second), "standard_error": error}


def misses() -> dict[str, str]:
    """The targets that are not reached: by the name that `missed` has of each, what was to be reached.

    Entries, and orderings whose gap is not clearly above what it must be: by twice its standard error where the gap
    must only be positive, else on average.
    """
    expected, found = plan(), {}
    for name, limit in expected["reach"].items():
        if measured(name) is not None and -statistics.mean(over_seeds(name, "log_prob")) > limit:
            found[name] = f"{limit} nats or less"
    for name, limit in expected["accuracy"].items():
        if measured(name) is not None and statistics.mean(over_seeds(name, "accuracy")) < limit:
            found[name] = f"an accuracy of {limit:.1%} or more"
    for row in expected["orderings"]:
        better, worse, reach = row["better"], row["worse"], row["reach"]
        gap = difference_over_seeds(better, worse) or difference(better, worse)
        if gap is None:
            continue
        value, clear = gap["value"], 2.0 * (gap["standard_error"] or 0.0)
        if value < reach or (not reach and value <= clear):
            by = f"{reach} nats or more" if reach else "clearly"
            found[f"{better} below {worse}"] = f"to lie {by} below `{worse}`"
    for row in expected["measures"]:
        better, worse = row["better"], row["worse"]
        gap = difference_in(better, worse, row["metric"], row.get("least", False))
        if gap is not None and gap["value"] <= 2.0 * (gap["standard_error"] or 0.0):
            found[f"{better} beside {worse} in {row['metric']}"] = f"to be better than `{worse}` in {row['metric']}"
    return found


def in_overview(name: str, metric: str) -> Estimate | None:
    """A number of an entry's overview by its name with points, as `generation.mnist_fd.mnist_fd`; None without one."""
    part: Any = _results(name).get("overview", {})
    for key in metric.split("."):
        part = part.get(key, {})
    return part or None


def difference_in(better: str, worse: str, metric: str, least: bool) -> Estimate | None:
    """By how much the first entry is better in a number; the error is that of a difference of independent numbers."""
    first, second = in_overview(better, metric), in_overview(worse, metric)
    if first is None or second is None:
        return None
    error = sum((row["standard_error"] or 0.0) ** 2 for row in (first, second)) ** 0.5
    return {"value": (second["value"] - first["value"]) * (1 if least else -1), "standard_error": error}


def measures() -> str:
    """The numbers in which one entry is to be better than another, as Markdown."""
    rows = []
    for row in plan()["measures"]:
        numbers = [in_overview(row[side], row["metric"]) for side in ("better", "worse")]
        if None not in numbers:
            title = TITLES[row["metric"]] + (", less is better" if row.get("least") else "")
            rows.append([f"`{row['better']}`", f"`{row['worse']}`", title, *map(number, numbers)])
    return _filled(["better", "than", "in", "the first", "the second"], rows, right=range(3, 5))


def table() -> str:
    """The likelihoods beside the published ones, as Markdown."""
    heads = ["model", "NLL, nats", "over seeds", "draws", "published", "difference", "what differs there"]
    rows = []
    for name in zoo.names():
        card = zoo.card(name)
        published, row = card.recipe.published, card.results.get("metrics", {}).get("log_prob")
        if published is None or published.metric != "log_prob" or row is None:
            continue
        error = "" if published.standard_error is None else f" ± {published.standard_error}"
        examples = f" ({row['examples']:,} examples)" if "examples" in row else ""
        rows.append([
            f"`{name}`" + (", not trained anew" if (store.root() / name / store.NEXT).is_file() else ""),
            f"{-row['value']:.2f} ± {row['standard_error']:.2f}{examples}",
            _over_seeds([-value for value in over_seeds(name, "log_prob")], ".2f"),
            f"{row['samples']:,}",
            f"[{-published.value}{error}]({published.url})",
            f"{published.value - row['value']:+.2f}",
            f"{published.source}. {published.differences}".replace("|", "\\|"),
        ])  # fmt: skip
    return _filled(heads, rows, right=range(1, 6)) + _seeds_of(rows, 2, SEEDS)


def summary() -> str:
    """The likelihoods of what is trained on this protocol beside the published ones, without what differs there."""
    rows = []
    for name in zoo.names(sort="nll"):
        card = zoo.card(name)
        published, row = card.recipe.published, card.results.get("metrics", {}).get("log_prob")
        if published is None or published.metric != "log_prob" or measured(name) is None:
            continue
        error = "" if published.standard_error is None else f" ± {published.standard_error}"
        rows.append([
            f"[{name}](zoo/{name}/README.md)",
            f"{-row['value']:.2f} ± {row['standard_error']:.2f}",
            f"[{-published.value}{error}]({published.url})",
            f"{published.value - row['value']:+.2f}",
        ])  # fmt: skip
    return _filled(["entry", "-log p(x), nats", "published", "difference"], rows, right=range(1, 4))


def gaps() -> str:
    """The gaps between models beside those of the papers, as Markdown."""
    rows = []
    for row in plan()["orderings"]:
        better, worse = row["better"], row["worse"]
        gap, seeds = difference(better, worse), difference_over_seeds(better, worse)
        if gap is not None:
            published = "" if row["published"] is None else f"{row['published']:.2f}"
            rows.append([f"`{better}` below `{worse}`", _with_error(gap), _with_error(seeds), published])
    heads = ["below", "by, nats", "over seeds", "in the papers"]
    return _filled(heads, rows, right=range(1, 4)) + _seeds_of(rows, 2, GAPS_OF_SEEDS)


def accuracies() -> str:
    """The accuracies beside the published ones, as Markdown."""
    rows = []
    for name in plan()["accuracy"]:
        if measured(name) is None:
            continue
        card = zoo.card(name)
        published, row = card.recipe.published, card.results["metrics"]["accuracy"]
        if published is not None:
            error = "" if published.standard_error is None else f" ± {published.standard_error:.2%}"
            rows.append([
                f"`{name}`",
                f"{row['value']:.2%} ± {row['standard_error']:.2%}",
                _over_seeds(over_seeds(name, "accuracy"), ".2%"),
                f"[{published.value:.2%}{error}]({published.url})",
                f"{published.source}. {published.differences}",
            ])  # fmt: skip
    heads = ["model", "accuracy", "over seeds", "published", "what differs there"]
    if not rows:
        return "None was trained on this protocol yet."
    return _filled(heads, rows, right=range(1, 4)) + _seeds_of(rows, 2, f"{SEEDS} Each seed has labels of its own.")


def _filled(heads: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int]) -> str:
    """A table as Markdown, without the columns in which nothing stands."""
    kept = [index for index in range(len(heads)) if any(row[index] for row in rows)]
    shown = [[row[index] for index in kept] for row in (heads, *rows)]
    return "\n".join(table_lines(shown[0], shown[1:], [kept.index(index) for index in right if index in kept]))


def _seeds_of(rows: Sequence[Sequence[str]], column: int, sentences: str) -> str:
    """What a column over seeds is, to stand below a table that has it; of one without, how many seeds there are."""
    if any(row[column] for row in rows):
        return f"\n\n{sentences}"
    return "\n\nOf one seed each." if rows else ""


def _over_seeds(values: Sequence[float], form: str) -> str:
    """Mean and standard deviation of a number over seeds; nothing of one seed."""
    if len(values) < 2:
        return ""
    return f"{statistics.mean(values):{form}} ± {statistics.stdev(values):{form}} ({len(values)} seeds)"


def _with_error(gap: Estimate | None) -> str:
    return "" if gap is None else f"{gap['value']:.2f} ± {gap['standard_error']:.2f}"


def reasons() -> str:
    """The targets that are missed, each with its reason, as a Markdown list."""
    missed = plan()["missed"]
    lines = [f"- {name}: {missed.get(name, 'no reason is given in fidelity.json.')}" for name in misses()]
    lines += [f"- {name}: {text}" for name, text in plan()["elsewhere"].items() if text.startswith(TARGET)]
    return "\n".join(lines) or "None of those that were trained on this protocol."


def notes(name: str) -> list[str]:
    """What the card of an entry says of its targets: each that it misses, and whether its training is still to come."""
    missed = plan()["missed"]
    sentences = [
        f"{TARGET}{target}, is missed: {missed[key]}"
        for key, target in misses().items()
        if key == name or key.startswith((f"{name} below ", f"{name} beside "))
    ]
    sentences += [text for key, text in plan()["elsewhere"].items() if key == name]
    sentences += [
        f"Among the models of this network, which differ in their loss, it has a rate of {point.rate:.2f} and a "
        f"distortion of {point.distortion:.2f} nats: `docs/benchmarks/rate_distortion.md` shows where each stands."
        for point in rate_distortion.points()
        if point.name == name
    ]
    if name in seeds.SEEDS and len(over_seeds(name, "log_prob")) == 1:
        sentences.append(ONE_SEED)
    if (store.root() / name / store.NEXT).is_file():
        sentences.append(EARLIER)
    return sentences


def write_cards() -> list[str]:
    """Bring the notes of all entries up to date; return the names of those that changed."""
    changed = []
    for name in zoo.names():
        where = store.entry(name)
        results = where.results
        if results and results.get("notes", []) != (sentences := notes(name)):
            store.write_results(where, {**results, "notes": sentences})
            files.write_text(where.folder / store.CARD, zoo.card(name).markdown())
            changed.append(name)
    return changed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cards", action="store_true")
    if parser.parse_args().cards:
        print("\n".join(write_cards()) or "Every card is up to date.")
        return
    print(f"{table()}\n\n{accuracies()}\n\n{gaps()}\n\nMissed:\n{reasons()}")


if __name__ == "__main__":
    main()
