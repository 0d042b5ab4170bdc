"""The mixture's density against that of TensorFlow Probability, and against scipy's far from all components."""

import numpy as np
import pytest
import scipy.special
import scipy.stats
import tensorflow as tf

from keras_vae.backend import tfd
from keras_vae.distributions.mixture import GaussianMixture

GENERATOR = np.random.default_rng(0)


def components(shape=(3,), count=5, dtype="float64", scale=1.0):
    mean = GENERATOR.normal(3.0, 2.0, (count, *shape)).astype(dtype)
    scales = (scale * GENERATOR.uniform(0.2, 1.5, (count, *shape))).astype(dtype)
    return tfd.Independent(tfd.Normal(tf.constant(mean), tf.constant(scales)), len(shape))


@pytest.mark.parametrize("shape", [(3,), (2, 2, 2)])
@pytest.mark.parametrize("leading", [(), (6,), (4, 6)])
def test_the_density_is_tfps(shape, leading):
    parts = components(shape)
    found, theirs = GaussianMixture(parts, 5), tfd.MixtureSameFamily(tfd.Categorical(logits=np.zeros(5)), parts)
    z = theirs.sample(leading, seed=(1, 2))
    np.testing.assert_allclose(found.log_prob(z), theirs.log_prob(z), rtol=1e-10)
    np.testing.assert_array_equal(found.sample(leading, seed=(1, 2)), z)
    np.testing.assert_allclose(found.mean(), theirs.mean())


@pytest.mark.parametrize("narrow", [0.03, 0.0003])
def test_float32_keeps_a_thousandth_of_a_nat(narrow):
    """Narrow components, of which one z has its own: the squares of the others are millions."""
    parts = components((40,), 200, "float32", scale=narrow)
    z = parts.sample(seed=(0, 1))
    normal = parts.distribution
    mean, scale = np.asarray(normal.loc, "float64"), np.asarray(normal.scale, "float64")
    logs = scipy.stats.norm(mean, scale).logpdf(np.asarray(z, "float64")[:, None]).sum(-1)
    expected = scipy.special.logsumexp(logs, axis=-1) - np.log(200)
    found = GaussianMixture(parts, 200).log_prob(z)
    assert found.dtype == "float32"
    np.testing.assert_allclose(found, expected, atol=1e-3)
