"""The linear-Gaussian VAE is probabilistic PCA, so its log-likelihood is known exactly.

With decoder W z + b and noise s**2, p(x) = N(b, W W^T + s**2 I), and the true posterior is a Gaussian; where the
columns of W are orthogonal it is diagonal, as an encoder's is. Lucas et al. 2019, section 3,
https://arxiv.org/abs/1911.02469.
Everything in float64: what is exact must agree to 1e-10.
"""

import numpy as np
import pytest
import scipy.special
import scipy.stats
import tensorflow as tf

from keras_vae.models import VAE
from tests.toys import PLAIN

SHAPE, LATENT, SCALE = (3, 4, 1), 3, 0.3
PIXELS = 12


def bounded_inverse(log_var: np.ndarray) -> np.ndarray:
    """What an encoder must give out so that the core's soft bound on (-20, 20) makes it `log_var`."""
    lower = np.log(np.expm1(log_var + 20.0)) - 20.0
    return 20.0 - np.log(np.expm1(20.0 - lower))


class Truth:
    """An exactly known model: W, b, its evidence, and its true posterior."""

    def __init__(self) -> None:
        generator = np.random.default_rng(0)
        orthonormal, _ = np.linalg.qr(generator.normal(size=(PIXELS, LATENT)))
        self.decoder = orthonormal * [1.5, 0.7, 0.2]
        self.offset = generator.uniform(0.3, 0.7, PIXELS)
        norms = (self.decoder**2).sum(0)
        self.variance = SCALE**2 / (SCALE**2 + norms)
        self.encoder = self.decoder / (SCALE**2 + norms)
        self.x = generator.uniform(0, 1, (7, *SHAPE))  # any point has a density; pixels must lie in [0, 1]
        flat = self.x.reshape(-1, PIXELS)
        covariance = self.decoder @ self.decoder.T + SCALE**2 * np.eye(PIXELS)
        self.log_prob = scipy.stats.multivariate_normal(self.offset, covariance).logpdf(flat)
        self.mean = (flat - self.offset) @ self.encoder


@pytest.fixture(scope="module")
def truth():
    return Truth()


@pytest.fixture(scope="module")
def model():
    linear = {"name": "mlp", "hidden": ()}
    made = VAE(
        SHAPE, LATENT, linear, linear, {"name": "gaussian", "scale": SCALE, "bounded_mean": False}, dtype="float64"
    )
    made.compile("sgd", **PLAIN)
    return made


def set_exact(model, truth, mean_shift=0.0, variance_factor=1.0):
    """Give the model the truth's weights; its posterior is exact, or off by a shift and a factor."""
    model.decoder.set_weights([truth.decoder.T, truth.offset])
    kernel = np.concatenate([truth.encoder, np.zeros((PIXELS, LATENT))], axis=1)
    log_var = bounded_inverse(np.log(truth.variance * variance_factor))
    model.encoder.set_weights([kernel, np.concatenate([-truth.offset @ truth.encoder + mean_shift, log_var])])


