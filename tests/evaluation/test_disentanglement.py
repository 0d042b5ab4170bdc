"""Disentanglement metrics: perfect and useless codes, brute force, and what must not matter."""

# The optional fields of an estimate are there in these cases.
# pyright: reportTypedDictNotRequiredAccess=false, reportOptionalOperand=false

import collections
import itertools
import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from keras_vae.errors import UserError
from keras_vae.evaluation import disentanglement as metrics

SIZES = (3, 4, 2)
# Every combination of three factors, 40 times: independent and uniform, exactly.
FACTORS = np.array(list(itertools.product(*map(range, SIZES))) * 40)
PERFECT = FACTORS * [1.0, -2.0, 5.0] + [0.0, 3.0, 1.0]
NOISE = np.random.default_rng(0).normal(size=(len(FACTORS), 3))
# A random rotation: all factors can be read linearly, and none lies in a dimension of its own.
ROTATION, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))
ENTANGLED = ((FACTORS - FACTORS.mean(0)) / FACTORS.std(0)) @ ROTATION
CODES = PERFECT + 0.8 * NOISE
FAST = {"dci": {"trees": 10}, "factor_vae_metric": {"votes": 200}, "beta_vae_metric": {"votes": 200}}


def score(name, codes, factors=FACTORS, seed=0, **arguments):
    found = metrics.METRICS[name](codes, factors, seed=seed, **FAST.get(name, {}), **arguments)
    return found["disentanglement"] if isinstance(found, dict) else found


@pytest.mark.parametrize("name", metrics.METRICS)
def test_a_perfect_code_scores_1(name):
    """SAP, which is a difference of accuracies, 1 less chance's: of 3, 4 and 2 classes in turn."""
    best = np.mean([2 / 3, 3 / 4, 1 / 2]) if name == "sap" else 1.0
    assert score(name, PERFECT) == pytest.approx(best, abs={"explicitness": 0.02, "sap": 0.03}.get(name, 1e-9))


def test_sap_of_two_classes_is_a_half_at_best_and_that_of_a_constant_dimension_0():
    """Accuracies 1 and 1/2; and 1 and 0: equation and rule of Kumar et al. 2018, section 3."""
    factors = np.array(list(itertools.product(range(2), range(2))) * 40)
    assert metrics.sap(factors * 3.0, factors) == pytest.approx(0.5, abs=0.06)
    one = np.stack([factors[:, 0], np.ones(160)], axis=1).astype(float)
    by_factor = [metrics.sap(one, factors[:, [place, place]]) for place in (0, 1)]
    assert by_factor[0] == 1.0 and by_factor[1] == pytest.approx(0.5, abs=0.12)


def test_dimensions_at_the_prior_do_not_vote():
    """A unit of variance 0.04 that follows factor 1 exactly: pruned by default, as by Locatello et al. 2019."""
    codes = np.stack([FACTORS[:, 0], 0.2 * (FACTORS[:, 1] - 1.5) / np.std(FACTORS[:, 1])], axis=1).astype(float)
    pruned, whole = (
        metrics.factor_vae_metric(codes, FACTORS, votes=300, **least) for least in ({}, {"least_variance": 0.0})
    )
    assert pruned < 0.5 < 0.6 < whole
    assert metrics.factor_vae_metric(0.01 * codes, FACTORS) == 0.0


def test_a_perfect_code_is_complete_and_informative():
    found = metrics.dci(PERFECT, FACTORS, trees=10)
    assert found == pytest.approx({"disentanglement": 1.0, "completeness": 1.0, "informativeness": 1.0})


# Of noise: MIG, SAP and explicitness near 0; the two votes near 1 / 3; importances are spread evenly. Ratios of noise,
# as in modularity, say nothing, and are left out.
@pytest.mark.parametrize(
    ("name", "low", "high"),
    [("mig", 0, 0.03), ("sap", 0, 0.1), ("dci", 0, 0.1), ("factor_vae_metric", 0.2, 0.5),
     ("beta_vae_metric", 0.23, 0.43), ("explicitness", -0.1, 0.1)],
)  # fmt: skip
def test_a_useless_code_scores_chance(name, low, high):
    assert low <= score(name, NOISE) <= high


