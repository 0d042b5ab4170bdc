"""Samples of a model of the zoo, from its own prior or from another one."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_vae import priors
from keras_vae.core.inference import checked_count
from keras_vae.errors import UserError
from keras_vae.registry import choose
from keras_vae.types import ConditionLike
from keras_vae.zoo import cards
from keras_vae.zoo.examples import condition_of, examples_of

if TYPE_CHECKING:
    from keras_vae.core import VAE
    from keras_vae.priors import FittedPrior

PRIORS: dict[str, type["FittedPrior"]] = {
    "mixture": priors.MixturePrior,
    "flow": priors.FlowPrior,
    "two_stage": priors.TwoStagePrior,
    "autoregressive": priors.AutoregressivePrior,
}


def fitted_prior(name: str | Path, model: "VAE", prior: str | Path) -> "FittedPrior":
    """Return a prior for the model `name`: read from a file, or fitted to the codes of all its training images.

    Args:
      name: of the model, as `keras_vae.zoo.load` takes it.
      model: the trained model.
      prior: a file that a fitted prior's `save` wrote; or `"mixture"`, `"flow"`, `"two_stage"` or `"autoregressive"`.

    Raises:
      UserError: an unknown prior, or one of other codes than the model's.
    """
    if Path(prior).is_file():
        return priors.load(prior)
    unfitted, recipe = choose("prior", str(prior), PRIORS)(), cards.card(name).recipe
    unfitted.spec_of(model)  # refuses a model of other codes before the images are read
    examples = examples_of(recipe, recipe.data.train)
    return unfitted.fit(model, examples.images, condition_of(model, examples))


def classes_of(model: "VAE") -> dict[str, int]:
    """Return the number of classes of each label that a model is conditioned on; empty if a condition is no label."""
    specs = model.condition_spec()
    labels = all(spec.kind == "label" for spec in specs.values())
    return {name: spec.classes for name, spec in specs.items()} if labels else {}


def every_label(model: "VAE", count: int) -> ConditionLike:
    """Return the condition of `count` samples: every label in equal parts, in order, or combination of labels by name.

    None for a model that is not conditioned on labels.
    """
    classes = classes_of(model)
    if not classes:
        return None
    rows = np.arange(count) * math.prod(classes.values()) // max(count, 1)
    columns = np.unravel_index(rows, tuple(classes.values()))
    labels: Any = model.condition_in({name: one.astype("int32") for name, one in zip(classes, columns, strict=True)})
    return labels


def labels_to_draw(model: "VAE", count: int, label: int | None = None) -> ConditionLike:
    """Return the condition of `count` samples: `label` for all of them, or `every_label`.

    Raises:
      UserError: a label for a model without, a negative count, or one of more images than memory holds.
    """
    count, classes = checked_count(model, count), model.condition_classes
    if label is not None and not classes:
        raise UserError(
            f"A label is of a model that takes one as its condition. Given: --label {label}, for a "
            f"{type(model).__name__} without. Leave it out."
        )
    return every_label(model, count) if label is None else np.full(count, label)
