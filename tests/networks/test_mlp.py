"""The multilayer perceptron against its own matrix products."""

import inspect

import keras
import numpy as np
import pytest

from keras_vae.errors import UserError
from keras_vae.networks import DECODERS, ENCODERS, MLP, ConvDecoder, ConvEncoder

X = np.random.default_rng(0).normal(size=(5, 3, 2, 1)).astype("float32")


def test_it_is_matrix_products_and_activations():
    network = MLP((2, 2), hidden=(4, 3), activation="tanh")
    outputs = network(X)
    (w1, b1, w2, b2, w3, b3), h = [np.asarray(w) for w in network.weights], X.reshape(5, -1)
    for kernel, bias in ((w1, b1), (w2, b2)):
        h = np.tanh(h @ kernel + bias)
    np.testing.assert_allclose(outputs, (h @ w3 + b3).reshape(5, 2, 2), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("batch_norm", [False, True])
def test_a_gated_layer_is_a_product_with_a_sigmoid(batch_norm):
    """(W x + b) * sigmoid(V x + c): Tomczak and Welling 2018, section 5.2."""
    network = MLP((2,), hidden=(4,), activation="gated", batch_norm=batch_norm)
    outputs = network(X)
    weights, h = [np.asarray(w) for w in network.weights], X.reshape(5, -1)
    # Untrained: moving mean 0 and variance 1.
    inner = h @ weights[0] / np.sqrt(1 + 1e-3) if batch_norm else h @ weights[0] + weights[1]
    h = inner[:, :4] / (1 + np.exp(-inner[:, 4:]))
    np.testing.assert_allclose(outputs, h @ weights[-2] + weights[-1], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("cls", [ConvEncoder, ConvDecoder])
def test_convolutions_may_be_gated(cls):
    shape = (3,) if cls is ConvEncoder else (4, 4, 1)
    plain, gated = (cls(shape, filters=(5,), dense=6, activation=name) for name in ("linear", "gated"))
    x = np.random.default_rng(0).normal(size=(2, 4, 4, 1) if cls is ConvEncoder else (2, 3)).astype("float32")
    assert plain(x).shape == gated(x).shape == (2, *shape)
    assert gated.count_params() > plain.count_params()


def test_a_network_that_cannot_be_gated_says_so():
    with pytest.raises(UserError, match=r"Unknown activation 'gated'"):
        ENCODERS["residual"]((3,), activation="gated")


def test_no_hidden_layer_is_linear():
    network = MLP((7,), hidden=())
    both = network(2 * X) - 2 * network(X)
    np.testing.assert_allclose(both, np.broadcast_to(-np.asarray(network.weights[1]), (5, 7)), atol=1e-5)


def test_the_seed_architecture():
    network = MLP((40,))
    network.build((None, 28, 28, 1))
    assert [tuple(weight.shape) for weight in network.weights[::2]] == [(784, 400), (400, 400), (400, 40)]


def test_batch_norm_stands_before_the_activation():
    network = MLP((2,), hidden=(4,), batch_norm=True)
    network(X)
    names = [type(layer).__name__ for layer in network.stack.layers]
    assert names == ["Flatten", "Dense", "BatchNormalization", "Activation", "Dense", "Reshape"]
    assert len(network.trainable_variables) == 5, "the normalisation's shift stands for the bias"
    hidden = keras.Sequential(network.stack.layers[:3])(X, training=True).numpy()
    np.testing.assert_allclose(hidden.mean(0), 0, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float64", "mixed_bfloat16"])
def test_it_computes_in_its_policys_dtype(dtype):
    network = MLP((2,), hidden=(4,), dtype=dtype)
    assert network(X).dtype == {"float64": "float64", "mixed_bfloat16": "bfloat16"}[dtype]


def test_float64_is_not_rounded_on_the_way():
    x = np.random.default_rng(1).normal(size=(5, 6))
    network = MLP((3,), hidden=(), dtype="float64")
    outputs = network(x).numpy()
    kernel, bias = (np.asarray(weight) for weight in network.weights)
    np.testing.assert_allclose(outputs, x @ kernel + bias, rtol=1e-12)


@pytest.mark.parametrize("hidden", [(0,), (-3,), (2.5,), ("4",)])
def test_hidden_sizes_that_are_refused(hidden):
    with pytest.raises(UserError, match=r"hidden sizes of an MLP are positive integers\. Given: "):
        MLP((2,), hidden=hidden)


@pytest.mark.parametrize("hidden", [4, None, "4"])
def test_hidden_sizes_are_a_list(hidden):
    with pytest.raises(UserError, match=r"hidden sizes of an MLP are positive integers\. Given: "):
        MLP((2,), hidden=hidden)


def test_sizes_of_numpy_are_integers():
    config = MLP((3,), hidden=(4, np.int64(5))).get_config()
    assert config["hidden"] == (4, 5) and all(type(size) is int for size in config["hidden"])


def test_an_unknown_activation():
    with pytest.raises(UserError, match=r"Unknown activation 'rleu'\. Did you mean 'relu'"):
        MLP((2,), activation="rleu")


@pytest.mark.parametrize("cls", sorted({*ENCODERS.values(), *DECODERS.values()}, key=lambda cls: cls.__name__))
def test_configuration_comes_back(cls):
    takes = inspect.signature(cls).parameters
    arguments = {name: value for name, value in {"activation": "elu", "batch_norm": True}.items() if name in takes}
    shape = (8, 2) if cls.__module__.endswith(".series") else (8, 8, 2)
    network = cls(shape, **arguments)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(network))
    assert again.get_config() == network.get_config()
    assert again.compute_output_shape((None, *shape[:-1], 1)) == (None, *shape)
