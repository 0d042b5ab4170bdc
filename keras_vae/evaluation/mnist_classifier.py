"""A small classifier of MNIST digits, for its features and its guesses. It ships with the package.

    python -m keras_vae.evaluation.mnist_classifier

trains it again from its seed on the bundled training digits, and writes the weights, and what was measured of them on
the test digits, beside this file. Loading compares the weights with the SHA-256 that training recorded.
"""

import functools
import json
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers
from numpy.typing import ArrayLike

from keras_vae import data, randomness
from keras_vae.checks import check_images
from keras_vae.errors import CorruptFileError, UserError
from keras_vae.files import sha256, write_json
from keras_vae.zoo.weights import write_float16

FOLDER = Path(__file__).parent / "mnist"
WEIGHTS, RESULTS = FOLDER / "classifier.weights.h5", FOLDER / "classifier.json"
IMAGE_SHAPE, FEATURES, CLASSES = (28, 28, 1), 64, 10
SEED, EPOCHS, BATCH = 0, 8, 128


def build() -> keras.Model:
    """The untrained network: images to logits, its features the layer before."""
    with randomness.initial_weights(SEED, "mnist_classifier"):
        inputs = hidden = keras.Input(IMAGE_SHAPE)
        for filters in (16, 32):
            hidden = layers.Conv2D(filters, 5, strides=2, padding="same", activation="relu")(hidden)
        hidden = layers.Dropout(0.3, seed=SEED)(layers.Flatten()(hidden))
        hidden = layers.Dense(FEATURES, activation="relu", name="features")(hidden)
        return keras.Model(inputs, layers.Dense(CLASSES, name="logits")(hidden))


@functools.cache
def load() -> keras.Model:
    """The trained network, images to features and logits; its weights checked.

    Raises:
      CorruptFileError: weights that are missing or not those that were measured.
    """
    results = json.loads(RESULTS.read_text(encoding="utf-8"))
    actual = sha256(WEIGHTS) if WEIGHTS.is_file() else "missing"
    if actual != results["weights"]["sha256"]:
        raise CorruptFileError(
            f"The weights {WEIGHTS} are not those that were measured: expected sha256 {results['weights']['sha256']}, "
            f"actual {actual}. Install keras-vae again: pip install --force-reinstall --no-deps keras-vae"
        )
    model = build()
    model.load_weights(WEIGHTS)
    return keras.Model(model.input, [model.get_layer("features").output, model.output])


def features(x: ArrayLike) -> np.ndarray:
    """The 64 features of each digit, `(batch, 64)`, float64: the last hidden layer, after its ReLU.

    Raises:
      UserError: images that are not 28 x 28 x 1 in [0, 1].
    """
    return _run(x)[0].astype("float64")


def classify(x: ArrayLike) -> np.ndarray:
    """The most probable digit of each image, `(batch,)`.

    Raises:
      UserError: as `features`.
    """
    return _run(x)[1].argmax(axis=1)


def _run(x: ArrayLike) -> list[np.ndarray]:
    if np.shape(x)[1:] != IMAGE_SHAPE:
        raise UserError(f"The MNIST classifier takes images of shape {IMAGE_SHAPE}. Given: {np.shape(x)[1:]}.")
    images = check_images(x, IMAGE_SHAPE).astype("float32")
    if not len(images):
        raise UserError("The MNIST classifier needs one image or more. Given: none.")
    network = load()
    parts = [network(images[start : start + 500], training=False) for start in range(0, len(images), 500)]
    return [np.concatenate(column) for column in zip(*parts, strict=True)]


def train() -> dict[str, Any]:
    """Train on all 60,000 training digits, measure on the 10,000 test digits as stored, write both; the results."""
    digits = {split: _digits(split) for split in ("train+validation", "test")}
    keras.utils.set_random_seed(SEED)
    model, start = build(), time.perf_counter()
    steps = EPOCHS * (len(digits["train+validation"][0]) // BATCH)
    rate = keras.optimizers.schedules.CosineDecay(2e-3, steps)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(rate), loss, jit_compile=False)
    order = data.batches(*digits["train+validation"], batch_size=BATCH, training=True, seed=SEED)
    model.fit(order.map(lambda batch: (batch["x"], batch["y"])), epochs=EPOCHS, verbose=2, shuffle=False)
    seconds = time.perf_counter() - start
    FOLDER.mkdir(exist_ok=True)
    write_float16(model, WEIGHTS)
    results: dict[str, Any] = {
        "weights": {"file": WEIGHTS.name, "sha256": sha256(WEIGHTS), "bytes": WEIGHTS.stat().st_size,
                    "parameters": model.count_params()},
        "training": {"seed": SEED, "epochs": EPOCHS, "batch_size": BATCH, "examples": 60_000,
                     "seconds": round(seconds, 1)},
        "versions": {name: version(name) for name in ("tensorflow", "keras", "numpy")},
    }  # fmt: skip
    write_json(RESULTS, results)
    load.cache_clear()
    guesses = classify(digits["test"][0])
    hits = guesses == digits["test"][1]
    accuracy = float(hits.mean())
    results["test"] = {
        "accuracy": accuracy,
        "standard_error": float(np.sqrt(accuracy * (1 - accuracy) / len(hits))),
        "examples": len(hits),
    }
    write_json(RESULTS, results)
    return results


def _digits(split: str) -> tuple[np.ndarray, np.ndarray]:
    batches = list(data.load("mnist", split, training=False, batch_size=1000).as_numpy_iterator())
    images, labels = (np.concatenate([batch[key] for batch in batches]) for key in ("x", "y"))
    return images, labels


if __name__ == "__main__":
    print(json.dumps(train(), indent=2))
