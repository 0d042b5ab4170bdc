"""Anomaly scores and what is said of them: by hand, by counting pairs, and on a class that a model never saw."""

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import average_precision_score

from keras_vae import tasks
from keras_vae.errors import UserError
from keras_vae.models import AE, VAE
from keras_vae.tasks.anomaly import average_precisions
from tests.sequences import VALID, tiny
from tests.toys import PLAIN, binary, toy

numbers = st.lists(st.floats(-100, 100, width=32), min_size=2, max_size=30)


@pytest.fixture(scope="module")
def model():
    return toy(seed=3)


def test_scores_are_what_they_say(model):
    x = binary(20)
    error = ((x.astype("float64") - model.reconstruct(x)) ** 2).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(tasks.anomaly_scores(model, x, "reconstruction"), error)
    np.testing.assert_array_equal(tasks.anomaly_scores(model, x, "elbo", seed=4), -model.elbo(x, seed=4))
    expected = -model.log_prob(x, samples=5, seed=4)
    np.testing.assert_array_equal(tasks.anomaly_scores(model, x, "log_prob", samples=5, seed=4), expected)


def of_numbers(likelihood, **arguments):
    network = {"name": "mlp", "hidden": [4]}
    return VAE(x_shape=(3,), latent_dim=2, encoder=network, decoder=network, likelihood=likelihood, seed=1, **arguments)


def test_the_reconstruction_of_numbers_is_judged_by_their_likelihood():
    """Against scipy's densities at the reconstruction; of a Normal half the squared error in units of its scale."""
    x = np.random.default_rng(0).poisson(3.0, (7, 3)).astype("float32")
    model = of_numbers("poisson")
    scores = tasks.anomaly_scores(model, x, "reconstruction")
    np.testing.assert_allclose(scores, -stats.poisson.logpmf(x, model.reconstruct(x)).sum(1), rtol=1e-4)
    holes = np.where(np.arange(3) == np.arange(7)[:, None] % 4, np.nan, x)
    model = of_numbers({"name": "normal", "scale": 0.5}, missing="mask")
    errors = np.nansum(np.square((holes - model.reconstruct(holes)) / 0.5), axis=1)
    seen = (~np.isnan(holes)).sum(1)
    expected = 0.5 * errors + seen * np.log(0.5 * np.sqrt(2 * np.pi))
    np.testing.assert_allclose(tasks.anomaly_scores(model, holes, "reconstruction"), expected, rtol=1e-4)


def test_the_reconstruction_of_tokens_is_judged_by_their_probability():
    model = tiny()
    found = tasks.anomaly_scores(model, VALID[:3], "reconstruction")
    np.testing.assert_allclose(found, -model.likelihood(model.encode(VALID[:3])).log_prob(VALID[:3]), rtol=1e-4)


@given(numbers, numbers, st.floats(0.01, 0.99))
def test_the_area_counts_pairs_and_the_threshold_keeps_its_rate(normal, strange, rate):
    """AUROC is the share of (anomaly, normal) pairs in the right order, ties counting half."""
    found = tasks.detection(normal, strange, false_positive_rate=rate)
    difference = np.asarray(strange)[:, None] - np.asarray(normal)
    assert found.auroc == pytest.approx(np.mean((difference > 0) + 0.5 * (difference == 0)), abs=1e-9)
    assert found.false_positive_rate <= rate
    assert found.false_positive_rate == np.mean(np.asarray(normal) > found.threshold)
    assert found.true_positive_rate == np.mean(np.asarray(strange) > found.threshold)
    lower = [each for each in normal if each < found.threshold]
    if lower:
        assert np.mean(np.asarray(normal) > max(lower)) > rate, "no smaller score keeps the rate"


def test_perfect_and_useless_scores():
    perfect = tasks.detection([0.0, 1.0, 2.0], [3.0, 4.0])
    assert (perfect.auroc, perfect.auprc, perfect.true_positive_rate) == (1.0, 1.0, 1.0)
    useless = tasks.detection([1.0, 1.0, 1.0], [1.0])
    assert useless.auroc == 0.5 and useless.auprc == 0.25, "average precision is the share of anomalies"


