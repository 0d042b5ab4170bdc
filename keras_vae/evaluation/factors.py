"""Codes and the factors of their images: checks, mutual information and classifiers, for disentanglement."""

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import mutual_info_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from keras_vae.checks import as_array
from keras_vae.errors import NotApplicable, UserError

LEAST = 20  # examples: fewer are too few for a histogram of 20 bins
_EACH = 4  # two in each half: with fewer, a classifier has nothing to generalise from


def vectors_in(codes: ArrayLike, name: str = "codes") -> np.ndarray:
    """Return codes as float64 `(n, dimensions)`, the axes of one code flattened.

    Raises:
      UserError: no numbers, of one axis only, or not finite.
    """
    array = as_array(codes, name)
    if array.dtype.kind not in "fiub" or array.ndim < 2:
        raise UserError(f"{name} must be numbers (n, dimensions). Given: {array.dtype} of shape {array.shape}.")
    array = array.reshape(len(array), math.prod(array.shape[1:])).astype("float64")
    if not np.isfinite(array).all():
        raise UserError(f"{name} must be finite. Given: values that are NaN or infinite.")
    return array


def checked(codes: ArrayLike, factors: ArrayLike, dimensions: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Return `codes` as float64 `(n, dimensions)` and `factors` as whole numbers `(n, factors)`, fit for a metric.

    Raises:
      UserError: arrays of other shapes or lengths; codes that are not finite, or all constant; too few examples or
        dimensions; fewer than two factors; a factor with one value only.
    """
    codes, factors = vectors_in(codes), as_array(factors, "factors")
    if factors.ndim != 2 or factors.dtype.kind not in "iu" or len(factors) != len(codes):
        raise UserError(
            f"factors must be whole numbers (n, factors), a row for each of the {len(codes)} codes. Given: "
            f"{factors.dtype} of shape {factors.shape}."
        )
    if len(codes) < LEAST:
        raise NotApplicable(f"A metric needs {LEAST} examples or more, also in each part. Given: {len(codes)}.")
    if not np.ptp(codes, axis=0).any():
        raise NotApplicable(
            "A metric needs codes that vary. Given: the same code for all examples: the model ignores x."
        )
    if codes.shape[1] < dimensions:
        raise NotApplicable(f"This metric compares dimensions: {dimensions} or more. Given: {codes.shape[1]}.")
    single = [column for column, factor in enumerate(factors.T) if factor.min() == factor.max()]
    if factors.shape[1] < 2 or single:
        raise UserError(
            f"A metric needs two factors or more, each with two values or more. Given: {factors.shape[1]} factors, "
            f"with one value in column {', '.join(map(str, single)) or 'none'}. Leave such columns out."
        )
    values = max(len(np.unique(factor)) for factor in factors.T)
    if len(codes) < _EACH * values:
        raise UserError(
            f"A metric needs {_EACH} examples or more for each value of a factor, also in each part. Given: "
            f"{len(codes)} examples of a factor with {values} values."
        )
    return codes, factors


def information(codes: np.ndarray, factors: np.ndarray, bins: int) -> np.ndarray:
    """Return I(z_i; v_j) of histograms, nats: `(dimensions, factors)`."""
    rows = []
    for dimension in codes.T:
        span = np.ptp(dimension)
        scaled = (dimension - dimension.min()) / (span if span > 0 else 1.0)
        binned = np.minimum((scaled * bins).astype(int), bins - 1)
        rows.append([mutual_info_score(factor, binned) for factor in factors.T])
    return np.maximum(np.array(rows), 0.0)


def entropies(factors: np.ndarray) -> np.ndarray:
    """Return H(v_j), nats: `(factors,)`."""
    return np.array([mutual_info_score(factor, factor) for factor in factors.T])


def halves(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the indices of a random half of the examples, and those of the other."""
    order = np.random.default_rng(seed).permutation(count)
    return order[: count // 2], order[count // 2 :]


def linear() -> Any:
    """Return an unfitted logistic regression on standardised codes."""
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000))


def fitted(estimator: Any, codes: np.ndarray, labels: np.ndarray) -> Any:
    """Return the estimator, fitted.

    Raises:
      UserError: labels of one value only.
    """
    if len(np.unique(labels)) < 2:
        raise UserError("A factor has one value only in the half that is fitted to. Give more examples.")
    return estimator.fit(codes, labels)
