"""Metrics of numbers in columns: errors of each column, correlations of draws, and what is filled in."""

from collections.abc import Mapping

import numpy as np
from keras import ops

from keras_vae.checks import in_blocks
from keras_vae.columns import Column
from keras_vae.core.filling import fill_in
from keras_vae.core.inference import draw_x
from keras_vae.errors import NotApplicable
from keras_vae.evaluation.estimates import Details, Estimate, by_column, jackknife_errors
from keras_vae.evaluation.evaluation import SUBSET, Evaluation
from keras_vae.likelihoods import Observed

HIDDEN, SAMPLES = 0.3, 1000  # the share of numbers that is hidden, and the importance samples that fill it in
_FEWEST = 40  # rows, of which correlations are compared: two in each group of a half


def column_errors_of(evaluation: Evaluation) -> dict[str, Estimate]:
    """Return the errors of the mean reconstruction by column: `rmse`, and of classes `error_rate` and `log_loss`.

    A column is an index of the last axis of x. `rmse` is in units of the column's standard deviation over the examples,
    so that the column's mean has 1: the root of the mean over columns. `error_rate` is the share of classes that are
    not the likeliest, `error_rate_of_commonest` that of the commonest class, `log_loss` -log p of the true class, nats:
    means over columns. `parts` are those of single columns. A constant column is left out.

    Raises:
      NotApplicable: a model of anything but numbers, or constant columns only.
    """
    evaluation.require_kind("numbers", "This is of numbers in columns")
    require_totals(evaluation)
    x, seen = evaluation.x, ~np.isnan(evaluation.x)
    errors = errors_by_column(evaluation, x, evaluation.reconstructions, seen)
    if "error_rate" in errors:
        names = errors["error_rate"].get("names", [])
        classes = [evaluation.columns.index(name) for name in names]
        log_p = np.where(seen, _log_probs(evaluation), 0.0)[:, classes]
        errors["log_loss"] = by_column(-log_p, seen[:, classes], names, examples=len(x), unit="nats")
    return errors


def imputation_of(evaluation: Evaluation) -> dict[str, Estimate]:
    """Return the errors of `tasks.fill_in` where 30 % of the numbers, at random, are hidden: as `column_errors_of`.

    Of the first 1,000 examples, by 1,000 importance samples each, with the model's own prior; in units in which the
    column's mean has 1.

    Raises:
      NotApplicable: a model of anything but numbers, or one that reads none with holes.
    """
    evaluation.require_kind("numbers", "This is of numbers in columns")
    check_holes(evaluation)
    part = evaluation.first(SUBSET)
    hidden = np.random.default_rng(part.seed).random(part.x.shape) < HIDDEN
    filled = fill_in(part.model, np.where(hidden, np.nan, part.x), SAMPLES, seed=part.seed, condition=part.condition)
    estimates = errors_by_column(part, part.x, filled.mean, hidden & ~np.isnan(part.x), samples=SAMPLES)
    effective = float(np.median(filled.effective_samples))
    return {name: {**row, "effective_samples": effective} for name, row in estimates.items()}


