"""The numbers of a card, measured by the program on held-out images, and measured again by `verify`.

What is measured follows from what the model says that it has: a distribution over codes, a condition, codes of numbers
or of indices, terms of its own.
"""

import os
import platform
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import keras_vae
from keras_vae.checks import check_whole_number
from keras_vae.core import estimators
from keras_vae.core.inference import checked_inputs
from keras_vae.errors import CorruptFileError, UserError
from keras_vae.evaluation import generation, latent, sequences
from keras_vae.evaluation.estimates import mean_of
from keras_vae.files import sha256
from keras_vae.types import ConditionLike
from keras_vae.zoo import cards, checkpoints, evaluations, priors, recipes, store
from keras_vae.zoo.examples import Examples, condition_of, examples_of
from keras_vae.zoo.examples import images_of as images_of
from keras_vae.zoo.loading import load

if TYPE_CHECKING:
    from keras_vae.core import VAE
    from keras_vae.priors.base import FittedPrior

# Nats, and squared error. The same weights, digits and noise give the same numbers but for rounding, which moves a mean
# over the test digits by less than a thousandth; another binarisation, split or weights file moves it by tenths.
TOLERANCE = 0.01
# Of log p(x): other draws, 200 for each digit, move the mean by some thousandths.
TOLERANCE_OF_DRAWS = 0.03
BATCH = 128  # images in a batch of the terms that only a batch has
PACKAGES = ("tensorflow", "keras", "tensorflow-probability", "numpy")


def measure(
    model: "VAE",
    images: np.ndarray,
    seed: int,
    samples: int,
    condition: ConditionLike = None,
    prior: "FittedPrior | None" = None,
) -> dict[str, Any]:
    """What `model` has, measured on `images`: means over them, with their standard errors.

    * `log_px`, and for a model with a distribution over codes `elbo`, `kl` and `log_prob`, in nats per example;
    * `elbo_fitted`, the ELBO with `prior` in place of the model's own;
    * `squared_error` of the mean reconstruction, summed over the pixels of an image; of sequences `tokens_right` and
      `sequences_right`, shares;
    * `active_units`, or for integer codes `codes_used` and `code_perplexity`, over all images;
    * the model's own terms, the names in `metric_names`: means over whole batches of 128 images.

    Args:
      model: a model of this library.
      images: `(examples, *image_shape)` in the likelihood's support; or whatever the model's x is.
      seed: of the noise.
      samples: importance samples of log_prob; 0 leaves it out, and so does a code that is certain.
      condition: one for each image, where the model is conditional.
      prior: of `keras_vae.priors`, fitted to the model, or None.

    Returns:
      metric -> `value`; `standard_error`, over examples or batches, None for a count; `samples`, draws of q(z|x)
      for each; `unit`; `tolerance`, what `verify` accepts; `batch`, the size of the batches of a mean over them;
      `parts` where the value is made of several: the KL of each dimension or level, with `errors`, the variance
      of each dimension of the codes.

    Raises:
      UserError: images outside the likelihood's support, or fewer than two of them.
    """
    if len(images) < 2:
        raise UserError(f"A standard error needs two images or more. Given: {len(images)}.")
    seed = check_whole_number(seed, "seed", minimum=0)
    inputs = checked_inputs(model, images, condition)
    model.likelihood_family.check(inputs["x"])
    terms = estimators.elbo_terms(model, inputs, seed)
    draws = model.draws_per_example if model.stochastic else 0
    rows: dict[str, Any] = {}
    if model.stochastic:
        rows = {name: _row(terms[name], "nats", draws) for name in ("elbo", "log_px", "kl")}
        groups = [mean_of(group) for group in terms["kl_groups"].T]
        rows["kl"] |= {
            "parts": [each["value"] for each in groups],
            "errors": [each["standard_error"] for each in groups],
        }
    else:
        rows["log_px"] = _row(terms["log_px"], "nats", draws)
    if prior is not None:
        rows["elbo_fitted"] = _row(model.elbo(images, seed, condition, prior), "nats", 1)
    certain = model.latent_kind == "index"
    if samples and model.stochastic and not certain:  # with certain codes log p(x) is what the ELBO says already
        values = model.log_prob(images, samples=samples, seed=seed, condition=condition)
        rows["log_prob"] = _row(values, "nats", samples, TOLERANCE_OF_DRAWS)
    rows |= RECONSTRUCTION[model.x_spec().kind](model, images, condition)
    rows |= (_codebook if certain else _active_units)(model, images, condition)
    return rows | _own_terms(estimators.own_terms(model, inputs, seed, BATCH), draws)


def _row(values: Any, unit: str, draws: int, tolerance: float = TOLERANCE) -> dict[str, Any]:
    return {**mean_of(values, samples=draws, unit=unit), "tolerance": tolerance}


