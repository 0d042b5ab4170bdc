"""Masked dense layers: networks whose outputs may depend on some of their inputs only."""

import itertools
from collections.abc import Sequence
from typing import Any, Unpack

import keras
import numpy as np
from keras import ops

from keras_vae.networks.arguments import LayerArguments
from keras_vae.types import Tensor


@keras.saving.register_keras_serializable(package="keras_vae")
class MaskedDense(keras.layers.Layer):
    """x (W * mask) + b: a dense layer of which only some connections exist.

    Args:
      mask: `(inputs, units)`, 1 where a connection exists.
      kernel_initializer: of W, in words that Keras knows.
    """

    def __init__(
        self, mask: np.ndarray, kernel_initializer: str = "glorot_uniform", **kwargs: Unpack[LayerArguments]
    ) -> None:
        super().__init__(**kwargs)
        self.mask = np.asarray(mask, "float32")
        self.kernel_initializer = kernel_initializer
        self.kernel = self.add_weight(shape=self.mask.shape, initializer=kernel_initializer, name="kernel")
        self.bias = self.add_weight(shape=self.mask.shape[1:], initializer="zeros", name="bias")
        self.built = True

    def call(self, inputs: Tensor) -> Any:
        kernel = ops.cast(self.kernel, self.compute_dtype) * ops.convert_to_tensor(self.mask, self.compute_dtype)
        return ops.matmul(inputs, kernel) + ops.cast(self.bias, self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        own = {"mask": self.mask.tolist(), "kernel_initializer": self.kernel_initializer}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable(package="keras_vae")
class MaskedNetwork(keras.layers.Layer):
    """Output i depends on the inputs whose degree is less than that of input i, and on all of a context.

    MADE: equations 8 and 9 of Germain et al. 2015, https://arxiv.org/abs/1502.03509. Degrees 1, 2, ..., d make it
    autoregressive; d, ..., 1 in the opposite order; 1 and 2 alone make one half depend on the other.

    The last layer starts small, and so do the outputs of an untrained network.

    Args:
      degrees: of each input, 1 or more.
      outputs: the numbers for each input; the result's shape is `(..., len(degrees), outputs)`.
      context_dim: the size of the context, a second input that is not masked; 0: there is none.
      hidden: the sizes of the hidden layers, one or more.
    """

    def __init__(
        self,
        degrees: Sequence[int],
        outputs: int,
        context_dim: int = 0,
        hidden: Sequence[int] = (64, 64),
        **kwargs: Unpack[LayerArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.degrees, self.outputs = tuple(degrees), outputs
        self.context_dim, self.hidden = context_dim, tuple(hidden)
        dtype = self.dtype_policy
        inner = [np.arange(size) % max(self.degrees) for size in self.hidden]  # degree 0: of the context alone
        levels = [np.asarray(self.degrees), *inner]
        masks = [below[:, None] <= above[None, :] for below, above in itertools.pairwise(levels)]
        last = inner[-1][:, None] < np.repeat(levels[0], outputs)[None, :]
        self.layers = [MaskedDense(mask, dtype=dtype) for mask in masks]
        self.layers.append(MaskedDense(last, "random_normal", dtype=dtype))
        if context_dim:
            self.from_context = keras.layers.Dense(self.hidden[0], use_bias=False, dtype=dtype)
            self.from_context.build((None, context_dim))
        self.built = True

    def call(self, inputs: Tensor, context: Tensor | None = None) -> Any:
        value = self.layers[0](inputs)
        if self.context_dim:
            value += self.from_context(context)
        for layer in self.layers[1:]:
            value = layer(ops.relu(value))
        return ops.reshape(value, (*ops.shape(value)[:-1], len(self.degrees), self.outputs))

    def get_config(self) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in ("degrees", "outputs", "context_dim", "hidden")}
        return {**super().get_config(), **own}
