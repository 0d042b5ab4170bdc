"""Residual networks: a block by hand, sizes and maps, no dependence on the batch, every weight used, ONNX."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_vae.errors import UserError
from keras_vae.export import export
from keras_vae.models import VAE
from keras_vae.networks import ResidualDecoder, ResidualEncoder
from keras_vae.networks.residual import ResidualBlock
from keras_vae.networks.stack import Upsample, repeated
from tests.export.bundles import stirred

X = np.random.default_rng(0).random((3, 8, 12, 2), dtype="float32")
SMALL = {"filters": (4, 6), "groups": 2}


def test_a_block_by_hand():
    """x + f(x): each group of an example's channels has mean 0 and variance 1 before scale and shift; then SiLU."""
    block = ResidualBlock(groups=2, dtype="float64")
    x = np.random.default_rng(1).normal(2, 3, (2, 5, 4, 6))
    block(x)
    for weight in block.weights:
        weight.assign(np.random.default_rng(2).normal(size=weight.shape))
    value, weights = x, [np.asarray(weight) for weight in block.weights]
    for scale, shift, kernel, bias in (weights[:4], weights[4:]):
        groups = value.reshape(2, 5, 4, 2, 3)
        mean, variance = (getattr(groups, name)((1, 2, 4), keepdims=True) for name in ("mean", "var"))
        normal = ((groups - mean) / np.sqrt(variance + 1e-3)).reshape(value.shape) * scale + shift
        padded = np.pad(normal / (1 + np.exp(-normal)), ((0, 0), (1, 1), (1, 1), (0, 0)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
        value = np.einsum("bhwcij,ijcd->bhwd", windows, kernel) + bias
    np.testing.assert_allclose(block(x), x + value, rtol=1e-10)


def test_upsampling_repeats_pixels():
    for times in (1, 2, 4):
        np.testing.assert_array_equal(repeated(X, times), X.repeat(times, axis=1).repeat(times, axis=2))
    np.testing.assert_array_equal(Upsample()(X), X.repeat(2, axis=1).repeat(2, axis=2))


def test_the_encoder_halves_and_the_decoder_doubles():
    encoder, decoder = ResidualEncoder((6,), blocks=2, **SMALL), ResidualDecoder((8, 12, 3), blocks=2, **SMALL)
    assert encoder(X).shape == (3, 6) and decoder(np.zeros((3, 6), "float32")).shape == (3, 8, 12, 3)
    assert encoder.stack.layers[-3].output.shape[1:] == (2 * 3 * 6,), "2 x 3 x 6 numbers remain of the image"
    stages = [layer.output.shape[1:] for layer in decoder.stack.layers if isinstance(layer, Upsample)]
    assert stages == [(4, 6, 6), (8, 12, 4)]
    for network in (encoder, decoder):
        assert sum(isinstance(layer, ResidualBlock) for layer in network.stack.layers) == 4


def test_maps_in_and_out():
    encoder, decoder = ResidualEncoder((2, 3, 5), **SMALL), ResidualDecoder((8, 12, 1), **SMALL)
    assert encoder(X).shape == (3, 2, 3, 5) and decoder(encoder(X)).shape == (3, 8, 12, 1)
    assert not any(isinstance(layer, keras.layers.Dense) for net in (encoder, decoder) for layer in net.stack.layers)


@pytest.mark.parametrize("cls", [ResidualEncoder, ResidualDecoder])
def test_an_output_does_not_depend_on_the_batch_or_on_training(cls):
    network = cls((8, 12, 2) if cls is ResidualDecoder else (4,), **SMALL)
    inputs = X if cls is ResidualEncoder else X[:, 0, 0]
    whole = network(inputs)
    # float32 sums in another order, of numbers of order 1
    np.testing.assert_allclose(network(inputs[1:2]), whole[1:2], rtol=0, atol=1e-5)
    np.testing.assert_array_equal(network(inputs, training=True), whole)


@pytest.mark.parametrize("cls", [ResidualEncoder, ResidualDecoder])
def test_every_weight_gets_a_gradient(cls):
    network = cls((8, 12, 2) if cls is ResidualDecoder else (4,), blocks=2, **SMALL)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.square(network(X if cls is ResidualEncoder else X[:, 0, 0])))
    for gradient in tape.gradient(loss, [variable.value for variable in network.trainable_variables]):
        assert np.abs(gradient).max() > 0


@pytest.mark.parametrize("dtype", ["float64", "mixed_bfloat16"])
def test_they_compute_in_their_policys_dtype(dtype):
    networks = ResidualEncoder((6,), dtype=dtype, **SMALL), ResidualDecoder((32, 48, 1), dtype=dtype, **SMALL)
    for network in networks:
        assert network(X).dtype == {"float64": "float64", "mixed_bfloat16": "bfloat16"}[dtype]
        assert {layer.compute_dtype for layer in network.stack.layers} == {network.compute_dtype}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ResidualEncoder((6,), filters=(4, 6)), r"multiples of groups\. Given: filters=\(4, 6\), groups=8"),
        (lambda: ResidualDecoder((8, 8, 1), filters=()), r"filters of a convolutional network are positive integers"),
        (lambda: ResidualEncoder((6,), blocks=0), r"blocks must be a whole number, 1 or more\. Given: 0"),
        (lambda: ResidualEncoder((6,), groups=0), r"groups must be a whole number, 1 or more\. Given: 0"),
        (lambda: ResidualEncoder((6,), activation="sliu"), r"Unknown activation 'sliu'\. Did you mean 'silu'"),
        (lambda: ResidualEncoder((6,), **SMALL)(X[:, :6]), r"multiples of 4\. Given: an image of shape \(6, 12, 2\)"),
        (lambda: ResidualDecoder((8, 10, 1), **SMALL)(X[:, 0, 0]), r"multiples of 4\. Given: an image of shape \(8, 1"),
        (lambda: ResidualEncoder((4, 6, 1), **SMALL)(X), r"of 2 stages .*, 2\) and a map of 2x3\. Given: .*4x6"),
        (lambda: ResidualDecoder((8, 12, 1), **SMALL)(X), r"\(8, 12, 1\) and a map of 2x3\. Given: .*8x12"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(make, message):
    with pytest.raises(UserError, match=message):
        make()


def small_model():
    spec = {"name": "residual", **SMALL}
    return stirred(VAE(image_shape=(8, 8, 1), latent_dim=3, encoder=spec, decoder=spec))


@pytest.mark.slow
def test_exports_to_every_format(tmp_path):
    """ONNX and SavedModel are among the fast tests in those of HierarchicalVAE, which is made of these networks."""
    bundle = export(small_model(), tmp_path / "bundle", ("saved_model", "onnx", "litert", "openvino", "keras"))
    assert len({row.format for row in bundle.parity}) >= 4
    assert all(row.max_error <= row.tolerance for row in bundle.parity)
