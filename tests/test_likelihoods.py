"""Likelihoods: they sum or integrate to 1, agree with scipy, and their parameters mean what they say."""

import itertools

import keras
import numpy as np
import pytest
import scipy.stats
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from keras_vae.errors import UserError
from keras_vae.likelihoods import LIKELIHOODS, Bernoulli, Gaussian, Likelihood, likelihood, soft_bound

SHAPE = (2, 3, 1)
RAW = np.random.default_rng(0).normal(size=(5, *SHAPE)).astype("float32")
GREY = np.random.default_rng(1).random((5, *SHAPE), dtype="float32")
BINARY = (GREY < 0.5).astype("float32")


def sigmoid(value):
    return 1 / (1 + np.exp(-np.asarray(value, "float64")))


def log_prob(family: Likelihood, raw, x):
    return family.distribution(family.parameters(tf.constant(raw))).log_prob(x).numpy()


def test_bernoulli_against_scipy():
    expected = scipy.stats.bernoulli.logpmf(BINARY, sigmoid(RAW)).sum((1, 2, 3))
    np.testing.assert_allclose(log_prob(Bernoulli(), RAW, BINARY), expected, rtol=1e-5)  # float32, six terms


def test_bernoulli_sums_to_one_over_all_images():
    images = np.array(list(itertools.product([0.0, 1.0], repeat=6)), "float32").reshape(64, *SHAPE)
    total = np.exp(log_prob(Bernoulli(), np.repeat(RAW[:1], 64, axis=0), images).astype("float64")).sum()
    assert total == pytest.approx(1, abs=1e-5)


def test_bernoulli_of_extreme_logits_stays_finite():
    raw = np.array([1e4, -1e4, 50, -50, 0, 88], "float32").reshape(1, *SHAPE)
    for x in (np.zeros_like(raw), np.ones_like(raw)):
        assert np.isfinite(log_prob(Bernoulli(), raw, x)).all()


def test_bernoulli_means_are_probabilities_of_one():
    parameters = Bernoulli().parameters(tf.constant(RAW))
    np.testing.assert_allclose(parameters["mean"], sigmoid(RAW), rtol=1e-5)
    draws = Bernoulli().distribution(parameters).sample(20_000, seed=(0, 1)).numpy()
    assert set(np.unique(draws)) == {0.0, 1.0}
    error = np.sqrt(sigmoid(RAW) * (1 - sigmoid(RAW)) / 20_000)
    assert (np.abs(draws.mean(0) - sigmoid(RAW)) < 5 * error).all()


def test_bernoulli_refuses_grey_and_says_one_of_the_levels():
    Bernoulli().check(BINARY)
    with pytest.raises(
        UserError, match=r"pixels that are 0 or 1\. Given: grey levels, such as 0\.25.*likelihood='gaus"
    ):
        Bernoulli().check(np.where(BINARY == 0, np.float32(0.25), BINARY))


@pytest.mark.parametrize("scale", [0.05, 1, 2.5])
def test_gaussian_of_fixed_scale_against_scipy(scale):
    expected = scipy.stats.norm.logpdf(GREY.astype("float64"), sigmoid(RAW), scale).sum((1, 2, 3))
    # float32: (x - mean) / scale loses 1e-7 / scale, and enters squared
    np.testing.assert_allclose(log_prob(Gaussian(scale=scale), RAW, GREY), expected, rtol=2e-5, atol=1e-4)


def test_gaussian_with_unbounded_mean():
    family = Gaussian(scale=0.5, bounded_mean=False)
    np.testing.assert_array_equal(family.parameters(tf.constant(RAW))["mean"], RAW)
    expected = scipy.stats.norm.logpdf(GREY, RAW, 0.5).sum((1, 2, 3))
    np.testing.assert_allclose(log_prob(family, RAW, GREY), expected, rtol=1e-5)


def test_gaussian_integrates_to_one():
    """Trapezoids over one pixel, 12 standard deviations wide: exact to 1e-10 for a Gaussian, so float32 decides."""
    for family in (Gaussian(scale=0.3), Gaussian(scale="global"), Gaussian(scale="pixel")):
        raw = np.array([0.4, -1.0][: family.channels_per_pixel], "float32").reshape(1, 1, 1, -1)
        grid = np.linspace(-12, 12, 4001, dtype="float32")
        density = np.exp(log_prob(family, np.repeat(raw, len(grid), axis=0), grid.reshape(-1, 1, 1, 1)))
        assert np.trapezoid(density.astype("float64"), grid.astype("float64")) == pytest.approx(1, abs=1e-4)


def test_gaussian_pixel_scale_splits_mean_and_log_variance():
    family = Gaussian(scale="pixel", bounded_mean=False)
    assert family.channels_per_pixel == 2
    raw = np.random.default_rng(2).normal(size=(4, 2, 3, 6)).astype("float32")
    x = np.random.default_rng(3).random((4, 2, 3, 3), dtype="float32")
    parameters = family.parameters(tf.constant(raw))
    assert set(parameters) == {"mean", "log_var"}
    np.testing.assert_array_equal(parameters["mean"], raw[..., :3])
    # Within the bound the identity, to exp(-(10 - |raw|)) < 1e-2; compare the density with what the parameters say.
    np.testing.assert_allclose(parameters["log_var"], raw[..., 3:], atol=1e-2)
    expected = scipy.stats.norm.logpdf(x, raw[..., :3], np.exp(0.5 * parameters["log_var"].numpy())).sum((1, 2, 3))
    np.testing.assert_allclose(log_prob(family, raw, x), expected, rtol=1e-5)


