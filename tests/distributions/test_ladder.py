"""A ladder is a TFP joint distribution: structured events, ancestral draws, a density, and a KL where it is exact."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from keras_vae.distributions.ladder import Ladder, kl_of_levels

KERNEL = np.random.default_rng(0).normal(size=(2, 3)).astype("float32")


def normal(mean, scale=1.0):
    return tfd.Independent(tfd.Normal(mean, scale * tf.ones_like(mean)), 1)


def linear(top, kernel=KERNEL, scale=0.5):
    """z2 from `top`, and z1 given z2 from N(z2 K, scale**2)."""

    def level(name, above):
        return normal(above["z2"] @ kernel, scale) if above else top

    return Ladder({"z2": (2,), "z1": (3,)}, level)


@pytest.fixture
def batch():
    return linear(normal(tf.constant(np.random.default_rng(1).normal(size=(5, 2)), "float32")))


def test_it_is_a_distribution_of_structured_events(batch):
    assert isinstance(batch, tfd.Distribution)
    assert batch.dtype == {"z2": tf.float32, "z1": tf.float32}
    assert batch.batch_shape == (5,) and batch.event_shape == {"z2": (2,), "z1": (3,)}
    np.testing.assert_array_equal(batch.batch_shape_tensor(), [5])
    np.testing.assert_array_equal(batch.event_shape_tensor()["z1"], [3])
    assert linear(normal(tf.zeros(2))).batch_shape == ()
    for shape in ((), 4, (2, 3)):
        z = batch.sample(shape, seed=(0, 1))
        leading = (shape,) if isinstance(shape, int) else shape
        assert {name: tuple(value.shape) for name, value in z.items()} == {
            "z2": (*leading, 5, 2), "z1": (*leading, 5, 3)
        }  # fmt: skip
        assert batch.log_prob(z).shape == (*leading, 5)


def test_its_density_is_that_of_the_joint_gaussian():
    """z2 ~ N(0, I) and z1 = z2 K + 0.5 e: the pair is a Gaussian whose covariance is known."""
    ladder = linear(normal(tf.zeros(2)))
    z = ladder.sample(7, seed=(0, 2))
    covariance = np.block([[np.eye(2), KERNEL], [KERNEL.T, KERNEL.T @ KERNEL + 0.25 * np.eye(3)]])
    exact = tfd.MultivariateNormalFullCovariance(np.zeros(5), covariance)
    expected = exact.log_prob(np.concatenate([z["z2"], z["z1"]], axis=-1).astype("float64"))
    np.testing.assert_allclose(ladder.log_prob(z), expected, rtol=1e-5)
    many = ladder.sample(50_000, seed=(0, 3))
    sampled = np.cov(np.concatenate([many["z2"], many["z1"]], axis=-1).T)
    np.testing.assert_allclose(sampled, covariance, atol=0.1)


def test_a_batch_of_unknown_size_is_traced(batch):
    @tf.function(input_signature=[tf.TensorSpec((None, 2))])
    def draw(mean):
        z = linear(normal(mean)).sample(seed=(0, 1))
        return z, linear(normal(mean)).log_prob(z)

    z, log_prob = draw(batch.level("z2", {}).mean())
    np.testing.assert_allclose(z["z1"], batch.sample(seed=(0, 1))["z1"], rtol=1e-6)
    assert log_prob.shape == (5,)


def test_the_kl_of_one_level_is_registered():
    posterior, prior = (
        Ladder({"z1": (2,)}, lambda *_, mean=mean: normal(mean)) for mean in (tf.ones((5, 2)), tf.zeros(2))
    )
    np.testing.assert_allclose(tfd.kl_divergence(posterior, prior), np.ones(5))


def test_the_kl_of_several_levels_is_an_expectation_and_is_refused_without_draws(batch):
    with pytest.raises(NotImplementedError, match=r"expectation over the levels above.*kl_of_levels"):
        tfd.kl_divergence(batch, linear(normal(tf.zeros(2))))


def test_the_kl_of_levels_averages_to_the_kl_of_the_joint_gaussians():
    # The means of z1 differ by z2 times a matrix, so that its KL depends on the draw of z2.
    posterior, prior = linear(normal(tf.ones((50_000, 2))), 2 * KERNEL, 0.7), linear(normal(tf.zeros(2)))
    levels = kl_of_levels(posterior, prior, posterior.sample(seed=(0, 4))).numpy()

    def joint(mean, kernel, scale):
        covariance = np.block([[np.eye(2), kernel], [kernel.T, kernel.T @ kernel + scale**2 * np.eye(3)]])
        return tfd.MultivariateNormalFullCovariance(np.concatenate([mean, mean @ kernel]), covariance)

    exact = tfd.kl_divergence(joint(np.ones(2), 2.0 * KERNEL, 0.7), joint(np.zeros(2), 1.0 * KERNEL, 0.5))
    total = levels.sum(-1)
    assert abs(total.mean() - exact) < 5 * total.std() / np.sqrt(50_000) < 0.05 * exact
