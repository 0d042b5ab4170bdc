"""Bernoulli images are TFP's independent Bernoullis."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from keras_vae.likelihoods.bernoulli import BernoulliImages

GENERATOR = np.random.default_rng(0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_as_tfp_s(dtype):
    logits = tf.constant(GENERATOR.normal(scale=4, size=(5, 3, 2, 2)), dtype)
    x = tf.constant(GENERATOR.integers(0, 2, (7, 5, 3, 2, 2)), dtype)
    own, theirs = BernoulliImages(logits), tfd.Independent(tfd.Bernoulli(logits=logits, dtype=logits.dtype), 3)
    assert own.batch_shape == theirs.batch_shape and own.event_shape == theirs.event_shape and own.dtype == theirs.dtype
    np.testing.assert_allclose(own.log_prob(x), theirs.log_prob(x), rtol=1e-5 if dtype == "float32" else 1e-12)
    for name in ("mean", "mode", "variance", "entropy"):
        np.testing.assert_allclose(getattr(own, name)(), getattr(theirs, name)(), rtol=1e-5)
    assert own.sample(4, seed=(0, 1)).shape == (4, 5, 3, 2, 2)
    np.testing.assert_array_equal(own.sample(seed=(0, 1)), own.sample(seed=(0, 1)))
    assert set(np.unique(own.sample(4, seed=(0, 1)))) == {0.0, 1.0}


def test_the_gradient_is_x_minus_the_mean():
    logits, x = tf.constant([-80.0, -1.0, 0.0, 2.0, 80.0], "float32")[:, None, None, None], tf.ones((5, 1, 1, 1))
    with tf.GradientTape() as tape:
        tape.watch(logits)
        value = BernoulliImages(logits).log_prob(x)
    np.testing.assert_allclose(tape.gradient(value, logits), x - tf.sigmoid(logits), atol=1e-6)
    np.testing.assert_allclose(value, [-80, -np.log1p(np.e), -np.log(2), -np.log1p(np.exp(-2)), 0], atol=1e-5)


@pytest.mark.parametrize("pixels", [1, 7, 16, 30, 31, 784])
def test_products_of_any_number_of_pixels_are_the_sum_of_logarithms(pixels):
    logits, x = GENERATOR.normal(scale=30, size=(4, pixels)), GENERATOR.integers(0, 2, (4, pixels))
    exact = (x * logits - np.logaddexp(0.0, logits)).sum(axis=-1)
    for dtype, tolerance in (("float32", 1e-5), ("float64", 1e-13)):
        value = BernoulliImages(tf.constant(logits, dtype)).log_prob(tf.constant(x, dtype))
        np.testing.assert_allclose(value, exact, rtol=tolerance, atol=tolerance)


def test_gradients_of_x_of_broadcast_logits_and_of_second_order_are_those_of_the_formula():
    logits, x = tf.constant(GENERATOR.normal(size=(3, 4, 4)), "float64"), tf.constant(GENERATOR.random((2, 3, 4, 4)))

    def derivatives(log_prob):
        with tf.GradientTape(persistent=True) as outer:
            outer.watch([logits, x])
            with tf.GradientTape() as inner:
                inner.watch([logits, x])
                value = tf.reduce_sum(tf.sin(log_prob()))
            first = inner.gradient(value, [logits, x])
        return [*first, *(outer.gradient(one, other) for one in first for other in (logits, x))]

    def formula():
        return tf.reduce_sum(x * logits - tf.nn.softplus(logits), axis=(-2, -1))

    for own, exact in zip(derivatives(lambda: BernoulliImages(logits).log_prob(x)), derivatives(formula), strict=True):
        np.testing.assert_allclose(own, exact, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_gradient_has_the_shape_of_its_argument_whatever_is_known_of_it(jit_compile):
    logits, x = (
        tf.constant(GENERATOR.normal(size=(1, 4, 4))),
        tf.constant(GENERATOR.integers(0, 2, (6, 4, 4)), "float64"),
    )

    @tf.function(input_signature=[tf.TensorSpec((None, 4, 4), "float64")] * 2, jit_compile=jit_compile)
    def gradients(logits, x):
        value = BernoulliImages(logits).log_prob(x)
        return tf.gradients(value, [logits, x])

    of_logits, of_x = gradients(logits, x)
    exact = tf.reduce_sum(x - tf.sigmoid(logits), 0, keepdims=True)
    np.testing.assert_allclose(of_logits, exact, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(of_x, np.broadcast_to(logits, x.shape), rtol=1e-12)
