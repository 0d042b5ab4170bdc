"""PixelCNN: causality and the receptive field as exact zeros of a Jacobian."""

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_vae.errors import UserError
from keras_vae.networks.pixelcnn import PixelCNN
from tests.export.bundles import stirred


def network(**arguments) -> Any:
    return stirred(PixelCNN(**{"entries": 3, "filters": 16, "blocks": 2, "kernel_size": 3, **arguments}))


def dependence(model, height, width):
    """`(places, places)`: whether the logits of the first place depend on the vector at the second.

    One copy of the input for each place, so that one backward pass gives the gradient of every place's logits.
    """
    generator, places = np.random.default_rng(0), height * width
    vectors = tf.constant(generator.normal(size=(places, height, width, model.filters)).astype("float32"))
    weights = generator.normal(size=(places, model.entries)).astype("float32")
    with tf.GradientTape() as tape:
        tape.watch(vectors)
        logits = tf.reshape(model.logits(vectors), (places, places, model.entries))
        own = tf.reduce_sum(tf.linalg.diag_part(tf.transpose(logits, (2, 0, 1))) * weights.T)
    return np.abs(tape.gradient(own, vectors).numpy()).max(-1).reshape(places, places) > 0


def in_field(height, width, reach):
    """The places before each in raster order, up to `reach` rows above and columns to each side."""
    field = np.zeros((height, width, height, width), bool)
    for row, column, r, c in np.ndindex(field.shape):
        earlier = r < row or (r == row and c < column)
        field[row, column, r, c] = earlier and row - r <= reach and abs(column - c) <= reach
    return field.reshape(height * width, height * width)


@pytest.mark.parametrize(("blocks", "kernel_size"), [(1, 3), (2, 3), (1, 5), (3, 3)])
def test_it_sees_exactly_the_places_before_it_within_its_reach(blocks, kernel_size):
    """The Jacobian is zero, exactly, at its own place and all later ones, and nowhere else in the receptive field: no
    blind spot."""
    seen = dependence(network(blocks=blocks, kernel_size=kernel_size), 4, 5)
    np.testing.assert_array_equal(seen, in_field(4, 5, blocks * (kernel_size // 2)))


@pytest.mark.parametrize("shape", [(1, 6), (6, 1)])
def test_one_row_or_one_column(shape):
    seen = dependence(network(blocks=3), *shape)
    np.testing.assert_array_equal(seen, in_field(*shape, 3))


def test_every_weight_gets_a_gradient_but_those_that_are_masked():
    """Of the last block's vertical stack too, which reaches the logits through the horizontal one."""
    model = network()
    codes = tf.constant(np.random.default_rng(0).integers(0, 3, (8, 4, 4)), "int32")
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model(codes) ** 2)
    for variable, gradient in zip(
        model.trainable_variables, tape.gradient(loss, [v.value for v in model.trainable_variables]), strict=True
    ):
        gradient = tf.convert_to_tensor(gradient).numpy()
        assert np.abs(gradient).max() > 0, variable.path
    for block in model.gated:
        for conv in (block.vertical, block.horizontal):
            assert conv.mask.sum() < conv.mask.size


def test_configuration_and_precision():
    model = network(dtype="mixed_bfloat16")
    again = PixelCNN.from_config(model.get_config())
    again.set_weights(model.get_weights())
    codes = tf.ones((2, 3, 3), "int32")
    logits = model(codes)
    assert logits.dtype == "float32" and logits.shape == (2, 3, 3, 3)
    np.testing.assert_array_equal(logits, again(codes))
    assert model(keras.Input((3, 3), dtype="int32")).shape == (None, 3, 3, 3)


def test_what_does_not_fit_is_refused():
    with pytest.raises(UserError, match=r"kernel_size must be odd, .* Given: 4\."):
        network(kernel_size=4)
    with pytest.raises(UserError, match=r"blocks must be a whole number, 1 or more\. Given: 0"):
        network(blocks=0)
