"""The likelihoods of grey images: they sum or integrate to 1, agree with brute force, and their means are means."""

from typing import Any

import numpy as np
import pytest
import scipy.integrate
import scipy.stats
import tensorflow as tf

from keras_vae.errors import UserError
from keras_vae.export import export
from keras_vae.likelihoods import Categorical, ContinuousBernoulli, Laplace, LogisticMixture, likelihood
from tests.toys import compiled, grey

LEVELS = np.arange(256) / 255.0
FAMILIES = [
    "continuous_bernoulli",
    "laplace",
    {"name": "laplace", "scale": "global"},
    {"name": "laplace", "scale": "pixel"},
    {"name": "logistic_mixture", "components": 3},
    {"name": "categorical", "levels": 8},
]


def name_of(spec):
    return spec if isinstance(spec, str) else "-".join(map(str, spec.values()))


def log_prob(family, raw, x):
    """For one pixel: raw `(channels_per_pixel,)`, x `(n,)`; `(n,)` in float64 as the library computes it in float32."""
    raw = np.broadcast_to(np.asarray(raw, "float32"), (len(x), 1, 1, family.channels_per_pixel))
    parameters = family.parameters(tf.constant(raw))
    values = family.distribution(parameters).log_prob(np.asarray(x, "float32").reshape(-1, 1, 1, 1))
    return values.numpy().astype("float64")


def mean_of(family, raw):
    return float(family.parameters(tf.constant(np.reshape(raw, (1, 1, 1, -1)), "float32"))["mean"][0, 0, 0, 0])


@pytest.mark.parametrize("logit", [-300, -40.0, -3, -0.3, -1e-3, 0, 1e-6, 0.01, 0.99, 1.01, 2, 17, 90])
class TestContinuousBernoulli:
    def test_integrates_to_one_and_its_mean_is_the_integral(self, logit):
        """The truncated exponential l exp(l x) / (exp(l) - 1), by quadrature on a grid that is fine at both ends."""
        u = np.linspace(0, 1, 20_001)
        x = (u**3 / (u**3 + (1 - u) ** 3)).astype("float32").astype("float64")
        density = np.exp(log_prob(ContinuousBernoulli(), [logit], x))
        # float32 log densities of size |logit| are good to 1e-7 |logit|
        assert scipy.integrate.trapezoid(density, x) == pytest.approx(1, abs=2e-5 + 1e-6 * abs(logit))
        exact = 0.5 + logit / 12 if abs(logit) < 1e-2 else 1 / -np.expm1(-float(logit)) - 1 / logit
        assert mean_of(ContinuousBernoulli(), [logit]) == pytest.approx(exact, abs=5e-7)

    def test_density_against_the_formula(self, logit):
        x = np.array([0, 0.1, 0.5, 0.75, 1])
        size = abs(logit)
        # log of l / (1 - exp(-l)) for l = |logit|, the density at the heavier end
        peak = np.log(size / -np.expm1(-size)) if size > 1e-8 else size / 2
        expected = peak - size * np.where(np.asarray(logit) < 0, x, 1 - x)
        np.testing.assert_allclose(log_prob(ContinuousBernoulli(), [logit], x), expected, rtol=2e-6, atol=2e-6)


def test_the_mean_of_a_continuous_bernoulli_is_not_a_sigmoid():
    assert mean_of(ContinuousBernoulli(), [4.0]) == pytest.approx(0.768657, abs=1e-6)  # sigmoid(4) = 0.982
    ContinuousBernoulli().check(grey(3))


def test_gradients_of_the_continuous_bernoulli_are_finite_at_its_removable_singularity():
    raw = tf.Variable(tf.reshape(tf.constant([-60, -1, -1e-4, 0, 1e-4, 1, 60]), (7, 1, 1, 1)))
    family = ContinuousBernoulli()
    with tf.GradientTape() as tape:
        parameters = family.parameters(raw)
        value = tf.reduce_sum(family.distribution(parameters).log_prob(0.3 * tf.ones_like(raw)))
    # d log p / d l = x - mean: an exponential family
    gradient: Any = tape.gradient(value, raw)
    np.testing.assert_allclose(gradient, 0.3 - np.asarray(parameters["mean"]), atol=1e-5)


