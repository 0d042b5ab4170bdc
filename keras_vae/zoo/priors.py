"""The prior that a recipe asks for: fitted to the codes of the finished model, and kept with its weights."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_vae import data, priors
from keras_vae.errors import UserError
from keras_vae.files import sha256
from keras_vae.registry import check_arguments, choose
from keras_vae.zoo import recipes, store
from keras_vae.zoo.examples import Examples, condition_of, of_x, source_of

if TYPE_CHECKING:
    from keras_vae.core import VAE
    from keras_vae.priors import FittedPrior


def build(recipe: recipes.Recipe, model: "VAE") -> "FittedPrior | None":
    """Return the unfitted prior of a recipe, with the run's seed, or None where the recipe asks for none.

    Raises:
      UserError: an unknown class, arguments that it does not take, or a model of other codes.
    """
    if recipe.prior is None:
        return None
    kind = choose("prior class", recipe.prior.class_name, priors.PRIORS)
    check_arguments(f"prior class {recipe.prior.class_name}", kind, recipe.prior.arguments)
    prior = kind(**recipe.prior.arguments, seed=recipe.training.seed)
    prior.spec_of(model)
    return prior


def check(recipe: recipes.Recipe, model: "VAE") -> None:
    """Raise UserError, as `build`, or for a prior that needs more codes than there are training examples."""
    prior, source = build(recipe, model), recipe.data
    if prior is None:
        return
    read, x = source_of(recipe), of_x(recipe)
    count = len(data.load(read, source.train, source.binarize, batch_size=1, training=False, **x))
    if count < prior.least_codes:
        raise UserError(
            f"{type(prior).__name__} needs {prior.least_codes} codes or more, one of each training example. Given: "
            f"{count}. Lower its batch_size or components, or train on more."
        )


def fit(
    where: store.Entry, prior: "FittedPrior", model: "VAE", examples: Examples, storage: str
) -> tuple["FittedPrior", dict[str, Any]]:
    """Fit a prior to the codes of the training examples, and save it in the entry's folder.

    Args:
      where: the entry.
      prior: as `build` returns it.
      model: with the weights as stored.
      examples: of the training split.
      storage: of its matrices, as of `training.storage`.

    Returns:
      The prior as stored, and its record in results.json: file, sha256, bytes and the history of its fit.
    """
    prior.fit(model, examples.images, condition_of(model, examples))
    path = where.folder / store.PRIOR
    prior.save(path, storage)
    history = {name: values for name, values in prior.history.items() if values}
    record = {"file": store.PRIOR, "sha256": sha256(path), "bytes": path.stat().st_size, "history": history}
    return priors.load(path), record


def prior(name: str | Path) -> "FittedPrior | None":
    """Return the prior fitted to the codes of the model `name`, for `prior=` of its methods, or None without one.

    Raises:
      UserError: an unknown name, with the nearest.
      CorruptFileError: a file that is missing, or not that of the card.
    """
    path = store.checked_prior(store.entry(name))
    return priors.load(path) if path else None


def of(model: "VAE") -> "FittedPrior | None":
    """Return the prior fitted to the codes of a model from `keras_vae.zoo.load`, or None without one."""
    return prior(model.provenance.folder) if model.provenance else None


def exported(model: "VAE") -> "FittedPrior | None":
    """Return the prior of a model from `keras_vae.zoo.load`, or None where there are no graphs of it to export."""
    fitted = of(model)
    return fitted if fitted is not None and fitted.has_graphs else None