@pytest.mark.slow
def test_the_error_of_the_area_is_its_spread_over_data_sets():
    """400 data sets of two Gaussians a deviation apart: the mean of DeLong's errors is the deviation of the areas.

    A deviation from 400 draws is known to 1 / sqrt(800) = 3.5 %; three of those."""
    generator = np.random.default_rng(0)
    found = [tasks.detection(generator.normal(size=60), generator.normal(1, 1, 40)) for _ in range(400)]
    areas, errors = ([getattr(each, name) for each in found] for name in ("auroc", "auroc_standard_error"))
    assert np.mean(errors) == pytest.approx(np.std(areas), rel=0.11)
    assert tasks.detection([1.0, 2.0], [3.0]).auroc_standard_error is None


def test_errors_of_the_rates_are_binomial_and_that_of_precision_is_its_spread_over_data_sets():
    """60 data sets of two Gaussians a deviation apart. A deviation from 60 draws is known to 9 %; three of those, and
    the 5 % of the bootstrap."""
    generator = np.random.default_rng(0)
    found = [tasks.detection(generator.normal(size=80), generator.normal(1, 1, 50), cutoff=1.0) for _ in range(60)]
    for field in ("auprc", "false_positive_rate", "true_positive_rate"):
        values, errors = ([getattr(each, name) for each in found] for name in (field, f"{field}_standard_error"))
        assert np.mean(errors) == pytest.approx(np.std(values), rel=0.32), field
    rate = found[0].true_positive_rate
    assert found[0].true_positive_rate_standard_error == pytest.approx(np.sqrt(rate * (1 - rate) / 50))
    one = tasks.detection([1.0, 2.0], [3.0])
    assert one.auprc_standard_error is None and one.true_positive_rate_standard_error is None
    assert one.false_positive_rate_standard_error is not None


def test_average_precision_under_weights_against_scikit_learns():
    generator = np.random.default_rng(0)
    labels, scores, weights = generator.integers(0, 2, 30), generator.integers(0, 9, 30), generator.poisson(1, (5, 30))
    expected = [average_precision_score(labels, scores, sample_weight=each) for each in weights]
    np.testing.assert_allclose(average_precisions(labels, scores, weights), expected)


def test_what_is_judged_is_kept():
    found = tasks.judge([0.0, 1.0, 2.0, 3.0], [2.5, 3.5], [4.0], 0.3)
    assert found.detection == tasks.detection([2.5, 3.5], [4.0], cutoff=2.0)
    assert [each.tolist() for each in found[1:]] == [[0.0, 1.0, 2.0, 3.0], [2.5, 3.5], [4.0]]


def test_a_threshold_set_elsewhere_is_used():
    found = tasks.detection([0.0, 1.0, 2.0, 3.0], [2.5, 9.0], cutoff=1.5)
    assert (found.threshold, found.false_positive_rate, found.true_positive_rate) == (1.5, 0.5, 1.0)


def test_a_class_that_was_left_out_is_strange():
    """Class 0: the left half of the image is white; class 1: the right half; both with a tenth of the pixels turned."""
    generator = np.random.default_rng(0)
    y = np.arange(400) % 2
    half = np.zeros((2, 4, 4, 1))
    half[0, :, :2], half[1, :, 2:] = 1, 1
    x = np.abs(half[y] - (generator.random((400, 4, 4, 1)) < 0.1)).astype("float32")

    def make():
        model = toy(seed=1)
        model.compile("adam", **PLAIN)
        model.optimizer.learning_rate = 0.02
        return model

    rates = {"scores": ("elbo", "reconstruction"), "false_positive_rate": 0.1}
    found = tasks.leave_one_class_out(make, (x, y), (x, y), **rates, batch_size=50, epochs=8, verbose=0)
    assert set(found) == {0, 1} and set(found[0]) == {"elbo", "reconstruction"}
    assert min(each["elbo"].detection.auroc for each in found.values()) > 0.95, found
    # The rate of 0.1 on 100 images that the threshold was not set on: within three binomial deviations.
    assert all(len(each["elbo"].set_on) == len(each["elbo"].normal) == 100 for each in found.values())
    assert all(each["elbo"].detection.false_positive_rate < 0.1 + 3 * 0.03 for each in found.values())