def test_a_code_whose_dimensions_tell_of_all_factors_alike_is_not_modular():
    factors = np.array(list(itertools.product(range(3), range(3))) * 30)
    joint = factors @ [[3.0, 1.0], [1.0, 3.0]]  # each value stands for one pair
    assert metrics.modularity(joint, factors) == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("name", ["mig", "sap", "dci", "modularity"])
def test_an_entangled_code_scores_less(name):
    assert score(name, ENTANGLED) < 0.8


def test_an_entangled_code_is_explicit_all_the_same():
    """A rotation can be undone linearly; a middle class of an ordered factor is what costs the perfect score."""
    assert score("explicitness", ENTANGLED) == pytest.approx(score("explicitness", PERFECT), abs=0.02)
    assert score("explicitness", PERFECT[:, :2]) < 0.8, "the third factor is missing from the code"


def test_a_dimension_that_holds_two_factors_and_a_factor_in_two_dimensions():
    both = np.stack([FACTORS[:, 0] * 4 + FACTORS[:, 1], FACTORS[:, 2], FACTORS[:, 2]], axis=1).astype(float)
    # The gap is 1 for the two factors of the first dimension, and 0 for the one that two dimensions tell.
    assert metrics.mig(both, FACTORS) == pytest.approx(2 / 3, abs=1e-9)
    one = np.log(3), np.log(4)
    expected = (1 - (min(one) / max(one)) ** 2 / 2 + 1 + 1) / 3
    assert metrics.modularity(both, FACTORS) == pytest.approx(expected, abs=1e-9)


# --- Brute force ---


def plain_information(first, second):
    """I of two lists of symbols, by its definition."""
    count, joint = len(first), collections.Counter(zip(first, second, strict=True))
    left, right = collections.Counter(first), collections.Counter(second)
    return sum(n / count * math.log(n * count / (left[a] * right[b])) for (a, b), n in joint.items())


def plain_bins(values, bins=20):
    low, high = min(values), max(values)
    return [min(int((value - low) / (high - low) * bins), bins - 1) for value in values]


def test_mig_and_modularity_by_brute_force():
    """On correlated factors and continuous codes, from counts alone."""
    generator = np.random.default_rng(3)
    factors = generator.integers(0, 3, (150, 2))
    factors[:, 1] = np.where(generator.random(150) < 0.4, factors[:, 0], factors[:, 1])
    codes = factors @ generator.normal(size=(2, 4)) + 0.3 * generator.normal(size=(150, 4))
    table = [[plain_information(plain_bins(list(code)), list(factor)) for factor in factors.T] for code in codes.T]
    gaps = []
    for place, factor in enumerate(factors.T):
        first, second = sorted((row[place] for row in table), reverse=True)[:2]
        shares = [count / 150 for count in collections.Counter(factor.tolist()).values()]
        gaps.append((first - second) / -sum(share * math.log(share) for share in shares))
    assert metrics.mig(codes, factors) == pytest.approx(sum(gaps) / 2, rel=1e-9)
    kept = [1 - min(row) ** 2 / max(row) ** 2 for row in table]  # of two factors
    assert metrics.modularity(codes, factors) == pytest.approx(sum(kept) / 4, rel=1e-9)


