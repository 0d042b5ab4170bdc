"""A PixelCNN place by place: what a place needs of those before it is kept, and not computed again.

Drawing a grid with `PixelCNN.call` computes all places for each place. Here the vertical stack is computed once for
each row, and the horizontal one once for each place, so that the cost is that of one call: Ramachandran et al. 2017,
https://arxiv.org/abs/1704.06001. There are `kernel_size // 2` rows, and as many places to the left, to be kept of each
block's input.

The integer `entries` stands for no integer: to the left of a row's first place, and in the row above the first.
"""

from collections.abc import Callable
from typing import Any

from keras import ops

from keras_vae.networks.pixelcnn import GatedBlock, PixelCNN, gate
from keras_vae.types import Tensor

Shape = tuple[int, ...]


def row_shapes(network: PixelCNN, width: int) -> tuple[Shape, Shape]:
    """The shapes, of one example, of what `next_row` keeps and gives: `rows` and `above`."""
    kept = (network.blocks, network.kernel_size // 2, width, network.filters)
    return kept, (width, network.blocks, 2 * network.filters)


def place_shapes(network: PixelCNN) -> tuple[Shape, Shape]:
    """The shapes, of one example, of what `next_place` keeps and is given: `left` and `above`."""
    kept = (network.blocks, network.kernel_size // 2, network.filters)
    return kept, (network.blocks, 2 * network.filters)


def next_row(network: PixelCNN, last_row: Tensor, rows: Tensor) -> tuple[Any, Any]:
    """The vertical stack in the next row.

    Args:
      network: the PixelCNN.
      last_row: the integers of the row above, `(batch, width)`; before the first row, all `entries`.
      rows: what the call before gave; zeros before the first row.

    Returns:
      above: what the vertical stack gives the horizontal one at each place, `(batch, width, blocks, 2 filters)`.
      rows: the last rows of each block's input, `(batch, blocks, kernel_size // 2, width, filters)`.
    """
    new, given, kept = _embedded(network, last_row), [], []
    for place, block in enumerate(network.gated):
        window = _with_last(block, rows[:, place], new)
        kept.append(window[:, -rows.shape[2] :])
        vertical = block.vertical.last_row(window)
        given.append(block.down(vertical)[:, 0])
        new = gate(vertical)[:, 0]
    return ops.stack(given, axis=2), ops.stack(kept, axis=1)


def next_place(network: PixelCNN, last: Tensor, above: Tensor, left: Tensor) -> tuple[Any, Any]:
    """The logits of the next place of a row.

    Args:
      network: the PixelCNN.
      last: the integer to the left, `(batch,)`; before the first place, `entries`.
      above: what `next_row` gave of this place, `(batch, blocks, 2 filters)`.
      left: what the call before gave; zeros before the first place of each row.

    Returns:
      logits: `(batch, entries)`.
      left: the last places of each block's input, `(batch, blocks, kernel_size // 2, filters)`.
    """
    new, kept = _embedded(network, last), []
    for place, block in enumerate(network.gated):
        window = _with_last(block, left[:, place], new)
        kept.append(window[:, -left.shape[2] :])
        result = _at_one_place(block.out, gate(block.horizontal.last_place(window) + above[:, place]))
        new = result + new if block.kind == "b" else result
    logits = _at_one_place(network.last, _at_one_place(network.hidden, ops.relu(new)))
    return ops.cast(logits, "float64" if network.compute_dtype == "float64" else "float32"), ops.stack(kept, axis=1)


def draw(
    network: PixelCNN, count: Tensor | int, height: int, width: int, choose: Callable[[Tensor, Tensor], Tensor]
) -> Tensor:
    """`(count, height, width)` int32, place by place in raster order.

    Args:
      network: the PixelCNN.
      count: how many grids; may be a tensor.
      height: rows.
      width: columns.
      choose: from the logits of a place, `(count, entries)`, and its number, to integers `(count,)`.
    """
    nothing = ops.zeros((count, 1), "int32") + network.entries
    columns = ops.arange(width, dtype="int32")

    def one_row(row: Tensor, carry: Tensor) -> Any:
        grid, last_row, rows = carry
        above, rows = next_row(network, last_row, rows)

        def one_place(column: Tensor, carry: Tensor) -> Any:
            drawn, last, left = carry
            logits, left = next_place(network, last, ops.take(above, column, axis=1), left)
            last = choose(logits, row * width + column)
            return ops.where(columns == column, last[:, None], drawn), last, left

        left = ops.zeros((count, *place_shapes(network)[0]), network.compute_dtype)
        start = ops.zeros((count, width), "int32"), nothing[:, 0], left
        drawn = ops.fori_loop(0, width, one_place, start)[0]
        here = ops.arange(height, dtype="int32")[:, None] == row
        return ops.where(here, drawn[:, None], grid), drawn, rows

    rows = ops.zeros((count, *row_shapes(network, width)[0]), network.compute_dtype)
    start = ops.zeros((count, height, width), "int32"), ops.tile(nothing, (1, width)), rows
    return ops.fori_loop(0, height, one_row, start)[0]


def _embedded(network: PixelCNN, integers: Tensor) -> Tensor:
    """Their vectors; of `entries`, zeros, as a convolution sees beyond the edge."""
    table = ops.cast(network.embedding.embeddings, network.compute_dtype)
    return ops.take(ops.concatenate([table, ops.zeros_like(table[:1])]), integers, axis=0)


def _at_one_place(convolution: Any, vectors: Tensor) -> Tensor:
    """What a 1x1 convolution gives, `(batch, channels)`: a product of matrices, as ONNX has no convolution of those."""
    kernel, bias = (ops.cast(each, vectors.dtype) for each in (convolution.kernel[0, 0], convolution.bias))
    return convolution.activation(ops.matmul(vectors, kernel) + bias)


def _with_last(block: GatedBlock, kept: Tensor, new: Tensor) -> Tensor:
    """What a block's masks see: what was kept, then the new; the first block does not see its own row or place."""
    window = ops.concatenate([kept, new[:, None]], axis=1)
    return window[:, 1:] if block.kind == "a" else window
