"""From a recipe to its model, untrained or with its weights. Imports no training code, scikit-learn or matplotlib."""

import functools
from pathlib import Path
from typing import TYPE_CHECKING

from keras_vae import weights as stored
from keras_vae.errors import UserError
from keras_vae.models import MODELS
from keras_vae.registry import check_arguments, choose
from keras_vae.types import Provenance
from keras_vae.zoo import recipes, store
from keras_vae.zoo.examples import export_examples

if TYPE_CHECKING:
    from keras_vae.core import VAE


def build(recipe: recipes.Recipe, precision: str | None = None) -> "VAE":
    """Return the untrained model of a recipe.

    Args:
      recipe: of a zoo entry or a run.
      precision: a Keras dtype policy; by default the recipe's.

    Raises:
      UserError: an unknown class, or arguments that it does not take.
    """
    kind = choose("model class", recipe.model.class_name, MODELS)
    common = {"seed": recipe.training.seed, "dtype": precision or recipe.training.precision}
    check_arguments(f"model class {recipe.model.class_name}", kind, recipe.model.arguments)
    try:
        return kind(**recipe.model.arguments, **common)
    except UserError:
        raise
    except (TypeError, ValueError) as error:  # raised by Keras, for example for an unknown activation
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise UserError(f"The arguments of the model class {recipe.model.class_name} do not fit: {reason}.") from error


def load(name: str | Path, weights: bool = True) -> "VAE":
    """Return the model `name` of the zoo, or of a run's folder, in float32.

    Its weights are first compared with the SHA-256 of its card. Loading is data only: the recipe names a registered
    class, and numbers are read into its variables.

    Args:
      name: one of `names()`, or a folder that `train` wrote.
      weights: false gives the untrained model.

    Raises:
      UserError: an unknown name, with the nearest.
      CorruptFileError: weights that are missing, truncated or not those of the card.
    """
    where = store.entry(name)
    model = build(where.recipe, "float32")
    if weights:
        stored.load(model, store.checked_weights(where), store.repair(where))
    digest = where.trained["weights"]["sha256"] if weights else None
    read_examples = functools.partial(export_examples, where.recipe, model.conditional)
    model.record_provenance(Provenance(where.name, where.folder, digest, read_examples))
    return model
