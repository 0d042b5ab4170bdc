"""Counts and series that are drawn here, with known parameters: they need no file and no network.

By numpy's legacy generator, whose draws no version changes.
"""

import functools
from typing import NamedTuple

import numpy as np

SIZES = {"train": 8_000, "validation": 1_000, "test": 1_000}
GENES, TYPES = 120, 5
STEPS, SHORTEST, SHAPES = 48, 24, ("sine", "square", "sawtooth")
_SEEDS = {"parameters": 0, "train": 1, "validation": 2, "test": 3}


class Truth(NamedTuple):
    """The parameters of `cells`."""

    log_rates: np.ndarray  # (types, genes), of a cell of the usual size
    trend: np.ndarray  # (genes,): what is added from the first to the last stage of a type
    dispersion: np.ndarray  # (genes,)


@functools.cache
def truth() -> Truth:
    """Return the parameters of cells: a sixth of the genes is marked in each type, a sixth changes with the stage."""
    return drawn_truth(_SEEDS["parameters"], GENES, TYPES)


def drawn_truth(
    seed: int, genes: int, types: int, log_rate: float = 0.5, marked: float = 1 / 6, spread: float = 1.5
) -> Truth:
    """Return the parameters of other cells, drawn.

    Args:
      seed: of the draws.
      genes: how many.
      types: how many.
      log_rate: the mean of the genes' log rates, whose standard deviation is 1.
      marked: the share of the genes whose log rate is another in a type.
      spread: the standard deviation by which it differs.
    """
    draw = np.random.RandomState(seed)
    base, marks = draw.normal(log_rate, 1.0, genes), draw.uniform(size=(types, genes)) < marked
    log_rates = base + marks * draw.normal(0.0, spread, (types, genes))
    trend = (draw.uniform(size=genes) < 1 / 6) * draw.normal(0.0, 2.0, genes)
    return Truth(log_rates, trend, np.exp(draw.normal(1.0, 0.5, genes)))


@functools.cache
def cells(split: str) -> tuple[np.ndarray, np.ndarray]:
    """Return counts of genes in cells, float32 `(cells, 120)`, and the type of each, 0 to 4: `drawn_cells` of `truth`.

    Args:
      split: one of `SIZES`.
    """
    counts, kind, _ = drawn_cells(truth(), SIZES[split], _SEEDS[split])
    return counts.astype("float32"), kind


def drawn_cells(parameters: Truth, count: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return counts of genes in cells, `(cells, genes)`, the type of each cell, and the means of the counts.

    Negative binomial, of the mean size * exp(log_rates[type] + trend * stage) and `dispersion`; the logarithm of a
    cell's size is `N(0, 0.3**2)`, and its stage uniform in [-1/2, 1/2].

    Args:
      parameters: of the genes.
      count: of cells.
      seed: of the draws.
    """
    draw = np.random.RandomState(seed)
    kind = draw.randint(len(parameters.log_rates), size=count)
    size, stage = draw.normal(0.0, 0.3, (count, 1)), draw.uniform(-0.5, 0.5, (count, 1))
    mean = np.exp(size + parameters.log_rates[kind] + parameters.trend * stage)
    rate = draw.gamma(parameters.dispersion, mean / parameters.dispersion)
    return draw.poisson(rate), kind.astype("int64"), mean


@functools.cache
def waves(split: str) -> tuple[np.ndarray, np.ndarray]:
    """Return waves of 24 to 48 steps in two channels, float32 `(waves, 48, 2)`, NaN after the end; and their shapes.

    The second channel is the first, a quarter of a period later, in other units: 20 + 5 y. Both have noise, a tenth as
    large as the wave.

    Args:
      split: one of `SIZES`.
    """
    draw, count = np.random.RandomState(10 + _SEEDS[split]), SIZES[split]
    shape, lengths = draw.randint(len(SHAPES), size=count), draw.randint(SHORTEST, STEPS + 1, size=count)
    phase, period = draw.uniform(size=(count, 1)), draw.uniform(8.0, 16.0, (count, 1))
    height, noise = draw.uniform(0.5, 1.5, (count, 1, 1)), draw.normal(0.0, 0.1, (count, STEPS, 2))
    turns = phase + np.arange(STEPS) / period
    turns = np.stack([turns, turns - 0.25], axis=-1)
    sine = np.sin(2 * np.pi * turns)
    x = height * (np.choose(shape[:, None, None], [sine, np.tanh(4 * sine), 2 * (turns % 1) - 1]) + noise)
    x = x * [1.0, 5.0] + [0.0, 20.0]
    x[np.arange(STEPS) >= lengths[:, None]] = np.nan
    return x.astype("float32"), shape.astype("int64")
