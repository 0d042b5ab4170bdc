"""The commands `list`, `show` and `evaluate`."""

import fnmatch
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

import typer

from keras_vae import registry
from keras_vae.cli.output import (
    Json,
    Name,
    load_tensorflow,
    print_json,
    print_table,
    working,
)
from keras_vae.errors import UserError


def list_command(
    pattern: Annotated[str, typer.Argument(help="A glob, such as '*mnist*'.")] = "*",
    sort: Annotated[str, typer.Option(help="By name, nll, parameters or squared_error, the smallest first.")] = "name",
    data: Annotated[str | None, typer.Option(help="Only models of this dataset, such as mnist.")] = None,
    max_parameters: Annotated[float | None, typer.Option(help="Only models of so many weights at most.")] = None,
    plugins: Annotated[
        bool, typer.Option("--plugins", help="Instead, what installed packages add: classes, sources, runtimes.")
    ] = False,
    json: Json = False,
) -> None:
    """List the trained models, with their ELBO in nats and their squared error per example."""
    if plugins:
        _list_plugins(pattern, json)
        return
    from keras_vae import zoo

    cards = [zoo.card(name) for name in zoo.names(pattern, sort, data, max_parameters)]
    if json:
        print_json([{"name": card.name, "summary": card.recipe.summary, "metrics": card.results.get("metrics", {})}
                    for card in cards])  # fmt: skip
        return
    rows = []
    for card in cards:
        metrics = card.results.get("metrics", {})
        elbo_name = "elbo_fitted" if "elbo_fitted" in metrics else "elbo"
        elbo, error = (f"{metrics[key]['value']:.2f}" if key in metrics else "" for key in (elbo_name, "squared_error"))
        rows.append([card.name, card.recipe.summary, elbo if metrics else "not trained", error])
    note = "No ELBO: the model has no distribution over codes. keras-vae show NAME has all numbers, with their errors."
    print_table("", ["name", "summary", "ELBO, nats", "squared, error"], rows, numbers_from=2, note=note)


def _list_plugins(pattern: str, json: bool) -> None:
    rows = [
        {"kind": kind, "name": point.name, "code": point.value, "package": f"{point.dist.name} {point.dist.version}"}
        for kind in registry.KINDS
        for point in registry.installed(kind)
        if fnmatch.fnmatchcase(point.name, pattern) and point.dist
    ]
    if json:
        print_json(rows)
        return
    note = "" if rows else "No installed package adds any: docs/use/plugins.md says how one does."
    print_table("", ["kind", "name", "code", "package"], [list(row.values()) for row in rows], 4, note)


def show_command(name: Name, json: Json = False) -> None:
    """Show the card of a model: its summary, measured numbers, training and recipe."""
    from keras_vae import zoo

    card = zoo.card(name)
    if json:
        print_json({"name": card.name, "recipe": card.recipe.text, "results": card.results})
        return
    from rich.console import Console
    from rich.markdown import Markdown

    from keras_vae.zoo import store

    folder = store.entry(name).folder
    text = re.sub(r"!\[(.*)\]\((.*)\)", lambda match: f"{match[1]}: `{folder / match[2]}`", card.markdown())
    Console().print(Markdown(text))