class TestLaplace:
    @pytest.mark.parametrize("scale", [0.05, 1, "global", "pixel"])
    def test_against_scipy(self, scale):
        family = Laplace(scale=scale, bounded_mean=False)
        raw = np.array([0.4, -1.3][: family.channels_per_pixel])
        x = np.linspace(-0.5, 1.5, 41)
        known = float(np.exp(raw[-1])) if scale == "pixel" else 1.0 if scale == "global" else scale
        # The soft bound is the identity to exp(-3.3) at log scale -1.3 - its lower end is log 0.01 = -4.6.
        given = family.parameters(tf.constant(raw.reshape(1, 1, 1, -1), "float32")).get("log_scale")
        if given is not None:
            assert float(given[0, 0, 0, 0]) == pytest.approx(np.log(known), abs=0.05)
            known = float(np.exp(given[0, 0, 0, 0]))
        expected = scipy.stats.laplace.logpdf(x, 0.4, known)
        np.testing.assert_allclose(log_prob(family, raw, x), expected, rtol=1e-5, atol=1e-5)

    def test_integrates_to_one(self):
        x = np.sort(np.concatenate([np.linspace(-12, 12, 40_001), [0.4]]))
        for scale in (0.1, "global", "pixel"):
            family = Laplace(scale=scale, bounded_mean=False)
            density = np.exp(log_prob(family, np.array([0.4, -1.0])[: family.channels_per_pixel], x))
            # Trapezoids of 6e-4 about a peak of curvature 1 / scale**2: an error of (6e-4 / 0.1)**2 / 12
            assert np.trapezoid(density, x) == pytest.approx(1, abs=1e-5)

    def test_a_learned_scale_stays_above_its_minimum(self):
        family = Laplace(scale="pixel", minimum_scale=0.2)
        raw = np.stack([np.zeros(3), [-1e4, -3, 1e4]], -1).astype("float32").reshape(3, 1, 1, 2)
        scales = np.exp(np.ravel(family.parameters(tf.constant(raw))["log_scale"]))
        assert (scales >= 0.2 * (1 - 1e-6)).all()
        # The soft bound passes its upper end by log(1 + exp(low - high)).
        assert scales[-1] == pytest.approx(np.exp(5) * (1 + np.exp(np.log(0.2) - 5)), rel=1e-5)
        assert Laplace(scale="global").trainable_variables[0].name == "raw_log_scale"


def mixture_raw(weights, means, log_scales):
    """What a decoder must give out for these parameters: the inverse of the documented parametrisation."""
    count = len(means)
    places = (np.arange(count) + 0.5) / count
    return np.stack([weights, 2 * (np.asarray(means) - places), np.asarray(log_scales) + 3]).ravel()


@pytest.mark.parametrize("family", [LogisticMixture(3), Categorical(7)], ids=["logistic mixture", "categorical"])
def test_no_mean_is_beyond_the_pixels(family):
    """Of means far outside, or of levels that are certain, rounding leads beyond 0 and 1 by some 1e-7."""
    raw = np.random.default_rng(0).normal(scale=20, size=(50, 20, 20, family.channels_per_pixel)).astype("float32")
    mean = np.asarray(family.parameters(tf.constant(raw))["mean"])
    assert mean.min() >= 0 and mean.max() == 1


MIXTURES = [
    ([0.0], [0.5], [-3.0]),
    ([0.3, -1.0, 2.0], [0.1, 0.5, 1.2], [-3.0, -5.0, -1.0]),
    ([0.0, 0.0], [-8.0, 9.0], [-6.0, -6.0]),  # all at the two ends
    ([5.0, -5.0], [0.3001, 0.7], [-60.0, 60.0]),  # beyond both bounds of the scale
]


