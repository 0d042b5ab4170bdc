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


@functools.cache
def plain(cls: type[VAE]) -> Any:
    """What a variant's arguments are compared with: a model trained as long without them, once for all tests."""
    return trained(cls)


def log_px_by_digit(model: Any, condition: Any = None) -> tuple[np.ndarray, np.ndarray]:
    """log p(x|z) of each held-out digit at its own code, and at another's, in nats."""
    x = digits().held_out_x
    z = model.posterior(x, condition).sample(seed=(0, 7))
    others = keras.tree.map_structure(lambda level: tf.roll(level, 1, axis=0), z)  # codes may have levels
    own, other = (np.asarray(model.likelihood(code, condition).log_prob(x)) for code in (z, others))
    return own, other


def held_out_log_px(model: Any, condition: Any = None) -> tuple[float, float]:
    """The means of `log_px_by_digit`."""
    own, other = log_px_by_digit(model, condition)
    return float(own.mean()), float(other.mean())


@functools.cache
def mean_image_log_px(gaussian: bool = False) -> np.ndarray:
    """log p of each held-out digit where every pixel has its own frequency in training (with one more of each).

    Args:
      gaussian: under N(frequency, 1), as of a likelihood of scale 1.
    """
    frequency = (digits().x.sum(0) + 1) / (len(digits().x) + 2)
    x = digits().held_out_x
    if gaussian:
        return (-0.5 * (x - frequency) ** 2 - 0.5 * np.log(2 * np.pi)).sum((1, 2, 3))
    return (x * np.log(frequency) + (1 - x) * np.log1p(-frequency)).sum((1, 2, 3))


def assert_likelier(log_px: Any, other: Any, what: str) -> None:
    """The mean over the 500 digits of their differences is above 5 standard errors: by chance, once in 3 million."""
    gain = np.asarray(log_px) - np.asarray(other)
    error = gain.std() / np.sqrt(len(gain))
    assert gain.mean() > 5 * error, f"{gain.mean():.1f} nats over {what}, with an error of {error:.1f}"


def assert_learned(model: Any, condition: Any = None) -> None:
    """Held-out log p(x|z) beats the mean image, and beats itself with codes exchanged, so the code is used."""
    own, exchanged = log_px_by_digit(model, condition)
    assert_likelier(own, mean_image_log_px(model.specs["likelihood"] != "bernoulli"), "the mean image")
    assert_likelier(own, exchanged, "another's code")
