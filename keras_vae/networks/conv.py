"""Convolutional networks: an encoder that halves the image at each layer, and its mirror image."""

from collections.abc import Sequence
from typing import Any, Unpack

import keras
import numpy as np

from keras_vae.checks import check_whole_number
from keras_vae.networks.arguments import LayerArguments
from keras_vae.networks.mlp import activated
from keras_vae.networks.stack import Stack, check_halving


class _Convolutions(Stack):
    """Base of the encoder and the decoder: their arguments, and a layer with its activation."""

    gated = True

    def __init__(
        self,
        output_shape: Sequence[int],
        filters: Sequence[int] = (32, 64),
        dense: int = 256,
        activation: str = "relu",
        batch_norm: bool = False,
        **kwargs: Unpack[LayerArguments],
    ) -> None:
        super().__init__(output_shape, filters, activation, **kwargs)
        self.dense, self.batch_norm = check_whole_number(dense, "dense"), batch_norm

    def activated(self, layer_class: type[keras.layers.Layer], *args: Any, **kwargs: Any) -> list[keras.layers.Layer]:
        """One layer of weights, normalised if asked, with its activation."""
        options = {"activation": self.activation, "batch_norm": self.batch_norm, "dtype": self.dtype_policy}
        return activated(layer_class, *args, **options, **kwargs)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "dense": self.dense, "batch_norm": self.batch_norm}


@keras.saving.register_keras_serializable(package="keras_vae")
class ConvEncoder(_Convolutions):
    """4x4 convolutions of stride 2, one for each entry of `filters`, a dense layer, and a linear one.

    Args:
      output_shape: the shape of one output, without the batch.
      filters: channels after each convolution; height and width halve each time.
      dense: the size of the dense layer.
      activation: the Keras name of the activation, or `"gated"`, as of `MLP`.
      batch_norm: normalise before each activation.
    """

    def layers_for(self, input_shape: Sequence[int | None]) -> list[keras.layers.Layer]:
        check_halving(self.filters, input_shape[1:])
        stack: list[keras.layers.Layer] = []
        for size in self.filters:
            stack += self.activated(keras.layers.Conv2D, size, 4, strides=2, padding="same")
        stack.append(keras.layers.Flatten(dtype=self.dtype_policy))
        stack += self.activated(keras.layers.Dense, self.dense)
        stack.append(keras.layers.Dense(int(np.prod(self.target_shape)), dtype=self.dtype_policy))
        return [*stack, keras.layers.Reshape(self.target_shape, dtype=self.dtype_policy)]


@keras.saving.register_keras_serializable(package="keras_vae")
class ConvDecoder(_Convolutions):
    """The mirror image of `ConvEncoder`: dense layers, then 4x4 transposed convolutions of stride 2.

    Kernel 4 with stride 2 and "same" padding pads evenly, which every runtime that reads ONNX accepts.

    Args:
      output_shape: the shape of one output, `(height, width, channels)`.
      filters: as given to the encoder: the last is the first that is used here.
      dense: the size of the dense layer.
      activation: the Keras name of the activation, or `"gated"`, as of `MLP`.
      batch_norm: normalise before each activation.
    """

    def layers_for(self, input_shape: Sequence[int | None]) -> list[keras.layers.Layer]:
        base = (*check_halving(self.filters, self.target_shape), self.filters[-1])
        stack: list[keras.layers.Layer] = [keras.layers.Flatten(dtype=self.dtype_policy)]
        stack += self.activated(keras.layers.Dense, self.dense)
        stack += self.activated(keras.layers.Dense, int(np.prod(base)))
        stack.append(keras.layers.Reshape(base, dtype=self.dtype_policy))
        for size in self.filters[-2::-1]:
            stack += self.activated(keras.layers.Conv2DTranspose, size, 4, strides=2, padding="same")
        last = keras.layers.Conv2DTranspose(
            self.target_shape[-1], 4, strides=2, padding="same", dtype=self.dtype_policy
        )
        return [*stack, last]
