"""From a recipe to a trained, measured entry. An interrupted run resumes where it was."""

import contextlib
import functools
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_vae import backend, data, files, locks, weights
from keras_vae.backend import workers
from keras_vae.callbacks import TensorBoard
from keras_vae.checks import check_number, check_whole_number
from keras_vae.errors import DivergedError, UserError
from keras_vae.evaluation.metrics import run
from keras_vae.models.parts.growing import Stage, inherit, stages
from keras_vae.zoo import (
    cards,
    checkpoints,
    evaluations,
    optimizers,
    pictures,
    priors,
    recipes,
    results,
    stopping,
    store,
    texts,
)
from keras_vae.zoo.examples import Examples, condition_of, conditions_of, examples_of, of_x, source_of
from keras_vae.zoo.loading import build, load

if TYPE_CHECKING:
    from keras_vae.core import VAE
    from keras_vae.priors import FittedPrior


def train(
    name: str | Path,
    output: str | Path | None = None,
    overwrite: bool = False,
    verbose: int | str = "auto",
    tensorboard: str | Path | None = None,
    quick: bool = False,
    checkpoint_minutes: float = 10.0,
    until: int | None = None,
) -> "VAE":
    """Train a recipe, measure the result, and write weights, results, card and pictures into a folder.

    A checkpoint is written after each epoch, and in a long one every few minutes. The same call again resumes an
    interrupted run, and ends with the weights and optimizer of an uninterrupted one; a finished run is not repeated.

    Args:
      name: a zoo name, a recipe.toml, or a folder with one.
      output: the folder; by default `runs/NAME`, NAME that of the model, of the recipe's file, or of its folder.
      overwrite: discard the run that the folder holds, and start again.
      verbose: 0, 1 or 2, as `keras.Model.fit`.
      tensorboard: a folder for the event files of `keras_vae.callbacks.TensorBoard`, of validation images; by default
        there are none.
      quick: leave log p(x) and the overview out of the results; the same call without it measures them later.
      checkpoint_minutes: between two checkpoints within an epoch, at least; 0: one after each call of TensorFlow. Of
        several workers, there are those of epochs only.
      until: stop after so many epochs, with a checkpoint that the same call without it goes on from; schedules are
        those of the whole training, and nothing is measured.

    Where the variable TF_CONFIG names several workers, they train one model, each on its part of every batch, and the
    first of them alone writes, measures and prints. All of them see the folder.

    Returns:
      The trained model, with the weights that were written; of a worker that does not write, or that stops early by
      `until`, its own; of one that grows and stops early, the model of the size that it has come to.

    Raises:
      UserError: a recipe that does not fit, a folder that is not this run's, or one that another process trains in.
      DivergedError: training became non-finite; the last good checkpoint is kept.
    """
    check_number(checkpoint_minutes, "checkpoint_minutes")
    until = None if until is None else check_whole_number(until, "until")
    path = Path(name)
    if path.suffix == ".toml":
        recipe, stem = recipes.read(path), path.stem if path.name != store.RECIPE else path.resolve().parent.name
    else:
        entry = store.entry(name)
        recipe, stem = entry.recipe, entry.name
    folder = Path(output) if output else Path("runs") / stem
    where = store.Entry(folder.resolve().name, folder)
    _check_folder(where, recipe, overwrite)
    if workers.of_environment().index:
        return _help(where, recipe, overwrite, until)
    strategy = None if where.results and not overwrite else _strategy(recipe)
    with _only_trainer(where), _gone_on_from(where, recipe, overwrite):
        if not overwrite and where.results:
            if "left_out" in where.results["evaluation"] and not quick:
                _measure_all_again(where)
            return load(where.folder)
        plan = _stages(recipe, strategy)
        examples = _measured(recipe, plan[-1].model)
        progress = _fit(where, recipe, plan, overwrite, verbose, tensorboard, checkpoint_minutes, until)
        over = progress.epochs >= plan[-1].end or stopping.is_over(progress.history, recipe.training.patience)
        if over:
            _finish(where, recipe, plan[-1].model, progress, examples, quick)
            for name in (stopping.NAME, checkpoints.PREVIOUS):
                (where.folder / name).unlink(missing_ok=True)
        if over and where.in_zoo:
            # The zoo keeps what is loaded, not what training resumes from.
            checkpoints.remove(where.folder)
        with contextlib.suppress(UserError):  # of those who wait: nothing is lost with them
            workers.gathered(strategy, 0)
        return load(where.folder) if over else _reached(plan, progress)


