"""From vectors to integers and back: what models with discrete codes share."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from keras import ops
from tensorflow_probability import distributions as tfd


def straight_through(value: Any, quantised: Any) -> Any:
    """`quantised`, with the gradient of the identity by `value`: Bengio et al. 2013, https://arxiv.org/abs/1308.3432."""
    return value + ops.stop_gradient(quantised - value)


def nearest(vectors: Any, codebook: Any) -> Any:
    """The nearest row of `codebook`, `(entries, size)`, for each of `(..., size)`: int32, of equals the first.

    Not keras.ops.argmin, which makes ops that ONNX lacks.
    """
    distances = ops.sum(ops.square(codebook), axis=-1) - 2.0 * ops.matmul(vectors, ops.transpose(codebook))
    return tf.argmin(distances, axis=-1, output_type=tf.int32)


def shares_of(codes: Any, entries: int, dtype: Any) -> Any:
    """How often each entry occurs among `codes`, in all its axes, as a share of 1: `(entries,)`."""
    return ops.mean(ops.one_hot(ops.reshape(codes, (-1,)), entries, dtype=dtype), axis=0)


def perplexity(shares: Any) -> Any:
    """exp(entropy) of shares that sum to 1: 1 where one entry is used, the number of entries where all are alike."""
    return ops.exp(-ops.sum(shares * ops.log(ops.maximum(shares, 1e-20))))


def rows_of(vectors: Any, count: int, seed: Any) -> Any:
    """`count` rows of `vectors`, drawn with replacement."""
    return ops.take(vectors, tf.random.stateless_uniform((count,), seed, 0, ops.shape(vectors)[0], tf.int32), axis=0)


def over_replicas(codes: Any, outputs: Any, candidates: Any, entries: int) -> list[Any]:
    """How often each entry was chosen, `(entries,)`, and the sum of the vectors that chose it, `(entries, size)`, over
    the batches of all replicas; and the candidates of the first replica, for all.

    Args:
      codes: `(n,)`.
      outputs: `(n, size)`.
      candidates: `(entries, size)`.
    """
    replica: Any = tf.distribute.get_replica_context()
    chosen = ops.one_hot(codes, entries, dtype=outputs.dtype)
    first = ops.cast(ops.equal(replica.replica_id_in_sync_group, 0), outputs.dtype)
    found = [ops.sum(chosen, axis=0), ops.matmul(ops.transpose(chosen), outputs), first * candidates]
    return replica.all_reduce(tf.distribute.ReduceOp.SUM, found)


def smoothed(counts: Any, alpha: float = 1e-5) -> Any:
    """Laplace smoothing of counts, `(entries,)`, that keeps their sum n: (c + alpha) n / (n + entries alpha)."""
    total = ops.sum(counts)
    return (counts + alpha) / (total + counts.shape[0] * alpha) * total


def uniform(shape: Sequence[int], entries: int, dtype: Any) -> tfd.Distribution:
    """Every code alike: log p = -log(entries) nats at each position; batch shape `()`, event shape `shape`, int32."""
    return tfd.Independent(_Uniform(shape, entries, dtype), len(shape))


def certain(codes: Any, dtype: Any) -> tfd.Distribution:
    """All mass on `codes`, `(batch, ...)`; batch shape `(batch,)`, log p = 0 at them."""
    return tfd.Independent(_Certain(codes, dtype), len(codes.shape) - 1)


class _Uniform(tfd.Distribution):
    """tfd.Categorical of equal logits, without a number for each entry."""

    def __init__(self, shape: Sequence[int], entries: int, dtype: Any) -> None:
        self._shape, self._entries, self._float = tuple(shape), entries, dtype
        super().__init__(tf.int32, tfd.NOT_REPARAMETERIZED, validate_args=False, allow_nan_stats=True)

    def _log_prob(self, value: Any) -> Any:
        return ops.full(ops.shape(value), -float(np.log(self._entries)), dtype=self._float)

    def _sample_n(self, n: Any, seed: Any = None) -> Any:
        return tf.random.stateless_uniform((n, *self._shape), seed, 0, self._entries, tf.int32)

    def _batch_shape(self) -> Any:
        return tf.TensorShape(self._shape)

    def _batch_shape_tensor(self) -> Any:
        return ops.convert_to_tensor(self._shape, "int32")

    def _event_shape(self) -> Any:
        return tf.TensorShape([])


class _Certain(tfd.Distribution):
    """tfd.Deterministic for integers, whose log probabilities have the model's dtype."""

    def __init__(self, codes: Any, dtype: Any) -> None:
        self._codes, self._float = codes, dtype
        super().__init__(codes.dtype, tfd.NOT_REPARAMETERIZED, validate_args=False, allow_nan_stats=True)

    def _log_prob(self, value: Any) -> Any:
        return ops.log(ops.cast(ops.equal(value, self._codes), self._float))

    def _sample_n(self, n: Any, seed: Any = None) -> Any:
        return ops.broadcast_to(self._codes, (n, *ops.shape(self._codes)))

    def _batch_shape(self) -> Any:
        return self._codes.shape

    def _batch_shape_tensor(self) -> Any:
        return ops.shape(self._codes)

    def _event_shape(self) -> Any:
        return tf.TensorShape([])


def finite_levels(vectors: Any, levels: Sequence[int]) -> Any:
    """Each number bounded to its count of levels by a tanh, and rounded to a whole number: straight-through.

    The whole numbers are -(L - 1) / 2 to (L - 1) / 2 for odd L. For even L the tanh is shifted by half a level, so they
    are -L / 2 to L / 2 - 1, and an encoder's zero still is level 0.

    Args:
      vectors: `(..., len(levels))`.
      levels: L of each number, 2 or more.
    """
    count = np.asarray(levels, "float64")
    half = (count - 1.0) * (1.0 + 1e-3) / 2.0
    offset = np.where(count % 2 == 0, 0.5, 0.0)
    half_, offset_, shift = (ops.convert_to_tensor(a, vectors.dtype) for a in (half, offset, np.arctanh(offset / half)))
    bounded = ops.tanh(vectors + shift) * half_ - offset_
    return straight_through(bounded, ops.round(bounded))


def finite_table(levels: Sequence[int]) -> np.ndarray:
    """All points of `finite_levels`, `(product of levels, len(levels))`: row i is code i, the first number fastest."""
    axes = [np.arange(count) - count // 2 for count in levels]
    return np.stack([axis.ravel() for axis in np.meshgrid(*axes[::-1], indexing="ij")][::-1], axis=-1)


def finite_index(points: Any, levels: Sequence[int]) -> Any:
    """The row of `finite_table` that each point is: int32 of shape `points.shape[:-1]`."""
    basis = np.cumprod([1, *levels[:-1]])
    digits = ops.cast(points, "int32") + ops.convert_to_tensor(np.asarray(levels) // 2, "int32")
    return ops.sum(digits * ops.convert_to_tensor(basis, "int32"), axis=-1)
