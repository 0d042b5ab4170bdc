"""A small classifier of MNIST digits, for its features and its predictions. It ships with the package.

`benchmarks/mnist_classifier.py` trains it from its seed. Loading compares the weights with the SHA-256 that
training recorded.
"""

import functools
import json
from pathlib import Path

import keras
import numpy as np
from keras import layers
from numpy.typing import ArrayLike

from keras_vae import randomness, weights
from keras_vae.checks import check_images
from keras_vae.errors import CorruptFileError, UserError
from keras_vae.files import sha256

FOLDER = Path(__file__).parent / "mnist"
WEIGHTS, RESULTS = FOLDER / "classifier.safetensors", FOLDER / "classifier.json"
IMAGE_SHAPE, FEATURES, CLASSES = (28, 28, 1), 64, 10
SEED, EPOCHS, BATCH = 0, 8, 128
_REPAIR = "Install keras-vae again: pip install --force-reinstall --no-deps keras-vae"


def build() -> keras.Model:
    """Return the untrained network, images to logits; the layer before gives the features."""
    with randomness.initial_weights(SEED, "mnist_classifier"):
        inputs = hidden = keras.Input(IMAGE_SHAPE)
        for filters in (16, 32):
            hidden = layers.Conv2D(filters, 5, strides=2, padding="same", activation="relu")(hidden)
        hidden = layers.Dropout(0.3, seed=SEED)(layers.Flatten()(hidden))
        hidden = layers.Dense(FEATURES, activation="relu", name="features")(hidden)
        return keras.Model(inputs, layers.Dense(CLASSES, name="logits")(hidden))


@functools.cache
def load() -> keras.Model:
    """Return the trained network, images to features and logits; its weights checked.

    Raises:
      CorruptFileError: weights that are missing or not those that were measured.
    """
    results = json.loads(RESULTS.read_text(encoding="utf-8"))
    actual = sha256(WEIGHTS) if WEIGHTS.is_file() else "missing"
    if actual != results["weights"]["sha256"]:
        raise CorruptFileError(
            f"The weights {WEIGHTS} are not those that were measured: expected sha256 {results['weights']['sha256']}, "
            f"actual {actual}. {_REPAIR}"
        )
    model = build()
    weights.load(model, WEIGHTS, _REPAIR)
    return keras.Model(model.input, [model.get_layer("features").output, model.output])


def features(x: ArrayLike) -> np.ndarray:
    """Return the 64 features of each digit, `(batch, 64)`, float64: the last hidden layer, after its ReLU.

    Raises:
      UserError: images that are not 28 x 28 x 1 in [0, 1].
    """
    return _run(x)[0].astype("float64")


def classify(x: ArrayLike) -> np.ndarray:
    """Return the most probable digit of each image, `(batch,)`.

    Raises:
      UserError: as `features`.
    """
    return _run(x)[1].argmax(axis=1)


def confidence(x: ArrayLike) -> np.ndarray:
    """Return the probability of the most probable digit of each image, `(batch,)`, float64.

    Raises:
      UserError: as `features`.
    """
    logits = _run(x)[1].astype("float64")
    return 1.0 / np.exp(logits - logits.max(axis=1, keepdims=True)).sum(axis=1)


def _run(x: ArrayLike) -> list[np.ndarray]:
    if np.shape(x)[1:] != IMAGE_SHAPE:
        raise UserError(f"The MNIST classifier takes images of shape {IMAGE_SHAPE}. Given: {np.shape(x)[1:]}.")
    images = check_images(x, IMAGE_SHAPE).astype("float32")
    if not len(images):
        raise UserError("The MNIST classifier needs one image or more. Given: none.")
    network = load()
    parts = [network(images[start : start + 500], training=False) for start in range(0, len(images), 500)]
    return [np.concatenate(column) for column in zip(*parts, strict=True)]
