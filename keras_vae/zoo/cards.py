"""Cards: a model's page, written from its recipe and results. Needs no TensorFlow."""

import html
import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from keras_vae.zoo import contents, recipes, store

METRICS = {
    "elbo": "ELBO",
    "elbo_fitted": "ELBO with the fitted prior",
    "log_px": "reconstruction, log p(x\\|z)",
    "kl": "KL(q(z\\|x) \\|\\| p(z))",
    "log_prob": "log p(x), importance-weighted",
    "squared_error": "squared error of the reconstruction",
    "active_units": "active units: the variance of the code over examples is above 0.01",
    "codes_used": "codes used",
    "code_perplexity": "perplexity of the codes",
    "tokens_right": "share of tokens reconstructed correctly, up to the end of the sequence",
    "sequences_right": "share of sequences reconstructed without an error",
}
# The noun for x of a model, by the kind of its `x_spec`.
NOUNS = {"image": "image", "numbers": "example", "tokens": "sequence"}
# Sequences that are shown as text: a title, and the first and last column of a table.
TEXTS = {
    "reconstructed": ("Test sequences, and the likeliest sequences at their codes", "sequence", "reconstruction"),
    "sampled": ("The likeliest sequences at codes drawn from the prior",),
    "interpolated": ("On the straight line between the codes of two test sequences", "from", "to"),
}
# The path of a metric in `overview` -> its title. Other metrics are shown under their paths.
TITLES = {
    "likelihood.bits_per_dim": "bits per dimension",
    "likelihood.per_count": "-log p(x), importance-weighted, over the number of things counted, nats",
    "likelihood.agreement.log_prob": "log p(x), importance-weighted, nats",
    "likelihood.agreement.importance_weighted": "log p(x), importance-weighted, of the first of these",
    "likelihood.agreement.annealed": "log p(x) of those by annealed importance sampling",
    "likelihood.agreement.difference": "the difference of the two, paired",
    "latent.kl_split.mutual_information": "mutual information I(x; z), nats",
    "latent.kl_split.marginal_kl": "marginal KL(q(z) \\|\\| p(z)), nats",
    "latent.kl_split.total_correlation": "total correlation of q(z), nats",
    "latent.kl_split.dimension_kl": "KL of the dimensions of q(z), nats",
    "latent.gaussian_total_correlation": "total correlation of a Gaussian with the codes' correlations, nats",
    "disentanglement.mig.mig": "MIG",
    "disentanglement.dci.disentanglement": "DCI: disentanglement",
    "disentanglement.dci.completeness": "DCI: completeness",
    "disentanglement.dci.informativeness": "DCI: informativeness",
    "disentanglement.sap.sap": "SAP",
    "disentanglement.factor_vae_metric.factor_vae_metric": "FactorVAE metric",
    "disentanglement.beta_vae_metric.beta_vae_metric": "BetaVAE metric",
    "disentanglement.modularity.modularity": "modularity",
    "disentanglement.explicitness.explicitness": "explicitness",
    "generation.reconstruction.psnr": "PSNR of the reconstruction, dB",
    "generation.reconstruction.ssim": "SSIM of the reconstruction",
    "generation.mnist_fd.mnist_fd": "`mnist_fd` of draws",
    "generation.mnist_fd.floor": "`mnist_fd` of real digits: the floor",
    "generation.mnist_fd.precision": "precision of draws",
    "generation.mnist_fd.recall": "recall of draws",
    "generation.mnist_fd.floor_precision": "precision of real digits",
    "generation.mnist_fd.floor_recall": "recall of real digits",
    "generation.condition_accuracy": "draws that a classifier assigns to their label",
    "generation.sharpness.reconstructions": "sharpness of reconstructions: high frequencies over those of real images",
    "generation.sharpness.samples": "sharpness of draws",
    "generation.columns.rmse": "error of the reconstruction, in standard deviations of a column: 1 is its mean",
    "generation.columns.error_rate": "share of classes reconstructed wrongly",
    "generation.columns.error_rate_of_commonest": "share of classes that are not the commonest of their column",
    "generation.columns.log_loss": "-log p of the true class at the code, nats",
    "generation.correlations.difference": "correlations of draws less those of the data, root mean square",
    "generation.correlations.floor": "correlations of other data less those: the floor",
    "generation.imputation.rmse": "error of numbers filled in, 30 % hidden, in the column's standard deviations",
    "generation.imputation.error_rate": "share of classes filled in wrongly, 30 % hidden",
    "generation.imputation.error_rate_of_commonest": "the same of the commonest class",
    "generation.forecast.rmse": "error of the second half of a series, forecast from the first, in standard deviations",
    "generation.forecast.rmse_of_last": "the same of the last value of the first half",
    "generation.forecast.rmse_of_mean": "the same of the mean of the first half",
    "generation.forecast.coverage": "share of the second half between the quantiles of 5 and 95 % of draws",
    "generation.deviance.explained": "share of the deviance explained, of that from the mean of each column",
    "generation.deviance.explained_beyond_totals": "of that from its share of the example's total",
    "generation.deviance.explained_unseen": "of a half of the counts, by the code of the other half",
    "generation.totals.correlation": "correlation of the totals of reconstructions with those of the data",
    "generation.totals.ratio": "totals of reconstructions over those of the data",
    "generation.memorisation": "draws nearer to training images than held-out images are: 0.5 without copies",
    "representation.clustering.nmi": "NMI of k-means clusters and labels",
    "representation.clustering.ari": "ARI of k-means clusters and labels",
    "representation.probes.linear": "accuracy of a linear probe",
    "representation.probes.knn": "accuracy of nearest neighbours",
}
# Errors that single columns have: what is said above the table of the best and the worst.
BY_COLUMN = {
    "rmse": "Error of the reconstruction of columns, in their standard deviations",
    "error_rate": "Share of classes reconstructed wrongly, by column",
}
_EXTREMES = 4  # columns that are best, and worst
_SHOWN_ELSEWHERE = ("latent.kl_split.kl", "generation.reconstruction.mse")
PICTURES = {
    "reconstructions.png": "Test images, and their reconstructions below",
    "samples.png": "Samples from the prior",
    "traversal.png": "Each row moves one latent dimension, from the most to the least informative",
    "marginals.png": "The numbers of some columns, of test examples and of as many draws from p(x|z), z from the prior",
    "series.png": "Test series, and their reconstructions dashed, in bands of 90 % of draws from p(x|z), z from q(z|x)",
    "forecast.png": "The second half of test series, forecast from the first: dashed, in bands of 90 % of draws",
    "curves.png": "Training curves",
}


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
            lines += [line for name in shown for line in (f"![{PICTURES[name]}]({name})", "")]
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
        return _training(self.recipe, self.results)


