"""The two findings on synthetic results whose answer is known, and how often the intervals hold it."""

import numpy as np
import pytest
from scipy import stats

from keras_vae.errors import NotApplicable
from keras_vae.sweeps.analysis import rank_correlations, seed_share


def rows(configurations, seeds, noise, share=0.5, correlation=0.0):
    """Runs whose metric `a` has a `share` of its variance due to the seed, and `b` is correlated with it."""
    table = []
    for configuration in range(configurations):
        effect = np.sqrt(1 - share) * noise.normal()
        for seed in range(seeds):
            a = effect + np.sqrt(share) * noise.normal()
            b = correlation * a + np.sqrt(1 - correlation**2) * noise.normal()
            table.append({"configuration": configuration, "seed": seed, "status": "finished", "a": a, "b": b})
    return table


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_the_share_of_the_seed_and_its_interval(share):
    noise = np.random.default_rng(0)
    assert seed_share(rows(2000, 3, noise, share), "a").value == pytest.approx(share, abs=0.04)
    intervals = [seed_share(rows(9, 3, noise, share), "a") for _ in range(600)]
    held = np.mean([interval.low <= share <= interval.high for interval in intervals])
    assert 0.92 < held < 0.98, "95 % of the intervals hold it, of nine configurations too"


def test_the_share_against_hand_computed_mean_squares():
    values = {0: (1.0, 3.0), 1: (5.0, 7.0), 2: (9.0, 13.0)}
    table = [{"configuration": key, "status": "finished", "a": value} for key, pair in values.items() for value in pair]
    between = 2 * ((2 - 19 / 3) ** 2 + (6 - 19 / 3) ** 2 + (11 - 19 / 3) ** 2) / 2
    within = (2.0 + 2.0 + 8.0) / 3
    share = seed_share(table, "a")
    assert share.value == pytest.approx(within / (within + (between - within) / 2))
    icc_low = (between / within / stats.f.ppf(0.975, 2, 3) - 1) / (between / within / stats.f.ppf(0.975, 2, 3) + 1)
    assert share.high == pytest.approx(1 - max(icc_low, 0))


def test_a_metric_without_noise_and_one_that_is_all_noise():
    table = rows(5, 3, np.random.default_rng(0), share=0.0)
    assert seed_share(table, "a").value == pytest.approx(0.0, abs=1e-12)
    noise = np.random.default_rng(1)
    share = seed_share(rows(500, 3, noise, share=1.0), "a")
    assert share.value > 0.93 and share.high == 1.0


def test_rank_correlations_of_metrics_that_agree_and_of_those_that_do_not():
    noise = np.random.default_rng(0)
    table = [row | {"c": -np.exp(row["a"])} for row in rows(40, 3, noise, correlation=0.8)]
    correlations = rank_correlations(table, ["a", "b", "c"])
    assert correlations["a", "c"] == pytest.approx((-1.0, -1.0, -1.0)), "ranks: any falling function"
    rho = correlations["a", "b"]
    assert rho.value == pytest.approx(stats.spearmanr([r["a"] for r in table], [r["b"] for r in table]).statistic)
    truth = 6 / np.pi * np.arcsin(0.4)  # of Spearman's, where Pearson's is 0.8
    assert rho.low < truth < rho.high and rho.high - rho.low < 0.3


def test_the_interval_knows_that_seeds_are_no_configurations():
    """Where seeds are copies, five of each tell no more than one: the interval stays as wide."""
    noise = np.random.default_rng(3)
    single = rows(12, 1, noise)
    copies = [row for row in single for _ in range(5)]
    assert rank_correlations(copies, ["a", "b"]) == {
        pair: pytest.approx(interval, abs=0.02) for pair, interval in rank_correlations(single, ["a", "b"]).items()
    }


def test_the_interval_of_a_correlation_holds_it():
    noise, truth = np.random.default_rng(4), 6 / np.pi * np.arcsin(0.3)
    intervals = [rank_correlations(rows(27, 1, noise, correlation=0.6), ["a", "b"], 100)["a", "b"] for _ in range(100)]
    assert np.mean([interval.low <= truth <= interval.high for interval in intervals]) > 0.85


def test_runs_without_a_number_are_left_out_and_too_few_are_refused():
    table = rows(4, 2, np.random.default_rng(0))
    whole = seed_share(table, "a")
    gone = [{"configuration": 9, "status": "pruned", "a": 5.0}, {"configuration": 10, "status": "finished", "a": None}]
    assert seed_share([*table, *gone, {"configuration": 11, "status": "unfinished"}], "a") == whole
    with pytest.raises(NotApplicable, match=r"3 finished configurations or more. Given: 2"):
        rank_correlations(table[:4], ["a", "b"])
    with pytest.raises(NotApplicable, match="two seeds or more"):
        seed_share(table[::2], "a")
    with pytest.raises(NotApplicable, match=r"numbers that vary. Given: a, 1 in all"):
        seed_share([row | {"a": 1.0} for row in table], "a")
    with pytest.raises(NotApplicable, match=r"numbers that vary. Given: a, 0.1 in all"):
        seed_share([row | {"a": 0.1} for row in rows(3, 3, np.random.default_rng(0))], "a")
