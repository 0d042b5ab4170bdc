"""VampVAE: the mixture of its own posteriors, by a loop; samples from it; pseudo-inputs that are images."""

import numpy as np
import pytest
import scipy.special
import scipy.stats
import tensorflow as tf

from keras_vae.evaluation.latent import kl_per_dimension
from keras_vae.models import VampVAE
from tests.digits import assert_learned, trained
from tests.models.equations import (
    X,
    assert_comes_back,
    assert_finite_whatever_the_last_batch,
    assert_refused,
    gradient_of,
    losses_of,
    terms_of,
)
from tests.toys import LATENT, SHAPE, compiled, toy


def stirred(gain=2.0):
    """A toy whose components lie apart: pseudo-inputs from almost black to almost white, `gain` in the last layer."""
    model = toy(VampVAE, pseudo_inputs=5, dtype="float64")
    model.raw_pseudo_inputs.assign(np.random.default_rng(0).normal(0, 4, (5, *SHAPE)))
    kernel = model.encoder.trainable_variables[-2]
    kernel.assign(gain * kernel)
    return model


def grid():
    """Codes of step 0.2 over [-20, 20]**2, and the logarithm of the area of each."""
    ticks = np.arange(-20, 20, 0.2)
    return np.stack(np.meshgrid(ticks, ticks), -1).reshape(-1, 2), 2 * np.log(0.2)


def components(model):
    posterior = model.posterior(tf.sigmoid(model.raw_pseudo_inputs.value))
    return posterior.mean().numpy(), posterior.stddev().numpy()


def test_the_density_by_a_loop():
    """log p(z) = logsumexp over k of log N(z; mean_k, var_k), minus log K."""
    model = stirred()
    means, scales = components(model)
    z = np.random.default_rng(1).normal(size=(6, LATENT))
    logs = [[scipy.stats.norm(means[k], scales[k]).logpdf(point).sum() for k in range(5)] for point in z]
    assert np.std(logs, axis=1).min() > 0.1, "the components differ"
    np.testing.assert_allclose(model.prior().log_prob(z), scipy.special.logsumexp(logs, axis=1) - np.log(5), rtol=1e-12)


def test_the_density_integrates_to_one():
    points, area = grid()
    assert scipy.special.logsumexp(stirred().prior().log_prob(points)) + area == pytest.approx(0, abs=1e-6)


def test_samples_have_the_mixtures_moments():
    """100,000 draws: the means, and the second moments, within 5 standard errors of those of the mixture."""
    model = stirred()
    means, scales = components(model)
    z = model.prior().sample(100_000, seed=(2, 3)).numpy()
    assert (np.abs(z.mean(0) - means.mean(0)) < 5 * z.std(0) / np.sqrt(100_000)).all()
    squares = z**2
    expected = (means**2 + scales**2).mean(0)
    assert (np.abs(squares.mean(0) - expected) < 5 * squares.std(0) / np.sqrt(100_000)).all()
    assert np.abs(expected - 1).min() > 0.05, "which are not those of N(0, I)"


def test_sample_draws_from_it():
    model = stirred()
    before = model.sample(200, seed=1)
    model.raw_pseudo_inputs.assign(np.full((5, *SHAPE), 3.0))
    assert np.abs(model.sample(200, seed=1) - before).max() > 1e-3


def test_the_kl_is_sampled_against_it():
    model = stirred()
    terms = terms_of(model)
    z = terms.cache["z"]
    expected = model.posterior(X).log_prob(z) - model.prior().log_prob(z)
    assert terms.kl.shape == (16, 1)
    np.testing.assert_allclose(terms.kl[:, 0], expected, rtol=1e-12)
    assert losses_of(model)["model"] == pytest.approx(float(tf.reduce_mean(expected - terms.log_px)), rel=1e-10)


def test_its_kl_per_dimension_is_one_number():
    """It is drawn, of all dimensions together. 200 draws for each image, against 1000: within 5 standard errors."""
    model = stirred()
    z = model.posterior(X).sample(1_000, seed=(5, 6))
    each = (model.posterior(X).log_prob(z) - model.prior().log_prob(z)).numpy()
    error = np.sqrt(each.var(0).mean() / len(X) * (1 / 200 + 1 / 1_000))
    found = kl_per_dimension(model, np.concatenate([X] * 200))
    assert found.shape == (1,) and abs(found[0] - each.mean()) < 5 * error < 0.2


