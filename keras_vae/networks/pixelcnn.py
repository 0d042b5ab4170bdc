"""Gated PixelCNN: an autoregressive model of a grid of integers, in raster order."""

from collections.abc import Sequence
from typing import Any, Unpack

import keras
import numpy as np
from keras import ops

from keras_vae.checks import check_whole_number
from keras_vae.errors import UserError
from keras_vae.networks.arguments import LayerArguments
from keras_vae.types import Tensor


@keras.saving.register_keras_serializable(package="keras_vae")
class MaskedConv2D(keras.layers.Layer):
    """A convolution with a masked kernel, padded to the input's size.

    Args:
      filters: channels of the output.
      mask: `(height, width)`, odd sizes, 1 for the taps in use.
    """

    def __init__(self, filters: int, mask: Tensor, **kwargs: Unpack[LayerArguments]) -> None:
        super().__init__(**kwargs)
        self.filters, self.mask = filters, np.asarray(mask, "float32")

    def build(self, input_shape: Sequence[int | None]) -> None:
        shape = (*self.mask.shape, input_shape[-1], self.filters)
        self.kernel = self.add_weight(shape=shape, initializer="glorot_uniform", name="kernel")
        self.bias = self.add_weight(shape=(self.filters,), initializer="zeros", name="bias")

    def call(self, inputs: Tensor) -> Any:
        mask = ops.convert_to_tensor(self.mask[:, :, None, None], self.compute_dtype)
        kernel = ops.cast(self.kernel, self.compute_dtype) * mask
        return ops.conv(inputs, kernel, padding="same") + ops.cast(self.bias, self.compute_dtype)

    def last_row(self, rows: Tensor) -> Tensor:
        """Return the output of `call` in one row, from the rows under the mask: `(batch, rows, width, channels)`."""
        kernel, sides = ops.cast(self.kernel[: rows.shape[1]], self.compute_dtype), self.mask.shape[1] // 2
        padded = ops.pad(rows, [[0, 0], [0, 0], [sides, sides], [0, 0]])
        return ops.conv(padded, kernel, padding="valid") + ops.cast(self.bias, self.compute_dtype)

    def last_place(self, places: Tensor) -> Tensor:
        """Return the output of `call` at one position, from those under a one-row mask: `(batch, places, channels)`."""
        kernel = ops.cast(self.kernel[0, : places.shape[1]], self.compute_dtype)
        flat = ops.reshape(places, (-1, kernel.shape[0] * kernel.shape[1]))
        return ops.matmul(flat, ops.reshape(kernel, (-1, self.filters))) + ops.cast(self.bias, self.compute_dtype)

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        return (*input_shape[:-1], self.filters)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "filters": self.filters, "mask": self.mask.tolist()}


