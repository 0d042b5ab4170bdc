"""A short training on real digits that every variant gets, and what must have been learned from it."""

import functools
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from keras_vae import data
from keras_vae.models import VAE

HIDDEN = {"name": "mlp", "hidden": (64,)}
LATENT = 8


class Digits(NamedTuple):
    x: np.ndarray  # binary, (2000, 28, 28, 1)
    y: np.ndarray
    held_out_x: np.ndarray  # (500, 28, 28, 1)
    held_out_y: np.ndarray


@functools.cache
def digits() -> Digits:
    """The first 2000 training digits of MNIST and the first 500 test digits, binarised once."""

    def split(name: str) -> list[np.ndarray]:
        batches = list(data.load("mnist", name, "static", training=False).as_numpy_iterator())
        return [np.concatenate([batch[key] for batch in batches]) for key in ("x", "y")]

    return Digits(*split("train[:2000]"), *split("test[:500]"))


def trained(cls: type[VAE], epochs: int = 8, condition: Any = None, optimizer: Any = None, **arguments: Any) -> Any:
    """A model of 64 hidden units, trained for `epochs` of 20 steps, without XLA: compiling it takes longer."""
    given = {"latent_dim": LATENT, "encoder": HIDDEN, "decoder": HIDDEN, **arguments}
    model: Any = cls(**{name: value for name, value in given.items() if value is not None})
    model.compile(optimizer or keras.optimizers.Adam(3e-3), jit_compile=False, steps_per_execution=20)
    model.fit(digits().x, condition, batch_size=100, epochs=epochs, verbose=0)
    return model


def held_out_log_px(model: Any, condition: Any = None) -> tuple[float, float]:
    """Mean log p(x|z) of the held-out digits at their own codes, and at each other's, in nats."""
    x = digits().held_out_x
    z = model.posterior(x, condition).sample(seed=(0, 7))
    others = keras.tree.map_structure(lambda level: tf.roll(level, 1, axis=0), z)  # codes may have levels
    own, other = (model.likelihood(code, condition).log_prob(x) for code in (z, others))
    return float(tf.reduce_mean(own)), float(tf.reduce_mean(other))


@functools.cache
def mean_image_log_px() -> float:
    """Mean log p of the held-out digits where every pixel has its own frequency in training (with one more of each)."""
    frequency = (digits().x.sum(0) + 1) / (len(digits().x) + 2)
    x = digits().held_out_x
    return float((x * np.log(frequency) + (1 - x) * np.log1p(-frequency)).sum((1, 2, 3)).mean())


def assert_learned(model: Any, condition: Any = None, margin: float = 10.0) -> None:
    """Held-out log p(x|z) beats the mean image, and beats itself with codes exchanged, so the code is used."""
    own, exchanged = held_out_log_px(model, condition)
    assert own > mean_image_log_px() + margin, (own, mean_image_log_px())
    assert own > exchanged + margin, (own, exchanged)
