"""A prior that a recipe asks for: fitted to the codes of the finished model, and kept beside its weights."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_vae import priors
from keras_vae.errors import CorruptFileError
from keras_vae.files import sha256
from keras_vae.registry import check_arguments, choose
from keras_vae.zoo import recipes, store
from keras_vae.zoo.examples import condition_of, examples_of

if TYPE_CHECKING:
    from keras_vae.core import VAE

FILE = "prior.npz"


def build(recipe: recipes.Recipe, model: "VAE") -> Any:
    """The unfitted prior of a recipe, in the run's seed; None: the recipe asks for none.

    Raises:
      UserError: an unknown class, arguments that it does not take, or a model of other codes.
    """
    if recipe.prior is None:
        return None
    kind = choose("prior class", recipe.prior.class_name, priors.PRIORS)
    check_arguments(f"prior class {recipe.prior.class_name}", kind, recipe.prior.arguments)
    made: Any = kind(**recipe.prior.arguments, seed=recipe.training.seed)
    made.spec_of(model)
    return made


def write(where: store.Entry, recipe: recipes.Recipe, model: "VAE") -> tuple[Any, dict[str, Any]]:
    """Fit the prior to the codes of the training images, as the model of the stored weights gives them, and save it.

    Returns:
      The prior, and its part of results.json, `{"prior": ...}`: file, sha256, bytes and its loss. None and `{}` where
      the recipe asks for none.
    """
    made = build(recipe, model)
    if made is None:
        return None, {}
    examples = examples_of(recipe, recipe.data.train)
    made.fit(model, examples.images, condition_of(model, examples))
    path = where.folder / FILE
    made.save(path)
    history = {name: values for name, values in getattr(made, "history", {}).items() if values}
    part = {"file": FILE, "sha256": sha256(path), "bytes": path.stat().st_size, "history": history}
    return made, {"prior": part}


def prior(name: str | Path) -> Any:
    """The prior that was fitted to the codes of the model `name`, for `prior=` of its methods; None: it has none.

    Raises:
      UserError: an unknown name, with the nearest.
      CorruptFileError: a file that is missing, or not that of the card.
    """
    where = store.entry(name)
    expected = where.results.get("prior")
    if expected is None:
        return None
    path = where.folder / FILE
    actual = sha256(path) if path.is_file() else "missing"
    if actual != expected["sha256"]:
        raise CorruptFileError(
            f"The prior {path} is not that of the card: expected sha256 {expected['sha256']}, actual {actual}. "
            f"{store.repair(where)}"
        )
    return priors.load(path)


def of(model: "VAE") -> Any:
    """The prior that was fitted to the codes of a model that `keras_vae.zoo.load` gave; None: there is none."""
    return prior(model.provenance.folder) if model.provenance else None


def exported(model: "VAE") -> Any:
    """The prior of a model that `keras_vae.zoo.load` gave, if there are graphs of it to export; else None."""
    held = of(model)
    return held if held is not None and held.has_graphs else None