def _squared_error(model: "VAE", images: np.ndarray, condition: ConditionLike) -> dict[str, Any]:
    return {"squared_error": _row(generation.squared_errors(model, images, condition), "summed over pixels", 0)}


def _tokens(model: "VAE", x: np.ndarray, condition: ConditionLike) -> dict[str, Any]:
    found = sequences.reconstructed_tokens(model, x, condition)
    return {name: _row(values, "share", 0) for name, values in found.items()}


# How well x comes back: kind of x, as `x_spec` says it -> rows of model, x and condition.
RECONSTRUCTION: dict[str, Callable[..., dict[str, Any]]] = {"image": _squared_error, "tokens": _tokens}


def _active_units(model: "VAE", images: np.ndarray, condition: ConditionLike) -> dict[str, Any]:
    found = latent.active_units(model, images, condition=condition)
    # The tolerance of 1: rounding may carry a variance over the threshold.
    row = _count(found["value"], f"of {found['of']} dimensions", 1)
    return {"active_units": row | {"parts": found["variances"]}}


def _codebook(model: "VAE", images: np.ndarray, condition: ConditionLike) -> dict[str, Any]:
    found = latent.codebook_usage(model, images, condition)
    unit = f"of {found['entries']} entries"
    return {
        "codes_used": _count(found["used"], unit, 1),
        "code_perplexity": _count(found["perplexity"], unit, TOLERANCE) | {"standard_error": found["standard_error"]},
    }


def _count(value: float, unit: str, tolerance: float) -> dict[str, Any]:
    return {"value": value, "standard_error": None, "samples": 0, "unit": unit, "tolerance": tolerance}


def _own_terms(found: dict[str, np.ndarray], draws: int) -> dict[str, Any]:
    rows = {}
    for name, each in found.items():
        mean = float(each.mean())
        error = mean_of(each)["standard_error"] if len(each) > 1 else None
        # What the number is made of is the variant's matter, so rounding is allowed for by its size.
        tolerance = TOLERANCE + 1e-4 * abs(mean)
        row = {"value": mean, "standard_error": error, "samples": draws, "unit": "", "tolerance": tolerance}
        rows[name] = row | {"batch": BATCH}
    return rows


def measured(
    recipe: recipes.Recipe, model: "VAE", prior: "FittedPrior | None" = None, examples: Examples | None = None
) -> dict[str, Any]:
    """The parts of results.json that measuring gives: `evaluation`, `metrics` and `overview`.

    Args:
      recipe: of the model.
      model: with the weights as stored.
      prior: fitted to it, or None.
      examples: of the recipe's evaluation split; read by default.
    """
    examples, settings = examples_of(recipe) if examples is None else examples, recipe.evaluation
    condition = condition_of(model, examples)
    overview = {}
    if settings.overview:
        overview = evaluations.overview(recipe, model, evaluations.RECORDED, prior=prior, examples=examples)
    return {
        "evaluation": {
            "split": settings.split,
            "examples": len(examples.images),
            "binarize": "static" if recipe.data.binarize else None,
            "condition": "label" if model.conditional else None,
            # Whether the label has a probability, so that the numbers are of p(x, y), and not of p(x|y).
            **({} if condition is None or model.log_p_condition(condition) is None else {"joint": True}),
            "seed": settings.seed,
            "kind": model.x_spec().kind,
        },
        "metrics": measure(model, examples.images, settings.seed, settings.samples, condition, prior),
        "overview": overview,
    }


def results(
    where: store.Entry,
    recipe: recipes.Recipe,
    model: "VAE",
    progress: checkpoints.Progress,
    prior: "FittedPrior | None" = None,
    examples: Examples | None = None,
) -> dict[str, Any]:
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
        **measured(recipe, model, prior, examples),
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
      CorruptFileError: weights that are not the card's, or a number that is outside its tolerance or measured no more.
    """
    where = store.entry(name)
    recorded, recipe = where.results, where.recipe
    model, examples = load(name), examples_of(recipe)
    samples = recipe.evaluation.samples if log_prob else 0
    condition, prior = condition_of(model, examples), priors.prior(name)
    again = measure(model, examples.images, recipe.evaluation.seed, samples, condition, prior)
    left_out = set() if log_prob else {"log_prob"}
    gone = sorted(recorded["metrics"].keys() - again.keys() - left_out)
    if gone:
        raise CorruptFileError(
            f"{where.name} has numbers on its card that are measured no more: {', '.join(gone)}. {store.repair(where)}"
        )
    rows = {
        metric: {
            "expected": row["value"],
            "measured": again[metric]["value"],
            "difference": again[metric]["value"] - row["value"],
            "tolerance": row.get("tolerance", TOLERANCE),
            "unit": again[metric]["unit"],
        }
        for metric, row in recorded["metrics"].items()
        if metric not in left_out
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