@contextlib.contextmanager
def _gone_on_from(where: store.Entry, recipe: recipes.Recipe, overwrite: bool) -> Iterator[None]:
    """Note on what ends a training, whatever an extension made of a signal, how it goes on."""
    try:
        yield
    except UserError:
        raise  # its message has a remedy
    except BaseException as error:
        stored = where.folder / store.RECIPE
        begun = any((where.folder / name).exists() for name in checkpoints.NAMES)  # one of them, while one is written
        begun = begun and stored.is_file() and not (where.folder / store.RESULTS).is_file()
        if begun and not recipes.difference(recipes.read(stored).content, recipe.content):
            without = ", without overwrite," if overwrite else ""
            error.add_note(f"The same command{without} goes on from the last checkpoint.")
        raise


def _help(where: store.Entry, recipe: recipes.Recipe, overwrite: bool, until: int | None) -> "VAE":
    """Train as a worker that is not the first: the same, without a word or a file; and wait until that has finished."""
    if where.results and not overwrite:
        return load(where.folder)
    strategy = _strategy(recipe)
    plan = _stages(recipe, strategy)
    progress = _fit(where, recipe, plan, overwrite, 0, None, math.inf, until)
    workers.gathered(strategy, 0)
    return _reached(plan, progress)


def _reached(plan: list[Stage], progress: checkpoints.Progress) -> "VAE":
    """Return the model of the stage that training has come to: of a recipe that grows, a smaller one than its last."""
    return next((stage.model for stage in plan if progress.epochs <= stage.end), plan[-1].model)


def _only_trainer(where: store.Entry) -> AbstractContextManager[None]:
    """Keep other processes from training or measuring in a folder; refused is the one that comes second."""
    return locks.only_writer(where.folder / store.RECIPE, "trains")


def _check_folder(where: store.Entry, recipe: recipes.Recipe, overwrite: bool) -> None:
    """Raise UserError unless the folder is new, or this recipe's, or may be overwritten."""
    folder = files.check_output_folder(where.folder, store.RECIPE, overwrite)
    present = folder / store.RECIPE
    if overwrite or not present.is_file():
        return
    before = recipes.read(present)
    changed = recipes.difference(before.content, recipe.content)
    if before.data_path != recipe.data_path:
        changed = f"data.path is {recipe.data_path}, and was {before.data_path}"
    if changed:
        raise UserError(
            f"The folder {folder} holds a run of another recipe: {changed}. Choose another folder, or say --overwrite "
            f"to replace it."
        )


def _claim(where: store.Entry, recipe: recipes.Recipe, overwrite: bool) -> None:
    """Write the recipe into the folder. Called when nothing can be refused any more, before the first step."""
    if overwrite:
        for name in (*store.FILES, *checkpoints.NAMES, stopping.NAME, store.PRIOR, *cards.PICTURES):
            (where.folder / name).unlink(missing_ok=True)
    files.write_text(where.folder / store.RECIPE, recipes.moved(recipe, where.folder))


def _strategy(recipe: recipes.Recipe) -> backend.Strategy | None:
    """Return the strategy of the workers of TF_CONFIG, or of the recipe's devices; None for one device."""
    return workers.strategy_of(recipe.training.devices, recipe.training.batch_size)


def _stages(recipe: recipes.Recipe, strategy: backend.Strategy | None = None) -> list[Stage]:
    """Return the stages of a recipe's training, the untrained models in them: one, or one more for each doubling."""
    if strategy is not None:
        with workers.going_together(strategy), strategy.scope():
            return _stages(recipe)
    settings, model = recipe.training, checked_model(recipe)
    if not settings.grow:
        return [Stage(model, halvings=0, first_epoch=0, end=settings.epochs)]
    return stages(model, settings.grow, settings.epochs, len(_training_data(recipe, first_epoch=0)))


def checked_model(recipe: recipes.Recipe) -> "VAE":
    """Return the untrained model of a recipe, after refusing what would not fit after the last epoch.

    Raises:
      UserError: an unknown class, optimizer, prior or metric, or arguments that do not fit.
    """
    model = build(recipe)
    priors.check(recipe, model)
    optimizers.from_spec(recipe.training.optimizer)
    evaluations.recorded(recipe)
    return model


def _measured(recipe: recipes.Recipe, model: "VAE") -> Examples:
    """Return the examples that the finished model is measured on, read now to refuse what could not be then."""
    examples = examples_of(recipe)
    if len(examples.images) < 2:
        raise UserError(
            f"A model is measured on two examples or more, for a standard error. Given: evaluation.split="
            f"{recipe.evaluation.split!r}, with {len(examples.images)}. Take a larger split."
        )
    if recipe.data.source:
        key = {"image": "image_shape", "tokens": "length"}.get(model.x_spec().kind, "x_shape")
        shape, held = (
            list(part) if key != "length" else part[0] for part in (examples.images.shape[1:], model.x_shape)
        )
        if shape != held:
            raise UserError(
                f"model.{key} must be the shape of the data. Given: {held}, and data.source = {recipe.data.source!r} "
                f"with examples of {shape}. Set model.{key} = {shape}, or change what is read."
            )
        model.likelihood_family.check(model.check_x(examples.images, f"x of {recipe.evaluation.split!r}"))
    return examples


