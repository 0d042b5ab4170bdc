"""Cards: a model's page, written from its recipe and results. Needs no TensorFlow."""

import html
import json
import shlex
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from keras_vae.zoo import recipes, store
from keras_vae.zoo.wording import (
    METRICS,
    NOUNS,
    collapse_lines,
    column_tables,
    metric_title,
    number,
    number_of_first,
    overview_rows,
    table_lines,
    text_cells,
)

PICTURES = {
    "reconstructions.png": "Test images, and their reconstructions below",
    "samples.png": "Samples from the prior",
    "traversal.png": "Each row moves one latent dimension, in standard deviations: those of the largest KL, or "
    "variance of the code, on the first test images",
    "interpolation.png": "From the reconstruction of a test image to that of another, between their mean codes",
    "marginals.png": "The numbers of some columns, of test examples and of as many draws from p(x|z), z from the prior",
    "series.png": "Test series, and their reconstructions dashed, in bands of 90 % of draws from p(x|z), z from q(z|x)",
    "forecast.png": "The second half of test series, forecast from the first: dashed, in bands of 90 % of draws",
    "curves.png": "Training curves; first epochs that are far from the others lie outside of the picture",
}
_LISTED = 64  # dimensions at most, each with its KL


class Card(NamedTuple):
    """A model's recipe and its measured results."""

    name: str
    recipe: recipes.Recipe
    results: dict[str, Any]
    reference: str  # the argument of `load`: the name of a zoo entry, or the folder of a run

    @property
    def kind(self) -> str:
        """The kind of the model's x, as in its `x_spec`: "image", "numbers" or "tokens"."""
        return self.results.get("evaluation", {}).get("kind", "image")

    def __repr__(self) -> str:
        return f"Card({self.name!r}: {self.recipe.summary} {'; '.join(self._headline()) or 'Not trained.'})"

    def _repr_html_(self) -> str:
        """The card as a notebook shows it: its summary and its measured numbers."""
        rows = "".join(
            f"<tr><td>{html.escape(metric_title(name))}</td><td>{html.escape(number(row))}</td>"
            f"<td>{html.escape(row.get('unit', 'nats'))}</td></tr>"
            for name, row in self.results.get("metrics", {}).items()
        )
        table = f"<table><tr><th>metric</th><th>value</th><th>unit</th></tr>{rows}</table>" if rows else "Not trained."
        return f"<b>{html.escape(self.name)}</b>: {html.escape(self.recipe.summary)}{table}"

    @property
    def captions(self) -> dict[str, str]:
        """The caption of each picture by its file."""
        prior = "the fitted prior" if "prior" in self.results else "the prior"
        return {name: text.replace("the prior", prior) for name, text in PICTURES.items()}

    def _headline(self) -> list[str]:
        """Return the most important metrics as text."""
        metrics = self.results.get("metrics", {})
        shown = [name for name in ("elbo", "elbo_fitted", "log_prob", "squared_error") if name in metrics]
        return [f"{name} {number(metrics[name])}" for name in shown]

    def markdown(self) -> str:
        """Return the card as Markdown, the contents of README.md."""
        reference = json.dumps(self.reference, ensure_ascii=False)
        call = [f"model = keras_vae.zoo.load({reference})"]
        if "prior" in self.results:
            call += [f"prior = keras_vae.zoo.prior({reference})", "images = model.sample(16, prior=prior)"]
        lines = [f"# {self.name}", "", self.recipe.summary, ""]
        lines += ["```python", "import keras_vae", "", *call, "```", ""]
        if self.results:
            shown = self.results.get("pictures", list(PICTURES))
            lines += self.numbers()
            lines += [line for name in shown for line in (f"![{self.captions[name]}]({name})", "")]
            lines += self.origin()
        lines += ["## Recipe", "", "```toml", self.recipe.text.rstrip(), "```", ""]
        return "\n".join(lines)

    def numbers(self) -> list[str]:
        """Return the measured numbers as lines of Markdown."""
        lines = _measured(self) + _overview(self.results.get("overview", {}), NOUNS[self.kind])
        if left_out := self.results.get("evaluation", {}).get("left_out"):
            lines += [f"Not measured, by `--quick`: {', '.join(left_out)}.", ""]
        return lines + [line for name, rows in self.results.get("texts", {}).items() for line in _texts(name, rows)]

    def origin(self) -> list[str]:
        """Return training, weights file, machine and versions as lines of Markdown."""
        recipe, results = self.recipe, self.results
        training, weights, machine = results["training"], results["weights"], results["machine"]
        versions = ", ".join(f"{name} {number}" for name, number in results["versions"].items())
        best = f", {training['steps']:,} steps"
        if training.get("best_epoch", training["epochs"]) < training["epochs"]:
            best = f", the weights are those of epoch {training['best_epoch']} ({training['steps']:,} steps)"
        lines = [
            "## Training",
            "",
            f"{training['epochs']} epochs{best}, {training['seconds']:,.0f} s on "
            f"{machine['cores']} cores ({machine['processor']}). Trained on the split `{recipe.data.train}` of "
            f"`{recipe.data.title}`, precision {recipe.training.precision}, seed {recipe.training.seed}.",
            "",
            f"{weights['parameters']:,} parameters; {weights['bytes']:,} bytes in {recipe.training.storage}, sha256 "
            f"`{weights['sha256']}`.",
            "",
        ]
        prior = results.get("prior")
        if prior and recipe.prior:
            fitted = (
                f"{recipe.prior.class_name}, fitted to the codes of the training images after the model was trained"
            )
            lines += [f"Prior: {fitted}; {prior['bytes']:,} bytes, sha256 `{prior['sha256']}`.", ""]
        return [*lines, f"Versions: {versions}.", ""]


