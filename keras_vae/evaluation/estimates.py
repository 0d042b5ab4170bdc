"""Estimates: a mean or a share with its standard error and sample sizes."""

from collections.abc import Callable, Sequence
from typing import Required, TypedDict, Unpack

import numpy as np
from numpy.typing import ArrayLike

from keras_vae.errors import UserError

_GROUPS = 20  # of the jackknife


class Details(TypedDict, total=False):
    """The settings and sample sizes of an estimate."""

    examples: int
    samples: int  # draws for each example
    seed: int
    repetitions: int
    clusters: int
    labels: int  # number of labels that a probe was fitted to
    unit: str
    ceiling: float  # the same metric on real examples
    batch: int  # examples in a batch, of a mean over batches
    given_labels: bool  # codes were encoded with the labels that are predicted from them


class Estimate(Details, total=False):
    """A number and its standard error, None for a count."""

    value: Required[float]
    standard_error: Required[float | None]
    cap: float  # the largest possible value for this number of examples
    bound: str  # "lower" or "upper": the value is a bound
    parts: list[float]  # the KL of dimensions or levels, variances of codes; or the same number of single columns
    errors: list[float]  # the standard errors of the parts
    names: list[str]  # of the parts
    monte_carlo_error: float  # of the mean over draws
    effective_samples: float  # the median over examples
    seconds: float
    acceptance: float  # the mean probability of an HMC step
    chains: int
    temperatures: int


def mean_of(values: ArrayLike, **details: Unpack[Details]) -> Estimate:
    """Return the mean of independent numbers and its standard error, in float64, with `details`.

    Args:
      values: `(n,)`: one number an example, or one a repetition.
      **details: such as `samples=` and `seed=`.

    Raises:
      UserError: fewer than two numbers, or one that is not finite.
    """
    array = np.asarray(values, "float64")
    if len(array) < 2:
        raise UserError(f"A standard error needs two values or more. Given: {len(array)}. Give more examples.")
    if not np.isfinite(array).all():
        bad = int((~np.isfinite(array)).sum())
        raise UserError(f"A mean needs finite values. Given: {bad} of {len(array)} that are NaN or infinite.")
    error = np.std(array, ddof=1) / np.sqrt(len(array))
    return {"value": float(array.mean()), "standard_error": float(error), **details}


def share_of(hits: ArrayLike, **details: Unpack[Details]) -> Estimate:
    """Return the share of hits among examples and its binomial standard error, with `details`."""
    hits = np.asarray(hits, bool)
    if not len(hits):
        raise UserError("A share needs one example or more. Given: none.")
    share = float(hits.mean())
    return {"value": share, "standard_error": float(np.sqrt(share * (1 - share) / len(hits))), **details}


def ratio_of(numerators: ArrayLike, denominators: ArrayLike, **details: Unpack[Details]) -> Estimate:
    """Return the ratio of the means of two numbers of independent examples, and its standard error.

    By the delta method: that of the mean of (numerator - ratio * denominator) / mean denominator, in float64. Cochran
    1977, Sampling Techniques, section 2.11.

    Args:
      numerators: `(n,)`.
      denominators: `(n,)`, of a mean above 0.
      **details: as of `mean_of`.

    Raises:
      UserError: as `mean_of`.
    """
    above, below = np.asarray(numerators, "float64"), np.asarray(denominators, "float64")
    ratio = above.mean() / below.mean()
    error = mean_of((above - ratio * below) / below.mean())["standard_error"]
    return {"value": float(ratio), "standard_error": error, **details}


def correlation_of(first: ArrayLike, second: ArrayLike, **details: Unpack[Details]) -> Estimate:
    """Return Pearson's correlation r of two numbers of independent examples, and its standard error.

    By the delta method, for any distribution: that of the mean of `u v - r (u**2 + v**2) / 2`, u and v standardised.
    Devlin et al. 1975, https://doi.org/10.1093/biomet/62.3.531, which has this influence function.

    Args:
      first: `(n,)`, of a standard deviation above 0.
      second: `(n,)`, likewise.
      **details: as of `mean_of`.
    """
    u, v = ((x - x.mean()) / x.std() for x in (np.asarray(first, "float64"), np.asarray(second, "float64")))
    value = float(np.mean(u * v))
    error = mean_of(u * v - value * (u**2 + v**2) / 2)["standard_error"]
    return {"value": value, "standard_error": error, **details}


def by_column(
    numerators: np.ndarray,
    denominators: np.ndarray,
    names: Sequence[str],
    root: bool = False,
    **details: Unpack[Details],
) -> Estimate:
    """Return the mean over columns of `ratio_of`, or the root of it, with that of single columns as its `parts`.

    Args:
      numerators: `(n, columns)`.
      denominators: `(n, columns)`, of means above 0.
      names: of the columns.
      root: take the square root of the mean, and of each part.
      **details: as of `mean_of`.
    """
    scale = denominators.mean(axis=0, dtype="float64")
    ratios = numerators.mean(axis=0, dtype="float64") / scale
    terms = (numerators - ratios * denominators) / scale  # of mean 0: what an example adds to a ratio
    errors = [mean_of(column)["standard_error"] or 0.0 for column in terms.T]
    error = mean_of(terms.mean(axis=1))["standard_error"] or 0.0
    value, parts = float(ratios.mean()), ratios.tolist()
    if root:  # its error by the delta method
        value, parts = value**0.5, np.sqrt(ratios).tolist()
        errors = [of_part / (2 * part) if part else 0.0 for of_part, part in zip(errors, parts, strict=True)]
        error = error / (2 * value) if value else 0.0
    return {
        "value": value,
        "standard_error": error,
        "parts": parts,
        "errors": errors,
        "names": list(names),
        **details,
    }


def jackknife_errors(statistic: Callable[[np.ndarray], np.ndarray], count: int, seed: int) -> np.ndarray:
    """Return the standard errors of a statistic of examples by the delete-a-group jackknife, of 20 groups.

    Kott 2001, The delete-a-group jackknife, Journal of Official Statistics 17, 521-526.

    Args:
      statistic: of the examples for which a mask `(count,)` is true: an array of numbers.
      count: of the examples, 20 or more.
      seed: of the groups.
    """
    groups = np.random.default_rng(seed).permutation(count) % _GROUPS
    without = np.stack([statistic(groups != group) for group in range(_GROUPS)])
    return np.sqrt((_GROUPS - 1) / _GROUPS * np.square(without - without.mean(axis=0)).sum(axis=0))


def seed_of_repetition(seed: int, repetition: int) -> int:
    """Return a seed for the pair of `seed` and `repetition`, which another pair does not share."""
    return int(np.random.SeedSequence([seed, repetition]).generate_state(1)[0] >> 1)