class TestLogisticMixture:
    @pytest.mark.parametrize("mixture", MIXTURES)
    def test_sums_to_one_and_agrees_with_cdf_differences(self, mixture):
        family = LogisticMixture(components=len(mixture[0]))
        raw = mixture_raw(*mixture)
        given = log_prob(family, raw, LEVELS)
        assert np.exp(given).sum() == pytest.approx(1, abs=1e-5)  # 256 float32 terms
        parameters = family.parameters(tf.constant(raw.reshape(1, 1, 1, -1), "float32"))
        logits, means, log_scales = (
            np.asarray(parameters[name], "float64")[0, 0, 0, 0] for name in ("mixture_logits", "means", "log_scales")
        )
        np.testing.assert_allclose(means, mixture[1], rtol=1e-6)
        edges = np.concatenate([[-np.inf], (np.arange(255) + 0.5) / 255, [np.inf]])
        cdf = scipy.stats.logistic.cdf(edges[:, None], means, np.exp(log_scales))
        brute = np.diff(cdf, axis=0) @ (np.exp(logits) / np.exp(logits).sum())
        seen = brute > 1e-12  # below, the differences of float64 cdfs lose their digits, not ours
        np.testing.assert_allclose(
            given[seen], np.log(brute[seen]), rtol=2e-5, atol=2e-3 if log_scales.min() < -5 else 2e-5
        )
        assert np.isfinite(given).all()

    def test_far_tails_keep_their_digits(self):
        """log P of a level t scales away is -t + log(1 - exp(-width)) to float32; a difference of cdfs would be 0."""
        family, raw = LogisticMixture(components=1), mixture_raw([0.0], [0.0], [-5.0])
        value = log_prob(family, raw, [200 / 255])[0]
        scale = np.exp(
            float(np.squeeze(family.parameters(tf.constant(raw.reshape(1, 1, 1, -1), "float32"))["log_scales"]))
        )
        expected = -(199.5 / 255) / scale + np.log(-np.expm1(-1 / 255 / scale))
        assert expected < -80 and value == pytest.approx(expected, rel=1e-5)

    @pytest.mark.parametrize("mixture", MIXTURES)
    def test_the_mean_is_within_half_a_level_of_the_probabilities_mean(self, mixture):
        family, raw = LogisticMixture(components=len(mixture[0])), mixture_raw(*mixture)
        exact = np.exp(log_prob(family, raw, LEVELS)) @ LEVELS
        bound = 0.5 if min(mixture[2]) < -np.log(255) else 0.02  # of a level, as documented
        assert mean_of(family, raw) == pytest.approx(exact, abs=bound / 255 + 2e-6)

    def test_draws_have_their_probabilities(self):
        family, raw = LogisticMixture(2), mixture_raw([0.3, 0.0], [0.0, 0.6], [-4.0, -3.0])
        distribution = family.distribution(family.parameters(tf.constant(raw.reshape(1, 1, 1, -1), "float32")))
        draws = np.ravel(distribution.sample(40_000, seed=(0, 1)))
        counts = np.bincount(np.round(draws * 255).astype(int), minlength=256)
        np.testing.assert_allclose(draws * 255, np.round(draws * 255), atol=1e-4)
        expected = np.exp(log_prob(family, raw, LEVELS))
        error = np.sqrt(40_000 * expected * (1 - expected)) + 0.5  # 256 comparisons: 6 s.e.; rare levels count 0 or 1
        assert (np.abs(counts - 40_000 * expected) < 6 * error).all()

    def test_gradients_stay_finite(self):
        raw = tf.Variable(tf.constant(np.random.default_rng(0).normal(0, 30, (64, 1, 1, 6)), "float32"))
        family = LogisticMixture(2)
        for level in (0.0, 17 / 255, 1.0):
            with tf.GradientTape() as tape:
                value = family.distribution(family.parameters(raw)).log_prob(tf.fill((64, 1, 1, 1), level))
            gradient: Any = tape.gradient(value, raw)
            assert np.isfinite(value).all() and np.isfinite(gradient).all()