def _compile(stage: Stage, recipe: recipes.Recipe) -> None:
    """Compile the model of a stage with optimizers of its own, their schedules as long as the stage."""
    settings = recipe.training

    def steps() -> int:
        return (stage.end - stage.first_epoch) * len(_training_data(recipe, first_epoch=0))

    with contextlib.nullcontext() if stage.model.strategy is None else stage.model.strategy.scope():
        optimizer = optimizers.from_spec(settings.optimizer, steps)
    stage.model.compile(
        optimizer=optimizer, jit_compile=settings.jit_compile, steps_per_execution=settings.steps_per_execution
    )


def _fit(
    where: store.Entry,
    recipe: recipes.Recipe,
    plan: list[Stage],
    overwrite: bool,
    verbose: int | str,
    tensorboard: str | Path | None,
    checkpoint_minutes: float,
    until: int | None,
) -> checkpoints.Progress:
    """Fit the models of the stages in turn, from the checkpoint if there is one, up to the epoch `until`."""
    latest, strategy = None if overwrite else checkpoints.latest(where.folder, recipe.content), plan[0].model.strategy
    writes = not workers.current(strategy).index
    minutes = checkpoint_minutes if workers.current(strategy).count == 1 else math.inf  # each has a clock of its own
    save = checkpoints.SaveProgress(where.folder, recipe.content, time.monotonic, latest, minutes, writes)
    if len(set(workers.gathered(strategy, save.progress.epochs))) > 1:
        raise UserError(
            f"Workers go on from one checkpoint. Given: {where.folder}, with {save.progress.epochs} epochs here, "
            f"and not so for all of them. Choose a folder that all see."
        )
    begun = save.progress.epochs + bool(save.progress.steps)
    start = next((index for index, stage in enumerate(plan) if begun <= stage.end), len(plan) - 1)
    _compile(plan[start], recipe)
    if latest is not None:
        latest.restore(plan[start].model)
    claim: list[keras.callbacks.Callback] = []
    if writes:
        claim = [keras.callbacks.LambdaCallback(on_train_begin=lambda logs: _claim(where, recipe, overwrite))]
    for index, stage in enumerate(plan[start:], start):
        end = stage.end if until is None else min(stage.end, until)
        if index > start:
            if save.progress.epochs >= end:
                break
            inherit(stage.model, plan[index - 1].model)
            _compile(stage, recipe)
        rest = bool(save.progress.steps)  # an epoch that is under way is a fit of its own
        while save.progress.epochs < end and not stopping.is_over(save.progress.history, recipe.training.patience):
            board = [] if tensorboard is None else [_tensorboard(tensorboard, recipe, stage)]
            _fit_stage(recipe, stage, end, save, [*claim, *board], verbose)
            claim = []  # once: it may remove the files of another run, among them a checkpoint
            if not rest:
                break
            rest = False
            checkpoints.read(save.path, recipe.content).restore(stage.model)  # fit ends with the averages of weights
        stage.model.use_averages()  # which fit has done, but for a stage that was finished before
    return save.progress


def _fit_stage(
    recipe: recipes.Recipe,
    stage: Stage,
    end: int,
    save: checkpoints.SaveProgress,
    callbacks: list[keras.callbacks.Callback],
    verbose: int | str,
) -> None:
    """Fit the compiled model of one stage to the epoch `end`, or to the end of an epoch that is under way."""
    progress, patience = save.progress, recipe.training.patience
    # Before the checkpoint, so that an epoch that counts has had its weights written.
    stop: list[keras.callbacks.Callback] = []
    if patience is not None:
        stop = [stopping.StopEarly(save.path.parent, progress.history, patience, recipe.content, save.writes)]
    rest = len(_training_data(recipe, first_epoch=0)) - progress.steps if progress.steps else None
    try:
        stage.model.fit(
            stage.batches(_training_data(recipe, progress.epochs, progress.steps)),
            epochs=progress.epochs + 1 if rest else end,
            steps_per_epoch=rest,
            initial_epoch=progress.epochs,
            validation_data=stage.batches(_validation_data(recipe)),
            callbacks=[*stop, save, *callbacks],
            verbose=verbose,
        )
    except DivergedError as error:
        kept = f"{save.path}, after {save.progress.epochs} epochs" if save.path.is_file() else "none was written yet"
        raise DivergedError(f"{error} The last good checkpoint: {kept}.") from error


