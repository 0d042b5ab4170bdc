"""Networks of series of real vectors, `(steps, channels)`: recurrent ones, and causal convolutions.

An encoder here `reads_steps`: a model calls it with `steps`, bools of which lie in each series, `within`, where values
can be missing. What stands beyond the end changes none of its outputs.
"""

from collections.abc import Sequence
from typing import Any, Unpack

import keras
import numpy as np
from keras import ops

from keras_vae.checks import check_whole_number
from keras_vae.errors import UserError
from keras_vae.networks.arguments import LayerArguments
from keras_vae.networks.mlp import check_activation
from keras_vae.networks.recurrent import Recurrent
from keras_vae.types import Tensor


def within(observed: Tensor) -> Any:
    """Return which steps lie within each series, up to the last with an observed number: bools `(batch, steps)`.

    Args:
      observed: 1 where a number is observed, else 0: floats `(batch, steps, channels)`.
    """
    count = ops.sum(observed, axis=-1)
    return ops.sum(count, axis=-1, keepdims=True) - ops.cumsum(count, axis=-1) + count > 0.5


def _steps_of(shape: Sequence[Any]) -> int:
    """Return the steps of a series of shape `(steps, channels)`.

    Raises:
      UserError: another shape.
    """
    if len(shape) != 2:
        raise UserError(
            f"A network of series reads and writes (steps, channels). Given: {tuple(shape)}. Use an 'mlp', or x of two "
            f"axes: x_shape=(100, 1) for a series of 100 numbers."
        )
    return int(shape[-2])


@keras.saving.register_keras_serializable(package="keras_vae")
class SeriesGRUEncoder(Recurrent):
    """A gated recurrent unit each way, and a linear layer of their last states.

    The state passes over the steps beyond the end unchanged. Cho et al. 2014, https://arxiv.org/abs/1406.1078.

    Args:
      output_shape: the shape of one output, without the batch: `(40,)`.
      units: the size of each state.
      bidirectional: read the series backwards too.
      unroll: write the steps out one after the other: a larger graph without a loop, which LiteRT asks for.
    """

    reads_steps = True

    def __init__(self, output_shape: Sequence[int], units: int = 64, bidirectional: bool = True, **kwargs: Any) -> None:
        super().__init__(output_shape, units=units, **kwargs)
        self.bidirectional = bool(bidirectional)
        self.readers = [self.gru()] + ([self.gru(go_backwards=True)] if bidirectional else [])
        self.last = keras.layers.Dense(int(np.prod(self.target_shape)), dtype=self.dtype_policy)

    def build(self, input_shape: Sequence[Any]) -> None:
        _steps_of(input_shape[1:])
        for reader in self.readers:
            reader.build(input_shape)
        self.last.build((None, len(self.readers) * self.units))

    def call(self, series: Tensor, steps: Tensor | None = None, training: bool = False) -> Any:
        """`(batch, *output_shape)` of series `(batch, steps, channels)`, those steps of which `steps` is true."""
        states = [reader(series, mask=steps, training=training) for reader in self.readers]
        return ops.reshape(self.last(ops.concatenate(states, axis=-1)), (-1, *self.target_shape))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "bidirectional": self.bidirectional}


@keras.saving.register_keras_serializable(package="keras_vae")
class SeriesGRUDecoder(Recurrent):
    """A gated recurrent unit that reads the code at every step, from a first state that the code gives; linear layers.

    No step reads the true one before it, so that a code holds all that is known of its series.

    Args:
      output_shape: `(steps, channels)`.
      units: the size of the state.
      unroll: as of the encoder.
    """

    def __init__(self, output_shape: Sequence[int], units: int = 64, **kwargs: Any) -> None:
        super().__init__(output_shape, units=units, **kwargs)
        self.steps = _steps_of(self.target_shape)
        self.first = keras.layers.Dense(self.units, activation="tanh", dtype=self.dtype_policy)
        self.recurrence = self.gru(return_sequences=True)
        self.last = keras.layers.Dense(self.target_shape[-1], dtype=self.dtype_policy)

    def build(self, input_shape: Sequence[Any]) -> None:
        size = int(np.prod(input_shape[1:]))
        self.first.build((None, size))
        self.recurrence.build((None, self.steps, size))
        self.last.build((None, None, self.units))

    def call(self, codes: Tensor, training: bool = False) -> Any:
        z = ops.reshape(codes, (-1, int(np.prod(codes.shape[1:]))))
        repeated = ops.tile(z[:, None], (1, self.steps, 1))
        return self.last(self.recurrence(repeated, initial_state=self.first(z), training=training))


