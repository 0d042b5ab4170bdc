"""The zoo's likelihoods beside the published ones, and the gaps between models example by example.

    python benchmarks/fidelity.py    print both tables

`fidelity.json` has what entries are to reach, in nats, and which model is to be better than which, by how much at least
and in the papers. `missed` says why where they are not: "NAME", or "BETTER below WORSE", and the reason.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from keras_vae import zoo
from keras_vae.evaluation.estimates import Estimate, mean_of
from keras_vae.zoo import store

FILE = Path(__file__).with_suffix(".json")


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


def misses() -> list[str]:
    """What is not reached, as `missed` names it: entries, and orderings whose gap is not clearly above what it must be.

    Clearly: by twice its standard error where the gap must only be positive, else on average.
    """
    expected, found = plan(), []
    for name, limit in expected["reach"].items():
        values = measured(name)
        if values is not None and values.mean() > limit:
            found.append(name)
    for row in expected["orderings"]:
        gap = difference(row["better"], row["worse"])
        if gap is None:
            continue
        value, clear = gap["value"], 2.0 * (gap["standard_error"] or 0.0)
        if value < row["reach"] or (not row["reach"] and value <= clear):
            found.append(f"{row['better']} below {row['worse']}")
    return found


def table() -> str:
    """The likelihoods beside the published ones, as Markdown."""
    lines = [
        "| model | NLL, nats | draws | published | difference | what differs there |",
        "| --- | ---: | ---: | ---: | ---: | --- |",
    ]
    for name in zoo.names():
        card = zoo.card(name)
        published, row = card.recipe.published, card.results.get("metrics", {}).get("log_prob")
        if published is None or published.metric != "log_prob" or row is None:
            continue
        error = "" if published.standard_error is None else f" ± {published.standard_error}"
        examples = f" ({row['examples']:,} examples)" if "examples" in row else ""
        differences = f"{published.source}. {published.differences}".replace("|", "\\|")
        lines.append(
            f"| `{name}` | {-row['value']:.2f} ± {row['standard_error']:.2f}{examples} | {row['samples']:,} | "
            f"[{-published.value}{error}]({published.url}) | {published.value - row['value']:+.2f} | {differences} |"
        )
    return "\n".join(lines)


def gaps() -> str:
    """The gaps between models beside those of the papers, as Markdown."""
    lines = ["| below | by, nats | in the papers |", "| --- | ---: | ---: |"]
    for row in plan()["orderings"]:
        gap = difference(row["better"], row["worse"])
        if gap is not None:
            published = "" if row["published"] is None else f"{row['published']:.2f}"
            by = f"{gap['value']:.2f} ± {gap['standard_error']:.2f}"
            lines.append(f"| `{row['better']}` below `{row['worse']}` | {by} | {published} |")
    return "\n".join(lines)


def reasons() -> str:
    """The targets that are missed, each with its reason, as a Markdown list."""
    missed = plan()["missed"]
    lines = [f"- {name}: {missed.get(name, 'no reason is given in fidelity.json.')}" for name in misses()]
    return "\n".join(lines) or "None of those that were trained on this protocol."


if __name__ == "__main__":
    print(f"{table()}\n\n{gaps()}\n\nMissed:\n{reasons()}")
