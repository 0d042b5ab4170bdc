"""The numbers of a model in words: their titles, and each as text with its error, for cards, reports and commands."""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from keras_vae.zoo import contents

METRICS = {  # in the order of cards; terms of a variant come after them
    "elbo": "ELBO",
    "log_px": "reconstruction, log p(x\\|z)",
    "kl": "KL(q(z\\|x) \\|\\| p(z))",
    "elbo_fitted": "ELBO with the fitted prior",
    "kl_fitted": "KL(q(z\\|x) \\|\\| the fitted prior), the rate",
    "log_prob": "log p(x), importance-weighted",
    "squared_error": "squared error of the reconstruction",
    "tokens_right": "share of tokens reconstructed correctly, up to the end of the sequence",
    "sequences_right": "share of sequences reconstructed without an error",
    "active_units": "active units: the variance of the code over examples is above 0.01",
    "codes_used": "codes used",
    "code_perplexity": "perplexity of the codes",
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
    "likelihood.per_token": "-log p(x), importance-weighted, over the number of tokens, ends included, bits",
    "likelihood.agreement.log_prob": "log p(x), importance-weighted, nats",
    "likelihood.agreement.importance_weighted": "log p(x) of the same, importance-weighted",
    "likelihood.agreement.annealed": "log p(x) of the first examples by annealed importance sampling",
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
    "generation.mnist_fd.confidence": "confidence of a classifier in draws",
    "generation.mnist_fd.floor_confidence": "confidence of that classifier in real digits",
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
    "generation.deviance.explained": "share of the deviance explained, against column means",
    "generation.deviance.explained_beyond_totals": "the same, against column shares of each total",
    "generation.deviance.explained_unseen": "the same, of a half of the counts by the code of the other half",
    "generation.totals.correlation": "correlation of the totals of reconstructions with those of the data",
    "generation.totals.ratio": "totals of reconstructions over those of the data",
    "generation.memorisation": "memorisation: 0.5 if draws are no nearer to training images than held-out images are",
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
BOUNDS = {"lower": "at least", "upper": "at most"}


def metric_title(name: str) -> str:
    """Return the title of a metric as plain text; `METRICS` has it as Markdown of a table's cell."""
    return METRICS.get(name, name).replace("\\|", "|")


def number(metric: Mapping[str, Any] | None) -> str:
    """Return a metric's value as text, with its standard error, if any, to two digits, and at most five decimals."""
    if not metric:
        return ""
    value, error = metric["value"], metric.get("standard_error")
    if isinstance(value, int):
        return f"{value}"
    digits = 1 - math.floor(math.log10(error)) if error else 2
    digits = min(max(digits, 0), 5)
    if "bound" in metric:
        return f"{BOUNDS[metric['bound']]} {value:.{digits}f}"
    return f"{value:.{digits}f}" if error is None else f"{value:.{digits}f} ± {error:.{digits}f}"


def number_of_first(metric: Mapping[str, Any] | None) -> str:
    """Return `number`, and of how many examples it is where they are fewer than the others' of a card."""
    return number(metric) + (f", the first {metric['examples']:,}" if metric and "examples" in metric else "")


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


def text_cells(name: str, rows: list[list[str]]) -> tuple[str, list[str], list[list[str]]]:
    """Return title, column heads and cells of an entry in `texts` of results.json; a list has no heads."""
    title, *columns = TEXTS[name]
    cells = [[text or "(nothing)" for text in row] for row in rows]
    if not columns:
        return title, [], cells
    between = [""] * (len(cells[0]) - len(columns))
    return title, [columns[0], *between, *columns[1:]], cells


def table_lines(heads: Sequence[str], rows: Iterable[Sequence[str]], right: Collection[int] = ()) -> list[str]:
    """Return a table as lines of Markdown, its columns of the indices in `right` aligned to the right."""
    rule = ["---:" if index in right else "---" for index in range(len(heads))]
    return [f"| {' | '.join(row)} |" for row in (heads, rule, *rows)]
