"""Networks between the levels of a hierarchy, some of which are maps, `(height, width, channels)`."""

from collections.abc import Sequence
from typing import Any, Unpack

import keras
import numpy as np

from keras_vae.networks.arguments import LayerArguments
from keras_vae.networks.mlp import MLP
from keras_vae.networks.stack import Stack, Upsample


@keras.saving.register_keras_serializable(package="keras_vae")
class MapNetwork(Stack):
    """From a vector or a map to a map: 3x3 convolutions, with layers that halve or double the size on the way.

    A vector goes through a dense layer to a map of the output's size. Sizes of maps differ by a power of 2.

    Args:
      output_shape: `(height, width, channels)` of one output.
      channels: of the maps between input and output.
      activation: the Keras name of the activation.
    """

    def __init__(
        self,
        output_shape: Sequence[int],
        channels: int = 64,
        activation: str = "relu",
        **kwargs: Unpack[LayerArguments],
    ) -> None:
        super().__init__(output_shape, (channels,), activation, **kwargs)
        self.channels = channels

    def layers_for(self, input_shape: Sequence[int | None]) -> list[keras.layers.Layer]:
        dtype, (height, width, outputs) = self.dtype_policy, self.target_shape

        def convolution(size: int, kernel: int = 3, strides: int = 1) -> list[keras.layers.Layer]:
            return [keras.layers.Conv2D(size, kernel, strides=strides, padding="same", dtype=dtype)]

        def activated(layers: list[keras.layers.Layer]) -> list[keras.layers.Layer]:
            return [*layers, keras.layers.Activation(self.activation, dtype=dtype)]

        if len(input_shape) == 2:
            base = (height, width, self.channels)
            dense = [keras.layers.Dense(int(np.prod(base)), dtype=dtype), keras.layers.Reshape(base, dtype=dtype)]
            return [*activated(dense), *convolution(outputs)]
        stack, size = activated(convolution(self.channels)), int(input_shape[1] or 0)
        while size > height:
            stack, size = [*stack, *activated(convolution(self.channels, 4, 2))], size // 2
        while size < height:
            stack, size = [*stack, Upsample(dtype=dtype), *activated(convolution(self.channels))], size * 2
        return [*stack, *convolution(outputs)]

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["filters"]
        return {**config, "channels": self.channels}


BETWEEN_LEVELS = {"mlp": MLP, "map": MapNetwork}


def standard(output_shape: Sequence[int], hidden: int) -> dict[str, Any]:
    """The entry of `BETWEEN_LEVELS`, and its arguments, whose output is a vector or a map.

    Args:
      hidden: the size of the one hidden layer; of a map, its channels.
    """
    if len(output_shape) == 1:
        return {"name": "mlp", "hidden": (hidden,)}
    return {"name": "map", "channels": hidden}
