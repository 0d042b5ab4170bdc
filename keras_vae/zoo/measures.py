"""The numbers of a card, measured by the program on held-out images, and measured again by `verify`.

What is measured follows from what the model says that it has: a distribution over codes, a condition, codes of numbers
or of indices, terms of its own.
"""

import os
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from keras import ops

import keras_vae
from keras_vae import data, randomness
from keras_vae.arrays import check_whole_number, in_blocks
from keras_vae.errors import CorruptFileError, UserError
from keras_vae.files import sha256
from keras_vae.inference import checked_inputs
from keras_vae.zoo import cards, checkpoints, codes, recipes, runs, store

# Nats, and squared error. The same weights, digits and noise give the same numbers but for rounding, which moves a mean
# over the test digits by less than a thousandth; another binarisation, split or weights file moves it by tenths.
TOLERANCE = 0.01
# Of log p(x): other draws, 200 for each digit, move the mean by some thousandths.
TOLERANCE_OF_DRAWS = 0.03
BATCH = 128  # images in a batch of the terms that only a batch has
PACKAGES = ("tensorflow", "keras", "tensorflow-probability", "numpy")


class Examples(NamedTuple):
    """What a model is measured on."""

    images: np.ndarray  # (examples, height, width, channels)
    labels: np.ndarray | None  # (examples,)


def examples_of(recipe: recipes.Recipe, split: str | None = None) -> Examples:
    """The images and labels that a recipe's results are measured on: binarised once where training binarises."""
    binarize = "static" if recipe.data.binarize else None
    split = split or recipe.evaluation.split
    dataset = data.load(recipe.data.name, split, binarize, batch_size=1000, training=False)
    batches = list(dataset.as_numpy_iterator())
    labels = np.concatenate([batch["y"] for batch in batches]) if "y" in batches[0] else None
    return Examples(np.concatenate([batch["x"] for batch in batches]), labels)


def images_of(recipe: recipes.Recipe, split: str | None = None) -> np.ndarray:
    """The images alone of `examples_of`."""
    return examples_of(recipe, split).images


def condition_of(model: Any, examples: Examples) -> Any:
    """The labels, for a model that is conditional; None for another."""
    return examples.labels if model.conditional else None


def measure(model: Any, images: np.ndarray, seed: int, samples: int, condition: Any = None) -> dict[str, Any]:
    """What `model` has, measured on `images`: means over them, with their standard errors.

    * `log_px`, and for a model with a distribution over codes `elbo`, `kl` and `log_prob`, in nats per example;
    * `squared_error` of the mean reconstruction, summed over the pixels of an image;
    * `active_units`, or for integer codes `codes_used` and `code_perplexity`, over all images;
    * the model's own terms, the names in `log_names`: means over whole batches of 128 images.

    Args:
      model: a model of this library.
      images: `(examples, *image_shape)` in the likelihood's support.
      seed: of the noise.
      samples: importance samples of log_prob; 0 leaves it out, and so does a code that is certain.
      condition: one for each image, where the model is conditional.

    Returns:
      metric -> `value`; `standard_error`, over examples or batches, None for a count; `samples`, draws of q(z|x) for
      each example; `unit`; `tolerance`, what `verify` accepts; `batch`, the size of the batches of a mean over them;
      `parts` where the value is made of several: the KL of
      each dimension or level, the variance of each dimension of the codes.

    Raises:
      UserError: images outside the likelihood's support, or fewer than two of them.
    """
    if len(images) < 2:
        raise UserError(f"A standard error needs two images or more. Given: {len(images)}.")
    seed = check_whole_number(seed, "seed", minimum=0)
    inputs = checked_inputs(model, images, condition)
    model.likelihood_family.check(inputs["x"])
    base = randomness.seed_of(seed, randomness.EVALUATION)
    terms = _terms_function(model)

    def one_block(block: int, part: Mapping[str, np.ndarray]) -> Mapping[str, Any]:
        found = terms(part, randomness.fold(base, block))
        return {"log_px": found["log_px"], "kl": found["kl"]}

    found, draws = in_blocks(one_block, inputs, pad=True), _draws(model)
    rows: dict[str, Any] = {}
    if model.stochastic:
        kl = found["kl"].sum(axis=1)
        rows["elbo"] = _mean(found["log_px"] - kl, draws)
        rows["log_px"] = _mean(found["log_px"], draws)
        rows["kl"] = _mean(kl, draws) | {"parts": [float(each) for each in found["kl"].mean(axis=0, dtype="float64")]}
    else:
        rows["log_px"] = _mean(found["log_px"], draws)
    certain = any(spec["kind"] == "index" for spec in model.code_spec().values())
    if samples and model.stochastic and not certain:  # with certain codes log p(x) is what the ELBO says already
        values = model.log_prob(images, samples=samples, seed=seed, condition=condition)
        rows["log_prob"] = _mean(values, samples) | {"tolerance": TOLERANCE_OF_DRAWS}
    errors = np.square(model.reconstruct(images, condition) - inputs["x"], dtype="float64").sum(axis=(1, 2, 3))
    rows["squared_error"] = _mean(errors, 0) | {"unit": "summed over pixels"}
    counts = codes.rows(model.code_spec(), model.encode(images, condition))
    rows |= {name: {"standard_error": None, "samples": 0, **row} for name, row in counts.items()}
    return rows | _own_terms(model, terms, inputs, base)