def test_the_posterior_is_the_true_one(model, truth):
    set_exact(model, truth)
    posterior = model.posterior(truth.x)
    np.testing.assert_allclose(posterior.mean(), truth.mean, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(posterior.variance()[0], truth.variance, rtol=1e-12)
    np.testing.assert_allclose(model.encode(truth.x), truth.mean, rtol=1e-12, atol=1e-13)


def test_all_weights_equal_the_evidence_at_the_true_posterior(model, truth):
    set_exact(model, truth)
    log_weights = np.asarray(model.log_weights(truth.x, samples=50, seed=3))
    assert log_weights.shape == (50, 7)
    np.testing.assert_allclose(log_weights, np.broadcast_to(truth.log_prob, (50, 7)), rtol=0, atol=1e-10)


@pytest.mark.parametrize("samples", [1, 33, 100])
def test_log_prob_is_exact_for_any_number_of_samples(model, truth, samples):
    set_exact(model, truth)
    np.testing.assert_allclose(model.log_prob(truth.x, samples=samples, seed=5), truth.log_prob, rtol=0, atol=1e-10)


def elbo_by_hand(truth, mean_shift, variance_factor):
    """E_q[log p(x|z)] - KL for the linear model: every expectation is that of a quadratic form."""
    flat = truth.x.reshape(-1, PIXELS)
    mean, variance = truth.mean + mean_shift, truth.variance * variance_factor
    squares = ((flat - truth.offset - mean @ truth.decoder.T) ** 2).sum(1)
    squares = squares + (variance * (truth.decoder**2).sum(0)).sum()
    log_px = -0.5 * squares / SCALE**2 - PIXELS * (np.log(SCALE) + 0.5 * np.log(2 * np.pi))
    kl = 0.5 * (mean**2 + variance - np.log(variance) - 1).sum(1)
    return log_px, kl


def test_the_elbo_in_closed_form_is_the_evidence():
    """Of the formula above, so that what it says of a wrong posterior can be believed."""
    truth = Truth()
    log_px, kl = elbo_by_hand(truth, 0.0, 1.0)
    np.testing.assert_allclose(log_px - kl, truth.log_prob, rtol=0, atol=1e-12)
    log_px, kl = elbo_by_hand(truth, 0.3, 2.0)
    assert (truth.log_prob - (log_px - kl) > 0.1).all()


@pytest.mark.parametrize(("mean_shift", "variance_factor"), [(0.0, 1.0), (0.3, 2.0)])
def test_the_one_sample_elbo_is_unbiased(model, truth, mean_shift, variance_factor):
    """Mean over 400 draws within 5 standard errors of the closed form, for each image; the KL has no noise at all."""
    set_exact(model, truth, mean_shift, variance_factor)
    log_px, kl = elbo_by_hand(truth, mean_shift, variance_factor)
    repeated = np.repeat(truth.x, 400, axis=0)
    terms = np.asarray(model.elbo(repeated, seed=1)).reshape(7, 400)
    error = terms.std(1) / np.sqrt(400)
    assert error.max() < 0.5, "the comparison means something"
    assert (np.abs(terms.mean(1) - (log_px - kl)) < 5 * error).all()
    with model.draws.using((0, 0)):
        np.testing.assert_allclose(model.terms({"x": truth.x}, training=False).kl.numpy().sum(1), kl, rtol=1e-10)


def test_importance_weights_climb_to_the_evidence(model, truth):
    """A wrong posterior: the bound with K draws is below the evidence and climbs with K (Burda et al. 2016, theorem 1).

    The same 100,000 draws an image, in groups of K. The gap is the variance of the weights over 2 K to first order:
    0.001 nats at K = 1,000, which 5 standard errors of the mean of 100 estimates cover.
    """
    set_exact(model, truth, mean_shift=0.2, variance_factor=1.5)
    log_weights = np.asarray(model.log_weights(truth.x, samples=100_000, seed=7))
    bounds, errors = {}, {}
    for draws in (1, 5, 50, 1_000):
        estimates = scipy.special.logsumexp(log_weights.reshape(-1, draws, 7), axis=1) - np.log(draws)
        bounds[draws], errors[draws] = estimates.mean(0), estimates.std(0) / np.sqrt(len(estimates))
    for fewer, more in ((1, 5), (5, 50)):
        assert (bounds[more] - bounds[fewer] > 5 * np.hypot(errors[more], errors[fewer])).all(), (fewer, more)
    assert (truth.log_prob - bounds[1] > 10 * errors[1]).all(), "one draw leaves a gap that can be seen"
    assert (np.abs(bounds[1_000] - truth.log_prob) < 5 * errors[1_000]).all()
    assert errors[1_000].max() < 0.02
    log_px, kl = elbo_by_hand(truth, 0.2, 1.5)
    assert (np.abs(bounds[1] - (log_px - kl)) < 5 * errors[1]).all(), "K = 1 is the ELBO"


def test_log_prob_averages_weights_not_logarithms(model, truth):
    """log_prob in chunks of compiled calls equals the estimate from weights drawn here, within standard errors."""
    set_exact(model, truth, mean_shift=0.2, variance_factor=1.5)
    estimate = model.log_prob(truth.x, samples=4_000, seed=11)
    weights = np.exp(np.asarray(model.log_weights(truth.x, samples=4_000, seed=12)) - truth.log_prob)
    error = weights.std(0) / np.sqrt(4_000)  # of log(mean weight), by the delta method, as the mean is near 1
    assert (np.abs(estimate - truth.log_prob) < 5 * error).all()


def test_the_gradient_vanishes_at_the_maximum(model, truth):
    """Training on x whose mean and covariance are the model's own, the exact ELBO has gradient 0 in the encoder.

    The posterior is exact for every x, so the gap KL(q || p(z|x)) is at its minimum 0, whatever the data.
    """
    set_exact(model, truth)
    draws = 20_000
    x = np.repeat(truth.x[:1], draws, axis=0)
    with tf.GradientTape() as tape, model.draws.using((0, 1)):
        terms = model.terms({"x": tf.constant(x)}, training=True)
        total = tf.reduce_mean(terms.log_px - tf.reduce_sum(terms.kl, axis=1))
    bias = model.encoder.weights[1]
    gradient = tape.gradient(total, bias.value).numpy()
    # Per-draw gradient noise of the mean: std of (W^T residual) / s**2; a shift of 0.01 would give 0.01 / variance.
    noise = np.sqrt((truth.decoder**2).sum(0)) / SCALE * np.sqrt(1 + (truth.decoder**2).sum(0) / SCALE**2)
    assert (np.abs(gradient[:LATENT]) < 5 * noise / np.sqrt(draws)).all()
