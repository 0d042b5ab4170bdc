"""Convolutional networks that grow: a new first stage doubles the image, and fades in over steps of training.

Section 2 and figure 2 of Karras et al. 2018, https://arxiv.org/abs/1710.10196, for the two networks of an autoencoder.
At alpha = 0 a grown network does what it did before: the encoder sees the image at half the size, each pixel the mean
of four, and the decoder repeats each pixel of what it drew. At alpha = 1 only the new stage stands next to the pixels.
"""

from collections.abc import Sequence
from typing import Any, Unpack

import keras
import numpy as np
from keras import ops

from keras_vae.checks import check_whole_number
from keras_vae.errors import UserError
from keras_vae.networks.arguments import LayerArguments
from keras_vae.networks.mlp import check_activation, check_sizes
from keras_vae.networks.stack import check_halving, repeated
from keras_vae.types import Tensor


class GrowingNetwork(keras.layers.Layer):
    """Base of both: stages, the first next to the image, and the layers that read or write pixels."""

    stages: list[Any]  # the first is that of the largest images
    pixels: list[Any]  # next to the image, of the first stage; and of the second, while the first fades in
    head: Any  # next to the code

    def __init__(
        self,
        output_shape: Sequence[int],
        filters: Sequence[int] = (32, 64),
        dense: int = 256,
        activation: str = "relu",
        fade_steps: int = 0,
        **kwargs: Unpack[LayerArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.target_shape = tuple(output_shape)
        self.filters = check_sizes(filters, "filters of a growing network")
        self.fade_steps = check_whole_number(fade_steps, "fade_steps", minimum=0)
        if len(self.filters) < (2 if self.fade_steps else 1):
            raise UserError(
                f"A growing network has one stage, and a further one that fades in if fade_steps is not 0. Given: "
                f"filters={filters!r}, fade_steps={fade_steps!r}."
            )
        self.dense, self.activation = check_whole_number(dense, "dense"), check_activation(activation)

    def inherit(self, old: "GrowingNetwork") -> None:
        """Take the weights of `old`, a network of this kind with one stage less."""
        pairs = [*zip(self.stages[1:], old.stages, strict=True), (self.pixels[1], old.pixels[0]), (self.head, old.head)]
        for mine, theirs in pairs:
            mine.set_weights(theirs.get_weights())

    def begin_fading(self) -> None:
        """Make the count of training steps; Keras saves it with the weights, so a fade that is interrupted goes on."""
        self.steps = self.add_weight(
            shape=(),
            initializer="zeros",
            trainable=False,
            dtype="int32",
            aggregation="only_first_replica",
            name="training_steps",
        )

    @property
    def alpha(self) -> Any:
        """How far the first stage has faded in, a float32 scalar from 0 to 1."""
        if not self.fade_steps:
            return ops.ones((), "float32")
        return ops.minimum(ops.cast(self.steps, "float32") / float(self.fade_steps), 1.0)

    def faded(self, before: Tensor, after: Tensor) -> Tensor:
        """(1 - alpha) * before + alpha * after."""
        alpha = ops.cast(self.alpha, after.dtype)
        return (1.0 - alpha) * before + alpha * after

    def advance(self) -> None:
        """Move alpha on by one training step. `VAE.after_step` calls it, once a step, however often the network ran."""
        self.steps.assign(ops.minimum(self.steps + 1, self.fade_steps))

    def made(self, input_shape: Sequence[int | None], *layers: keras.layers.Layer) -> keras.Sequential:
        """Layers in a row, built for `input_shape`."""
        stack = keras.Sequential(layers)
        stack.build((None, *input_shape))
        return stack

    def activated(self) -> keras.layers.Layer:
        return keras.layers.Activation(self.activation, dtype=self.dtype_policy)

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        return (input_shape[0], *self.target_shape)

    def get_config(self) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in ("filters", "dense", "activation", "fade_steps")}
        return {**super().get_config(), "output_shape": self.target_shape, **own}


@keras.saving.register_keras_serializable(package="keras_vae")
class GrowingEncoder(GrowingNetwork):
    """A 1x1 convolution of the pixels; at each stage a 4x4 one of stride 2; a dense layer, and a linear one.

    Args:
      output_shape: the shape of one output, without the batch.
      filters: the channels that each stage is given, the first next to the image; height and width halve at each.
      dense: the size of the dense layer.
      activation: the Keras name of the activation.
      fade_steps: if not 0, the first stage fades in over so many training steps; `growing.grow` sets it.
    """

    def build(self, input_shape: Sequence[int | None]) -> None:
        left, dtype = check_halving(self.filters, input_shape[1:]), self.dtype_policy
        widths, self.stages, self.pixels = (*self.filters, self.filters[-1]), [], []
        for place, size in enumerate(self.filters):
            shape = tuple(int(each or 0) // 2**place for each in input_shape[1:3])
            if place < (2 if self.fade_steps else 1):
                read = keras.layers.Conv2D(size, 1, dtype=dtype)
                self.pixels.append(self.made((*shape, input_shape[3]), read, self.activated()))
            down = keras.layers.Conv2D(widths[place + 1], 4, strides=2, padding="same", dtype=dtype)
            self.stages.append(self.made((*shape, size), down, self.activated()))
        self.head = self.made(
            (*left, widths[-1]),
            keras.layers.Flatten(dtype=dtype),
            keras.layers.Dense(self.dense, dtype=dtype),
            self.activated(),
            keras.layers.Dense(int(np.prod(self.target_shape)), dtype=dtype),
            keras.layers.Reshape(self.target_shape, dtype=dtype),
        )
        self.begin_fading()

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        value = self.stages[0](self.pixels[0](inputs))
        if self.fade_steps:
            value = self.faded(self.pixels[1](ops.average_pool(inputs, 2)), value)
        for stage in self.stages[1:]:
            value = stage(value)
        return self.head(value)


@keras.saving.register_keras_serializable(package="keras_vae")
class GrowingDecoder(GrowingNetwork):
    """The mirror image of `GrowingEncoder`: dense layers, 4x4 transposed convolutions of stride 2, and a 1x1 one.

    Args:
      output_shape: the shape of one output, `(height, width, channels)`.
      filters: as given to the encoder: the channels that each stage gives, the first next to the image.
      dense: the size of the dense layer.
      activation: the Keras name of the activation.
      fade_steps: if not 0, the first stage fades in over so many training steps; `growing.grow` sets it.
    """

    def build(self, input_shape: Sequence[int | None]) -> None:
        dtype, widths = self.dtype_policy, (*self.filters, self.filters[-1])
        base = (*check_halving(self.filters, self.target_shape), widths[-1])
        self.head = self.made(
            input_shape[1:],
            keras.layers.Flatten(dtype=dtype),
            keras.layers.Dense(self.dense, dtype=dtype),
            self.activated(),
            keras.layers.Dense(int(np.prod(base)), dtype=dtype),
            self.activated(),
            keras.layers.Reshape(base, dtype=dtype),
        )
        self.stages, self.pixels = [], []
        for place, size in enumerate(self.filters):
            shape = tuple(each // 2**place for each in self.target_shape[:2])
            up = keras.layers.Conv2DTranspose(size, 4, strides=2, padding="same", dtype=dtype)
            small = (shape[0] // 2, shape[1] // 2, widths[place + 1])
            self.stages.append(self.made(small, up, self.activated()))
            if place < (2 if self.fade_steps else 1):
                write = keras.layers.Conv2D(self.target_shape[2], 1, dtype=dtype)
                self.pixels.append(self.made((*shape, size), write))
        self.begin_fading()

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        value = self.head(inputs)
        for stage in self.stages[:0:-1]:
            value = stage(value)
        pixels = self.pixels[0](self.stages[0](value))
        if self.fade_steps:
            pixels = self.faded(repeated(self.pixels[1](value), 2), pixels)
        return pixels