def vertical_mask(size: int, kind: str) -> np.ndarray:
    """Return the mask of the rows above and, for kind "b", the current row: `(size, size)`."""
    mask = np.zeros((size, size), "float32")
    mask[: size // 2 + (kind == "b")] = 1.0
    return mask


def horizontal_mask(size: int, kind: str) -> np.ndarray:
    """Return the mask of the positions to the left and, for kind "b", the current one: `(1, size)`."""
    mask = np.zeros((1, size), "float32")
    mask[:, : size // 2 + (kind == "b")] = 1.0
    return mask


@keras.saving.register_keras_serializable(package="keras_vae")
class GatedBlock(keras.layers.Layer):
    """One layer of both stacks: equation 2 and figure 2 of van den Oord et al. 2016, https://arxiv.org/abs/1606.05328.

    The vertical stack at a position sees all of the rows above it, so that no blind spot remains; the horizontal one
    sees the positions to the left, and the vertical stack. Each is tanh(f) * sigmoid(g).

    Args:
      filters: channels of each stack.
      kernel_size: odd.
      kind: `"a"` for the first layer, which does not see the current position; `"b"` for the others, which do.
    """

    def __init__(self, filters: int, kernel_size: int, kind: str, **kwargs: Unpack[LayerArguments]) -> None:
        super().__init__(**kwargs)
        self.filters, self.kernel_size, self.kind = filters, kernel_size, kind
        dtype = self.dtype_policy
        self.vertical = MaskedConv2D(2 * filters, vertical_mask(kernel_size, kind), dtype=dtype)
        self.horizontal = MaskedConv2D(2 * filters, horizontal_mask(kernel_size, kind), dtype=dtype)
        self.down = keras.layers.Conv2D(2 * filters, 1, dtype=dtype)
        self.out = keras.layers.Conv2D(filters, 1, dtype=dtype)

    def build(self, input_shape: Sequence[int | None]) -> None:
        self.vertical.build(input_shape)
        self.horizontal.build(input_shape)
        self.down.build((*input_shape[:-1], 2 * self.filters))
        self.out.build((*input_shape[:-1], self.filters))

    def call(self, above: Tensor, left: Tensor) -> tuple[Any, Any]:
        vertical = self.vertical(above)
        horizontal = self.horizontal(left) + self.down(vertical)
        new_above, gated = (gate(value) for value in (vertical, horizontal))
        new_left = self.out(gated)
        return new_above, new_left + left if self.kind == "b" else new_left

    def get_config(self) -> dict[str, Any]:
        arguments = {"filters": self.filters, "kernel_size": self.kernel_size, "kind": self.kind}
        return {**super().get_config(), **arguments}


def gate(value: Tensor) -> Tensor:
    first, second = ops.split(value, 2, axis=-1)
    return ops.tanh(first) * ops.sigmoid(second)


@keras.saving.register_keras_serializable(package="keras_vae")
class PixelCNN(keras.layers.Layer):
    """Logits of each integer of `(batch, height, width)` given those before it in raster order.

    The output is `(batch, height, width, entries)`, float32 or float64. Gated, with two stacks, and so without blind
    spot: van den Oord et al. 2016, https://arxiv.org/abs/1606.05328. A position sees `blocks * (kernel_size // 2)` rows
      up, and as many columns to each side.

    Args:
      entries: integers are from 0 to `entries - 1`.
      filters: channels of each stack.
      blocks: gated layers, the first of mask A, the others of mask B.
      kernel_size: odd, 3 or more.
    """

    def __init__(
        self,
        entries: int,
        filters: int = 64,
        blocks: int = 6,
        kernel_size: int = 5,
        **kwargs: Unpack[LayerArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.entries, self.filters = check_whole_number(entries, "entries"), check_whole_number(filters, "filters")
        self.blocks = check_whole_number(blocks, "blocks")
        self.kernel_size = check_whole_number(kernel_size, "kernel_size", minimum=3)
        if not self.kernel_size % 2:
            raise UserError(f"kernel_size must be odd, so that the kernel is centred. Given: {kernel_size}.")
        dtype = self.dtype_policy
        self.embedding = keras.layers.Embedding(self.entries, self.filters, dtype=dtype)
        self.gated = [
            GatedBlock(self.filters, self.kernel_size, "b" if index else "a", dtype=dtype)
            for index in range(self.blocks)
        ]
        self.hidden = keras.layers.Conv2D(self.filters, 1, activation="relu", dtype=dtype)
        self.last = keras.layers.Conv2D(self.entries, 1, dtype=dtype)
        vectors = (None, None, None, self.filters)
        for layer in (*self.gated, self.hidden, self.last):
            layer.build(vectors)
        self.embedding.build()
        self.built = True

    def call(self, codes: Tensor) -> Any:
        return self.logits(self.embedding(codes))

    def logits(self, vectors: Tensor) -> Tensor:
        """Return the logits of embedded integers, `(batch, height, width, filters)`."""
        above = left = vectors
        for block in self.gated:
            above, left = block(above, left)
        logits = self.last(self.hidden(ops.relu(left)))
        return ops.cast(logits, "float64" if self.compute_dtype == "float64" else "float32")

    def compute_output_shape(self, input_shape: Sequence[int | None], *_: object) -> tuple[int | None, ...]:
        return (*input_shape, self.entries)

    def get_config(self) -> dict[str, Any]:
        names = ("entries", "filters", "blocks", "kernel_size")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}
