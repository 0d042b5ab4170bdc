"""Convolutional networks: shapes that halve and double, weights where they belong, sizes that do not divide."""

import itertools

import keras
import numpy as np
import pytest

from keras_vae.errors import UserError
from keras_vae.networks import ConvDecoder, ConvEncoder
from tests.toys import toy

X = np.random.default_rng(0).random((3, 8, 12, 2), dtype="float32")


def test_the_encoder_halves_and_the_decoder_doubles():
    encoder, decoder = ConvEncoder((6,), filters=(4, 5), dense=7), ConvDecoder((8, 12, 3), filters=(4, 5), dense=7)
    assert encoder(X).shape == (3, 6)
    assert decoder(np.zeros((3, 6), "float32")).shape == (3, 8, 12, 3)
    # 4x4 kernels, from the image to 4 and 5 channels; 2 x 3 x 5 numbers remain of the image
    assert [tuple(w.shape) for w in encoder.weights[::2]] == [(4, 4, 2, 4), (4, 4, 4, 5), (30, 7), (7, 6)]
    # A transposed kernel is (height, width, out, in).
    assert [tuple(w.shape) for w in decoder.weights[::2]] == [(6, 7), (7, 30), (4, 4, 4, 5), (4, 4, 3, 4)]


def test_every_layer_but_the_last_is_activated():
    for network, inputs in (
        (ConvEncoder((6,), filters=(2,), dense=3), X),
        (ConvDecoder((8, 12, 1), (2,), 3), X[:, 0, 0]),
    ):
        network(inputs)
        names = [type(layer).__name__ for layer in network.stack.layers]
        weighted = [i for i, name in enumerate(names) if name in ("Dense", "Conv2D", "Conv2DTranspose")]
        assert [names[i + 1 : i + 2] == ["Activation"] for i in weighted] == [True] * (len(weighted) - 1) + [False]


def test_batch_norm_stands_before_each_activation():
    network = ConvEncoder((6,), filters=(2, 3), dense=4, batch_norm=True)
    network(X)
    names = [type(layer).__name__ for layer in network.stack.layers]
    assert names.count("BatchNormalization") == names.count("Activation") == 3
    for before, after in itertools.pairwise(names):
        assert (after == "Activation") == (before == "BatchNormalization")


def test_an_image_moved_by_the_stride_moves_the_features():
    """Convolutions commute with shifts by their stride, away from the border."""
    network = ConvEncoder((6,), filters=(3,), dense=4)
    image = np.zeros((1, 16, 16, 1), "float32")
    image[0, 5:8, 5:8] = 1
    network(image)
    features = keras.Sequential(network.stack.layers[:2])
    first, second = features(image).numpy(), features(np.roll(image, 2, axis=1)).numpy()
    np.testing.assert_allclose(np.roll(first, 1, axis=1), second, atol=1e-6)


@pytest.mark.parametrize("cls", [ConvEncoder, ConvDecoder])
@pytest.mark.parametrize("dtype", ["float64", "mixed_bfloat16"])
def test_they_compute_in_their_policys_dtype(cls, dtype):
    network = cls((8, 8, 1), filters=(2,), dense=3, dtype=dtype)
    outputs = network(X[:, :, :8])
    assert outputs.dtype == {"float64": "float64", "mixed_bfloat16": "bfloat16"}[dtype]
    assert {layer.compute_dtype for layer in network.stack.layers} == {network.compute_dtype}


def test_float64_is_not_rounded_on_the_way():
    """Inputs that float32 cannot tell apart give outputs that differ as a linear map says."""
    network = ConvEncoder((1,), filters=(2,), dense=3, activation="linear", dtype="float64")
    x = np.random.default_rng(0).random((1, 4, 4, 1))
    step = np.zeros_like(x)
    step[0, 1, 2, 0] = 1.0
    small = (network(x + 1e-9 * step) - network(x)).numpy() / 1e-9
    large = (network(x + step) - network(x)).numpy()
    np.testing.assert_allclose(small, large, rtol=1e-5)


@pytest.mark.parametrize("cls", [ConvEncoder, ConvDecoder])
@pytest.mark.parametrize("shape", [(6, 8, 1), (8, 6, 1), (2, 2, 1)])
def test_sizes_that_do_not_divide(cls, shape):
    network = cls((6,) if cls is ConvEncoder else shape, filters=(4, 5))
    with pytest.raises(UserError, match=r"of 2 layers halves.*multiples of 4\. Given: an image of shape .*Use fewer"):
        network(np.zeros((1, *shape), "float32"))


@pytest.mark.parametrize("filters", [(), (0,), (2.5,), 32, "32"])
def test_filters_that_are_refused(filters):
    with pytest.raises(UserError, match=r"filters of a convolutional network are positive integers\. Given: "):
        ConvEncoder((6,), filters=filters)(X)


@pytest.mark.parametrize("dense", [0, -1, 2.5, "a"])
def test_a_dense_size_that_is_refused(dense):
    with pytest.raises(UserError, match=r"dense must be a whole number, 1 or more\. Given: "):
        ConvEncoder((6,), dense=dense)


def test_one_seed_one_convolutional_model():
    conv = {"name": "conv", "filters": (2, 3), "dense": 4}
    models = [toy(image_shape=(8, 8, 1), encoder=conv, decoder=conv, seed=seed) for seed in (3, 3, 4)]
    kernels = [np.asarray(model.encoder.weights[0]) for model in models]
    assert np.array_equal(kernels[0], kernels[1]) and not np.array_equal(kernels[0], kernels[2])
