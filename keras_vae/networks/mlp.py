"""Multilayer perceptrons: any input shape to any output shape."""

from collections.abc import Callable, Sequence
from typing import Any, Unpack

import keras
import numpy as np
from keras import ops

from keras_vae import backend
from keras_vae.checks import is_whole_number
from keras_vae.errors import UserError
from keras_vae.networks.arguments import LayerArguments
from keras_vae.registry import nearest
from keras_vae.types import Tensor

GATED = "gated"


def check_sizes(sizes: object, what: str) -> tuple[int, ...]:
    """`sizes` as a tuple.

    Raises:
      UserError: they are not a list of positive integers.
    """
    if not isinstance(sizes, Sequence) or not all(is_whole_number(size) and size > 0 for size in sizes):
        raise UserError(f"The {what} are positive integers. Given: {sizes!r}.")
    return tuple(int(size) for size in sizes)


def check_activation(name: str, gated: bool = False) -> str:
    """`name`, if Keras knows an activation of that name, or if it is "gated" where layers can be.

    Raises:
      UserError: it does not.
    """
    if gated and name == GATED:
        return name
    try:
        keras.activations.get(name)
    except ValueError as error:
        names = [name for name in dir(keras.activations) if name.islower() and not name.startswith("_")]
        raise UserError(f"Unknown activation {name!r}.{nearest(name, names)} See keras.activations.") from error
    return name


@keras.saving.register_keras_serializable(package="keras_vae")
class Gate(keras.layers.Layer):
    """The first half of the channels times the sigmoid of the second: half as many channels.

    After a linear layer of twice the size it is (W x + b) * sigmoid(V x + c), a gated layer: section 5.2 of Tomczak and
    Welling 2018, https://arxiv.org/abs/1705.07120.
    """

    def call(self, inputs: Tensor) -> Any:
        values, gates = ops.split(inputs, 2, axis=-1)
        return values * ops.sigmoid(gates)

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        return (*input_shape[:-1], (input_shape[-1] or 0) // 2)


def activated(
    layer_class: Callable[..., keras.layers.Layer],
    size: int,
    *args: Any,
    activation: str,
    batch_norm: bool,
    **kwargs: Any,
) -> list[keras.layers.Layer]:
    """One layer of weights with `size` channels, normalised if asked, and its activation, which may be "gated"."""
    dtype = kwargs["dtype"]
    if activation == GATED:
        # By the number of inputs alone: both halves start as a layer of their own would.
        size, kwargs = 2 * size, {"kernel_initializer": "he_normal", **kwargs}
    layers: list[keras.layers.Layer] = [layer_class(size, *args, use_bias=not batch_norm, **kwargs)]
    if batch_norm:
        # Of the whole batch also where replicas have parts of it. Keras then takes the variance as E x^2 - (E x)^2.
        layers.append(
            keras.layers.BatchNormalization(dtype=dtype, synchronized=backend.strategy_in_scope() is not None)
        )
    last = Gate(dtype=dtype) if activation == GATED else keras.layers.Activation(activation, dtype=dtype)
    return [*layers, last]


@keras.saving.register_keras_serializable(package="keras_vae")
class MLP(keras.layers.Layer):
    """Flatten, dense layers with an activation, one linear dense layer, reshape to `output_shape`.

    Args:
      output_shape: the shape of one output, without the batch: `(40,)` or `(28, 28, 1)`.
      hidden: the sizes of the hidden layers. `(400, 400)` is the 784-400-400-20 network of the seed architecture.
      activation: the Keras name of the hidden layers' activation; or `"gated"`: a hidden layer is
        (W x + b) * sigmoid(V x + c), as in `Gate`.
      batch_norm: normalise before each activation (Ioffe and Szegedy 2015, https://arxiv.org/abs/1502.03167).
    """

    reads_vectors = True  # the input is flattened: a condition is appended to the pixels

    def __init__(
        self,
        output_shape: Sequence[int],
        hidden: Sequence[int] = (400, 400),
        activation: str = "relu",
        batch_norm: bool = False,
        **kwargs: Unpack[LayerArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.target_shape, self.hidden = tuple(output_shape), check_sizes(hidden, "hidden sizes of an MLP")
        self.activation, self.batch_norm = check_activation(activation, gated=True), batch_norm
        dtype = self.dtype_policy
        stack: list[keras.layers.Layer] = [keras.layers.Flatten(dtype=dtype)]
        for size in self.hidden:
            stack += activated(keras.layers.Dense, size, activation=activation, batch_norm=batch_norm, dtype=dtype)
        stack.append(keras.layers.Dense(int(np.prod(self.target_shape)), dtype=dtype))
        stack.append(keras.layers.Reshape(self.target_shape, dtype=dtype))
        self.stack = keras.Sequential(stack)

    def build(self, input_shape: Sequence[int | None]) -> None:
        self.stack.build(input_shape)

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        return self.stack(inputs, training=training)

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        return (input_shape[0], *self.target_shape)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "output_shape": self.target_shape,
            "hidden": self.hidden,
            "activation": self.activation,
            "batch_norm": self.batch_norm,
        }