def test_sap_by_brute_force():
    """Two classes: the best threshold of all, chosen on the same half of the examples, scored on the other."""
    generator = np.random.default_rng(5)
    factors = generator.integers(0, 2, (60, 2))
    codes = factors @ np.array([[1.0, 0.3, 0.0], [0.2, 0.9, 0.1]]) + 0.5 * generator.normal(size=(60, 3))
    order = np.random.default_rng(7).permutation(60)
    first, second = order[:30], order[30:]

    def gini(rows, factor):
        """The weighted impurity of two sides, classes weighed equally: what a tree of two leaves makes least."""
        total = 0.0
        for side in (rows, ~rows):
            ones = (side & (factor == 1)).sum() / (factor == 1).sum()
            zeros = (side & (factor == 0)).sum() / (factor == 0).sum()
            total += 2 * ones * zeros / max(ones + zeros, 1e-12)
        return total

    def accuracy(code, factor):
        values = np.sort(code[first])
        cuts = (values[1:] + values[:-1]) / 2
        cut = min(cuts, key=lambda each: gini(code[first] <= each, factor[first]))
        below = code[first] <= cut
        ones_below = (below & (factor[first] == 1)).sum() / (factor[first] == 1).sum()
        zeros_below = (below & (factor[first] == 0)).sum() / (factor[first] == 0).sum()
        guess = (code[second] <= cut) == (ones_below > zeros_below)
        recalls = [np.mean(guess[factor[second] == value] == value) for value in (0, 1)]
        return np.mean(recalls)

    gaps = []
    for factor in factors.T:
        scores = sorted(accuracy(code, factor) for code in codes.T)
        gaps.append(scores[-1] - scores[-2])
    assert metrics.sap(codes, factors, seed=7) == pytest.approx(np.mean(gaps), abs=1e-9)


def test_dci_from_importances_by_hand():
    """The scores from the importances of the same forests, by their definition in plain Python."""
    generator = np.random.default_rng(9)
    codes, factors = PERFECT + NOISE @ generator.normal(size=(3, 3)), FACTORS[:, :2]
    order = np.random.default_rng(4).permutation(len(codes))
    first, second = order[: len(order) // 2], order[len(order) // 2 :]
    forests = [
        RandomForestClassifier(10, max_features=None, random_state=4).fit(codes[first], factor[first])
        for factor in factors.T
    ]
    table = np.stack([forest.feature_importances_ for forest in forests], axis=1).tolist()  # 3 dimensions, 2 factors

    def surplus(shares):
        shares = [share / sum(shares) for share in shares]
        return 1 + sum(share * math.log(share) for share in shares) / math.log(len(shares))

    found, total = metrics.dci(codes, factors, seed=4, trees=10), sum(map(sum, table))
    assert found["disentanglement"] == pytest.approx(sum(sum(row) / total * surplus(row) for row in table))
    assert found["completeness"] == pytest.approx(sum(map(surplus, zip(*table, strict=True))) / 2)
    right = [np.mean(forest.predict(codes[second]) == factor[second])
             for forest, factor in zip(forests, factors.T, strict=True)]  # fmt: skip
    assert found["informativeness"] == pytest.approx(np.mean(right))
    assert 0.05 < found["disentanglement"] < 0.95, "neither extreme, or the comparison says little"


def test_the_factor_vae_vote_of_a_code_that_swaps_dimensions():
    """Two dimensions both follow factor 0, and none factor 1: its votes are lost but for chance, so accuracy is that
    of always saying one of them in each dimension."""
    codes = np.stack([FACTORS[:, 0], FACTORS[:, 0] * 2, FACTORS[:, 2]], axis=1).astype(float)
    found = metrics.factor_vae_metric(codes, FACTORS, votes=600)
    assert 0.6 < found < 0.8, "two of three factors are told"


def test_explicitness_by_counting_pairs():
    """The area under each value's curve, by comparing each example that has it with each that has not."""
    codes, factors = CODES[:240], FACTORS[:240, :2]
    order = np.random.default_rng(6).permutation(240)
    first, second = order[:120], order[120:]
    scores = []
    for factor in factors.T:
        found = make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000)).fit(codes[first], factor[first])
        chances = found.predict_proba(codes[second])
        for place, value in enumerate(found.classes_):
            pairs = itertools.product(chances[factor[second] == value, place], chances[factor[second] != value, place])
            wins = [(with_it > without) + 0.5 * (with_it == without) for with_it, without in pairs]
            scores.append(2 * sum(wins) / len(wins) - 1)
    assert metrics.explicitness(codes, factors, seed=6) == pytest.approx(np.mean(scores), abs=1e-9)
    assert 0.2 < np.mean(scores) < 0.95, "neither extreme, or the comparison says little"