@pytest.mark.parametrize("minimum", [0.01, 0.2])
def test_learned_scales_stay_above_their_minimum(minimum):
    pixel = Gaussian(scale="pixel", minimum_scale=minimum)
    raw = np.stack([np.zeros(7), [-1e4, -50, -10, 0, 10, 50, 1e4]], -1).astype("float32").reshape(7, 1, 1, 2)
    scale = np.exp(0.5 * pixel.parameters(tf.constant(raw))["log_var"].numpy().ravel())
    assert (scale >= minimum * (1 - 1e-5)).all()
    assert (np.diff(scale) >= 0).all() and scale[-1] <= np.exp(5) * (1 + 1e-5)
    whole = Gaussian(scale="global", minimum_scale=minimum)
    whole.learned.assign(-1e4)
    scales = np.exp(0.5 * whole.parameters(tf.zeros((2, 1, 1, 1)))["log_var"].numpy())
    np.testing.assert_allclose(scales, minimum, rtol=1e-5)


def test_the_global_scale_is_one_trained_number():
    family = Gaussian(scale="global")
    assert [tuple(weight.shape) for weight in family.trainable_variables] == [()]
    x = tf.constant(GREY)
    with tf.GradientTape() as tape:
        loss = -tf.reduce_sum(family.distribution(family.parameters(tf.constant(RAW))).log_prob(x))
    # d/d log_var of sum(0.5 log_var + 0.5 (x - mean)**2 exp(-log_var)) at log_var = 0: the bound's slope is near 1.
    expected = 0.5 * (1 - (GREY - sigmoid(RAW)) ** 2).sum()
    assert tape.gradient(loss, family.learned.value).numpy() == pytest.approx(expected, rel=1e-3)


def test_twice_the_pixels_is_twice_the_nats():
    for family, x in ((Bernoulli(), BINARY), (Gaussian(), GREY)):
        one, two = log_prob(family, RAW, x), log_prob(family, np.tile(RAW, (1, 1, 2, 1)), np.tile(x, (1, 1, 2, 1)))
        np.testing.assert_allclose(two, 2 * one, rtol=1e-5)


@given(st.floats(-1e4, 1e4), st.floats(-20, -1), st.floats(1, 20))
def test_soft_bound_is_monotone_bounded_and_has_a_gradient(value, low, high):
    value = tf.constant(np.sort(np.array([value, -50, 0, 50, -1e4, 1e4], "float32")))
    with tf.GradientTape() as tape:
        tape.watch(value)
        bounded = soft_bound(value, low, high)
    gradient = tape.gradient(bounded, value).numpy()
    assert np.isfinite(bounded).all() and np.isfinite(gradient).all()
    assert (np.diff(bounded.numpy()) >= -1e-5).all()
    # The lower bound is exact, the upper one is passed by softplus(low - high): 2e-9 for the core's -20 and 20.
    assert (bounded.numpy() >= low - 1e-5).all()
    assert (bounded.numpy() <= high + np.log1p(np.exp(low - high)) + 1e-5).all()
    assert (gradient >= 0).all() and (gradient <= 1 + 1e-6).all()
    assert (gradient[np.abs(value) <= 50] > 0).all(), "a network can come back from a bound"


@given(st.floats(-8, 8))
def test_soft_bound_is_the_identity_well_inside(value):
    # The distance to a bound is 12 or more: it moves by log(1 + exp(-12)) = 6e-6 at most, twice, and float32's 2e-6.
    assert float(soft_bound(tf.constant(value, "float32"), -20.0, 20.0)) == pytest.approx(value, abs=2e-5)


@pytest.mark.parametrize(
    "spec", ["bernoulli", "gaussian", {"name": "gaussian", "scale": "pixel", "minimum_scale": 0.1}]
)
def test_configuration_comes_back(spec):
    made = likelihood(spec)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(made))
    assert type(again) is type(made) and again.channels_per_pixel == made.channels_per_pixel
    assert again.get_config() == made.get_config()
    assert likelihood(made) is made
    assert set(LIKELIHOODS) >= {"bernoulli", "gaussian"}


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("bernouli", r"Unknown likelihood 'bernouli'\. Did you mean 'bernoulli'.*\? Known: bernoulli"),
        ({"name": "gaussian", "sigma": 1}, r"likelihood 'gaussian' has no argument 'sigma'"),
        ({"name": "gaussian", "scale": 0}, r"positive number, 'global' or 'pixel'\. Given: 0\."),
        ({"name": "gaussian", "scale": -0.1}, r"Given: -0\.1\."),
        ({"name": "gaussian", "scale": "pixels"}, r"Given: 'pixels'\."),
        ({"name": "gaussian", "scale": True}, r"Given: True\."),
        ({"name": "gaussian", "scale": float("nan")}, r"Given: nan\."),
        ({"name": "gaussian", "scale": None}, r"Given: None\."),
        ({"name": "gaussian", "scale": [1]}, r"Given: \[1\]\."),
        ({"name": "gaussian", "minimum_scale": 0}, r"minimum_scale must lie between 0 and 1\. Given: 0\."),
        ({"name": "gaussian", "minimum_scale": "a"}, r"minimum_scale must lie between 0 and 1\. Given: 'a'\."),
        (None, r"The likelihood must be a name"),
    ],
)
def test_what_does_not_fit_is_refused(spec, message):
    with pytest.raises(UserError, match=message):
        likelihood(spec)


@pytest.mark.parametrize("method", ["parameters", "distribution"])
def test_a_family_must_define_both(method):
    with pytest.raises(NotImplementedError, match=f"Likelihood must define {method}"):
        getattr(Likelihood(), method)({})
