"""The full evaluation of a zoo entry: its model, and the data that its recipe names."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_vae.evaluation.overview import evaluate
from keras_vae.zoo import priors, recipes, store
from keras_vae.zoo.examples import Examples, examples_of, read
from keras_vae.zoo.loading import load

if TYPE_CHECKING:
    from keras_vae.core import VAE
    from keras_vae.priors.base import FittedPrior

# Enough to fit probes to, and to look for copies among.
_TRAIN = 10_000
# What results.json has beside its verified metrics: all of `evaluate` but what is among those already.
RECORDED = (
    "likelihood.bits_per_dim",
    "likelihood.agreement",
    "latent.kl_split",
    "latent.gaussian_total_correlation",
    "latent.collapse",
    "latent.codebook",
    "disentanglement",
    "generation",
    "representation",
)


def evaluate_entry(
    name: str | Path,
    sections: Sequence[str],
    split: str | None = None,
    seed: int | None = None,
    samples: int = 5000,
    report: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """`keras_vae.evaluation.evaluate` of the model `name` on held-out data of its recipe, with all that they have.

    Args:
      name: a zoo name, or a folder that `train` wrote.
      sections: of `keras_vae.evaluation.overview.SECTIONS`, or single metrics of them.
      split: of the recipe's data; the one that its results are measured on if not given.
      seed: the recipe's if not given.
      samples: importance samples of log p(x).
      report: as of `evaluate`.

    Raises:
      UserError: as `evaluate`, or an unknown split.
    """
    recipe, prior = store.entry(name).recipe, priors.prior(name)
    return overview(recipe, load(name), sections, split, seed, samples, prior, report)


def overview(
    recipe: recipes.Recipe,
    model: "VAE",
    sections: Sequence[str],
    split: str | None = None,
    seed: int | None = None,
    samples: int = 200,
    prior: "FittedPrior | None" = None,
    report: Callable[[str], None] | None = None,
    examples: Examples | None = None,
) -> dict[str, Any]:
    """As `evaluate_entry`, of a model that is loaded: what `train` records.

    Labels are those of the data, or its factors, where an example has several; a model of MNIST has its draws compared
    with grey digits of the same split. Probes and the search for copies take the first 10,000 training images.
    `examples` are those of the split, where they were read already.
    """
    split = split or recipe.evaluation.split
    held_out = examples_of(recipe, split) if examples is None else examples
    wanted = {section.split(".")[0] for section in sections}
    further: dict[str, Any] = {}
    first = recipe.data.train if "[" in recipe.data.train else f"{recipe.data.train}[:{_TRAIN}]"
    if {"generation", "representation"} & wanted:
        training = examples_of(recipe, first)
        classes = training.classes
        further |= {"train": training.images[:_TRAIN], "train_labels": None if classes is None else classes[:_TRAIN]}
    if recipe.data.name == "mnist" and "generation" in wanted:
        grey = {"reference": split, "train_reference": first}
        further |= {name: read("mnist", part, None).images[:_TRAIN] for name, part in grey.items()}
    return {"split": split} | evaluate(
        model,
        held_out.images,
        held_out.classes,
        held_out.factors,
        condition=held_out.labels if model.conditional else None,
        sections=sections,
        samples=samples,
        seed=recipe.evaluation.seed if seed is None else seed,
        prior=prior,
        report=report,
        **further,
    )


def merged(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """An overview with what another one of the same data measured, or found that the model has none of, in its place.

    Args:
      old: as `overview` gives it.
      new: of some of its metrics.
    """
    sections = [name for name, value in new.items() if isinstance(value, Mapping) and name != "without"]
    found = {f"{section}.{name}" for section in sections for name in new[section]} | set(new["without"])
    result = {**old, "without": {path: why for path, why in old["without"].items() if path not in found}}
    result["without"] |= new["without"]
    for section in sections:
        kept = {name: value for name, value in old.get(section, {}).items() if f"{section}.{name}" not in found}
        result[section] = kept | new[section]
    return result
