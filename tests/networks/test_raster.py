"""A PixelCNN place by place against the whole of it."""

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from keras_vae.networks import raster
from keras_vae.networks.pixelcnn import PixelCNN
from tests.export.bundles import stirred


def network(**arguments) -> Any:
    return stirred(PixelCNN(**{"entries": 4, "filters": 6, "blocks": 3, "kernel_size": 3, **arguments}))


def step_by_step(model, grid):
    """The logits of every place, by `next_row` and `next_place` alone, given the integers of `grid`."""
    count, height, width = grid.shape
    nothing, found = np.full(count, model.entries), np.zeros((*grid.shape, model.entries), "float32")
    rows, last_row = np.zeros((count, *raster.row_shapes(model, width)[0]), "float32"), np.tile(nothing, (width, 1)).T
    for row in range(height):
        above, rows = raster.next_row(model, last_row, rows)
        assert above.shape[1:] == raster.row_shapes(model, width)[1]
        left, last = np.zeros((count, *raster.place_shapes(model)[0]), "float32"), nothing
        for column in range(width):
            found[:, row, column], left = raster.next_place(model, last, above[:, column], left)
            last = grid[:, row, column]
        last_row = grid[:, row]
    return found


@pytest.mark.parametrize(
    ("arguments", "shape"),
    [({}, (4, 5)), ({"kernel_size": 5, "blocks": 2}, (6, 4)), ({"blocks": 1}, (3, 3)), ({}, (1, 7)), ({}, (7, 1))],
)
def test_every_logit_is_that_of_one_call(arguments, shape):
    model, grid = network(**arguments), np.random.default_rng(0).integers(0, 4, (3, *shape))
    # Sums of float32 numbers of order 1, in another order.
    np.testing.assert_allclose(step_by_step(model, grid), model(grid), rtol=0, atol=1e-5)


def test_a_draw_is_the_draw_that_calls_the_whole_network_for_each_place():
    model, shape = network(), (3, 4)
    noise = np.random.default_rng(1).gumbel(size=(5, 12, 4)).astype("float32")
    expected = np.zeros((5, *shape), "int32")
    for place, (row, column) in enumerate(np.ndindex(shape)):
        expected[:, row, column] = np.argmax(model(expected)[:, row, column] + noise[:, place], -1)

    def choose(logits, place):
        return tf.argmax(logits + tf.gather(noise, place, axis=1), -1, output_type="int32")

    np.testing.assert_array_equal(raster.draw(model, 5, *shape, choose), expected)
    assert len(np.unique(expected)) > 2
