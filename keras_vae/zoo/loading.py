"""From a recipe to its model, untrained or with its weights. Imports no training code, scikit-learn or matplotlib."""

import functools
from collections.abc import Mapping
from pathlib import Path

from keras_vae import weights as stored
from keras_vae.errors import UserError, reason_of
from keras_vae.models import MODELS, VAE
from keras_vae.registry import check_arguments, choose, imported
from keras_vae.types import Provenance
from keras_vae.zoo import recipes, store
from keras_vae.zoo.examples import alphabet_of, export_examples
from keras_vae.zoo.trust import code_allowed


def build(recipe: recipes.Recipe, precision: str | None = None) -> VAE:
    """Return the untrained model of a recipe.

    Args:
      recipe: of a zoo entry or a run. A likelihood `mixed` is of the columns in `data.kinds`.
      precision: a Keras dtype policy; by default the recipe's.

    Raises:
      UserError: an unknown class, or arguments that it does not take.
    """
    kind, arguments = _class_of(recipe.model.class_name), dict(recipe.model.arguments)
    spec, kinds = arguments.get("likelihood"), recipe.data.arguments.get("kinds")
    named = {"name": spec} if isinstance(spec, str) else spec
    if kinds is not None and isinstance(named, Mapping) and named.get("name") == "mixed":
        arguments["likelihood"] = {"columns": kinds, **named}
    if alphabet_of(recipe) is not None and kind.x_spec is VAE.x_spec:
        raise UserError(
            f"Words and lines of text are sequences of tokens. Given: model.class = {recipe.model.class_name!r}, of "
            f"another x. Use a SequenceVAE, or a class of your own that has tokens."
        )
    common = {"seed": recipe.training.seed, "dtype": precision or recipe.training.precision}
    check_arguments(f"model class {recipe.model.class_name}", kind, arguments)
    try:
        return kind(**arguments, **common)
    except UserError:
        raise
    except (TypeError, ValueError) as error:  # raised by Keras, for example for an unknown activation
        raise UserError(
            f"The arguments of the model class {recipe.model.class_name} do not fit: {reason_of(error)}."
        ) from error


def _class_of(name: str) -> type[VAE]:
    """Return the class that a recipe names: a registered one, or code that the user has allowed."""
    if ":" not in name:
        return choose("model class", name, MODELS)
    if not code_allowed():
        raise UserError(
            f"A recipe is data, and names registered classes. Given: model.class = {name!r}, code that would be run. "
            f"If you trust it, add --allow-code to the command; in Python, call keras_vae.zoo.allow_code() before."
        )
    kind = imported("model class", name)
    if not isinstance(kind, type) or not issubclass(kind, VAE):
        raise UserError(f"model.class is a subclass of keras_vae.models.VAE. Given: {name!r}, {kind!r}.")
    return kind


def load(name: str | Path, weights: bool = True) -> VAE:
    """Return the model `name` of the zoo, of a run's folder, or of the Hugging Face Hub, in float32.

    Its weights are first compared with the SHA-256 of its card. Loading is data only: the recipe names a registered
    class, and numbers are read into its variables.

    Args:
      name: one of `names()`, a folder that `train` wrote, or hf://USER/MODEL.
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
