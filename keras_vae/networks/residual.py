"""Residual networks: an encoder that halves the image at each stage, and its mirror image.

Blocks add to what they are given (He et al. 2016, "Identity mappings", https://arxiv.org/abs/1603.05027, figure 4e),
with GroupNorm (Wu and He 2018, https://arxiv.org/abs/1803.08494) in place of BatchNorm: it has no statistics, so an
example's output does not depend on its batch, nor on training or evaluation.
"""

from collections.abc import Sequence
from typing import Any, Unpack

import keras
import numpy as np

from keras_vae.checks import check_whole_number
from keras_vae.errors import UserError
from keras_vae.networks.arguments import LayerArguments
from keras_vae.networks.stack import Stack, Upsample, check_halving
from keras_vae.types import Tensor


@keras.saving.register_keras_serializable(package="keras_vae")
class ResidualBlock(keras.layers.Layer):
    """x + f(x), f being twice: GroupNorm, activation, 3x3 convolution. Height, width and channels stay.

    Args:
      groups: of the channels; each is normalised by its own mean and variance.
      activation: the Keras name of the activation.
    """

    def __init__(self, groups: int = 8, activation: str = "silu", **kwargs: Unpack[LayerArguments]) -> None:
        super().__init__(**kwargs)
        self.groups, self.activation = groups, activation

    def build(self, input_shape: Sequence[int | None]) -> None:
        channels, dtype = input_shape[-1] or 0, self.dtype_policy
        layers: list[keras.layers.Layer] = []
        for _ in range(2):
            layers.append(keras.layers.GroupNormalization(self.groups, dtype=dtype))
            layers.append(keras.layers.Activation(self.activation, dtype=dtype))
            layers.append(keras.layers.Conv2D(channels, 3, padding="same", dtype=dtype))
        self.change = keras.Sequential(layers)
        self.change.build(input_shape)

    def call(self, inputs: Tensor) -> Any:
        return inputs + self.change(inputs)

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "groups": self.groups, "activation": self.activation}


class _Residual(Stack):
    """What the encoder and the decoder share."""

    def __init__(
        self,
        output_shape: Sequence[int],
        filters: Sequence[int] = (32, 64),
        blocks: int = 1,
        groups: int = 8,
        activation: str = "silu",
        **kwargs: Unpack[LayerArguments],
    ) -> None:
        super().__init__(output_shape, filters, activation, **kwargs)
        self.blocks = check_whole_number(blocks, "blocks")
        self.groups = check_whole_number(groups, "groups")
        if any(size % self.groups for size in self.filters):
            raise UserError(
                f"GroupNorm divides channels into equal groups, so the filters are multiples of groups. Given: "
                f"filters={self.filters}, groups={self.groups}. Change one of them."
            )

    def residual_blocks(self) -> list[keras.layers.Layer]:
        return [ResidualBlock(self.groups, self.activation, dtype=self.dtype_policy) for _ in range(self.blocks)]

    def convolution(self, filters: int, kernel: int = 3, strides: int = 1) -> keras.layers.Layer:
        return keras.layers.Conv2D(filters, kernel, strides=strides, padding="same", dtype=self.dtype_policy)

    def normalised(self) -> list[keras.layers.Layer]:
        """What stands before the layer that reads off the result: the blocks' sum is not normalised itself."""
        return [
            keras.layers.GroupNormalization(self.groups, dtype=self.dtype_policy),
            keras.layers.Activation(self.activation, dtype=self.dtype_policy),
        ]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "blocks": self.blocks, "groups": self.groups}


@keras.saving.register_keras_serializable(package="keras_vae")
class ResidualEncoder(_Residual):
    """A 3x3 convolution; at each stage a 4x4 one of stride 2 and residual blocks; GroupNorm; and a linear layer.

    The last layer is dense, or a 3x3 convolution where the output is a map of the size that the stages leave.

    Args:
      output_shape: the shape of one output, without the batch; of three numbers, it is a map.
      filters: channels of each stage, multiples of `groups`; height and width halve each time.
      blocks: residual blocks of a stage.
      groups: of the channels, in every GroupNorm.
      activation: the Keras name of the activation. Exact GELU does not export to ONNX.
    """

    def layers_for(self, input_shape: Sequence[int | None]) -> list[keras.layers.Layer]:
        left = check_halving(self.filters, input_shape[1:])
        stack: list[keras.layers.Layer] = [self.convolution(self.filters[0])]
        for size in self.filters:
            # Kernel 4 with stride 2 pads evenly.
            stack += [self.convolution(size, 4, strides=2), *self.residual_blocks()]
        stack += self.normalised()
        if len(self.target_shape) == 3:
            _check_map(self.filters, input_shape[1:], self.target_shape, left)
            return [*stack, self.convolution(self.target_shape[-1])]
        stack.append(keras.layers.Flatten(dtype=self.dtype_policy))
        stack.append(keras.layers.Dense(int(np.prod(self.target_shape)), dtype=self.dtype_policy))
        return [*stack, keras.layers.Reshape(self.target_shape, dtype=self.dtype_policy)]


@keras.saving.register_keras_serializable(package="keras_vae")
class ResidualDecoder(_Residual):
    """The mirror image of `ResidualEncoder`: each stage is residual blocks, upsampling and a 3x3 convolution.

    Before them stands a dense layer, or a 3x3 convolution of a map; after them GroupNorm and a 3x3 convolution.
    Upsampling repeats pixels.

    Args:
      output_shape: the shape of one output, `(height, width, channels)`.
      filters: as given to the encoder: the last is the first that is used here.
      blocks: residual blocks of a stage.
      groups: of the channels, in every GroupNorm.
      activation: the Keras name of the activation.
    """

    def layers_for(self, input_shape: Sequence[int | None]) -> list[keras.layers.Layer]:
        base = (*check_halving(self.filters, self.target_shape), self.filters[-1])
        stack: list[keras.layers.Layer]
        if len(input_shape) == 4:
            _check_map(self.filters, self.target_shape, input_shape[1:], base[:2])
            stack = [self.convolution(self.filters[-1])]
        else:
            stack = [
                keras.layers.Flatten(dtype=self.dtype_policy),
                keras.layers.Dense(int(np.prod(base)), dtype=self.dtype_policy),
                keras.layers.Reshape(base, dtype=self.dtype_policy),
            ]
        for size in (*self.filters[-2::-1], self.filters[0]):
            stack += [*self.residual_blocks(), Upsample(dtype=self.dtype_policy), self.convolution(size)]
        return [*stack, *self.normalised(), self.convolution(self.target_shape[-1])]


def _check_map(filters: Sequence[int], image: Sequence[Any], given: Sequence[Any], left: Sequence[int]) -> None:
    if tuple(given[:2]) != tuple(left):
        raise UserError(
            f"A residual network of {len(filters)} stages stands between an image of shape {tuple(image)} and a map of "
            f"{left[0]}x{left[1]}. Given: a map of {given[0]}x{given[1]}. Change filters, or the size of the map."
        )
