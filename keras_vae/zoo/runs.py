"""From a recipe to a trained, measured entry; a run that was interrupted goes on where it was."""

import functools
import inspect
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras

from keras_vae import data, files
from keras_vae.callbacks import TensorBoard
from keras_vae.errors import CorruptFileError, DivergedError, UserError
from keras_vae.models import MODELS
from keras_vae.registry import check_arguments, choose
from keras_vae.types import Provenance
from keras_vae.zoo import cards, checkpoints, evaluations, fitted, measures, pictures, recipes, store, texts, weights
from keras_vae.zoo.examples import condition_of, examples_of, export_examples

if TYPE_CHECKING:
    from keras_vae.core import VAE
    from keras_vae.priors.base import FittedPrior


def build(recipe: recipes.Recipe, precision: str | None = None) -> Any:
    """The untrained model of a recipe, in the recipe's precision if no other is given.

    Raises:
      UserError: an unknown class, or arguments that it does not take.
    """
    kind = choose("model class", recipe.model.class_name, MODELS)
    given = {"seed": recipe.training.seed, "dtype": precision or recipe.training.precision}
    check_arguments(f"model class {recipe.model.class_name}", kind, recipe.model.arguments)
    try:
        return kind(**recipe.model.arguments, **given)
    except UserError:
        raise
    except (TypeError, ValueError) as error:  # what Keras says of an activation that it does not have, for one
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise UserError(f"The arguments of the model class {recipe.model.class_name} do not fit: {reason}.") from error


def load(name: str | Path, weights: bool = True) -> Any:
    """The model `name` of the zoo, or of a run's folder, in float32.

    Its weights are compared with the SHA-256 of its card first. Loading is data only: the recipe names a registered
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
        path = store.checked_weights(where)
        try:
            model.load_weights(path)
        except (OSError, KeyError, TypeError, ValueError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
            raise CorruptFileError(
                f"{path} does not hold the weights of its recipe: {reason}. {store.repair(where)}"
            ) from error
    digest = where.results["weights"]["sha256"] if weights else None
    read_examples = functools.partial(export_examples, where.recipe, model.conditional)
    model.record_provenance(Provenance(where.name, where.folder, digest, read_examples))
    return model


def train(
    name: str | Path,
    output: str | Path | None = None,
    overwrite: bool = False,
    verbose: int | str = "auto",
    tensorboard: str | Path | None = None,
) -> Any:
    """Train a recipe, measure the result, and write weights, results, card and pictures into a folder.

    A checkpoint is written after each epoch. The same call again goes on where an interrupted run was, and ends with
    the weights and optimizer that an uninterrupted one has; a finished run is not repeated.

    Args:
      name: a zoo name, a recipe.toml, or a folder with one.
      output: the folder; by default `runs/NAME`, NAME that of the model, of the recipe's file, or of its folder.
      overwrite: start anew, whatever the folder holds.
      verbose: 0, 1 or 2, as `keras.Model.fit`.
      tensorboard: a folder for what `keras_vae.callbacks.TensorBoard` writes, of held-out images; None: it does not.

    Returns:
      The trained model, with the weights that were written.

    Raises:
      UserError: a recipe that does not fit, or a folder that is not this run's.
      DivergedError: training became non-finite; the last good checkpoint is kept.
    """
    path = Path(name)
    if path.suffix == ".toml":
        recipe, own_name = recipes.read(path), path.stem if path.name != store.RECIPE else path.resolve().parent.name
    else:
        recipe, own_name = store.entry(name).recipe, store.entry(name).name
    folder = Path(output) if output else Path("runs") / own_name
    where = store.Entry(folder.resolve().name, folder)
    _check_folder(where, recipe, overwrite)
    if not overwrite and where.results.get("recipe_sha256") == cards.recipe_sha256(recipe):
        return load(where.folder)
    model, progress = _fit(where, recipe, overwrite, verbose, tensorboard)
    _finish(where, recipe, model, progress)
    if where.in_zoo:
        # The zoo keeps what is loaded, not what training goes on from.
        (where.folder / checkpoints.NAME).unlink(missing_ok=True)
    return load(where.folder)


def _check_folder(where: store.Entry, recipe: recipes.Recipe, overwrite: bool) -> None:
    folder = files.check_output_folder(where.folder, store.RECIPE, overwrite)
    present = folder / store.RECIPE
    if present.is_file() and present.read_text(encoding="utf-8") != recipe.text and not overwrite:
        raise UserError(
            f"The folder {folder} holds a run of another recipe. Choose another folder, or say --overwrite to "
            f"replace it."
        )


def _claim(where: store.Entry, recipe: recipes.Recipe, overwrite: bool) -> None:
    """Make the folder this run's: only when all that can be refused was accepted, and the first step is next."""
    if overwrite:
        for name in (store.RESULTS, checkpoints.NAME, store.WEIGHTS, store.CARD, fitted.FILE, *cards.PICTURES):
            (where.folder / name).unlink(missing_ok=True)
    files.write_text(where.folder / store.RECIPE, recipe.text)