@pytest.mark.parametrize("protocol", [tasks.leave_one_class_out, tasks.one_class])
def test_images_without_a_label_take_no_part(protocol):
    """They are no class of their own, and neither trained on nor found."""
    x, y, sizes = binary(120), np.arange(120) % 3, []
    y[::4] = -1
    labelled = y >= 0

    def make():
        model = toy(seed=1)
        model.compile("adam", **PLAIN)
        fit = model.fit
        model.fit = lambda rows, **options: (sizes.append(len(rows)), fit(rows, **options))
        return model

    found, again = (protocol(make, data, data, batch_size=10, epochs=1, verbose=0)
                    for data in ((x, y), (x[labelled], y[labelled])))  # fmt: skip
    assert list(found) == list(again) == [0, 1, 2]
    assert sizes == [30 if protocol is tasks.one_class else 60] * 6
    counts = [{len(each["elbo"].anomalous) for each in part.values()} for part in (found, again)]
    assert counts[0] == counts[1] == {60 if protocol is tasks.one_class else 30}


def test_a_model_of_one_class_finds_the_others():
    """Three halves of an image, each with a tenth of the pixels turned; trained on one, the other two are strange."""
    generator = np.random.default_rng(0)
    y = np.arange(600) % 3
    half = np.zeros((3, 4, 4, 1))
    half[0, :, :2], half[1, :, 2:], half[2, :2] = 1, 1, 1
    x = np.abs(half[y] - (generator.random((600, 4, 4, 1)) < 0.1)).astype("float32")
    sizes = []

    def make():
        model = toy(seed=1)
        model.compile("adam", **PLAIN)
        model.optimizer.learning_rate = 0.02
        fit = model.fit
        model.fit = lambda rows, **options: (sizes.append(len(rows)), fit(rows, **options))
        return model

    found = tasks.one_class(make, (x, y), (x, y), [0, 2], batch_size=50, epochs=8, verbose=0)
    assert set(found) == {0, 2} and sizes == [200, 200]
    for judged in (each["elbo"] for each in found.values()):
        assert judged.detection.auroc > 0.95
        assert len(judged.set_on) == len(judged.normal) == 100 and len(judged.anomalous) == 400


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: tasks.threshold([1.0], 0.0), r"false_positive_rate lies between 0 and 1\. Given: 0\.0"),
        (lambda: tasks.threshold([1.0], Decimal("NaN")), r"false_positive_rate lies between 0 and 1\. Given: Decimal"),
        (lambda: tasks.threshold([], 0.1), r"scores of normal images are finite numbers, one or more\. Given: none"),
        (lambda: tasks.detection([1.0], [np.nan, 2.0]), r"scores of anomalies .* Given: 1 that are not finite"),
        (lambda: tasks.anomaly_scores(toy(), binary(2), "distance"), "score is one of reconstruction, elbo, log_prob"),
        (
            lambda: tasks.anomaly_scores(of_numbers("poisson"), np.full((2, 3), 0.5), "reconstruction"),
            r"whole numbers from 0",
        ),
        (lambda: tasks.anomaly_scores(toy(), binary(2) * np.nan), "x must be finite"),
        (lambda: tasks.anomaly_scores(toy(AE), binary(2), "elbo"), "AE has no distribution over codes"),
        (lambda: tasks.leave_one_class_out(toy, (binary(4), [0, 1]), (binary(4), [0] * 4)), "one label for each image"),
        (lambda: tasks.one_class(toy, (binary(2), [-1, -1]), (binary(2), [0, 1])), "labels. Given: none"),
        (lambda: tasks.one_class(toy, (binary(2), ["a", "b"]), (binary(2), [0, 1])), "Labels are whole numbers"),
        (
            lambda: tasks.leave_one_class_out(toy, (binary(4), [0] * 4), (binary(4), [0] * 4)),
            "A class that is left out has images in both sets, and so have others",
        ),
        (
            lambda: tasks.leave_one_class_out(toy, (binary(4), [0, 1] * 2), (binary(4), [0, 1] * 2), scores="elbo"),
            "scores is a list of some of reconstruction, elbo, log_prob. Given: 'elbo'",
        ),
        (
            lambda: tasks.leave_one_class_out(toy, (binary(4), [0, 1] * 2), (binary(4), [0, 1] * 2), classes=[2]),
            r"A class that is left out has images in both sets.* Given: 2\.",
        ),
        (
            lambda: tasks.one_class(toy, (binary(4), [0, 1] * 2), (binary(4), [0, 1, 1, 1])),
            r"A class to train on has images in both sets, and so have others\. Given: 0\.",
        ),
        (
            lambda: tasks.one_class(toy, (binary(4), [0, 1] * 2), (binary(4), [1] * 4), classes=[1]),
            r"A class to train on has images in both sets.* Given: 1\.",
        ),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(UserError, match=message):
        call()