def _terms_function(model: Any) -> Any:
    @tf.function(autograph=False)
    def terms(inputs: Mapping[str, Any], seed: Any) -> dict[str, Any]:
        batch = {"x": inputs["x"]} | ({"y": inputs["condition"]} if "condition" in inputs else {})
        with model.draws.using(seed):
            found = model.terms(batch, training=False)
        logs = {f"own {name}": ops.mean(ops.convert_to_tensor(found.logs[name])) for name in model.log_names}
        return {"log_px": found.log_px, "kl": found.kl, **logs}

    return terms


def _own_terms(model: Any, terms: Any, inputs: Mapping[str, np.ndarray], base: Any) -> dict[str, Any]:
    """The model's own logs: some are of a batch, so all are means over batches of one size, without the last part."""
    count, draws = len(inputs["x"]), _draws(model)
    values: dict[str, list[float]] = {name: [] for name in model.log_names}
    for place, start in enumerate(range(0, max(count - count % BATCH, 1), BATCH) if model.log_names else ()):
        part = {name: array[start : start + BATCH] for name, array in inputs.items()}
        found = terms(part, randomness.fold(base, place))
        for name in values:
            values[name].append(float(found[f"own {name}"]))
    rows = {}
    for name, each in values.items():
        mean = float(np.mean(each))
        error = float(np.std(each, ddof=1) / np.sqrt(len(each))) if len(each) > 1 else None
        # What the number is made of is the variant's matter, so rounding is allowed for by its size.
        tolerance = TOLERANCE + 1e-4 * abs(mean)
        row = {"value": mean, "standard_error": error, "samples": draws, "unit": "", "tolerance": tolerance}
        rows[name] = row | {"batch": BATCH}
    return rows


def _draws(model: Any) -> int:
    return model.draws_per_example if model.stochastic else 0


def _mean(values: np.ndarray, draws: int) -> dict[str, Any]:
    return {
        "value": float(np.mean(values, dtype="float64")),
        "standard_error": float(np.std(values, ddof=1, dtype="float64") / np.sqrt(len(values))),
        "samples": draws,
        "unit": "nats",
        "tolerance": TOLERANCE,
    }


def measured(recipe: recipes.Recipe, model: Any) -> dict[str, Any]:
    """The parts of results.json that measuring gives: `evaluation` and `metrics`."""
    examples, settings = examples_of(recipe), recipe.evaluation
    return {
        "evaluation": {
            "split": settings.split,
            "examples": len(examples.images),
            "binarize": "static" if recipe.data.binarize else None,
            "condition": "label" if model.conditional else None,
            "seed": settings.seed,
        },
        "metrics": measure(model, examples.images, settings.seed, settings.samples, condition_of(model, examples)),
    }


def results(where: store.Entry, recipe: recipes.Recipe, model: Any, progress: checkpoints.Progress) -> dict[str, Any]:
    """The contents of results.json for a trained model whose weights file is written."""
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
        **measured(recipe, model),
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


def verify(name: str | Path, log_prob: bool = True) -> dict[str, dict[str, Any]]:
    """Measure a model's numbers again and compare them with its results.

    Args:
      name: a zoo name, or a folder that `train` wrote.
      log_prob: include the importance-weighted likelihood, the slowest of them.

    Returns:
      metric -> `expected`, `measured`, `difference`, `tolerance`, and the `unit` of them.

    Raises:
      CorruptFileError: weights that are not the card's, or a number outside its tolerance.
    """
    where = store.entry(name)
    recorded, recipe = where.results, where.recipe
    model, examples = runs.load(name), examples_of(recipe)
    samples = recipe.evaluation.samples if log_prob else 0
    again = measure(model, examples.images, recipe.evaluation.seed, samples, condition_of(model, examples))
    rows = {
        metric: {
            "expected": row["value"],
            "measured": again[metric]["value"],
            "difference": again[metric]["value"] - row["value"],
            "tolerance": row.get("tolerance", TOLERANCE),
            "unit": again[metric]["unit"],
        }
        for metric, row in recorded["metrics"].items()
        if metric in again
    }
    wrong = {metric: row for metric, row in rows.items() if not abs(row["difference"]) <= row["tolerance"]}
    if wrong:
        listed = ", ".join(
            f"{metric} {row['measured']:.4f}, not {row['expected']:.4f} {row['unit']}".rstrip()
            for metric, row in wrong.items()
        )
        raise CorruptFileError(f"{where.name} does not give the numbers of its card: {listed}. {store.repair(where)}")
    return rows


def processor() -> str:
    """The processor's name, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