def _fit(
    where: store.Entry, recipe: recipes.Recipe, overwrite: bool, verbose: int | str, tensorboard: str | Path | None
) -> tuple[Any, checkpoints.Progress]:
    settings, source = recipe.training, recipe.data
    model = build(recipe)
    fitted.build(recipe, model)  # what does not fit is said now, not after the last epoch
    model.compile(
        optimizer=optimizers(settings.optimizer),
        jit_compile=settings.jit_compile,
        steps_per_execution=settings.steps_per_execution,
    )
    checkpoint = where.folder / checkpoints.NAME
    goes_on = checkpoint.is_file() and not overwrite
    progress = checkpoints.restore(model, checkpoint) if goes_on else checkpoints.Progress()
    if progress.epochs >= settings.epochs:
        return model, progress
    common: dict[str, Any] = {"binarize": source.binarize, "dequantize": source.dequantize, "seed": settings.seed}
    training = data.load(
        source.name,
        source.train,
        batch_size=settings.batch_size,
        training=True,
        first_epoch=progress.epochs,
        labelled=source.labelled,
        **common,
    )
    held_out: dict[str, Any] = common | ({"binarize": "static"} if source.binarize else {})
    validation = data.load(source.name, source.validation, batch_size=settings.batch_size, training=False, **held_out)
    measures.images_of(recipe)  # a split that does not exist is found now, not after the last epoch
    claim = keras.callbacks.LambdaCallback(on_train_begin=lambda logs: _claim(where, recipe, overwrite))
    save = checkpoints.SaveProgress(checkpoint, progress, time.monotonic)
    board = [] if tensorboard is None else [_board(tensorboard, recipe, model)]
    try:
        model.fit(
            training,
            epochs=settings.epochs,
            initial_epoch=progress.epochs,
            validation_data=validation,
            callbacks=[claim, save, *board],
            verbose=verbose,
        )
    except DivergedError as error:
        kept = f"{checkpoint}, after {save.progress.epochs} epochs" if checkpoint.is_file() else "none was written yet"
        raise DivergedError(f"{error} The last good checkpoint: {kept}.") from error
    return model, save.progress


def _board(folder: str | Path, recipe: recipes.Recipe, model: "VAE") -> TensorBoard:
    """On the images of `data.validation`, which the curves are of."""
    held_out = examples_of(recipe, recipe.data.validation)
    return TensorBoard(folder, held_out.images[:1000], condition=condition_of(model, held_out))


def _finish(where: store.Entry, recipe: recipes.Recipe, model: "VAE", progress: checkpoints.Progress) -> None:
    model.after_training(lambda: measures.images_of(recipe, recipe.data.train))
    weights.write_float16(model, where.folder / store.WEIGHTS)
    stored = build(recipe, "float32")
    stored.load_weights(where.folder / store.WEIGHTS)
    prior, kept = fitted.write(where, recipe, stored)
    _describe(where, stored, measures.results(where, recipe, stored, progress, prior) | kept, prior)


def _describe(where: store.Entry, model: "VAE", results: dict[str, Any], prior: "FittedPrior") -> None:
    results["pictures"] = pictures.write(where.folder, model, where.recipe, results["training"]["history"], prior)
    results["texts"] = texts.shown(model, where.recipe)
    card = cards.Card(where.name, where.recipe, results, where.reference)
    files.write_text(where.folder / store.CARD, card.markdown())
    # Last: a run with results is finished.
    files.write_json(where.folder / store.RESULTS, results)


def measure_again(name: str | Path, further: Sequence[str] = ()) -> dict[str, Any]:
    """Measure a trained model anew and rewrite its results, card and pictures; its weights stay as they are.

    For entries that were trained before something was measured. `measures.verify` compares, and writes nothing.

    Args:
      name: of the zoo, or a run's folder.
      further: metrics of `keras_vae.evaluation.evaluate`, as "latent.kl_split": only these, and the rest stays. By
        default, everything.

    Returns:
      The contents of results.json.

    Raises:
      UserError: an unknown name.
      CorruptFileError: weights that are not those of the results.
    """
    where = store.entry(name)
    model, prior = load(name), fitted.prior(name)
    if further:
        new = evaluations.overview(where.recipe, model, further, prior=prior)
        results = {**where.results, "overview": evaluations.merged(where.results["overview"], new)}
    else:
        results = where.results | measures.measured(where.recipe, model, prior)
    _describe(where, model, results, prior)
    return results


def optimizers(spec: str | Mapping[str, Any]) -> Any:
    """A Keras optimizer from a name or `{name, arguments}`; or one for each player from `{player: ...}`.

    Raises:
      UserError: an optimizer that Keras does not have, or arguments that it does not take.
    """
    if isinstance(spec, Mapping) and spec and "name" not in spec:
        return {player: optimizers(each) for player, each in spec.items()}
    arguments = dict(spec) if isinstance(spec, Mapping) else {"name": spec}
    name = arguments.pop("name", None)
    if not isinstance(name, str):
        raise UserError(f"An optimizer is a name, or a table of 'name' and arguments. Given: {spec!r}.")
    kind = choose("optimizer", name.lower(), _OPTIMIZERS)
    check_arguments(f"optimizer {name!r}", kind, arguments)
    words = [key for key, value in arguments.items() if isinstance(value, str | Mapping)]
    if words:
        raise UserError(f"The optimizer's argument {words[0]} must be a number. Given: {spec!r}.")
    try:
        return kind(**arguments)
    except (TypeError, ValueError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise UserError(f"The arguments of the optimizer {name!r} do not fit: {reason}. Given: {spec!r}.") from error


def _is_optimizer(value: Any) -> bool:
    wraps = (keras.optimizers.Optimizer, keras.optimizers.LossScaleOptimizer)
    return inspect.isclass(value) and issubclass(value, keras.optimizers.Optimizer) and value not in wraps


_OPTIMIZERS = {name.lower(): value for name, value in vars(keras.optimizers).items() if _is_optimizer(value)}
