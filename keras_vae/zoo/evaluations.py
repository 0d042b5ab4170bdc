"""Evaluations of zoo entries: a model, and the data that its recipe names."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_vae.evaluation.evaluation import Evaluation, Options
from keras_vae.evaluation.metrics import run, select
from keras_vae.zoo import priors, recipes, store
from keras_vae.zoo.examples import Examples, condition_of, examples_of, read
from keras_vae.zoo.loading import load

if TYPE_CHECKING:
    from keras_vae.core import VAE
    from keras_vae.priors.base import FittedPrior

_TRAIN = 10_000  # training images for probes, and for the search for copies
# The contents of "overview" in results.json: all metrics but nats, KL of dimensions and active units, which the summary
# has too, and results.json holds under "metrics".
RECORDED = (
    "likelihood.bits_per_dim",
    "likelihood.per_count",
    "likelihood.per_token",
    "likelihood.agreement",
    "latent.kl_split",
    "latent.gaussian_total_correlation",
    "latent.collapse",
    "latent.codebook",
    "disentanglement",
    "generation",
    "representation",
)


def recorded(recipe: recipes.Recipe) -> Sequence[str]:
    """Return the metrics of a recipe's `overview`.

    Raises:
      UserError: a metric that there is not.
    """
    overview = recipe.evaluation.overview
    return (RECORDED if overview else ()) if isinstance(overview, bool) else select(overview)


def evaluate(
    name: str | Path,
    metrics: Sequence[str],
    split: str | None = None,
    seed: int | None = None,
    samples: int = 5000,
) -> dict[str, Any]:
    """Return `keras_vae.evaluation.evaluate` for the model `name` on held-out data of its recipe, and the `split`.

    Args:
      name: a zoo name, a folder that `train` wrote, or hf://USER/MODEL.
      metrics: sections of `keras_vae.evaluation.evaluate`, or single metrics of them.
      split: of the recipe's data; None: the one that its results were measured on.
      seed: of all draws; None: the recipe's.
      samples: importance samples of log p(x).

    Raises:
      UserError: as `keras_vae.evaluation.evaluate`, or an unknown split.
    """
    names, recipe, prior = select(metrics), store.entry(name).recipe, priors.prior(name)
    evaluation = evaluation_of(recipe, load(name), names, split, seed, samples, prior)
    return {"split": split or recipe.evaluation.split, **run(evaluation, names)}


def evaluation_of(
    recipe: recipes.Recipe,
    model: "VAE",
    metrics: Sequence[str] = (),
    split: str | None = None,
    seed: int | None = None,
    samples: int | None = None,
    prior: "FittedPrior | None" = None,
    examples: Examples | None = None,
) -> Evaluation:
    """Return the evaluation of a model on held-out data of its recipe, with the data that `metrics` need.

    Labels are those of the data, or its factors if an example has several; samples of a model of MNIST are compared
    with grey digits of the same split. Probes and the search for copies use the first 10,000 training images.

    Args:
      recipe: for the split, seed and number of samples that are None.
      model: of that recipe.
      metrics: as of `evaluate`; empty if only the held-out data are needed.
      split: as of `evaluate`.
      seed: as of `evaluate`.
      samples: as of `evaluate`; None: the recipe's.
      prior: fitted to the model, or None.
      examples: of the split, if they were read already.

    Raises:
      UserError: an unknown split, or data that do not fit the model.
    """
    split = split or recipe.evaluation.split
    examples = examples_of(recipe, split) if examples is None else examples
    sections = {metric.split(".")[0] for metric in metrics}
    options: Options = {
        "condition": condition_of(model, examples),
        "samples": recipe.evaluation.samples if samples is None else samples,
        "seed": recipe.evaluation.seed if seed is None else seed,
        "prior": prior,
        "likelihood_examples": recipe.evaluation.likelihood_examples,
        "columns": examples.columns,
        "dequantized": recipe.data.dequantize,
    }
    first = recipe.data.train if "[" in recipe.data.train else f"{recipe.data.train}[:{_TRAIN}]"
    if {"generation", "representation"} & sections:
        training = examples_of(recipe, first).first(_TRAIN)
        options["train"], options["train_labels"] = training.images, training.classes
        options["train_condition"] = condition_of(model, training)
    if recipe.data.name == "mnist" and "generation" in sections:
        options["reference"] = read("mnist", split, None).images[:_TRAIN]
        options["train_reference"] = read("mnist", first, None).images[:_TRAIN]
    return Evaluation(model, examples.images, examples.classes, examples.factors, **options)


def updated(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Return the results of an evaluation, updated with those of another one of the same data.

    Args:
      old: as `evaluate` returns it, or the `split` alone.
      new: results for some of the metrics, or the reasons why they do not apply.
    """
    sections = [name for name, value in new.items() if isinstance(value, Mapping) and name != "without"]
    replaced = {f"{section}.{name}" for section in sections for name in new[section]}
    reasons = old.get("without", {})
    result = {**new, **old, "without": {path: why for path, why in reasons.items() if path not in replaced}}
    result["without"] |= new["without"]
    for section in sections:
        kept = {n: value for n, value in old.get(section, {}).items() if f"{section}.{n}" not in new["without"]}
        result[section] = kept | new[section]  # in the order of old
    return result
