"""From vectors to integers and back: nearest entries, finite levels, and distributions of integer codes."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_vae import backend
from keras_vae.backend import tfd
from keras_vae.types import Tensor


def straight_through(value: Tensor, quantised: Tensor) -> Tensor:
    """`quantised`, with the gradient of the identity by `value`: Bengio et al. 2013, https://arxiv.org/abs/1308.3432."""
    return value + ops.stop_gradient(quantised - value)


def nearest(vectors: Tensor, codebook: Tensor) -> Any:
    """The nearest row of `codebook`, `(entries, size)`, for each of `(..., size)`: int32, of equals the first.

    Not keras.ops.argmin, which makes ops that ONNX lacks.
    """
    distances = ops.sum(ops.square(codebook), axis=-1) - 2.0 * ops.matmul(vectors, ops.transpose(codebook))
    return backend.argmin(distances, axis=-1)


def squared_length(vectors: Tensor) -> Tensor:
    """`|.|**2` of each example's vectors, `(batch, ...)`, summed over positions and dimensions: `(batch,)`."""
    return ops.sum(ops.square(vectors), axis=tuple(range(1, len(vectors.shape))))


def uses_of(codes: Tensor, entries: int) -> Tensor:
    """How often each entry occurs in each example of `codes`, `(batch, ...)`: `(batch, entries)`, float32."""
    flat = ops.reshape(codes, (ops.shape(codes)[0], -1))
    return ops.sum(ops.one_hot(flat, entries, dtype="float32"), axis=1)


class Perplexity(keras.metrics.Metric):
    """exp(entropy) of how often each entry of a codebook was chosen since the last reset, the mean over codebooks.

    1 where one entry is used, the number of entries where all are used equally. An epoch's is not the mean of its
    batches': that of a batch of few codes is at most their number.

    Args:
      shape: `(entries,)`, or `(codebooks, entries)`.
      name: under which it is shown.
    """

    def __init__(self, shape: Sequence[int], name: str = "perplexity") -> None:
        super().__init__(name=name)
        self.uses = self.add_weight(shape=tuple(shape), initializer="zeros", name="uses")

    def update_state(self, uses: Tensor, sample_weight: Tensor | None = None) -> None:
        """Add the examples of a batch: `(batch, *shape)`, as `uses_of` counts, each times its weight."""
        self.uses.assign_add(ops.sum(uses if sample_weight is None else uses * sample_weight, axis=0))

    def result(self) -> Tensor:
        total = ops.sum(self.uses, axis=-1, keepdims=True)
        shares = self.uses / ops.where(total > 0, total, 1.0)
        return ops.mean(ops.exp(-ops.sum(shares * ops.log(ops.maximum(shares, 1e-20)), axis=-1)))


def uniform(shape: Sequence[int], entries: int, dtype: str) -> tfd.Distribution:
    """All codes equally likely, -log(entries) nats a position; batch shape `()`, event shape `shape`, int32."""
    return tfd.Independent(_Uniform(shape, entries, dtype), len(shape))


def certain(codes: Tensor, dtype: str) -> tfd.Distribution:
    """All mass on `codes`, `(batch, ...)`; batch shape `(batch,)`, log p = 0 at them."""
    return tfd.Independent(_Certain(codes, dtype), len(codes.shape) - 1)


class _Uniform(tfd.Distribution):
    """tfd.Categorical of equal logits, without a number for each entry."""

    def __init__(self, shape: Sequence[int], entries: int, dtype: str) -> None:
        self._shape, self._entries, self._float = tuple(shape), entries, dtype
        super().__init__(backend.dtype_of("int32"), tfd.NOT_REPARAMETERIZED, validate_args=False, allow_nan_stats=True)

    def _log_prob(self, value: Tensor) -> Tensor:
        return ops.full(ops.shape(value), -float(np.log(self._entries)), dtype=self._float)

    def _sample_n(self, n: Any, seed: Any = None) -> Any:
        return backend.integers((n, *self._shape), seed, self._entries)

    def _batch_shape(self) -> Any:
        return backend.TensorShape(self._shape)

    def _batch_shape_tensor(self) -> Any:
        return ops.convert_to_tensor(self._shape, "int32")

    def _event_shape(self) -> Any:
        return backend.TensorShape([])


