"""Distributions of integer codes are TFP's, and their KL is registered."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from keras_vae.distributions import quantizers

CODES = tf.constant([[[0, 1], [4, 3]], [[2, 2], [0, 4]]])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_kl_of_certain_codes_from_uniform_ones_is_positions_times_log_entries(dtype):
    certain, uniform = quantizers.certain(CODES, dtype), quantizers.uniform((2, 2), 5, dtype)
    kl = tfd.kl_divergence(certain, uniform)
    assert kl.dtype == dtype and kl.shape == (2,)
    np.testing.assert_allclose(kl, 4 * np.log(5), rtol=1e-6)
    np.testing.assert_array_equal(kl, certain.log_prob(CODES) - uniform.log_prob(CODES))


def test_shapes_and_draws():
    certain, uniform = quantizers.certain(CODES, "float32"), quantizers.uniform((2, 2), 5, "float32")
    assert certain.batch_shape == (2,) and certain.event_shape == (2, 2) == uniform.event_shape
    assert uniform.batch_shape == ()
    np.testing.assert_array_equal(certain.sample(3, seed=(0, 1)), np.stack([CODES] * 3))
    draws = uniform.sample(5_000, seed=(0, 1)).numpy()
    assert np.abs(np.bincount(draws.ravel(), minlength=5) / draws.size - 0.2).max() < 5 * np.sqrt(0.16 / draws.size)
