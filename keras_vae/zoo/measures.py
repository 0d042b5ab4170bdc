"""The numbers of a card, measured by the program on held-out images, and measured again by `verify`."""

import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

import keras_vae
from keras_vae import data
from keras_vae.arrays import check_whole_number
from keras_vae.errors import CorruptFileError, UserError
from keras_vae.evaluation.likelihood import elbo_terms
from keras_vae.files import sha256
from keras_vae.inference import checked_inputs
from keras_vae.zoo import cards, checkpoints, recipes, runs, store

# Nats. The same weights, digits and noise give the same numbers but for rounding, which moves a mean over the test
# digits by less than a thousandth; another binarisation, split or weights file moves it by tenths.
TOLERANCE = 0.01
PACKAGES = ("tensorflow", "keras", "tensorflow-probability", "numpy")


def images_of(recipe: recipes.Recipe, split: str | None = None) -> np.ndarray:
    """The images that a recipe's results are measured on: binarised once where training binarises."""
    binarize = "static" if recipe.data.binarize else None
    return data.load_arrays(recipe.data.name, split or recipe.evaluation.split, binarize)


def measure(model: Any, images: np.ndarray, seed: int, samples: int) -> dict[str, dict[str, Any]]:
    """Means over `images` of elbo, log_px, kl and log_prob, in nats per example, with their standard errors.

    Args:
      model: a model of this library.
      images: `(examples, *image_shape)` in the likelihood's support.
      seed: of the noise.
      samples: importance samples of log_prob; 0 leaves it out.

    Returns:
      metric -> `value`, `standard_error` (over examples), `samples` (draws of q(z|x) for each example).

    Raises:
      UserError: images outside the likelihood's support, or fewer than two of them.
    """
    if len(images) < 2:
        raise UserError(f"A standard error needs two images or more. Given: {len(images)}.")
    seed = check_whole_number(seed, "seed", minimum=0)
    terms = elbo_terms(model, checked_inputs(model, images, likelihood=True), seed)
    values = {name: (terms[name], 1) for name in ("elbo", "log_px", "kl")}
    if samples:
        values["log_prob"] = (model.log_prob(images, samples=samples, seed=seed), samples)
    return {
        name: {
            "value": float(np.mean(value, dtype="float64")),
            "standard_error": float(np.std(value, ddof=1, dtype="float64") / np.sqrt(len(value))),
            "samples": draws,
        }
        for name, (value, draws) in values.items()
    }


def results(where: store.Entry, recipe: recipes.Recipe, model: Any, progress: checkpoints.Progress) -> dict[str, Any]:
    """The contents of results.json for a trained model whose weights file is written."""
    images = images_of(recipe)
    settings = recipe.evaluation
    path = where.folder / store.WEIGHTS
    return {
        "name": where.name,
        "recipe_sha256": cards.recipe_sha256(recipe),
        "weights": {
            "file": store.WEIGHTS,
            "sha256": sha256(path),
            "bytes": path.stat().st_size,
            "parameters": int(sum(np.prod(weight.shape) for weight in model.trainable_variables)),
        },
        "evaluation": {
            "split": settings.split,
            "examples": len(images),
            "binarize": "static" if recipe.data.binarize else None,
            "seed": settings.seed,
            "unit": "nats per example",
            "tolerance": TOLERANCE,
        },
        "metrics": measure(model, images, settings.seed, settings.samples),
        "training": {
            "epochs": progress.epochs,
            "steps": int(model.step.numpy()),
            "seconds": round(progress.seconds, 1),
            "history": progress.history,
        },
        "versions": {
            "python": platform.python_version(),
            "keras_vae": keras_vae.__version__,
            **{name: version(name) for name in PACKAGES},
        },
        "machine": {"processor": processor(), "cores": os.cpu_count()},
    }


def verify(name: str | Path, log_prob: bool = True) -> dict[str, dict[str, float]]:
    """Measure a model's numbers again and compare them with its results.

    Args:
      name: a zoo name, or a folder that `train` wrote.
      log_prob: include the importance-weighted likelihood, the slowest of them.

    Returns:
      metric -> `expected`, `measured`, `difference`, `tolerance`, in nats per example.

    Raises:
      CorruptFileError: weights that are not the card's, or a number outside the tolerance.
    """
    where = store.entry(name)
    recorded, recipe = where.results, where.recipe
    model = runs.load(name)
    samples = recipe.evaluation.samples if log_prob else 0
    measured = measure(model, images_of(recipe), recipe.evaluation.seed, samples)
    tolerance = recorded["evaluation"]["tolerance"]
    rows = {
        metric: {
            "expected": recorded["metrics"][metric]["value"],
            "measured": row["value"],
            "difference": row["value"] - recorded["metrics"][metric]["value"],
            "tolerance": tolerance,
        }
        for metric, row in measured.items()
    }
    wrong = {metric: row for metric, row in rows.items() if not abs(row["difference"]) <= tolerance}
    if wrong:
        listed = ", ".join(f"{m} {row['measured']:.4f}, not {row['expected']:.4f}" for m, row in wrong.items())
        raise CorruptFileError(
            f"{where.name} does not give the numbers of its card: {listed} nats. {store.repair(where)}"
        )
    return rows


def processor() -> str:
    """The processor's name, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