@keras.saving.register_keras_serializable(package="keras_vae")
class CausalBlock(keras.layers.Layer):
    """x + g(g(x)), g(x) = W (a(x)_t, a(x)_{t-d}, ..., a(x)_{t-(k-1)d}) + b: two dilated causal convolutions.

    Section 3.3 of Bai et al. 2018, https://arxiv.org/abs/1803.01271, activated before each convolution, without weight
    normalisation and dropout. As a product of shifted copies it is the same in every runtime.

    Args:
      kernel: k, how many steps a convolution reads.
      dilation: d, the distance between them.
      activation: a, by the name that Keras has for it.
    """

    def __init__(self, kernel: int, dilation: int, activation: str, **kwargs: Unpack[LayerArguments]) -> None:
        super().__init__(**kwargs)
        self.kernel, self.dilation, self.activation = kernel, dilation, activation

    def build(self, input_shape: Sequence[Any]) -> None:
        channels = input_shape[-1]
        self.weights_of = [keras.layers.Dense(channels, dtype=self.dtype_policy) for _ in range(2)]
        for dense in self.weights_of:
            dense.build((*input_shape[:-1], self.kernel * channels))

    def call(self, x: Tensor) -> Any:
        value, steps = x, x.shape[1]
        for dense in self.weights_of:
            value = keras.activations.get(self.activation)(value)
            shifts = [index * self.dilation for index in range(self.kernel) if index * self.dilation < steps]
            copies = [ops.pad(value[:, : steps - shift], ((0, 0), (shift, 0), (0, 0))) for shift in shifts]
            copies += [ops.zeros_like(value)] * (self.kernel - len(copies))
            value = dense(ops.concatenate(copies, axis=-1))
        return x + value

    def get_config(self) -> dict[str, Any]:
        arguments = {name: getattr(self, name) for name in ("kernel", "dilation", "activation")}
        return {**super().get_config(), **arguments}


class _Causal(keras.layers.Layer):
    """Base of the encoder and the decoder: their arguments, and the blocks."""

    def __init__(
        self,
        output_shape: Sequence[int],
        channels: int = 32,
        kernel: int = 3,
        blocks: int | None = None,
        activation: str = "relu",
        **kwargs: Unpack[LayerArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.target_shape, self.channels = tuple(output_shape), check_whole_number(channels, "channels")
        self.kernel = check_whole_number(kernel, "kernel", minimum=2)
        self.blocks = None if blocks is None else check_whole_number(blocks, "blocks")
        self.activation = check_activation(activation)

    def blocks_for(self, steps: int) -> list[CausalBlock]:
        """Return blocks of dilation 1, 2, 4, ..., built; of `blocks` None, until the last step reads the first."""
        count = self.blocks or next(n for n in range(1, 32) if 2 * (self.kernel - 1) * (2**n - 1) >= steps - 1)
        blocks = [CausalBlock(self.kernel, 2**n, self.activation, dtype=self.dtype_policy) for n in range(count)]
        for block in blocks:
            block.build((None, steps, self.channels))
        return blocks

    def dense(self, size: int, inputs: int) -> keras.layers.Dense:
        layer = keras.layers.Dense(size, dtype=self.dtype_policy)
        layer.build((None, inputs))
        return layer

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        return (input_shape[0], *self.target_shape)

    def get_config(self) -> dict[str, Any]:
        arguments = {name: getattr(self, name) for name in ("channels", "kernel", "blocks", "activation")}
        return {**super().get_config(), "output_shape": self.target_shape, **arguments}


@keras.saving.register_keras_serializable(package="keras_vae")
class CausalEncoder(_Causal):
    """Blocks of dilated causal convolutions, and a linear layer of what the last step within the series gives.

    Bai et al. 2018, https://arxiv.org/abs/1803.01271.

    Args:
      output_shape: the shape of one output, without the batch: `(40,)`.
      channels: of every step inside.
      kernel: how many steps a convolution reads.
      blocks: of dilation 1, 2, 4, ...; None: as many as the last step needs to read the first.
      activation: the Keras name of the activation.
    """

    reads_steps = True

    def build(self, input_shape: Sequence[Any]) -> None:
        steps = _steps_of(input_shape[1:])
        self.first = self.dense(self.channels, input_shape[-1])
        self.stack = self.blocks_for(steps)
        self.last = self.dense(int(np.prod(self.target_shape)), self.channels)

    def call(self, series: Tensor, steps: Tensor | None = None) -> Any:
        """`(batch, *output_shape)` of series `(batch, steps, channels)`, those steps of which `steps` is true."""
        value = self.first(series)
        for block in self.stack:
            value = block(value)
        if steps is None:
            value = value[:, -1]
        else:
            inside = ops.cast(steps, value.dtype)
            ends = inside - ops.pad(inside[:, 1:], ((0, 0), (0, 1)))
            value = ops.sum(value * ends[..., None], axis=1)
        value = self.last(keras.activations.get(self.activation)(value))
        return ops.reshape(value, (-1, *self.target_shape))


@keras.saving.register_keras_serializable(package="keras_vae")
class CausalDecoder(_Causal):
    """A linear layer from a code to channels of every step, and blocks as of `CausalEncoder`; a linear layer of each.

    Args:
      output_shape: `(steps, channels)`.
      channels: of every step inside.
      kernel: how many steps a convolution reads.
      blocks: as of the encoder.
      activation: the Keras name of the activation.
    """

    def build(self, input_shape: Sequence[Any]) -> None:
        self.steps = _steps_of(self.target_shape)
        self.first = self.dense(self.steps * self.channels, int(np.prod(input_shape[1:])))
        self.stack = self.blocks_for(self.steps)
        self.last = self.dense(self.target_shape[-1], self.channels)

    def call(self, codes: Tensor) -> Any:
        flat = ops.reshape(codes, (-1, int(np.prod(codes.shape[1:]))))
        value = ops.reshape(self.first(flat), (-1, self.steps, self.channels))
        for block in self.stack:
            value = block(value)
        return self.last(keras.activations.get(self.activation)(value))