def card(name: str | Path) -> Card:
    """Return the card of a zoo model, a folder that `train` wrote, or hf://USER/MODEL. Needs no TensorFlow.

    Raises:
      UserError: an unknown name, with the nearest.
    """
    where = store.entry(name)
    return Card(where.name, where.recipe, where.results, where.reference)


def table(cards: list[Card]) -> str:
    """Return the zoo as a Markdown table, one row a model, with its legend."""
    lines = [
        "| model | what it is | of | ELBO | log p(x) | squared error | code in use | weights |",
        "| --- | --- | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for card in cards:
        metrics = card.results.get("metrics", {})
        used = metrics.get("active_units") or metrics.get("code_perplexity")
        cells = [
            f"[{card.name}](zoo/{card.name})",
            card.recipe.summary.replace("|", "\\|"),
            f"{card.recipe.data.title}{', binarised' if card.recipe.data.binarize else ''}",
            number(metrics.get("elbo_fitted") or metrics.get("elbo")),
            *(number(metrics.get(metric)) for metric in ("log_prob", "squared_error")),
            f"{number(used)} {used['unit']}" if used else "",
            f"{card.results['weights']['bytes'] / 1e6:.1f} MB" if card.results else "not trained",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", LEGEND])


LEGEND = (
    "On test examples; mean ± standard error. ELBO and log p(x) in nats each, the latter "
    "importance-weighted; empty where a model has no distribution over codes, or a certain code, whose ELBO says all; "
    "with the fitted prior, where there is one. "
    "They compare between rows of the same data; where a label is given they are of p(x\\|y), or, where it has a "
    "probability, of p(x, y): the card says which. The "
    "squared error of the reconstruction is summed over an image. In use: dimensions whose code varies over test "
    "examples, by a variance above 0.01; for integer codes, the perplexity."
)


BOUNDS = {"lower": "at least", "upper": "at most"}


def metric_title(name: str) -> str:
    """Return the title of a metric as plain text; `METRICS` has it as Markdown of a table's cell."""
    return METRICS.get(name, name).replace("\\|", "|")


def number(metric: Mapping[str, Any] | None) -> str:
    """Return a metric's value as text, with its standard error if any."""
    if not metric:
        return ""
    value, error = metric["value"], metric.get("standard_error")
    if isinstance(value, int):
        return f"{value}"
    digits = 2 if error is None or error >= 0.005 or abs(value) >= 10 else 5
    if "bound" in metric:
        return f"{BOUNDS[metric['bound']]} {value:.{digits}f}"
    return f"{value:.{digits}f}" if error is None else f"{value:.{digits}f} ± {error:.{digits}f}"


def _measured(card: Card) -> list[str]:
    results, recipe, noun = card.results, card.recipe, NOUNS[card.kind]
    how = results["evaluation"]
    pixels = f", pixels binarised once ({how['binarize']})" if how["binarize"] else ""
    lines = [
        "## Measured",
        "",
        f"On {how['examples']:,} {noun}s of the split `{how['split']}`{pixels}, seed {how['seed']}; mean ± standard "
        f"error over {noun}s. `keras-vae verify {shlex.quote(card.reference)}` measures them again.",
        "",
        "| metric | value | unit | draws of q(z\\|x) for each | verified to |",
        "| --- | ---: | --- | ---: | ---: |",
    ]
    for metric, row in results["metrics"].items():
        batch = f", mean over batches of {row['batch']}" if "batch" in row else ""
        batch += f", of the first {row['examples']:,} {noun}s" if "examples" in row else ""
        name = f"{METRICS.get(metric, f'`{metric}`, a term of this model')}{batch}"
        unit, draws = row.get("unit", "nats"), row["samples"] or ""
        lines.append(f"| {name} | {number(row)} | {unit} | {draws} | {row.get('tolerance', 0):.2g} |")
    if how.get("condition"):
        if how.get("joint"):
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
    return [*lines, ""]


def _kl_lines(kl: Mapping[str, Any]) -> list[str]:
    """Return the KL of each dimension or level, by name; results of older versions have no names."""
    parts, names = kl.get("parts", []), kl.get("names")
    if len(parts) < 2:
        return []
    errors = [f" ± {error:.2f}" for error in kl.get("errors", [])] or [""] * len(parts)
    values = [f"{part:.2f}{error}" for part, error in zip(parts, errors, strict=True)]
    if names is None:
        return ["", f"The KL of each dimension or level in turn, nats: {', '.join(values)}."]
    listed = ", ".join(f"{name} {value}" for name, value in zip(names, values, strict=True))
    return ["", f"KL, nats: {listed}."]


def collapse_lines(collapse: Mapping[str, Any]) -> list[str]:
    """Return the results of `evaluation.collapse` as sentences: verdict, dimensions and remedies."""
    lines = [f"Collapse: {collapse['verdict']}. {collapse['summary']}"]
    if collapse["dimensions"]:
        # Results of older versions have numbers only.
        names = collapse.get("names") or [f"z{index}" for index in collapse["dimensions"]]
        lines.append(f"Collapsed dimensions: {', '.join(names)}.")
    if collapse["remedies"]:
        lines.append(f"Suggested: {'; '.join(collapse['remedies'])}.")
    return lines


def overview_rows(overview: Mapping[str, Any], noun: str = "image") -> list[list[str]]:
    """Return the numbers of `results["overview"]` as rows: title, value and standard error, how it was estimated."""
    sections = {name: part for name, part in overview.items() if isinstance(part, Mapping) and name != "without"}
    return [
        [_title(path, row), number(row), _of(row, noun)]
        for path, row in contents.numbers(sections)
        if not path.startswith(_SHOWN_ELSEWHERE)
    ]


def _title(path: str, row: Mapping[str, Any]) -> str:
    parent, _, last = path.rpartition(".")
    if path in TITLES:
        return TITLES[path]
    if parent not in TITLES:
        return f"`{path}`"
    return f"{TITLES[parent]} fitted to {row['labels'] if last == 'all' else int(last):,} labels"


def _of(row: Mapping[str, Any], noun: str) -> str:
    """Return how a number was estimated: of how many examples, draws and repetitions."""
    words = {"examples": f"{noun}s", "samples": "draws", "repetitions": "repetitions", "chains": "chains",
             "temperatures": "temperatures"}  # fmt: skip
    details = [f"{row[name]:,} {word if row[name] != 1 else word[:-1]}" for name, word in words.items() if name in row]
    if "effective_samples" in row:
        details.append(f"effective sample size {row['effective_samples']:,.0f} (median)")
    if "monte_carlo_error" in row:
        details.append(f"error of the mean over draws {row['monte_carlo_error']:.2g}")
    if "cap" in row:
        details.append(f"limited to {row['cap']:.2f} by the number of {noun}s")
    if "bound" in row and "cap" not in row:
        details.append(f"a bound, as the number of {noun}s is too small")
    if "ceiling" in row:
        details.append(f"accuracy on real digits {row['ceiling']:.4f}")
    if row.get("given_labels"):
        details.append("codes encoded with the true label")
    return ", ".join(details)


def _overview(overview: Mapping[str, Any], noun: str) -> list[str]:
    rows = overview_rows(overview, noun)
    collapse = overview.get("latent", {}).get("collapse")
    agreement = overview.get("likelihood", {}).get("agreement")
    lines = [line for sentence in collapse_lines(collapse) for line in (sentence, "")] if collapse else []
    if rows:
        lines += [f"More metrics, seed {overview['seed']}, as `keras-vae evaluate` measures them:", ""]
        lines += ["| metric | value | of |", "| --- | ---: | --- |"]
        lines += [f"| {' | '.join(row)} |" for row in rows] + [""]
    lines += [line for title, table in column_tables(overview) for line in _column_lines(title, table)]
    if agreement:
        lines += [f"{agreement['verdict']} Measured in {agreement['seconds']:,.0f} s.", ""]
    return lines


def column_tables(overview: Mapping[str, Any]) -> list[tuple[str, list[list[str]]]]:
    """Return the errors of the best and the worst columns: a title, and rows of a column and its error.

    Of each error of `results["overview"]` that columns have, with all columns where they are few.
    """
    tables = []
    for error, row in overview.get("generation", {}).get("columns", {}).items():
        columns = list(zip(row.get("names", []), row.get("parts", []), row.get("errors", []), strict=False))
        if error in BY_COLUMN and len(columns) > 1:
            columns.sort(key=lambda column: column[1])
            rows = [[name, number({"value": part, "standard_error": spread})] for name, part, spread in columns]
            few = rows if len(rows) <= 2 * _EXTREMES else [*rows[:_EXTREMES], ["...", ""], *rows[-_EXTREMES:]]
            tables.append((BY_COLUMN[error], few))
    return tables


def _column_lines(title: str, rows: list[list[str]]) -> list[str]:
    cells = [["column", "error"], ["---", "---:"], *([name.replace("|", "\\|"), text] for name, text in rows)]
    return [f"{title}, the least first:", "", *(f"| {' | '.join(row)} |" for row in cells), ""]


def text_cells(name: str, rows: list[list[str]]) -> tuple[str, list[str], list[list[str]]]:
    """Return title, column heads and cells of an entry in `texts` of results.json; a list has no heads."""
    title, *columns = TEXTS[name]
    cells = [[text or "(nothing)" for text in row] for row in rows]
    if not columns:
        return title, [], cells
    between = [""] * (len(cells[0]) - len(columns))
    return title, [columns[0], *between, *columns[1:]], cells


def _texts(name: str, rows: list[list[str]]) -> list[str]:
    title, heads, cells = text_cells(name, rows)
    if not heads:
        return [f"{title}: {', '.join(cells[0])}.", ""]
    table = [heads, ["---"] * len(heads), *cells]
    return [f"{title}:", "", *(f"| {' | '.join(row)} |" for row in table), ""]


def _fitted(recipe: recipes.Recipe, results: Mapping[str, Any]) -> list[str]:
    kept = results.get("prior")
    if not kept or recipe.prior is None:
        return []
    described = f"{recipe.prior.class_name}, fitted to the codes of the training images after the model was trained"
    return [f"Prior: {described}; {kept['bytes']:,} bytes, sha256 `{kept['sha256']}`.", ""]


def _training(recipe: recipes.Recipe, results: Mapping[str, Any]) -> list[str]:
    training, weights, machine = results["training"], results["weights"], results["machine"]
    versions = ", ".join(f"{name} {number}" for name, number in results["versions"].items())
    return [
        "## Training",
        "",
        f"{training['epochs']} epochs, {training['steps']:,} steps, {training['seconds']:,.0f} s on {machine['cores']} "
        f"cores ({machine['processor']}). Trained on the split `{recipe.data.train}` of `{recipe.data.title}`, "
        f"precision {recipe.training.precision}, seed {recipe.training.seed}.",
        "",
        f"{weights['parameters']:,} parameters; {weights['bytes']:,} bytes in float16, sha256 `{weights['sha256']}`.",
        "",
        *_fitted(recipe, results),
        f"Versions: {versions}.",
        "",
    ]