def card(name: str | Path) -> Card:
    """Return the card of a zoo model, a folder that `train` wrote, or hf://USER/MODEL. Needs no TensorFlow.

    Raises:
      UserError: an unknown name, with the nearest.
    """
    where = store.entry(name)
    return Card(where.name, where.recipe, where.results, where.reference)


def table(cards: list[Card]) -> str:
    """Return the zoo as a Markdown table, one row a model, with its legend."""
    rows = []
    for card in cards:
        metrics = card.results.get("metrics", {})
        used = metrics.get("active_units") or metrics.get("code_perplexity")
        rows.append([
            f"[{card.name}](zoo/{card.name})",
            card.recipe.summary.replace("|", "\\|"),
            f"{card.recipe.data.title}{card.recipe.data.noise}",
            number(metrics.get("elbo_fitted") or metrics.get("elbo")),
            *(number_of_first(metrics.get(metric)) for metric in ("log_prob", "squared_error")),
            f"{number(used)} {used['unit']}" if used else "",
            f"{card.results['weights']['bytes'] / 1e6:.2g} MB" if card.results else "not trained",
        ])  # fmt: skip
    heads = ["model", "what it is", "of", "ELBO", "log p(x)", "squared error", "code in use", "weights"]
    return "\n".join([*table_lines(heads, rows, right=range(3, 8)), "", LEGEND])


LEGEND = (
    "On test examples; mean ± standard error. ELBO and log p(x) in nats each, the latter "
    "importance-weighted; empty where a model has no distribution over codes, or a deterministic code, of which "
    "importance sampling gives the ELBO again; with the fitted prior, where there is one. "
    "They compare between rows of the same data; where a label is given they are of p(x\\|y), or, where it has a "
    "probability, of p(x, y): the card says which. The "
    "squared error of the reconstruction is summed over an image. In use: dimensions whose code varies over test "
    "examples, by a variance above 0.01; for integer codes, the perplexity."
)


def _measured(card: Card) -> list[str]:
    results, recipe, noun = card.results, card.recipe, NOUNS[card.kind]
    how = results["evaluation"]
    pixels = f", pixels binarised once ({how['binarize']})" if how["binarize"] else ""
    pixels = ", pixels dequantised once" if how.get("dequantize") else pixels
    rows, order = [], [*METRICS, *results["metrics"]]
    for metric, row in sorted(results["metrics"].items(), key=lambda item: order.index(item[0])):
        batch = f", mean over batches of {row['batch']}" if "batch" in row else ""
        batch += f", of the first {row['examples']:,} {noun}s" if "examples" in row else ""
        name = f"{METRICS.get(metric, f'`{metric}`, a term of this model')}{batch}"
        draws = str(row["samples"] or "")
        rows.append([name, number(row), row.get("unit", "nats"), draws, f"{row.get('tolerance', 0):.2g}"])
    lines = [
        "## Measured",
        "",
        f"On {how['examples']:,} {noun}s of the split `{how['split']}`{pixels}, seed {how['seed']}; mean ± standard "
        f"error over {noun}s. `keras-vae verify {shlex.quote(card.reference)}` measures them again.",
        "",
        *table_lines(["metric", "value", "unit", "draws of q(z\\|x) for each", "tolerance"], rows, right=(1, 3, 4)),
    ]
    if how.get("condition"):
        if how.get("joint") == "known":
            lines += ["", f"The numbers include the {how['condition']} of each {noun} that has one: read p(x, y) there "
                          f"for p(x)."]  # fmt: skip
        elif how.get("joint"):
            lines += ["", f"The numbers include the {how['condition']} of each {noun}: read p(x, y) for p(x)."]
        else:
            lines += ["", f"The model is conditioned on the {how['condition']} of each {noun}: read p(x\\|y) for p(x)."]
    lines += _kl_lines(results["metrics"].get("kl", {}))
    published = recipe.published
    if published:
        error = "" if published.standard_error is None else f" ± {published.standard_error}"
        lines += ["", f"Published: {published.metric} {published.value}{error} ({published.source}, {published.url})."]
        lines += [published.differences] if published.differences else []
    else:
        lines += ["", "No published number is known for this configuration."]
    lines += [line for note in results.get("notes", []) for line in ("", note)]
    return [*lines, "", *_seeds(recipe.training.seed, results)]


