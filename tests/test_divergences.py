"""KL, MMD and the aggregate posterior: closed forms, loops, enumeration and Monte Carlo; gradients."""

import itertools

import numpy as np
import pytest
import scipy.integrate
import scipy.special
import scipy.stats
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


class TestMMD:
    """The U-statistic against loops, and against closed forms for Gaussians."""

    X = np.random.default_rng(0).normal(size=(5, 3))
    Y = np.random.default_rng(1).normal(size=(4, 3)) + 0.7

    def test_kernels_by_hand(self):
        distance = np.array([0.0, 3.0, 8.0])
        np.testing.assert_allclose(divergences.rbf(tf.constant(distance), 2), np.exp(-distance / 4), rtol=1e-14)
        scales = [0.1, 0.2, 0.5, 1, 2, 5, 10]
        by_hand = [sum(4 * s / (4 * s + d) for s in scales) for d in distance]
        np.testing.assert_allclose(divergences.imq(tf.constant(distance), 2), by_hand, rtol=1e-14)
        assert by_hand[0] == 7

    @pytest.mark.parametrize("name", ["rbf", "imq"])
    def test_the_estimate_is_the_loop_over_pairs(self, name):
        kernel = divergences.KERNELS[name]

        def k(a, b):
            return float(kernel(tf.constant(((a - b) ** 2).sum()), 3))

        within = [
            sum(k(each[i], each[j]) for i in range(len(each)) for j in range(len(each)) if i != j)
            / (len(each) * (len(each) - 1))
            for each in (self.X, self.Y)
        ]
        across = sum(k(a, b) for a in self.X for b in self.Y) / (len(self.X) * len(self.Y))
        estimate = divergences.mmd(tf.constant(self.X), tf.constant(self.Y), kernel)
        assert float(estimate) == pytest.approx(sum(within) - 2 * across, rel=1e-12)

    @staticmethod
    def expected_kernel(name, dimensions, shift):
        """E k(x, y) for x from N(0, I), y from N(shift, I); E exp(-t |x - y|**2) is a Gaussian integral.

        For IMQ, C / (C + r) is the integral of exp(-t (1 + r / C)) over t from 0.
        """

        def gaussian(t):
            return (1 + 4 * t) ** (-dimensions / 2) * np.exp(-t * shift @ shift / (1 + 4 * t))

        if name == "rbf":
            return gaussian(1 / (2 * dimensions))
        scales = [2 * dimensions * s for s in (0.1, 0.2, 0.5, 1, 2, 5, 10)]
        return sum(scipy.integrate.quad(lambda t, c=c: np.exp(-t) * gaussian(t / c), 0, np.inf)[0] for c in scales)

    @pytest.mark.parametrize("shift", [0.0, 0.6])
    @pytest.mark.parametrize("name", ["rbf", "imq"])
    def test_the_mean_is_the_closed_form_for_gaussians(self, name, shift):
        """1,000 estimates from 32 and 32 examples of 4 dimensions, within 5 standard errors: it has no bias."""
        moved = np.full(4, shift)
        exact = 2 * (self.expected_kernel(name, 4, np.zeros(4)) - self.expected_kernel(name, 4, moved))
        generator = np.random.default_rng(2)
        x, y = generator.normal(size=(2, 1_000, 32, 4))
        kernel = divergences.KERNELS[name]

        @tf.function
        def estimates(x, y):
            return tf.map_fn(lambda pair: divergences.mmd(pair[0], pair[1], kernel), (x, y), tf.float64)

        values = estimates(tf.constant(x), tf.constant(y + moved)).numpy()
        error = values.std() / np.sqrt(1_000)
        assert abs(values.mean() - exact) < 5 * error
        if shift:
            assert error < exact / 20, "the comparison means something"
        else:
            assert exact == 0 and (values < 0).any(), "an estimate without bias is negative at times"

    @pytest.mark.parametrize("counts", [(1, 1), (1, 5), (5, 1)])
    def test_of_fewer_than_two_there_is_no_estimate(self, counts):
        x, y = (tf.Variable(np.ones((count, 3))) for count in counts)
        with tf.GradientTape() as tape:
            distance = divergences.mmd(x, y, divergences.imq)
        assert distance == 0
        assert all((gradient.numpy() == 0).all() for gradient in tape.gradient(distance, [x, y]))


def test_covariance_is_divided_by_the_batch():
    x = np.random.default_rng(0).normal(size=(7, 3)) * [1, 2, 3] + 5
    np.testing.assert_allclose(divergences.covariance(tf.constant(x)), np.cov(x.T, bias=True), rtol=1e-12)
    np.testing.assert_allclose(divergences.covariance(tf.constant(x[:1])), np.zeros((3, 3)), atol=1e-14)