def plain_factor_votes(codes, factors, votes, draw):
    """Kim and Mnih's algorithm 1 in loops, with draws of its own."""
    spread, tables = codes.std(axis=0), [collections.Counter(), collections.Counter()]
    for table in tables:
        for _ in range(votes):
            factor = draw.randrange(factors.shape[1])
            value = draw.choice(sorted(set(factors[:, factor].tolist())))
            rows = [draw.choice(np.flatnonzero(factors[:, factor] == value).tolist()) for _ in range(16)]
            variances = [np.var(codes[rows, place] / spread[place]) for place in range(codes.shape[1])]
            table[variances.index(min(variances)), factor] += 1
    said = {place: max(range(factors.shape[1]), key=lambda factor: tables[0][place, factor])
            for place in range(codes.shape[1])}  # fmt: skip
    return sum(count for (place, factor), count in tables[1].items() if said[place] == factor) / votes


def plain_beta_points(codes, factors, votes, draw):
    """Higgins's procedure in loops, with draws of its own."""
    codes, points, names = codes / codes.std(axis=0), [], []
    for _ in range(2 * votes):
        factor = draw.randrange(factors.shape[1])
        differences = []
        for _ in range(8):
            one = draw.randrange(len(codes))
            other = draw.choice(np.flatnonzero(factors[:, factor] == factors[one, factor]).tolist())
            differences.append(np.abs(codes[one] - codes[other]))
        points.append(np.mean(differences, axis=0))
        names.append(factor)
    found = make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000)).fit(points[:votes], names[:votes])
    return found.score(points[votes:], names[votes:])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "plain", "batch"),
    [("factor_vae_metric", plain_factor_votes, 16), ("beta_vae_metric", plain_beta_points, 8)],
)
def test_the_votes_by_brute_force(name, plain, batch):
    """Means over four seeds: 4,000 votes of each of the two, so that their difference has a deviation of 0.011 at most.

    0.035 is three of them; what the majority or the classifier learns from as many votes hardly varies.
    """
    codes = PERFECT / PERFECT.std(axis=0) + 0.6 * ENTANGLED + 0.6 * NOISE
    ours = [metrics.METRICS[name](codes, FACTORS, seed=seed, votes=1000, batch=batch) for seed in range(4)]
    theirs = [plain(codes, FACTORS, 1000, random.Random(seed)) for seed in range(4)]
    assert np.mean(ours) == pytest.approx(np.mean(theirs), abs=0.035)
    assert 0.36 < np.mean(theirs) < 0.97, "neither extreme, or the comparison says little"


def test_a_sampled_group_has_what_it_should_in_common():
    generator = np.random.default_rng(0)
    for _ in range(20):
        factor, chosen = metrics._with_one_value(FACTORS, 16, generator)
        assert len(set(FACTORS[chosen, factor])) == 1 and len(chosen) == 16
        factor, pairs = metrics._pairs_with_one_factor(FACTORS, 16, generator)
        np.testing.assert_array_equal(FACTORS[pairs[0], factor], FACTORS[pairs[1], factor])
        assert len(set(FACTORS[pairs[0], factor])) > 1


# --- What must not matter ---

INVARIANT = ["mig", "modularity", "sap", "factor_vae_metric", "explicitness"]


@settings(max_examples=8, deadline=None)
@given(st.permutations(range(3)), st.lists(st.integers(-8, 8), min_size=3, max_size=3), st.sampled_from(INVARIANT))
def test_order_and_scale_of_dimensions_do_not_matter(order, exponents, name):
    """Scales are powers of two, which floats multiply exactly: bins and variances' order are then the same."""
    changed = CODES[:, list(order)] * 2.0 ** np.array(exponents)
    tolerance = 1e-3 if name == "explicitness" else 1e-9  # an optimiser that stops
    least = {"least_variance": 0.0} if name == "factor_vae_metric" else {}
    assert score(name, changed, **least) == pytest.approx(score(name, CODES), abs=tolerance)


