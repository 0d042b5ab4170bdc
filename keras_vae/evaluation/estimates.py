"""Estimates: a mean or a share with its standard error and sample sizes."""

from typing import Required, TypedDict, Unpack

import numpy as np
from numpy.typing import ArrayLike

from keras_vae.errors import UserError


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
    parts: list[float]  # terms of the value: the KL of dimensions or levels, variances of codes
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


def seed_of_repetition(seed: int, repetition: int) -> int:
    """Return a seed for the pair of `seed` and `repetition`, which another pair does not share."""
    return int(np.random.SeedSequence([seed, repetition]).generate_state(1)[0] >> 1)