class _Certain(tfd.Distribution):
    """tfd.Deterministic for integers, with log probabilities of the model's dtype."""

    def __init__(self, codes: Tensor, dtype: str) -> None:
        self._codes, self._float = codes, dtype
        super().__init__(codes.dtype, tfd.NOT_REPARAMETERIZED, validate_args=False, allow_nan_stats=True)

    def _log_prob(self, value: Tensor) -> Tensor:
        return ops.log(ops.cast(ops.equal(value, self._codes), self._float))

    def _mode(self) -> Tensor:
        return self._codes

    def _sample_n(self, n: Tensor | int, seed: Tensor | None = None) -> Tensor:
        return ops.broadcast_to(self._codes, (n, *ops.shape(self._codes)))

    def _batch_shape(self) -> Any:
        return self._codes.shape

    def _batch_shape_tensor(self) -> Any:
        return ops.shape(self._codes)

    def _event_shape(self) -> Any:
        return backend.TensorShape([])


@tfd.RegisterKL(_Certain, _Uniform)
def _kl_certain_uniform(certain: _Certain, uniform: _Uniform, name: str | None = None) -> Tensor:
    """log(entries) nats at each position, whatever the codes: those outside of 0 to entries - 1 are not looked for."""
    return -uniform.log_prob(certain.mode())


def finite_levels(vectors: Tensor, levels: Sequence[int]) -> Tensor:
    """Each number bounded to its count of levels by a tanh, and rounded to a whole number: straight-through.

    The whole numbers are -(L - 1) / 2 to (L - 1) / 2 for odd L. For even L they are -L / 2 to
    L / 2 - 1, and the tanh is shifted so that an encoder's zero still is the middle of level 0. Of two levels 0 is the
    upper end, where a tanh has no gradient left: there zero is the border of the two, where it is steepest.

    Args:
      vectors: `(..., len(levels))`.
      levels: L of each number, 2 or more.
    """
    count = np.asarray(levels, "float64")
    half = (count - 1.0) * (1.0 + 1e-3) / 2.0
    offset = np.where(count % 2 == 0, 0.5, 0.0)
    shift = np.arctanh(np.where(count > 2, offset / half, 0.0))
    half_, offset_, shift_ = (ops.convert_to_tensor(array, vectors.dtype) for array in (half, offset, shift))
    bounded = ops.tanh(vectors + shift_) * half_ - offset_
    # The tanh's range is 0.1 % wider: of more than 1,001 levels its ends would round to levels that are not there.
    lowest, highest = (ops.convert_to_tensor(ends, vectors.dtype) for ends in (-(count // 2), count - 1 - count // 2))
    return straight_through(bounded, ops.minimum(ops.maximum(ops.round(bounded), lowest), highest))


def finite_table(levels: Sequence[int]) -> np.ndarray:
    """All points of `finite_levels`, `(product of levels, len(levels))`: row i is code i, the first number fastest."""
    axes = [np.arange(count) - count // 2 for count in levels]
    return np.stack([axis.ravel() for axis in np.meshgrid(*axes[::-1], indexing="ij")][::-1], axis=-1)


def finite_index(points: Tensor, levels: Sequence[int]) -> Tensor:
    """The row of `finite_table` that each point is: int32 of shape `points.shape[:-1]`."""
    basis = np.cumprod([1, *levels[:-1]])
    digits = ops.cast(points, "int32") + ops.convert_to_tensor(np.asarray(levels) // 2, "int32")
    return ops.sum(digits * ops.convert_to_tensor(basis, "int32"), axis=-1)
