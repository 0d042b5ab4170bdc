"""Metrics of counts, such as reads of genes in cells: deviance, totals, and log p(x) for each thing counted."""

from collections.abc import Mapping

import numpy as np

from keras_vae.errors import NotApplicable
from keras_vae.evaluation.estimates import Estimate, correlation_of, ratio_of
from keras_vae.evaluation.evaluation import Evaluation
from keras_vae.evaluation.tables import require_totals


def deviance_of(evaluation: Evaluation) -> dict[str, Estimate]:
    """Return the share of the deviance that the mean reconstruction explains: 1 - D(model) / D(null).

    D is the sum of the likelihood's `deviances`, with its dispersion in both. The null of `explained` has the mean of
    each column over the examples, equation 3.11 of Hastie et al. 2015, Statistical Learning with Sparsity; that of
    `explained_beyond_totals` has the column's share of each example's total. `explained_unseen` is of a half of the
    counts: a fair coin puts each thing counted into one of two halves; one is encoded, and its reconstruction is the
    mean of the other, as in Batson et al. 2019, https://doi.org/10.1101/786269. Of fewer counts less can be explained.
    One whose null is right is left out: that of totals, of a single column.

    Raises:
      NotApplicable: a likelihood that is not of counts, or has no deviance; or every null is right.
    """
    x = _counts(evaluation)
    columns = _column_means(x)
    of_observed = np.where(np.isnan(x), 0.0, np.broadcast_to(columns, x.shape))
    shares = np.where(np.isnan(x), 1.0, of_observed / np.maximum(_totals(of_observed), 1e-9) * _totals(x))
    seen, unseen = _halves(x, evaluation.seed)
    half = Evaluation(
        evaluation.model, seen.astype(evaluation.x.dtype), condition=evaluation.condition, columns=evaluation.columns
    )
    values = {
        "explained": _explained(evaluation, x, evaluation.parameters, columns),
        "explained_beyond_totals": _explained(evaluation, x, evaluation.parameters, shares),
        "explained_unseen": _explained(evaluation, unseen, half.parameters, _column_means(unseen)),
    }
    explained: dict[str, Estimate] = {name: value for name, value in values.items() if value is not None}
    if not explained:
        raise NotApplicable(
            "Deviance is explained where a null leaves some. Given: counts that the column means explain."
        )
    if "explained_unseen" in explained:
        explained["explained_unseen"]["seed"] = evaluation.seed
    return explained


def totals_of(evaluation: Evaluation) -> dict[str, Estimate]:
    """Return how the totals of reconstructions agree with those of the examples: `correlation` and `ratio`.

    Over what is observed of an example. Of cells, a total is the size of the library.

    Raises:
      NotApplicable: a likelihood that is not of counts, or says nothing of their total; or equal totals.
    """
    x = _counts(evaluation)
    require_totals(evaluation)
    observed = _totals(x).ravel()
    predicted = _totals(np.where(np.isnan(x), np.nan, evaluation.reconstructions)).ravel()
    if not observed.std() or not predicted.std():
        raise NotApplicable("Totals correlate where they vary. Given: totals that are all the same.")
    count = len(x)
    return {
        "correlation": correlation_of(predicted, observed, examples=count),
        "ratio": ratio_of(predicted, observed, examples=count),
    }


def per_count_of(evaluation: Evaluation) -> Estimate:
    """Return -log p(x), importance-weighted, over the number of things counted: nats for each, of held-out examples.

    The sum over the examples of `of_likelihood`, over the sum of their totals. Its exponential is a perplexity.

    Raises:
      NotApplicable: as `importance_weights`; a likelihood that is not of counts; or no samples.
    """
    part = evaluation.of_likelihood
    totals = _totals(_counts(part)).ravel()
    part.require_log_prob()
    log_prob = part.importance_weights(part.samples)["log_prob"]
    return ratio_of(-log_prob, totals, samples=part.samples, examples=len(totals), unit="nats a count")


def _counts(evaluation: Evaluation) -> np.ndarray:
    """Return x, float64, with NaN where it is missing.

    Raises:
      NotApplicable: a likelihood that is not of counts, or nothing is counted.
    """
    family = evaluation.model.likelihood_family
    if not family.support.counted:
        raise NotApplicable(f"This is of counts. Given: the likelihood {family.title}.")
    family.check(evaluation.x)
    x = evaluation.x.astype("float64")
    if not np.nansum(x):
        raise NotApplicable("This is of counts above 0. Given: only 0.")
    return x


def _totals(x: np.ndarray) -> np.ndarray:
    """Return the sum of each example: `(n, 1, ...)`."""
    return np.nansum(x, axis=tuple(range(1, x.ndim)), keepdims=True)


def _column_means(x: np.ndarray) -> np.ndarray:
    """Return the mean of each column, `(columns,)`: of one that is 0 everywhere, too, a number above 0."""
    flat = x.reshape(-1, x.shape[-1])
    seen = (~np.isnan(flat)).sum(axis=0)
    return np.maximum(np.nansum(flat, axis=0), 1e-9) / np.maximum(seen, 1)


def _halves(x: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return counts that a fair coin takes from x, and the others; what is missing is so in both."""
    missing = np.isnan(x)
    taken = np.random.default_rng(seed).binomial(np.where(missing, 0, x).astype("int64"), 0.5)
    return np.where(missing, np.nan, taken), x - taken


def _explained(
    evaluation: Evaluation, x: np.ndarray, parameters: Mapping[str, np.ndarray], null: np.ndarray
) -> Estimate | None:
    """Return 1 - D(mean of the parameters) / D(null), with its standard error over examples; None if D(null) is 0."""
    family = evaluation.model.likelihood_family
    deviances = [_totals(family.deviances(x, mean, parameters)).ravel() for mean in (parameters["mean"], null)]
    if deviances[1].sum() <= 1e-6 * np.nansum(x):  # of rounding
        return None
    ratio = ratio_of(*deviances, examples=len(x), unit="share")
    return {**ratio, "value": 1.0 - ratio["value"]}