def correlations_of(evaluation: Evaluation) -> dict[str, Estimate]:
    """Return `difference`, of the correlations of draws from those of held-out rows, and its `floor`.

    The root of the mean square difference over pairs of columns. The rows are halved; draws x from p(x|z), z from the
    prior, as many as are in a half, and the other half, which makes the floor, are both compared with the first: a
    perfect model has its floor. Means over `repetitions` ways of halving; the standard errors are the jackknife's over
    rows. A column of classes without an order counts as an indicator for each class.

    Raises:
      NotApplicable: anything but rows of two columns or more that vary, fewer than 40 rows, or a model without a prior.
    """
    evaluation.require_kind("numbers", "This is of numbers in columns")
    require_totals(evaluation)
    if not evaluation.model.x_spec().is_row or len(evaluation.columns) < 2 or len(evaluation) < _FEWEST:
        raise NotApplicable(
            f"Correlations are of {_FEWEST} rows or more, of two columns or more. Given: x of shape "
            f"{evaluation.x.shape}."
        )
    model, labels = evaluation.model, evaluation.model.infer_condition(evaluation.x, evaluation.condition)
    drawn = draw_x(model, len(evaluation), evaluation.seed, labels, evaluation.prior)
    source, rows = indicators(evaluation, evaluation.x)
    others = np.triu(source[:, None] != source)  # pairs of columns, without classes of one column
    _, drawn = indicators(evaluation, drawn)
    generator, count = np.random.default_rng(evaluation.seed), len(rows)
    halves = [generator.permutation(count)[: count // 2 * 2].reshape(2, -1) for _ in range(evaluation.repetitions)]

    def distances(kept: np.ndarray) -> np.ndarray:
        values = []
        for first, second in ((half[kept[half]] for half in halving) for halving in halves):
            reference = correlations(rows[first])
            differences = [(correlations(other[second]) - reference)[others] for other in (drawn, rows)]
            values.append([_root_mean_square(difference) for difference in differences])
        return np.mean(values, axis=0)

    values = distances(np.ones(count, bool))
    if not np.isfinite(values).all():
        raise NotApplicable("Correlations are of columns that vary in each half. Given: no pair of them that do.")
    errors = jackknife_errors(distances, count, evaluation.seed)
    details: Details = {"examples": count // 2, "repetitions": evaluation.repetitions, "seed": evaluation.seed}
    return {
        name: {"value": float(value), "standard_error": float(error), **details}
        for name, value, error in zip(("difference", "floor"), values, errors, strict=True)
    }


def require_totals(evaluation: Evaluation) -> None:
    """Raise NotApplicable for a likelihood that takes the total of x, which its means and draws do not have."""
    family = evaluation.model.likelihood_family
    if not family.tells_total:
        raise NotApplicable(
            f"Means and draws are compared with x where they say how many are counted. Given: the likelihood "
            f"{family.title}, which takes the total of x."
        )


def errors_by_column(
    evaluation: Evaluation, x: np.ndarray, guesses: np.ndarray, scored: np.ndarray, samples: int | None = None
) -> dict[str, Estimate]:
    """Return `rmse` of columns of numbers; of classes, `error_rate` and `error_rate_of_commonest`.

    Args:
      evaluation: for the columns.
      x: the truth, `(n, ..., columns)`, NaN where it is missing.
      guesses: of that shape.
      scored: of that shape, true where a guess counts.
      samples: that a guess is made of.

    Raises:
      NotApplicable: every column is constant where it is scored.
    """
    x, guesses, width = x.astype("float64"), guesses.astype("float64"), x.shape[-1]
    axes = tuple(range(1, x.ndim - 1))
    flat = np.where(scored, x, np.nan).reshape(-1, width)
    varies = [index for index, column in enumerate(flat.T) if len(np.unique(column[~np.isnan(column)])) > 1]
    classes = [index for index, kind in _kinds(evaluation).items() if kind.classes and index in varies]
    numbers = [index for index in varies if index not in classes]
    if not varies:
        raise NotApplicable("Errors are of columns that vary. Given: constant columns only.")
    details: Details = {"examples": len(x)}
    if samples is not None:
        details["samples"] = samples

    def summed(values: np.ndarray, columns: list[int]) -> np.ndarray:
        return np.where(scored, values, 0.0).sum(axis=axes)[:, columns]

    estimates = {}
    if numbers:
        names, mean = [evaluation.columns[index] for index in numbers], np.zeros(width)
        mean[numbers] = np.nanmean(x.reshape(-1, width)[:, numbers], axis=0)
        above, below = (summed(np.square(x - other), numbers) for other in (guesses, mean))
        units: Details = {**details, "unit": "standard deviations of the column"}
        estimates["rmse"] = by_column(above, below, names, root=True, **units)
    if classes:
        names, seen = [evaluation.columns[index] for index in classes], summed(np.ones(x.shape), classes)
        commonest = np.zeros(width)
        commonest[classes] = [np.bincount(flat[~np.isnan(flat[:, i]), i].astype(int)).argmax() for i in classes]
        for name, guess in (("error_rate", guesses), ("error_rate_of_commonest", commonest)):
            shares: Details = {**details, "unit": "share"}
            estimates[name] = by_column(summed(x != guess, classes), seen, names, **shares)
    return estimates


def indicators(evaluation: Evaluation, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return rows as numbers that correlate: a class without an order is 1 or 0 in a column of each class.

    With the index of the column that each of them is of.
    """
    parts, source, kinds = [], list[int](), _kinds(evaluation)
    for index in range(x.shape[1]):
        column = x[:, index : index + 1].astype("float64")
        if index in kinds and not kinds[index].ordered:
            column = np.where(np.isnan(column), np.nan, column == np.arange(len(kinds[index].classes)))
        parts.append(column)
        source += [index] * column.shape[1]
    return np.array(source), np.concatenate(parts, axis=1)


def correlations(rows: np.ndarray) -> np.ndarray:
    """Return Pearson's correlation of each pair of columns, over the rows that have both; NaN if one is constant."""
    seen = ~np.isnan(rows)
    present, total = seen.astype("float64"), np.maximum(seen.sum(axis=0), 1)
    x = np.where(seen, rows - np.where(seen, rows, 0.0).sum(axis=0) / total, 0.0)
    spread = np.sqrt(np.square(x).sum(axis=0) / total)
    x /= np.where(spread > 0, spread, 1.0)
    counts = np.maximum(present.T @ present, 1.0)
    mean = (x.T @ present) / counts  # of the first column, over the rows of the pair
    variance = (np.square(x).T @ present) / counts - np.square(mean)
    scale = np.sqrt(np.maximum(variance * variance.T, 0.0))
    defined = scale > 1e-9  # of numbers with a standard deviation of 1
    return np.where(defined, ((x.T @ x) / counts - mean * mean.T) / np.where(defined, scale, 1.0), np.nan)


def _root_mean_square(values: np.ndarray) -> float:
    """Return the root of the mean square of the values that are numbers; NaN of none."""
    finite = values[np.isfinite(values)]
    return float(np.sqrt(np.mean(np.square(finite)))) if finite.size else np.nan


def check_holes(evaluation: Evaluation) -> None:
    """Check that the model takes x of which some is missing.

    Raises:
      NotApplicable: it does not.
    """
    if evaluation.model.missing is None:
        raise NotApplicable(
            f"Numbers are filled in by a model that was trained with some missing. Given: a "
            f"{type(evaluation.model).__name__} of missing=None. Train it with missing='mask'."
        )


def _kinds(evaluation: Evaluation) -> dict[int, Column]:
    """Return the kind of each column by its index, where the likelihood has columns that differ."""
    return dict(enumerate(evaluation.model.likelihood_family.columns.values()))


def _log_probs(evaluation: Evaluation) -> np.ndarray:
    """Return log p of each number of x at its mean code, nats."""
    family = evaluation.model.likelihood_family
    family = family if isinstance(family, Observed) else Observed(family)

    def log_p(_: int, part: Mapping[str, np.ndarray]) -> np.ndarray:
        tensors = {name: ops.convert_to_tensor(array, evaluation.model.float_dtype) for name, array in part.items()}
        x = tensors.pop("x")
        return np.asarray(family.distribution(tensors).number_log_prob(x))

    return in_blocks(log_p, {**evaluation.parameters, "x": evaluation.x})
