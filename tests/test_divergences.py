"""KL: closed form against numpy and against Monte Carlo, and its gradients."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from tensorflow_probability import distributions as tfd

from keras_vae import divergences
from keras_vae.errors import UserError
from keras_vae.likelihoods import soft_bound

MEAN = np.array([[0.0, 0.5, -2.0], [1.0, -0.25, 3.0]])
LOG_VAR = np.array([[0.0, -1.0, 0.5], [-3.0, 1.0, 0.0]])


def normal(mean, log_var):
    return tfd.Independent(tfd.Normal(mean, tf.exp(0.5 * log_var)), 1)


def standard(size=3, dtype="float64"):
    return normal(tf.zeros(size, dtype), tf.zeros(size, dtype))


def closed_form(mean, log_var):
    """Equation 10 of Kingma and Welling 2014, with the sign of a divergence."""
    return 0.5 * (mean**2 + np.exp(log_var) - log_var - 1)


def test_kl_of_diagonal_gaussians_is_the_closed_form_dimension_by_dimension():
    kl = divergences.kl(normal(tf.constant(MEAN), tf.constant(LOG_VAR)), standard()).numpy()
    assert kl.shape == (2, 3)
    np.testing.assert_allclose(kl, closed_form(MEAN, LOG_VAR), rtol=1e-12, atol=1e-15)  # float64 rounding
    assert kl[0, 0] == 0


def test_kl_against_another_prior():
    # log(s2/s1) + (s1**2 + (m1 - m2)**2) / (2 s2**2) - 1/2
    kl = divergences.kl(
        normal(tf.constant([[1.0]]), tf.constant([[0.0]])), normal(tf.constant([3.0]), tf.constant([2.0]))
    )
    assert kl.numpy().item() == pytest.approx(1.0 + (1 + 4) / (2 * np.exp(2)) - 0.5, rel=1e-6)


def test_kl_of_full_covariance_is_one_group():
    factor = np.array([[[1.0, 0.0], [0.5, 0.8]]])
    posterior = tfd.MultivariateNormalTriL(tf.constant([[0.3, -1.0]], "float64"), tf.constant(factor))
    prior = tfd.MultivariateNormalDiag(tf.zeros(2, "float64"))
    covariance = factor[0] @ factor[0].T
    expected = 0.5 * (np.trace(covariance) + 0.3**2 + 1 - 2 - np.log(np.linalg.det(covariance)))
    kl = divergences.kl(posterior, prior).numpy()
    assert kl.shape == (1, 1)
    np.testing.assert_allclose(kl, expected, rtol=1e-12)


def test_a_pair_without_closed_form_says_so():
    with pytest.raises(UserError, match=r"needs a closed form in TFP.*Set analytic_kl = False"):
        divergences.kl(standard(), tfd.Independent(tfd.StudentT(3.0, tf.zeros(3), tf.ones(3)), 1))


def test_monte_carlo_agrees_with_the_closed_form():
    """200,000 draws of sampled_kl: its mean within 5 standard errors of the closed form (false alarm 6e-7 a number)."""
    draws = 200_000
    posterior = normal(tf.constant(MEAN), tf.constant(LOG_VAR))
    estimates = divergences.sampled_kl(posterior, standard(), posterior.sample(draws, seed=(1, 2))).numpy()
    assert estimates.shape == (draws, 2, 3)
    error = estimates.std(0) / np.sqrt(draws)
    # At mean 0, variance 1 the two densities are equal, and every estimate is exactly 0.
    assert (np.abs(estimates.mean(0) - closed_form(MEAN, LOG_VAR)) <= 5 * error).all()
    assert (estimates[:, 0, 0] == 0).all()
    assert (estimates[:, 1, 0] < 0).any(), "one sample of a divergence may be negative"
    assert error.max() < 0.02, "the comparison means something"


def test_sampled_kl_of_distributions_that_are_no_product():
    posterior = tfd.MultivariateNormalTriL(tf.zeros((4, 2)), tf.linalg.cholesky([[1.0, 0.5], [0.5, 1.0]]))
    z = posterior.sample(seed=(0, 1))
    estimate = divergences.sampled_kl(posterior, standard(2, "float32"), z)
    assert estimate.shape == (4, 1)
    expected = posterior.log_prob(z) - standard(2, "float32").log_prob(z)
    np.testing.assert_array_equal(estimate[:, 0], expected)


def test_gradients_of_the_closed_form():
    """d KL / d mean = mean, d KL / d log_var = (exp(log_var) - 1) / 2."""
    mean, log_var = tf.Variable(MEAN), tf.Variable(LOG_VAR)
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(divergences.kl(normal(mean, log_var), standard()))
    by_mean, by_log_var = tape.gradient(total, [mean, log_var])
    np.testing.assert_allclose(by_mean, MEAN, rtol=1e-12)
    np.testing.assert_allclose(by_log_var, (np.exp(LOG_VAR) - 1) / 2, rtol=1e-12, atol=1e-15)


def test_gradient_of_the_sampled_kl_is_right_on_average():
    draws = 100_000
    mean = tf.Variable(np.broadcast_to([0.7], (draws, 1)).copy())
    log_var = tf.Variable(np.broadcast_to([-0.5], (draws, 1)).copy())
    with tf.GradientTape() as tape:
        posterior = normal(mean, log_var)
        total = tf.reduce_sum(divergences.sampled_kl(posterior, standard(1), posterior.sample(seed=(3, 4))))
    for gradient, exact in zip(tape.gradient(total, [mean, log_var]), [0.7, (np.exp(-0.5) - 1) / 2], strict=True):
        gradient = gradient.numpy()
        assert abs(gradient.mean() - exact) < 5 * gradient.std() / np.sqrt(draws)


@given(st.floats(-1e4, 1e4), st.floats(-1e4, 1e4))
def test_kl_is_finite_and_not_negative_for_any_network_output(mean, raw_log_var):
    """Through the bound that the core puts on log_var, in float32."""
    mean, log_var = tf.constant([[mean]], "float32"), tf.constant([[raw_log_var]], "float32")
    with tf.GradientTape() as tape:
        tape.watch([mean, log_var])
        kl = divergences.kl(normal(mean, soft_bound(log_var, -20.0, 20.0)), standard(1, "float32"))
    assert np.isfinite(kl).all()
    assert (kl.numpy() >= -1e-6).all()  # rounding of float32 at 0
    assert all(np.isfinite(gradient).all() for gradient in tape.gradient(kl, [mean, log_var]))
