"""The two questions of a study of several metrics and seeds: which agree, and how much is due to the seed.

Both take the rows of `results.parquet`, as dicts, and look at runs that are finished. Locatello et al. 2019,
https://arxiv.org/abs/1811.12359, asked them of disentanglement (their figures 2 and 4); intervals are ours.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from keras_vae.errors import NotApplicable

_LEAST = 3  # configurations


class Interval(NamedTuple):
    """A number, and its 95 % confidence interval."""

    value: float
    low: float
    high: float


def rank_correlations(
    rows: Sequence[Mapping[str, Any]], metrics: Sequence[str], draws: int = 1000, seed: int = 0
) -> dict[tuple[str, str], Interval]:
    """Return Spearman's rank correlation of every two metrics over runs, each with a bootstrap interval.

    Configurations are drawn, each with all of its seeds: runs of one configuration are no independent observations. The
    interval is that of percentiles, of draws in which both metrics vary; with few configurations it is too narrow.

    Args:
      rows: of runs.
      metrics: their columns.
      draws: of the bootstrap.
      seed: of these.

    Raises:
      NotApplicable: fewer than three configurations are finished.
    """
    table, groups = _finished(rows, metrics)
    noise, pairs = np.random.default_rng(seed), [(a, b) for b in range(len(metrics)) for a in range(b)]
    values = _correlations(table)
    drawn = [
        _correlations(
            table[np.concatenate([groups[number] for number in noise.integers(len(groups), size=len(groups))])]
        )
        for _ in range(draws)
    ]
    result = {}
    for a, b in pairs:
        several = [matrix[a, b] for matrix in drawn if np.isfinite(matrix[a, b])]
        low, high = np.quantile(several, [0.025, 0.975]) if several else (np.nan, np.nan)
        result[metrics[a], metrics[b]] = Interval(float(values[a, b]), float(low), float(high))
    return result


def _correlations(table: np.ndarray) -> np.ndarray:
    """Correlations of the ranks of columns, NaN where one of them does not vary."""
    ranks = stats.rankdata(table, axis=0)
    ranks -= ranks.mean(axis=0)
    products = ranks.T @ ranks
    lengths = np.sqrt(np.diag(products))
    with np.errstate(invalid="ignore"):
        return products / np.outer(lengths, lengths)


def seed_share(rows: Sequence[Mapping[str, Any]], metric: str) -> Interval:
    """Return the share of a metric's variance that is due to the seed, and its 95 % interval.

    In the model of one-way random effects, `metric = mean + configuration + seed`, both normal, this is 1 - ICC(1) of
    Shrout and Fleiss 1979, https://doi.org/10.1037/0033-2909.86.2.420: with the mean squares B between and W within
    configurations of n seeds, W / (W + max(B - W, 0) / n). The interval is that of the F distribution, exact for equal
    numbers of seeds; otherwise n is an effective number, and the interval approximate.

    Raises:
      NotApplicable: fewer than three configurations, or no two runs of one, are finished; or all numbers are equal.
    """
    table, groups = _finished(rows, [metric])
    values = [table[group, 0] for group in groups]
    sizes = np.array([len(group) for group in groups])
    between, within = len(groups) - 1, int(sizes.sum()) - len(groups)
    if not within:
        raise NotApplicable("This compares two seeds or more of a configuration. Given: one each. Raise seeds.")
    mean = table[:, 0].mean()
    n = (sizes.sum() - (sizes**2).sum() / sizes.sum()) / between
    b = sum(len(group) * (group.mean() - mean) ** 2 for group in values) / between
    w = sum(((group - group.mean()) ** 2).sum() for group in values) / within
    if not np.ptp(table[:, 0]):  # of equal numbers, rounding leaves some b and w
        raise NotApplicable(f"This compares numbers that vary. Given: {metric}, {mean:g} in all runs.")
    ratio = b / w if w else np.inf

    def share(f: float) -> float:
        return float(n / (n + max(f - 1.0, 0.0)))

    return Interval(
        share(ratio),
        share(ratio / stats.f.ppf(0.025, between, within)),
        share(ratio / stats.f.ppf(0.975, between, within)),
    )


def _finished(rows: Sequence[Mapping[str, Any]], metrics: Sequence[str]) -> tuple[np.ndarray, list[np.ndarray]]:
    """The metrics of finished runs that have them all, `(runs, metrics)`, and the positions of each configuration."""
    complete = [
        row for row in rows if row["status"] == "finished" and all(row.get(metric) is not None for metric in metrics)
    ]
    configurations = np.array([row["configuration"] for row in complete])
    groups = [np.flatnonzero(configurations == number) for number in np.unique(configurations)]
    if len(groups) < _LEAST:
        raise NotApplicable(f"This compares {_LEAST} finished configurations or more. Given: {len(groups)}.")
    return np.array([[float(row[metric]) for metric in metrics] for row in complete]), groups
