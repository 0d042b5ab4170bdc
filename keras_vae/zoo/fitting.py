"""The fit of a recipe: its stages, the checkpoint that it goes on from, the data of each epoch, and when it stops."""

import contextlib
import math
import time
from pathlib import Path
from typing import TYPE_CHECKING

import keras
import numpy as np

from keras_vae import backend, data, files
from keras_vae.backend import workers
from keras_vae.callbacks import TensorBoard
from keras_vae.errors import DivergedError, UserError
from keras_vae.models.parts.growing import Stage, inherit, stages
from keras_vae.zoo import cards, checkpoints, evaluations, optimizers, priors, recipes, stopping, store
from keras_vae.zoo.examples import condition_of, conditions_of, examples_of, of_x, source_of
from keras_vae.zoo.loading import build

if TYPE_CHECKING:
    from keras_vae.core import VAE
    from keras_vae.data.iterators import Dataset


def strategy_of(recipe: recipes.Recipe) -> backend.Strategy | None:
    """Return the strategy of the workers of TF_CONFIG, or of the recipe's devices; None for one device."""
    return workers.strategy_of(recipe.training.devices, recipe.training.batch_size)


def stages_of(recipe: recipes.Recipe, strategy: backend.Strategy | None = None) -> list[Stage]:
    """Return the stages of a recipe's training, the untrained models in them: one, or one more for each doubling."""
    if strategy is not None:
        with workers.going_together(strategy), strategy.scope():
            return stages_of(recipe)
    settings, model = recipe.training, checked_model(recipe)
    if not settings.grow:
        return [Stage(model, halvings=0, first_epoch=0, end=settings.epochs)]
    return stages(model, settings.grow, settings.epochs, len(_training_data(recipe)))


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


def fit(
    where: store.Entry,
    recipe: recipes.Recipe,
    plan: list[Stage],
    overwrite: bool,
    verbose: int | str,
    tensorboard: str | Path | None,
    checkpoint_minutes: float,
    until: int | None,
) -> checkpoints.Progress:
    """Fit the models of the stages in turn, from the checkpoint if there is one, and return how far they have come.

    Args:
      where: the run, whose folder gets the recipe and the checkpoints.
      recipe: of the run.
      plan: its stages, as `stages_of` returns them.
      overwrite: start anew, and remove the files of the run that is there before the first step.
      verbose: as of `train`, like all that follow.
      tensorboard: a folder for its event files, or None.
      checkpoint_minutes: the least time between two checkpoints within an epoch.
      until: the epoch to stop after, or None.

    Raises:
      UserError: workers that see different checkpoints.
      DivergedError: training became non-finite.
    """
    strategy = plan[0].model.strategy
    worker = workers.current(strategy)
    latest = None if overwrite else checkpoints.latest(where.folder, recipe.content)
    minutes = checkpoint_minutes if worker.count == 1 else math.inf  # each worker has a clock of its own
    save = checkpoints.SaveProgress(where.folder, recipe.content, time.monotonic, latest, minutes, not worker.index)
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
    if save.writes:
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


def _claim(where: store.Entry, recipe: recipes.Recipe, overwrite: bool) -> None:
    """Write the recipe into the folder. Called when nothing can be refused any more, before the first step."""
    if overwrite:
        for name in (*store.FILES, *checkpoints.NAMES, stopping.NAME, store.PRIOR, *cards.PICTURES):
            (where.folder / name).unlink(missing_ok=True)
    files.write_text(where.folder / store.RECIPE, recipes.moved(recipe, where.folder))


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
    rest = len(_training_data(recipe)) - progress.steps if progress.steps else None
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


def _compile(stage: Stage, recipe: recipes.Recipe) -> None:
    """Compile the model of a stage with optimizers of its own, their schedules as long as the stage."""
    settings = recipe.training

    def steps() -> int:
        return (stage.end - stage.first_epoch) * len(_training_data(recipe))

    with contextlib.nullcontext() if stage.model.strategy is None else stage.model.strategy.scope():
        optimizer = optimizers.from_spec(settings.optimizer, steps)
    stage.model.compile(
        optimizer=optimizer, jit_compile=settings.jit_compile, steps_per_execution=settings.steps_per_execution
    )


def _training_data(recipe: recipes.Recipe, first_epoch: int = 0, first_batch: int = 0) -> "Dataset":
    """Return the batches of the training split from an epoch, and a batch of it, on."""
    source, settings = recipe.data, recipe.training
    return data.load(
        source_of(recipe),
        source.train,
        source.binarize,
        source.dequantize,
        settings.batch_size,
        training=True,
        seed=settings.seed,
        first_epoch=first_epoch,
        first_batch=first_batch,
        labelled=source.labelled,
        labelled_in_batch=source.labelled_in_batch,
        labels=conditions_of(recipe),
        **of_x(recipe),
    )


def _validation_data(recipe: recipes.Recipe) -> "Dataset":
    """Return the batches of the validation split, binarised once where training binarises."""
    source, settings = recipe.data, recipe.training
    binarize = "static" if source.binarize else None
    return data.load(
        source_of(recipe), source.validation, binarize, source.dequantize, settings.batch_size, training=False,
        seed=settings.seed, labels=conditions_of(recipe), **of_x(recipe),
    )  # fmt: skip


def _tensorboard(folder: str | Path, recipe: recipes.Recipe, stage: Stage) -> TensorBoard:
    """Return the callback on validation images, the ones that the curves are of."""
    validation = examples_of(recipe, recipe.data.validation).first(1000)
    images = np.asarray(stage.images(validation.images))
    return TensorBoard(folder, images, condition=condition_of(stage.model, validation))