def evaluate_command(
    name: Name,
    split: Annotated[str | None, typer.Option(help="train, validation, test, or a slice: 'test[:1000]'.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of the noise; the recipe's if not given.")] = None,
    samples: Annotated[
        int | None,
        typer.Option(
            help="Importance samples of log p(x) for each, 0 leaves it out: 5,000 for --likelihood, else the recipe's.",
        ),
    ] = None,
    likelihood: Annotated[bool, typer.Option("--likelihood", help="Nats, bits/dim, annealed importance.")] = False,
    latent: Annotated[bool, typer.Option("--latent", help="KL and its parts, active units, collapse, codes.")] = False,
    disentanglement: Annotated[
        bool, typer.Option("--disentanglement", help="MIG, DCI, SAP and others, where the data have known factors.")
    ] = False,
    generation: Annotated[bool, typer.Option("--generation", help="Draws, reconstructions, copies.")] = False,
    representation: Annotated[bool, typer.Option("--representation", help="Probes and clusters of codes.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="All of these.")] = False,
    json: Json = False,
) -> None:
    """Measure what a model has: ELBO, reconstruction, KL and log p(x) in nats per example, squared error, codes in use.

    Means over images, or sequences, with standard errors; or the parts named. A conditional model is given the labels
    of the split.
    """
    from keras_vae.checks import check_whole_number
    from keras_vae.zoo import cards

    card = cards.card(name)
    if split is not None:
        from keras_vae.data import splits

        splits.parsed(split)
    for option, value in (("samples", samples), ("seed", seed)):
        if value is not None:
            check_whole_number(value, option, minimum=0)
    load_tensorflow()
    from keras_vae.zoo import evaluations, verifying

    flags = {
        "likelihood": likelihood, "latent": latent, "disentanglement": disentanglement, "generation": generation,
        "representation": representation,
    }  # fmt: skip
    sections = [section for section, flag in flags.items() if flag or everything]
    if samples is None:
        samples = 5000 if sections else card.recipe.evaluation.samples
    with working(f"Evaluating {name}", quiet=json):
        results = evaluations.evaluate(name, sections or ["summary"], split, seed, samples)
    if sections and not any(results[section] for section in sections):
        listed = " ".join(dict.fromkeys(results["without"].values()))
        raise UserError(f"{name} has nothing of {', '.join(sections)}. {listed}")
    title = title_of(name, card.kind, results["examples"], results["split"])
    if sections:
        print_json({"name": name, **results}) if json else print_evaluation(title, results, sections)
        return
    metrics = verifying.with_tolerances(results["summary"])
    if json:
        print_json({"name": name, "split": results["split"], "examples": results["examples"], "metrics": metrics})
        return
    print_metrics(title, metrics)


def print_metrics(title: str, metrics: Mapping[str, Mapping[str, Any]]) -> None:
    """Print the numbers of a card as a table, with the titles that `show` has."""
    from keras_vae.zoo.wording import metric_title

    rows = [
        [
            metric_title(metric),
            _three_digits(row["value"]),
            _three_digits(row["standard_error"]),
            row["unit"],
            str(row["samples"] or ""),
        ]
        for metric, row in metrics.items()
    ]
    print_table(title, ["per example", "value", "standard error", "unit", "draws for each"], rows)


def _three_digits(value: float | None) -> str:
    return "" if value is None else f"{value}" if isinstance(value, int) else f"{value:.3f}"


def title_of(name: str, kind: str, examples: int, split: str) -> str:
    """Return what numbers are of: a model, and how many examples of a split."""
    from keras_vae.zoo.wording import NOUNS

    return f"{name}, {examples:,} {NOUNS[kind]}s of {split}"


def print_evaluation(title: str, results: Mapping[str, Any], sections: Sequence[str]) -> None:
    """Print a table of each section's numbers, verdicts in words, what took long, and why metrics do not apply."""
    from keras_vae.zoo import wording

    for section in sections:
        rows = list(_numbers({key: part for key, part in results[section].items() if key != "collapse"}))
        if rows:
            print_table(f"{title}: {section}", ["metric", "value", "standard error"], rows)
    for error, rows in wording.column_tables(results):
        print_table(f"{error}, the least first", ["column", "error"], rows)
    collapse = results.get("latent", {}).get("collapse")
    for line in wording.collapse_lines(collapse) if collapse else []:
        print(line)
    for line in _costs(results.get("likelihood", {})):
        print(line)
    for metric, reason in results["without"].items():
        if not reason.startswith("This needs"):
            print(f"No {metric}: {reason}")


def _costs(likelihood: Mapping[str, Any]) -> Iterator[str]:
    log_prob, agreement = likelihood.get("nats", {}).get("log_prob"), likelihood.get("agreement")
    if log_prob:
        sizes = f"{log_prob['samples']:,} samples each of {log_prob['examples']:,}"
        yield (
            f"log p(x), {sizes}: {log_prob['seconds']:,.0f} s; the mean is off by {log_prob['monte_carlo_error']:.2g} "
            f"nats for want of samples; of these {log_prob['effective_samples']:,.0f} are effective (median)."
        )
    if agreement:
        yield f"{agreement['verdict']} {agreement['seconds']:,.0f} s."


def _numbers(part: object, path: str = "") -> Iterator[list[str]]:
    """A row for each number in a nested dict; of lists, of what a number comes with, and of sentences, none."""
    from keras_vae.zoo.wording import BOUNDS

    if isinstance(part, dict) and "value" in part:
        bound = f"{BOUNDS[part['bound']]} " if "bound" in part else ""
        error = "" if part.get("standard_error") is None or bound else f"{part['standard_error']:.2g}"
        yield [path, f"{bound}{part['value']:.4g}", error]
    elif isinstance(part, dict):
        for key, inner in part.items():
            if isinstance(inner, dict):
                yield from _numbers(inner, f"{path}.{key}".strip("."))
            elif isinstance(inner, int | float) and key not in ("seconds", "agrees", "standard_error"):
                error = f"{part['standard_error']:.2g}" if key == "perplexity" else ""
                yield [f"{path}.{key}".strip("."), f"{inner:.4g}", error]