class TestCategorical:
    @pytest.mark.parametrize("levels", [2, 5, 256])
    def test_is_the_softmax_at_the_pixels_level(self, levels):
        raw = np.random.default_rng(0).normal(0, 2, levels)
        family = Categorical(levels=levels)
        x = np.arange(levels) / (levels - 1)
        expected = raw - np.log(np.exp(raw).sum())
        np.testing.assert_allclose(log_prob(family, raw, x), expected, rtol=1e-5, atol=1e-5)
        assert np.exp(log_prob(family, raw, x)).sum() == pytest.approx(1, abs=1e-5)
        assert mean_of(family, raw) == pytest.approx(np.exp(expected) @ x, abs=1e-6)

    def test_colours_have_logits_of_their_own(self):
        raw = np.random.default_rng(1).normal(size=(2, 3, 2, 3 * 4)).astype("float32")
        x = np.random.default_rng(2).integers(0, 4, (2, 3, 2, 3))
        family = Categorical(levels=4)
        logits = raw.reshape(2, 3, 2, 3, 4)
        chosen = np.take_along_axis(logits - np.log(np.exp(logits).sum(-1, keepdims=True)), x[..., None], -1)
        given = family.distribution(family.parameters(tf.constant(raw))).log_prob((x / 3).astype("float32"))
        np.testing.assert_allclose(given, chosen.sum((1, 2, 3, 4)), rtol=1e-5)


@pytest.mark.parametrize(
    ("spec", "steps"), [("logistic_mixture", 255), ({"name": "categorical", "levels": 8}, 7)], ids=["256", "8"]
)
def test_pixels_off_the_grid_are_refused_on_the_host(spec, steps):
    model = compiled(likelihood=spec)
    levels = np.round(grey(8) * steps) / steps
    model.fit(levels.astype("float32"), batch_size=8, verbose=0)
    assert np.isfinite(model.elbo(levels)).all()
    levels.ravel()[5] = 0.5 / steps
    message = rf"{steps + 1} grey levels, k / {steps}\. Given: a pixel of {0.5 / steps:.4g}\. Round them"
    for method in (model.fit, model.evaluate):
        with pytest.raises(UserError, match=message):
            method(levels, batch_size=8, verbose=0)
    with pytest.raises(UserError, match=message):
        model.elbo(levels)


@pytest.mark.parametrize("spec", FAMILIES, ids=name_of)
class TestInAModel:
    def test_values_and_gradients_are_the_same_under_xla(self, spec):
        family = likelihood(spec)
        steps = 7 if spec == FAMILIES[-1] else 255
        x = tf.constant(np.round(grey(8) * steps) / steps)
        raw = np.random.default_rng(0).normal(0, 2, (8, 4, 4, family.channels_per_pixel)).astype("float32")

        def value_and_gradient(raw):
            with tf.GradientTape() as tape:
                tape.watch(raw)
                value = family.distribution(family.parameters(raw)).log_prob(x)
            return value, tape.gradient(value, raw)

        found = [tf.function(value_and_gradient, jit_compile=jit)(tf.constant(raw)) for jit in (True, False)]
        for compiled_to, plain in zip(*found, strict=True):
            assert np.isfinite(plain).all()
            np.testing.assert_allclose(compiled_to, plain, rtol=1e-4, atol=1e-4)  # XLA's exp and log, sums reordered

    def test_the_exported_mean_agrees_in_onnx(self, spec, tmp_path):
        """export raises unless ONNX Runtime agrees with Keras within 1e-5, on extremes too."""
        bundle = export(compiled(likelihood=spec), tmp_path / "bundle", ("onnx",))
        assert any(row.output == "mean" and row.graph == "decoder" for row in bundle.parity)
        assert not bundle.manifest["preprocessing"]["binarized"]

    def test_configuration_comes_back(self, spec):
        made = likelihood(spec)
        again = type(made).from_config(made.get_config())
        assert again.get_config() == made.get_config() and again.channels_per_pixel == made.channels_per_pixel


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"name": "laplace", "scale": -1}, r"scale of a Laplace likelihood is a positive number.*Given: -1\."),
        ({"name": "logistic_mixture", "components": 0}, r"components must be a whole number, 1 or more\. Given: 0"),
        ({"name": "categorical", "levels": 1}, r"levels must be a whole number, 2 or more\. Given: 1"),
        ("continuous bernoulli", r"Did you mean 'continuous_bernoulli'"),
    ],
)
def test_what_does_not_fit_is_refused(spec, message):
    with pytest.raises(UserError, match=message):
        likelihood(spec)
