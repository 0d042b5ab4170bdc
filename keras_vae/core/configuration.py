"""A model as data, and back: what it was constructed and compiled with. These are methods of `VAE`."""

from collections.abc import Mapping
from typing import Any

import keras


def get_config(self: Any) -> dict[str, Any]:
    """Every constructor argument, as data; networks given as layers are serialised by Keras.

    A variant adds its own: `{**super().get_config(), "gamma": self.gamma}`.
    """
    specs = {
        role: keras.saving.serialize_keras_object(spec) if isinstance(spec, keras.layers.Layer) else spec
        for role, spec in self.specs.items()
    }
    return {
        "name": self.name,
        "dtype": self.dtype_policy.name,
        "image_shape": self.image_shape,
        "latent_dim": self.latent_dim,
        **specs,
        "beta": self.beta.get_config(),
        "free_bits": self.free_bits,
        "free_bits_on": self.free_bits_on,
        "free_bits_group": self.free_bits_group,
        "seed": self.seed,
    }


def from_config(cls: type, config: Mapping[str, Any]) -> Any:
    """The inverse of `get_config`."""
    return cls(**{name: _deserialized(value) for name, value in config.items()})


def get_compile_config(self: Any) -> dict[str, Any]:
    """What `compile` was given, for `model.save`: an optimizer for each player, XLA, steps per execution."""
    names = [player.name for player in self.players()]
    # Keras wraps an optimizer that scales its loss, under mixed_float16, and would wrap it again.
    optimizers = [getattr(each, "inner_optimizer", each) for each in self.optimizers]
    return {
        "optimizer": {
            name: keras.saving.serialize_keras_object(each) for name, each in zip(names, optimizers, strict=True)
        },
        "jit_compile": self.jit_compile,
        "steps_per_execution": self.steps_per_execution,
    }


def compile_from_config(self: Any, config: Mapping[str, Any]) -> None:
    """The inverse of `get_compile_config`."""
    self.compile(**{**config, "optimizer": {name: _deserialized(each) for name, each in config["optimizer"].items()}})


def _deserialized(value: Any) -> Any:
    is_object = isinstance(value, Mapping) and "class_name" in value
    return keras.saving.deserialize_keras_object(value) if is_object else value