def test_log_prob_integrates_over_it():
    """p(x) is the integral of p(x|z) p(z) over z, here a sum on a grid; 20,000 weights within 5 standard errors."""
    model = stirred(gain=0.5)  # posteriors near the components: no importance weight is far above the others
    points, area = grid()
    likelihood, log_prior = model.likelihood(points), model.prior().log_prob(points)
    exact = [scipy.special.logsumexp(likelihood.log_prob(x) + log_prior) + area for x in X[:3]]
    weights = np.exp(np.asarray(model.log_weights(tf.constant(X[:3], "float64"), 20_000, seed=1)) - exact)
    error = weights.std(0) / np.sqrt(20_000)
    assert (np.abs(weights.mean(0) - 1) < 5 * error).all() and error.max() < 0.02
    np.testing.assert_allclose(model.log_prob(X[:3], samples=5_000), exact, atol=0.1)  # 5 standard errors of 5,000


def test_pseudo_inputs_are_images_that_are_trained():
    model = compiled(VampVAE, pseudo_inputs=3)
    before = np.array(model.raw_pseudo_inputs)
    model.fit(X, batch_size=8, epochs=3, verbose=0)
    assert np.abs(np.array(model.raw_pseudo_inputs) - before).max() > 1e-4
    seen = []
    model.posterior, posterior = lambda x, *rest: seen.append(np.array(x)) or posterior(x, *rest), model.posterior
    model.raw_pseudo_inputs.assign(np.linspace(-50, 50, before.size).reshape(before.shape))
    model.prior()
    assert seen[0].shape == (3, *SHAPE) and seen[0].min() >= 0 and seen[0].max() <= 1


def test_the_prior_gives_the_encoder_a_gradient():
    """By central differences in one weight: both paths, through q(z|x) and through the components."""
    model = stirred()
    kernel = model.encoder.trainable_variables[0]
    gradient = gradient_of(model, 0, [kernel])[0].numpy()[3, 2]
    start, losses = kernel.numpy(), []
    for step in (1e-5, -1e-5):
        moved = start.copy()
        moved[3, 2] += step
        kernel.assign(moved)
        losses.append(losses_of(model)["model"])
    assert (losses[0] - losses[1]) / 2e-5 == pytest.approx(gradient, rel=1e-6)


def test_a_last_batch_of_one_image():
    assert_finite_whatever_the_last_batch(compiled(VampVAE, pseudo_inputs=3))


def test_arguments():
    for wrong in (0, -1, 2.0, "5"):
        assert_refused(VampVAE, {"pseudo_inputs": wrong}, r"pseudo_inputs must be a whole number, 1 or more\. Given: ")
    assert_comes_back(toy(VampVAE, pseudo_inputs=4), pseudo_inputs=4)


@pytest.mark.slow
def test_it_learns_digits():
    assert_learned(trained(VampVAE, pseudo_inputs=20))


class TestTraining:
    """The encoder reads images and pseudo-inputs in one pass, so that they are one function's, BatchNorm and all."""

    def model(self, **arguments):
        encoder = {"name": "mlp", "hidden": (8,), "activation": "tanh", **arguments}
        model = toy(VampVAE, pseudo_inputs=16, dtype="float64", encoder=encoder)
        model.raw_pseudo_inputs.assign(np.where(X > 0, 30.0, -30.0))  # the pseudo-inputs are X
        return model

    def test_equal_images_have_equal_posteriors(self):
        """In training the statistics are the batch's, not the moving ones: zeros and ones, which give another mean."""
        model = self.model(batch_norm=True)
        posterior, prior = model.posterior_and_prior(X, training=True)
        components = prior.components_distribution
        np.testing.assert_allclose(components.mean(), posterior.mean(), atol=1e-7)
        np.testing.assert_allclose(components.stddev(), posterior.stddev(), atol=1e-7)
        still = model.prior().components_distribution.mean()
        assert np.abs(still - posterior.mean()).max() > 1e-2
        alone = model.prior(training=True).components_distribution
        np.testing.assert_allclose(alone.mean(), posterior.mean(), atol=1e-7)

    def test_batch_norms_statistics_move_once_a_step_and_evaluation_has_them_for_both(self):
        model, alone = self.model(batch_norm=True), self.model(batch_norm=True)
        terms_of(model, training=True)
        alone.posterior(X, training=True)  # the mean of X twice is that of X
        moved, expected = ([np.asarray(w) for w in each.encoder.non_trainable_variables] for each in (model, alone))
        assert np.abs(moved[0]).max() > 1e-4
        for mine, theirs in zip(moved, expected, strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=1e-7)
        before = [np.array(w) for w in model.encoder.non_trainable_variables]
        terms_of(model, training=False)
        for mine, theirs in zip(before, model.encoder.non_trainable_variables, strict=True):
            np.testing.assert_array_equal(mine, theirs)
