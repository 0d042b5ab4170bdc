"""Bases of the networks that halve or double an image."""

from collections.abc import Sequence
from typing import Any, Unpack

import keras
from keras import ops

from keras_vae.errors import UserError
from keras_vae.networks.arguments import LayerArguments
from keras_vae.networks.mlp import check_activation, check_sizes
from keras_vae.types import Tensor

_FILTERS = "filters of a convolutional network"


class Stack(keras.layers.Layer):
    """A `keras.Sequential` made in `build`, when the input's shape is known.

    Args:
      output_shape: the shape of one output, without the batch.
      filters: the channels of each layer that halves, or doubles, height and width.
      activation: the Keras name of the activation.

    Raises:
      UserError: filters that are no positive integers, or an unknown activation.
    """

    gated = False  # whether the activation may be "gated"

    def __init__(
        self,
        output_shape: Sequence[int],
        filters: Sequence[int] = (32, 64),
        activation: str = "relu",
        **kwargs: Unpack[LayerArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.target_shape, self.filters = tuple(output_shape), check_sizes(filters, _FILTERS)
        if not self.filters:
            raise UserError(f"The {_FILTERS} are positive integers. Given: {filters!r}.")
        self.activation = check_activation(activation, self.gated)

    def layers_for(self, input_shape: Sequence[int | None]) -> list[keras.layers.Layer]:
        raise NotImplementedError(f"{type(self).__name__} must define layers_for(input_shape)")

    def build(self, input_shape: Sequence[int | None]) -> None:
        self.stack = keras.Sequential(self.layers_for(input_shape))
        self.stack.build(input_shape)

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        return self.stack(inputs, training=training)

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        return (input_shape[0], *self.target_shape)

    def get_config(self) -> dict[str, Any]:
        arguments = {"output_shape": self.target_shape, "filters": self.filters, "activation": self.activation}
        return {**super().get_config(), **arguments}


def check_halving(filters: Sequence[int], image_shape: Sequence[int | None]) -> tuple[int, int]:
    """The height and width that are left of an image, halved once for each of `filters`.

    Raises:
      UserError: they do not divide.
    """
    factor = 2 ** len(filters)
    if len(image_shape) != 3:
        raise UserError(
            f"A convolutional network reads and writes (height, width, channels). Given: x of shape "
            f"{tuple(image_shape)}. Use an 'mlp', or x of three axes."
        )
    if any(size is None or size % factor for size in image_shape[:2]):
        raise UserError(
            f"A convolutional network of {len(filters)} layers halves height and width {len(filters)} times, so both "
            f"must be multiples of {factor}. Given: an image of shape {tuple(image_shape)}. Use fewer layers, or "
            f"pad the images."
        )
    height, width = image_shape[:2]
    return (height or 0) // factor, (width or 0) // factor


def repeated(images: Tensor, times: int) -> Tensor:
    """Each pixel as `times` x `times` equal ones, `(batch, height, width, channels)`: nearest-neighbour upsampling.

    By joining and reshaping, which every runtime has.
    """
    if times == 1:
        return images
    _, height, width, channels = images.shape
    wide = ops.reshape(ops.concatenate([images] * times, axis=-1), (-1, height, width * times * channels))
    return ops.reshape(ops.concatenate([wide] * times, axis=-1), (-1, height * times, width * times, channels))


@keras.saving.register_keras_serializable(package="keras_vae")
class Upsample(keras.layers.Layer):
    """Twice the height and width, each pixel four times: `repeated` as a layer."""

    def call(self, inputs: Tensor) -> Any:
        return repeated(inputs, 2)

    def compute_output_shape(self, input_shape: Sequence[Any]) -> tuple[Any, ...]:
        return (input_shape[0], 2 * input_shape[1], 2 * input_shape[2], input_shape[3])
