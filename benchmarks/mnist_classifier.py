"""Train the MNIST classifier that ships with the package again, from its seed, on the bundled training digits.

    python benchmarks/mnist_classifier.py

Writes its weights, and what was measured of them on the test digits, where `keras_vae.evaluation` reads them.
"""

import json
import time
from importlib.metadata import version
from typing import Any

import keras
import numpy as np

from keras_vae import data, weights
from keras_vae.evaluation.mnist_classifier import (
    BATCH,
    EPOCHS,
    FOLDER,
    RESULTS,
    SEED,
    WEIGHTS,
    build,
    classify,
    load,
)
from keras_vae.files import sha256, write_json


def train() -> dict[str, Any]:
    """Train on all 60,000 training digits, measure on the 10,000 test digits, write both; return the results."""
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
    weights.save(WEIGHTS, weights.numpy_arrays(weights.named_variables(model), storage="float16"))
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