def _training_data(recipe: recipes.Recipe, first_epoch: int, first_batch: int = 0) -> Any:
    """Return the `tf.data.Dataset` of the training split from an epoch, and a batch of it, on."""
    source, settings = recipe.data, recipe.training
    return data.load(
        source_of(recipe),
        source.train,
        binarize=source.binarize,
        dequantize=source.dequantize,
        batch_size=settings.batch_size,
        training=True,
        seed=settings.seed,
        first_epoch=first_epoch,
        first_batch=first_batch,
        labelled=source.labelled,
        labelled_in_batch=source.labelled_in_batch,
        labels=conditions_of(recipe),
        **of_x(recipe),
    )


def _validation_data(recipe: recipes.Recipe) -> Any:
    """Return the `tf.data.Dataset` of the validation split, binarised once where training binarises."""
    source, settings = recipe.data, recipe.training
    return data.load(
        source_of(recipe),
        source.validation,
        binarize="static" if source.binarize else None,
        dequantize=source.dequantize,
        batch_size=settings.batch_size,
        training=False,
        seed=settings.seed,
        labels=conditions_of(recipe),
        **of_x(recipe),
    )


def _tensorboard(folder: str | Path, recipe: recipes.Recipe, stage: Stage) -> TensorBoard:
    """Return the callback on validation images, the ones that the curves are of."""
    validation = examples_of(recipe, recipe.data.validation)
    images = np.asarray(stage.images(validation.images[:1000]))
    return TensorBoard(folder, images, condition=condition_of(stage.model, validation))


def _finish(
    where: store.Entry,
    recipe: recipes.Recipe,
    model: "VAE",
    progress: checkpoints.Progress,
    examples: Examples,
    quick: bool = False,
) -> None:
    """Write the weights of a trained model, fit its prior, measure both as stored, and write the rest of the folder."""
    training_examples = functools.cache(lambda: examples_of(recipe, recipe.data.train))  # read if anything needs them
    if recipe.training.patience is not None:
        stopping.restore(model, where.folder, progress.history, recipe.content)
    model.after_training(lambda: training_examples().images)
    path = where.folder / store.WEIGHTS
    weights.save(path, weights.numpy_arrays(weights.named_variables(model), half=True))
    (where.folder / store.OLD_WEIGHTS).unlink(missing_ok=True)
    stored = build(recipe, "float32")
    weights.load(stored, path)
    prior, record = priors.build(recipe, stored), {}
    if prior is not None:
        record = {"prior": priors.fit(where, prior, stored, training_examples())}
    record = results.results_of(where, recipe, stored, progress, prior, examples, quick) | record
    _describe(where, stored, record, prior, examples)


def _describe(
    where: store.Entry, model: "VAE", results: dict[str, Any], prior: "FittedPrior | None", examples: Examples
) -> dict[str, Any]:
    """Write pictures, card and results.json, and return its contents: with the names of the pictures and the texts."""
    recipe = where.recipe
    results["pictures"] = pictures.write(
        where.folder, model, recipe, results["training"]["history"], prior, examples=examples
    )
    results["texts"] = texts.shown(model, recipe, examples)
    card = cards.Card(where.name, recipe, results, where.reference)
    files.write_text(where.folder / store.CARD, card.markdown())
    # Last: a run with results is finished.
    return store.write_results(where, results)


def measure_again(name: str | Path, metrics: Sequence[str] = ()) -> dict[str, Any]:
    """Measure a trained model again and rewrite its results, card and pictures; its weights stay as they are.

    For entries that were trained before a metric was added. `verify` compares, and writes nothing.

    Args:
      name: of the zoo, or a run's folder.
      metrics: of `keras_vae.evaluation.evaluate`, as "latent.kl_split": only these, and the rest stays. By default,
        everything.

    Returns:
      The contents of results.json.

    Raises:
      UserError: an unknown name.
      CorruptFileError: weights that are not those of the results.
    """
    where = store.entry(name)
    with _only_trainer(where):
        if not metrics:
            return _measure_all_again(where)
        recipe, model, prior = where.recipe, load(name), priors.prior(name)
        examples = examples_of(recipe)
        evaluation = evaluations.evaluation_of(recipe, model, metrics, prior=prior, examples=examples)
        overview = evaluations.updated(where.results["overview"], run(evaluation, metrics))
        return _describe(where, model, {**where.results, "overview": overview}, prior, examples)


def _measure_all_again(where: store.Entry) -> dict[str, Any]:
    recipe, model, prior = where.recipe, load(where.folder), priors.prior(where.folder)
    examples = examples_of(recipe)
    record = where.trained | results.evaluated(where, recipe, model, prior, examples)
    return _describe(where, model, record, prior, examples)
