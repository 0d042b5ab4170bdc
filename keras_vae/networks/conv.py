"""Convolutional networks: an encoder that halves the image at each layer, and its mirror image."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_vae.arrays import check_whole_number
from keras_vae.errors import UserError
from keras_vae.networks.mlp import check_activation, check_sizes

_FILTERS = "filters of a convolutional network"


def _check(filters: Sequence[int], image_shape: Sequence[int | None]) -> None:
    factor = 2 ** len(filters)
    if len(image_shape) != 3 or any(size is None or size % factor for size in image_shape[:2]):
        raise UserError(
            f"A convolutional network of {len(filters)} layers halves height and width {len(filters)} times, so both "
            f"must be multiples of {factor}. Given: an image of shape {tuple(image_shape)}. Use fewer layers, or "
            f"pad the images."
        )


class _Stack(keras.layers.Layer):
    """A `keras.Sequential` made in `build`, when the input's shape is known."""

    def __init__(
        self,
        output_shape: Sequence[int],
        filters: Sequence[int] = (32, 64),
        dense: int = 256,
        activation: str = "relu",
        batch_norm: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.target_shape, self.filters = tuple(output_shape), check_sizes(filters, _FILTERS)
        if not self.filters:
            raise UserError(f"The {_FILTERS} are positive integers. Given: {filters!r}.")
        self.dense, self.batch_norm = check_whole_number(dense, "dense"), batch_norm
        self.activation = check_activation(activation)

    def layers_for(self, input_shape: Sequence[int | None]) -> list[keras.layers.Layer]:
        raise NotImplementedError(f"{type(self).__name__} must define layers_for(input_shape)")

    def build(self, input_shape: Sequence[int | None]) -> None:
        self.stack = keras.Sequential(self.layers_for(input_shape))
        self.stack.build(input_shape)

    def call(self, inputs: Any, training: bool = False) -> Any:
        return self.stack(inputs, training=training)

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        return (input_shape[0], *self.target_shape)

    def activated(self, layer_class: type[keras.layers.Layer], *args: Any, **kwargs: Any) -> list[keras.layers.Layer]:
        """One layer of weights, normalised if asked, with its activation."""
        dtype = self.dtype_policy
        block: list[keras.layers.Layer] = [layer_class(*args, use_bias=not self.batch_norm, dtype=dtype, **kwargs)]
        if self.batch_norm:
            block.append(keras.layers.BatchNormalization(dtype=dtype))
        return [*block, keras.layers.Activation(self.activation, dtype=dtype)]

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "output_shape": self.target_shape,
            "filters": self.filters,
            "dense": self.dense,
            "activation": self.activation,
            "batch_norm": self.batch_norm,
        }


@keras.saving.register_keras_serializable(package="keras_vae")
class ConvEncoder(_Stack):
    """4x4 convolutions of stride 2, one for each entry of `filters`, a dense layer, and a linear one.

    Args:
      output_shape: the shape of one output, without the batch.
      filters: channels after each convolution; height and width halve each time.
      dense: the size of the dense layer.
      activation: the Keras name of the activation.
      batch_norm: normalise before each activation.
    """

    def layers_for(self, input_shape: Sequence[int | None]) -> list[keras.layers.Layer]:
        _check(self.filters, input_shape[1:])
        stack: list[keras.layers.Layer] = []
        for size in self.filters:
            stack += self.activated(keras.layers.Conv2D, size, 4, strides=2, padding="same")
        stack.append(keras.layers.Flatten(dtype=self.dtype_policy))
        stack += self.activated(keras.layers.Dense, self.dense)
        stack.append(keras.layers.Dense(int(np.prod(self.target_shape)), dtype=self.dtype_policy))
        return [*stack, keras.layers.Reshape(self.target_shape, dtype=self.dtype_policy)]


@keras.saving.register_keras_serializable(package="keras_vae")
class ConvDecoder(_Stack):
    """The mirror image of `ConvEncoder`: dense layers, then 4x4 transposed convolutions of stride 2.

    Kernel 4 with stride 2 and "same" padding pads evenly, which every runtime that reads ONNX accepts.

    Args:
      output_shape: the shape of one output, `(height, width, channels)`.
      filters: as given to the encoder: the last is the first that is used here.
      dense: the size of the dense layer.
      activation: the Keras name of the activation.
      batch_norm: normalise before each activation.
    """

    def layers_for(self, input_shape: Sequence[int | None]) -> list[keras.layers.Layer]:
        _check(self.filters, self.target_shape)
        height, width, channels = self.target_shape
        factor = 2 ** len(self.filters)
        base = (height // factor, width // factor, self.filters[-1])
        stack: list[keras.layers.Layer] = [keras.layers.Flatten(dtype=self.dtype_policy)]
        stack += self.activated(keras.layers.Dense, self.dense)
        stack += self.activated(keras.layers.Dense, int(np.prod(base)))
        stack.append(keras.layers.Reshape(base, dtype=self.dtype_policy))
        for size in self.filters[-2::-1]:
            stack += self.activated(keras.layers.Conv2DTranspose, size, 4, strides=2, padding="same")
        last = keras.layers.Conv2DTranspose(channels, 4, strides=2, padding="same", dtype=self.dtype_policy)
        return [*stack, last]