def _seeds(first: int, results: Mapping[str, Any]) -> list[str]:
    """Return a table of the metrics of every seed that the recipe was trained with, and their mean."""
    others = results.get("seeds", [])
    if not others:
        return []
    heads = ["metric", f"seed {first}", *(f"seed {run['seed']}" for run in others), "mean ± standard deviation"]
    rows = []
    for metric, row in results["metrics"].items():
        if not all(metric in run["metrics"] for run in others):  # one that was added since
            continue
        runs = [row, *(run["metrics"][metric] for run in others)]
        values = [float(run["value"]) for run in runs]
        mean = {"value": statistics.mean(values), "standard_error": statistics.stdev(values)}
        rows.append([METRICS.get(metric, f"`{metric}`"), *map(number, runs), number(mean)])
    return [
        f"The same recipe trained with {len(others) + 1} seeds. The weights are those of seed {first}.",
        "",
        *table_lines(heads, rows, right=range(1, len(heads))),
        "",
    ]


def _kl_lines(kl: Mapping[str, Any]) -> list[str]:
    """Return the KL of each dimension or level, by name; results of older versions have no names."""
    parts, names = kl.get("parts", []), kl.get("names")
    if len(parts) < 2:
        return []
    errors = [f" ± {error:.2f}" for error in kl.get("errors", [])] or [""] * len(parts)
    values = [f"{part:.2f}{error}" for part, error in zip(parts, errors, strict=True)]
    if names is None:
        return ["", f"The KL of each dimension or level in turn, nats: {', '.join(values)}."]
    listed = [f"{name} {value}" for name, value in zip(names, values, strict=True)]
    if len(listed) <= _LISTED:
        return ["", f"KL, nats: {', '.join(listed)}."]
    by_size = sorted(range(len(listed)), key=lambda index: -parts[index])
    largest, smallest = (", ".join(listed[index] for index in part) for part in (by_size[:8], by_size[-8:]))
    return ["", f"KL, nats, of the 8 of {len(listed)} dimensions with the most: {largest}; with the least: {smallest}."]


def _overview(overview: Mapping[str, Any], noun: str) -> list[str]:
    rows = overview_rows(overview, noun)
    collapse = overview.get("latent", {}).get("collapse")
    agreement = overview.get("likelihood", {}).get("agreement")
    lines = [line for sentence in collapse_lines(collapse) for line in (sentence, "")] if collapse else []
    if rows:
        lines += [f"More metrics, seed {overview['seed']}, as `keras-vae evaluate` measures them:", ""]
        lines += [*table_lines(["metric", "value", "of"], rows, right=(1,)), ""]
    for title, columns in column_tables(overview):
        cells = [[name.replace("|", "\\|"), error] for name, error in columns]
        lines += [f"{title}, the least first:", "", *table_lines(["column", "error"], cells, right=(1,)), ""]
    if agreement:
        lines += [f"{agreement['verdict']} Measured in {agreement['seconds']:,.0f} s.", ""]
    return lines


def _texts(name: str, rows: list[list[str]]) -> list[str]:
    title, heads, cells = text_cells(name, rows)
    if not heads:
        return [f"{title}: {', '.join(cells[0])}.", ""]
    return [f"{title}:", "", *table_lines(heads, cells), ""]
