"""Incremental sampling from a PixelCNN, position by position, with cached activations.

Drawing a grid with `PixelCNN.call` computes all positions for every position. Here the vertical stack runs once for
each row, and the horizontal one once for each position, so that a draw costs as much as one call: Ramachandran et al.
2017, https://arxiv.org/abs/1704.06001. The cache holds `kernel_size // 2` rows of each block's input, and as many
positions to the left.

The integer `entries` stands for padding: to the left of a row's first position, and above the first row.
"""

from collections.abc import Callable
from typing import Any

from keras import ops

from keras_vae.networks.pixelcnn import GatedBlock, PixelCNN, gate
from keras_vae.types import Tensor

Shape = tuple[int, ...]


def row_shapes(network: PixelCNN, width: int) -> tuple[Shape, Shape]:
    """Return the shapes, for one example, of the cache `rows` and the output `above` of `next_row`."""
    kept = (network.blocks, network.kernel_size // 2, width, network.filters)
    return kept, (width, network.blocks, 2 * network.filters)


def place_shapes(network: PixelCNN) -> tuple[Shape, Shape]:
    """Return the shapes, for one example, of the cache `left` and the input `above` of `next_place`."""
    kept = (network.blocks, network.kernel_size // 2, network.filters)
    return kept, (network.blocks, 2 * network.filters)


def next_row(network: PixelCNN, last_row: Tensor, rows: Tensor) -> tuple[Any, Any]:
    """Compute the vertical stack in the next row.

    Args:
      network: the PixelCNN.
      last_row: the integers of the row above, `(batch, width)`; before the first row, all `entries`.
      rows: the cache that the previous call returned; zeros before the first row.

    Returns:
      above: the vertical stack's input to the horizontal one at each position, `(batch, width, blocks, 2 filters)`.
      rows: the last rows of each block's input, `(batch, blocks, kernel_size // 2, width, filters)`.
    """
    new, below, kept = _embedded(network, last_row), [], []
    for index, block in enumerate(network.gated):
        window = _with_last(block, rows[:, index], new)
        kept.append(window[:, -rows.shape[2] :])
        vertical = block.vertical.last_row(window)
        below.append(block.down(vertical)[:, 0])
        new = gate(vertical)[:, 0]
    return ops.stack(below, axis=2), ops.stack(kept, axis=1)


def next_place(network: PixelCNN, last: Tensor, above: Tensor, left: Tensor) -> tuple[Any, Any]:
    """Compute the logits at the next position of a row.

    Args:
      network: the PixelCNN.
      last: the integer to the left, `(batch,)`; before the first position, `entries`.
      above: the output of `next_row` at this position, `(batch, blocks, 2 filters)`.
      left: the cache that the previous call returned; zeros before the first position of each row.

    Returns:
      logits: `(batch, entries)`.
      left: the last positions of each block's input, `(batch, blocks, kernel_size // 2, filters)`.
    """
    new, kept = _embedded(network, last), []
    for index, block in enumerate(network.gated):
        window = _with_last(block, left[:, index], new)
        kept.append(window[:, -left.shape[2] :])
        result = _at_one_place(block.out, gate(block.horizontal.last_place(window) + above[:, index]))
        new = result + new if block.kind == "b" else result
    logits = _at_one_place(network.last, _at_one_place(network.hidden, ops.relu(new)))
    return ops.cast(logits, "float64" if network.compute_dtype == "float64" else "float32"), ops.stack(kept, axis=1)


def draw(
    network: PixelCNN, count: Tensor | int, height: int, width: int, choose: Callable[[Tensor, Tensor], Tensor]
) -> Tensor:
    """Draw grids of integers in raster order: `(count, height, width)`, int32.

    Args:
      network: the PixelCNN.
      count: the number of grids; may be a tensor.
      height: rows.
      width: columns.
      choose: from the logits at a position, `(count, entries)`, and its index, to integers `(count,)`.
    """
    nothing = ops.zeros((count, 1), "int32") + network.entries
    columns = ops.arange(width, dtype="int32")

    def one_row(row: Tensor, carry: Tensor) -> Any:
        grid, last_row, rows = carry
        above, rows = next_row(network, last_row, rows)

        def one_place(column: Tensor, carry: Tensor) -> Any:
            integers, last, left = carry
            logits, left = next_place(network, last, ops.take(above, column, axis=1), left)
            last = choose(logits, row * width + column)
            return ops.where(columns == column, last[:, None], integers), last, left

        left = ops.zeros((count, *place_shapes(network)[0]), network.compute_dtype)
        start = ops.zeros((count, width), "int32"), nothing[:, 0], left
        integers = ops.fori_loop(0, width, one_place, start)[0]
        here = ops.arange(height, dtype="int32")[:, None] == row
        return ops.where(here, integers[:, None], grid), integers, rows

    rows = ops.zeros((count, *row_shapes(network, width)[0]), network.compute_dtype)
    start = ops.zeros((count, height, width), "int32"), ops.tile(nothing, (1, width)), rows
    return ops.fori_loop(0, height, one_row, start)[0]


def _embedded(network: PixelCNN, integers: Tensor) -> Tensor:
    """Return the embeddings of integers; for `entries`, zeros, as the padding of a convolution."""
    table = ops.cast(network.embedding.embeddings, network.compute_dtype)
    return ops.take(ops.concatenate([table, ops.zeros_like(table[:1])]), integers, axis=0)


def _at_one_place(convolution: Any, vectors: Tensor) -> Tensor:
    """Apply a 1x1 convolution to `(batch, channels)` as a matrix product: ONNX has no convolution of one position."""
    kernel, bias = (ops.cast(weight, vectors.dtype) for weight in (convolution.kernel[0, 0], convolution.bias))
    return convolution.activation(ops.matmul(vectors, kernel) + bias)


def _with_last(block: GatedBlock, kept: Tensor, new: Tensor) -> Tensor:
    """Return the window under a block's masks: the cache, then the new vectors, unless the mask is of kind "a"."""
    window = ops.concatenate([kept, new[:, None]], axis=1)
    return window[:, 1:] if block.kind == "a" else window
