"""A short training on real digits, and what shows that a model learned: its images against those of others."""

from typing import Any

import numpy as np

from keras_vae.data import load_arrays
from keras_vae.evaluation.likelihood import elbo_terms
from tests.toys import PLAIN

TRAIN, TEST = "train[:3000]", "test[:400]"
SMALL: dict[str, Any] = {"encoder": {"name": "mlp", "hidden": (128,)}, "decoder": {"name": "mlp", "hidden": (128,)}}


def digits(split: str) -> np.ndarray:
    """Binary MNIST, the same each time."""
    return load_arrays("mnist", split, binarize="static")


def log_mass(x: np.ndarray, mean: np.ndarray) -> float:
    """The average log probability of binary images under independent pixels of these means, nats."""
    mean = np.clip(np.asarray(mean, "float64"), 1e-4, 1 - 1e-4)
    return float((x * np.log(mean) + (1 - x) * np.log1p(-mean)).sum((1, 2, 3)).mean())


def train(model: Any, epochs: int = 8, optimizer: Any = None, **fit: Any) -> dict[str, list[float]]:
    """Train in seconds, without XLA, which would take longer to compile than this takes to run."""
    import keras

    model.compile(optimizer or keras.optimizers.Adam(2e-3), **PLAIN)
    return model.fit(digits(TRAIN), batch_size=100, epochs=epochs, verbose=0, **fit).history


def assert_learned(model: Any, margin: float = 20.0) -> dict[str, float]:
    """Held-out images are explained by their own codes better than by the mean image, and than by others' codes.

    The margin, in nats, is some ten standard errors of an average of 400 digits, which spread by some 40 nats.

    Returns:
      The averages, nats.
    """
    x = digits(TEST)
    given = model.reconstruct(x)
    found = {
        "mean image": log_mass(x, digits(TRAIN).mean(0)),
        "shuffled": log_mass(x, np.roll(given, 1, axis=0)),
        "own": log_mass(x, given),
        "log_px": float(elbo_terms(model, {"x": x}, seed=0)["log_px"].mean()),
    }
    assert min(found["own"], found["log_px"]) > max(found["mean image"], found["shuffled"]) + margin, found
    return found