class TestAggregateLogProbs:
    """log q(z) from a batch, q(z) the mean of N posteriors: by enumeration of every batch of a tiny dataset."""

    N, LATENT = 5, 2
    generator = np.random.default_rng(0)
    MEANS = generator.normal(size=(N, LATENT))
    SCALES = generator.uniform(0.5, 1.5, (N, LATENT))
    Z = MEANS + SCALES * generator.normal(size=(N, LATENT))
    # q(z_ij | x_n): (z, x, dimension)
    DENSITY = scipy.stats.norm(MEANS, SCALES).pdf(Z[:, None])

    def estimates(self, indices, estimator):
        """exp of what is estimated for the first of a batch of `indices`: of q(z_j), and of q(z)."""
        indices = list(indices)
        posterior = tfd.Independent(tfd.Normal(self.MEANS[indices], self.SCALES[indices]), 1)
        joint, single = divergences.minibatch_log_probs(posterior, tf.constant(self.Z[indices]), self.N, estimator)
        assert joint.shape == (len(indices),) and single.shape == (len(indices), self.LATENT)
        return np.exp(np.append(single[0], joint[0]))

    def density(self, i, n):
        return np.append(self.DENSITY[i, n], self.DENSITY[i, n].prod())

    def mean_over_batches(self, i, size, estimator):
        others = [n for n in range(self.N) if n != i]
        batches = list(itertools.combinations(others, size - 1))
        return np.mean([self.estimates((i, *batch), estimator) for batch in batches], axis=0)

    @pytest.mark.parametrize("size", [2, 3, 5])
    def test_stratified_has_no_bias(self, size):
        for i in range(self.N):
            exact = np.mean([self.density(i, n) for n in range(self.N)], axis=0)
            np.testing.assert_allclose(self.mean_over_batches(i, size, "stratified"), exact, rtol=1e-12)

    @pytest.mark.parametrize("size", [2, 3, 5])
    def test_the_bias_of_weighted(self, size):
        """(1 / (N M)) (q(z|x_i) + (M - 1) times the mean over the others); for M = N, log q(z) - log N."""
        for i in range(self.N):
            others = np.mean([self.density(i, n) for n in range(self.N) if n != i], axis=0)
            expected = (self.density(i, i) + (size - 1) * others) / (self.N * size)
            np.testing.assert_allclose(self.mean_over_batches(i, size, "weighted"), expected, rtol=1e-12)
            if size == self.N:
                exact = np.mean([self.density(i, n) for n in range(self.N)], axis=0)
                np.testing.assert_allclose(expected, exact / self.N, rtol=1e-12)

    def test_own_posterior_weighs_on_the_diagonal(self):
        """The copied MSS weights fill a column: every example's own posterior has weight 1 / N, wherever it stands."""
        order = [3, 0, 4]
        posterior = tfd.Independent(tfd.Normal(self.MEANS[order], self.SCALES[order]), 1)
        joint, _ = divergences.minibatch_log_probs(posterior, tf.constant(self.Z[order]), self.N, "stratified")
        for place, i in enumerate(order):
            others = [self.density(i, n)[-1] for n in order if n != i]
            expected = self.density(i, i)[-1] / self.N + (self.N - 1) / self.N * np.mean(others)
            assert np.exp(joint[place]) == pytest.approx(expected, rel=1e-12)

    def test_the_constant_of_disentanglement_lib(self):
        """Its total_correlation leaves out log(N M), once for q(z) and once for each q(z_j): (L - 1) log(N M)."""
        joint = scipy.special.logsumexp(np.log(self.DENSITY).sum(2), axis=1)
        product = scipy.special.logsumexp(np.log(self.DENSITY), axis=1).sum(1)
        posterior = tfd.Independent(tfd.Normal(self.MEANS, self.SCALES), 1)
        ours = divergences.minibatch_log_probs(posterior, tf.constant(self.Z), 1_000, "weighted")
        correlation = ours[0].numpy() - ours[1].numpy().sum(1)
        constant = (self.LATENT - 1) * np.log(1_000 * self.N)
        np.testing.assert_allclose(correlation, joint - product + constant, rtol=1e-12)

    @pytest.mark.parametrize("estimator", divergences.ESTIMATORS)
    def test_some_codes_in_a_row_are_rows_of_the_batch(self, estimator):
        """As each replica estimates its part from the examples of all."""
        posterior = tfd.Independent(tfd.Normal(self.MEANS, self.SCALES), 1)
        of_all = divergences.minibatch_log_probs(posterior, tf.constant(self.Z), 1_000, estimator)
        last = divergences.minibatch_log_probs(posterior, tf.constant(self.Z[1:]), 1_000, estimator, first=1)
        for whole, part in zip(of_all, last, strict=True):
            np.testing.assert_allclose(part, whole[1:], rtol=1e-12)

    def test_one_example(self):
        assert np.isfinite(self.estimates([2], "stratified")).all()
        assert np.isfinite(self.estimates([2], "weighted")).all()

    def test_the_total_correlation_of_a_gaussian(self):
        """Means from N(0, C), unit variances in sum: q(z) is near N(0, R), whose TC is -log(det R) / 2.

        10 datasets of 1,000, each one batch; the mixture's own correlation differs from R by 1/sqrt(1,000).
        """
        generator = np.random.default_rng(3)
        values = []
        for _ in range(10):
            means = generator.multivariate_normal([0, 0], [[0.5, 0.45], [0.45, 0.5]], 1_000)
            z = means + np.sqrt(0.5) * generator.normal(size=means.shape)
            posterior = tfd.Independent(tfd.Normal(means, np.sqrt(0.5)), 1)
            joint, single = divergences.minibatch_log_probs(posterior, tf.constant(z), 1_000, "stratified")
            values.append(np.mean(joint.numpy() - single.numpy().sum(1)))
        exact = -0.5 * np.log(1 - 0.45**2)
        error = np.std(values) / np.sqrt(10)
        assert abs(np.mean(values) - exact) < 5 * error and error < exact / 15
