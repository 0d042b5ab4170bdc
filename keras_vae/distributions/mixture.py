"""A mixture of Gaussians in equal parts, its density by matrix products."""

import math
from typing import Any

import numpy as np
from keras import ops

from keras_vae.backend import base_of, tfd
from keras_vae.types import Tensor


class GaussianMixture(tfd.MixtureSameFamily):
    """`(1/K) sum_k N(z; m_k, diag(s_k**2))`: `tfd.MixtureSameFamily` but for the way its density is computed.

    `log N(z; m, s) = -1/2 sum (z**2 / s**2 - 2 z m / s**2 + m**2 / s**2 + 2 log s + log 2 pi)`: for all components
    two matrix products, where TFP would make an array of every z, component and dimension.

    Args:
      components: independent Gaussians, of batch shape `(K,)`; an event may have several axes.
      count: K, which a graph's shapes may not say.
    """

    def __init__(self, components: tfd.Distribution, count: int) -> None:
        normal, self._size = base_of(components), math.prod(components.event_shape)
        self._means, self._scales = (ops.reshape(part, (count, self._size)) for part in (normal.loc, normal.scale))
        self._axes, self._count = components.event_shape.rank, count
        super().__init__(tfd.Categorical(logits=ops.zeros((count,), normal.dtype)), components)

    @classmethod
    def _parameter_properties(cls, dtype: Any, num_classes: Any = None) -> Any:  # without it, TFP warns at each use
        return super()._parameter_properties(dtype, num_classes)

    def _log_prob(self, x: Tensor) -> Tensor:
        # In float64, as the three terms cancel: with s = 0.001 float32 would be some nats off.
        means, scales = (ops.cast(part, "float64") for part in (self._means, self._scales))
        centre = ops.mean(means, axis=0)
        mean, precision = means - centre, 1.0 / ops.square(scales)
        leading = ops.shape(x)[: len(x.shape) - self._axes]
        z = ops.cast(ops.reshape(x, (-1, self._size)), "float64") - centre
        squares = ops.matmul(ops.square(z), ops.transpose(precision))
        squares -= 2.0 * ops.matmul(z, ops.transpose(mean * precision))
        constant = ops.sum(ops.square(mean) * precision + 2.0 * ops.log(scales), axis=-1)
        log_p = -0.5 * (squares + constant + self._size * np.log(2.0 * np.pi))
        return ops.cast(ops.reshape(ops.logsumexp(log_p, axis=-1) - np.log(self._count), leading), self.dtype)
