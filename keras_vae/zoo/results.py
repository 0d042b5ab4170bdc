"""The contents of results.json: the metrics of a trained model, its training, versions and machine."""

import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import keras_vae
from keras_vae import files
from keras_vae.errors import NotApplicable
from keras_vae.evaluation.metrics import run
from keras_vae.evaluation.summary import log_probs_of
from keras_vae.files import sha256
from keras_vae.types import Condition
from keras_vae.zoo import checkpoints, evaluations, recipes, stopping, store, verifying
from keras_vae.zoo.examples import Examples, conditions_of

if TYPE_CHECKING:
    from keras_vae.core import VAE
    from keras_vae.priors.base import FittedPrior

PACKAGES = ("tensorflow", "keras", "tensorflow-probability", "numpy")


def results_of(
    entry: store.Entry,
    recipe: recipes.Recipe,
    model: "VAE",
    progress: checkpoints.Progress,
    prior: "FittedPrior | None",
    examples: Examples,
    quick: bool,
) -> dict[str, Any]:
    """Return what `store.write_results` takes for a trained model, after its weights file was written.

    Args:
      entry: the run.
      recipe: of the model.
      model: with the weights as stored.
      progress: of the training.
      prior: fitted to the model, or None.
      examples: of the recipe's evaluation split.
      quick: as of `evaluated`.
    """
    path = entry.folder / store.WEIGHTS
    return {
        "name": entry.name,
        "weights": {
            "file": store.WEIGHTS,
            "sha256": sha256(path),
            "bytes": path.stat().st_size,
            "parameters": int(sum(np.prod(weight.shape) for weight in model.trainable_variables)),
        },
        **evaluated(entry, recipe, model, prior, examples, quick),
        "training": {
            "epochs": progress.epochs,
            **({} if recipe.training.patience is None else {"best_epoch": stopping.best_epoch(progress.history)}),
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


def evaluated(
    entry: store.Entry,
    recipe: recipes.Recipe,
    model: "VAE",
    prior: "FittedPrior | None",
    examples: Examples,
    quick: bool = False,
) -> dict[str, Any]:
    """Return the parts of results.json that are measured: `evaluation`, `metrics` and `overview`.

    log p(x) of each example is written beside it, so that models can be compared example by example.

    Args:
      entry: the run.
      recipe: of the model.
      model: with the weights as stored.
      prior: fitted to the model, or None.
      examples: of the recipe's evaluation split.
      quick: leave log p(x) and the overview out, which take longest; `evaluation` names them.
    """
    settings = recipe.evaluation
    recorded = evaluations.recorded(recipe)
    names, samples = ((), 0) if quick else (recorded, None)
    evaluation = evaluations.evaluation_of(recipe, model, names, samples=samples, prior=prior, examples=examples)
    condition, metrics = evaluation.condition, verifying.card_metrics(evaluation)
    if "log_prob" in metrics:
        files.write_array(entry.folder / store.LOG_PROBS, log_probs_of(evaluation).astype("float32"))
    return {
        "evaluation": {
            "split": settings.split,
            "examples": len(evaluation),
            "binarize": "static" if recipe.data.binarize else None,
            **({"dequantize": True} if recipe.data.dequantize else {}),
            "condition": (" and ".join(conditions_of(recipe)) or "label") if model.conditional else None,
            **({} if condition is None else _joint(model, condition)),
            "seed": settings.seed,
            "kind": model.x_spec().kind,
            **({"left_out": ["log_prob", *recorded]} if quick else {}),
            **({"columns": list(examples.columns)} if examples.columns else {}),
        },
        "metrics": metrics,
        "overview": {"split": settings.split, **run(evaluation, names)} if names else {},
    }


def _joint(model: "VAE", condition: Condition) -> dict[str, Any]:
    """Return {"joint": True} for numbers of p(x, y), {"joint": "known"} if a label is missing, {} for p(x|y)."""
    try:
        return {} if model.log_p_condition(condition) is None else {"joint": True}
    except NotApplicable:
        return {"joint": "known"}


def processor() -> str:
    """Return the name of the processor, or its architecture if the system does not report one."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