@settings(max_examples=4, deadline=None)
@given(st.permutations(range(3)), st.lists(st.integers(-8, 8), min_size=3, max_size=3))
def test_order_and_scale_do_not_matter_to_forests_and_classifiers(order, exponents):
    """A forest draws the order in which it tries dimensions, which breaks ties otherwise: 0.02. The classifier of the
    BetaVAE metric stops at a tolerance: one vote of 200."""
    changed = CODES[:, list(order)] * 2.0 ** np.array(exponents)
    assert score("dci", changed) == pytest.approx(score("dci", CODES), abs=0.02)
    assert score("beta_vae_metric", changed) == pytest.approx(score("beta_vae_metric", CODES), abs=0.005)


@settings(max_examples=8, deadline=None)
@given(st.permutations(range(3)), st.sampled_from(["mig", "modularity", "sap", "explicitness"]))
def test_order_of_factors_does_not_matter(order, name):
    assert score(name, CODES, FACTORS[:, list(order)]) == pytest.approx(score(name, CODES), abs=1e-9)


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 2**31 - 1))
def test_order_of_examples_does_not_matter_to_histograms(seed):
    order = np.random.default_rng(seed).permutation(len(CODES))
    for name in ("mig", "modularity"):
        assert score(name, CODES[order], FACTORS[order]) == pytest.approx(score(name, CODES), abs=1e-9)


# --- Repetitions, and what is refused ---


def test_repetitions_are_disjoint_seeded_and_have_an_error():
    first, again, other = (metrics.repeated(metrics.mig, CODES, FACTORS, 4, seed) for seed in (0, 0, 1))
    assert first == again != other
    assert first["mig"]["repetitions"] == 4 and first["mig"]["examples"] == 240
    order = np.random.default_rng(0).permutation(len(CODES))
    by_hand = [metrics.mig(CODES[part], FACTORS[part]) for part in np.array_split(order, 4)]
    assert first["mig"]["value"] == pytest.approx(np.mean(by_hand))
    assert first["mig"]["standard_error"] == pytest.approx(np.std(by_hand, ddof=1) / 2)
    assert set(metrics.repeated(metrics.dci, CODES, FACTORS, 2, trees=3)) == {
        "disentanglement", "completeness", "informativeness",
    }  # fmt: skip


@pytest.mark.parametrize("name", metrics.METRICS)
@pytest.mark.parametrize(
    ("codes", "factors", "message"),
    [
        (np.zeros((960, 3)), FACTORS, "the same code for all examples"),
        (np.where(np.arange(2880).reshape(960, 3) == 7, np.nan, PERFECT), FACTORS, "NaN or infinite"),
        (PERFECT[:10], FACTORS[:10], r"needs 20 examples or more.*Given: 10"),
        (PERFECT, FACTORS[:, :1], "two factors or more.*Given: 1 factors"),
        (PERFECT, FACTORS * [1, 0, 1], "with one value in column 1"),
        (PERFECT, FACTORS[:50], r"a row for each of the 960 codes. Given: int64 of shape \(50, 3\)"),
        (
            PERFECT[:60],
            np.stack([np.arange(60) % 20, np.arange(60) % 2], 1),
            "4 examples or more for each.* 20 values",
        ),
        (PERFECT, FACTORS + 0.5, "factors must be whole numbers"),
        (PERFECT[:, 0], FACTORS, r"codes must be numbers \(n, dimensions\)"),
    ],
)
def test_bad_arrays(name, codes, factors, message):
    with pytest.raises(UserError, match=message):
        metrics.METRICS[name](codes, factors)


@pytest.mark.parametrize("name", ["mig", "sap", "dci"])
def test_one_dimension_has_no_second(name):
    with pytest.raises(UserError, match=r"compares dimensions: 2 or more. Given: 1"):
        metrics.METRICS[name](PERFECT[:, :1], FACTORS)


def test_a_constant_dimension_among_others_is_no_trouble():
    codes = np.concatenate([PERFECT, np.ones((len(PERFECT), 1))], axis=1)
    assert [score(name, codes) for name in ("mig", "factor_vae_metric")] == pytest.approx([1, 1])
    assert score("sap", codes) == score("sap", PERFECT)
    assert score("modularity", codes) == pytest.approx(0.75), "it is no modular dimension"
    with pytest.raises(UserError, match="Unknown model 'forest'"):
        metrics.dci(PERFECT, FACTORS, model="forest")
