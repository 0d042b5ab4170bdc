"""From a recipe to a trained, measured entry. An interrupted run resumes where it was."""

import contextlib
import functools
import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_vae import files, locks, weights
from keras_vae.backend import workers
from keras_vae.checks import check_number, check_whole_number
from keras_vae.errors import UserError
from keras_vae.evaluation.metrics import run
from keras_vae.models.parts.growing import Stage
from keras_vae.zoo import (
    cards,
    checkpoints,
    evaluations,
    fitting,
    pictures,
    priors,
    recipes,
    results,
    stopping,
    store,
    texts,
    verifying,
)
from keras_vae.zoo.examples import Examples, examples_of
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
      checkpoint_minutes: the least time between two checkpoints within an epoch; 0: one after each call of TensorFlow.
        Several workers write them after whole epochs only.
      until: stop after so many epochs, with a checkpoint that the same call without `until` resumes from; schedules are
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
    strategy = None if where.results and not overwrite else fitting.strategy_of(recipe)
    with _only_trainer(where), _noting_how_to_resume(where, recipe, overwrite):
        if not overwrite and where.results:
            if "left_out" in where.results["evaluation"] and not quick:
                _measured_again(where)
            return load(where.folder)
        plan = fitting.stages_of(recipe, strategy)
        examples = _measured(recipe, plan[-1].model)
        progress = fitting.fit(where, recipe, plan, overwrite, verbose, tensorboard, checkpoint_minutes, until)
        over = progress.epochs >= plan[-1].end or stopping.is_over(progress.history, recipe.training.patience)
        if over:
            _finish(where, recipe, plan[-1].model, progress, examples, quick)
            for spent in (stopping.NAME, checkpoints.PREVIOUS):
                (where.folder / spent).unlink(missing_ok=True)
            if where.in_zoo:  # which keeps what is loaded, not what training resumes from
                checkpoints.remove(where.folder)
        with contextlib.suppress(UserError):  # of those who wait: nothing is lost with them
            workers.gathered(strategy, 0)
        return load(where.folder) if over else _reached(plan, progress)


@contextlib.contextmanager
def _noting_how_to_resume(where: store.Entry, recipe: recipes.Recipe, overwrite: bool) -> Iterator[None]:
    """Add to whatever ends a training, even what an extension made of a signal, a note on how to resume it."""
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
    """Train as a worker other than the first: the same steps, printing and writing nothing; then wait for the first."""
    if where.results and not overwrite:
        return load(where.folder)
    strategy = fitting.strategy_of(recipe)
    plan = fitting.stages_of(recipe, strategy)
    progress = fitting.fit(where, recipe, plan, overwrite, 0, None, math.inf, until)
    workers.gathered(strategy, 0)
    return _reached(plan, progress)


def _reached(plan: list[Stage], progress: checkpoints.Progress) -> "VAE":
    """Return the model of the stage that training has come to: of a recipe that grows, a smaller one than its last."""
    return next((stage.model for stage in plan if progress.epochs <= stage.end), plan[-1].model)


def _only_trainer(where: store.Entry) -> AbstractContextManager[None]:
    """Keep other processes from training or measuring in a folder; whoever comes second is refused."""
    return locks.only_writer(where.folder / store.RECIPE, "trains")


def _check_folder(where: store.Entry, recipe: recipes.Recipe, overwrite: bool) -> None:
    """Raise UserError unless the folder is new, or this recipe's, or may be overwritten.

    Of a run that is under way only what it trains is compared: it is measured and stored as the recipe says at its end.
    """
    folder = files.check_output_folder(where.folder, store.RECIPE, overwrite)
    present = folder / store.RECIPE
    if overwrite or not present.is_file():
        return
    before, under_way = recipes.read(present), not (folder / store.RESULTS).is_file()
    if changed := recipe.training_changed_since(before) if under_way else recipe.changed_since(before):
        raise UserError(
            f"The folder {folder} holds a run of another recipe: {changed}. Choose another folder, or say --overwrite "
            f"to replace it."
        )


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


def _finish(
    where: store.Entry,
    recipe: recipes.Recipe,
    model: "VAE",
    progress: checkpoints.Progress,
    examples: Examples,
    quick: bool,
) -> None:
    """Write the weights of a trained model, fit its prior, measure both as stored, and write the rest of the folder."""
    # How it is measured may have changed since it began.
    files.write_text(where.folder / store.RECIPE, recipes.moved(recipe, where.folder))
    training_examples = functools.cache(lambda: examples_of(recipe, recipe.data.train))  # read if anything needs them
    if recipe.training.patience is not None:
        stopping.restore(model, where.folder, progress.history, recipe.content)
    model.after_training(lambda: training_examples().images)
    path = where.folder / store.WEIGHTS
    weights.save(path, weights.numpy_arrays(weights.named_variables(model), recipe.training.storage))
    (where.folder / store.OLD_WEIGHTS).unlink(missing_ok=True)
    stored = build(recipe, "float32")
    weights.load(stored, path)
    prior, record = priors.build(recipe, stored), {}
    if prior is not None:
        prior, fitted = priors.fit(where, prior, stored, training_examples(), recipe.training.storage)
        record = {"prior": fitted}
    record = results.results_of(where, recipe, stored, progress, prior, examples, quick) | record
    _describe(where, recipe, stored, record, prior, examples)


def _describe(
    where: store.Entry,
    recipe: recipes.Recipe,
    model: "VAE",
    record: dict[str, Any],
    prior: "FittedPrior | None",
    examples: Examples,
) -> dict[str, Any]:
    """Write pictures, card and results.json, and return its contents: with the names of the pictures and the texts."""
    history = record["training"]["history"]
    if changed := where.recipe.changed_since(recipe):
        raise UserError(
            f"The recipe in {where.folder} must stay what it is while a model is trained or measured. Given: "
            f"{changed}. Put that back, and measure again."
        )
    record["pictures"] = pictures.write(where.folder, model, recipe, history, prior, examples)
    record["texts"] = texts.shown(model, recipe, examples)
    card = cards.Card(where.name, recipe, record, where.reference)
    files.write_text(where.folder / store.CARD, card.markdown())
    # Last: a run with results is finished.
    return store.write_results(where, record)


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
        return _measured_again(where, metrics)


def _measured_again(where: store.Entry, metrics: Sequence[str] = ()) -> dict[str, Any]:
    recipe, model, prior = where.recipe, load(where.folder), priors.prior(where.folder)
    examples = examples_of(recipe)
    if metrics:
        before = where.results
        evaluation = evaluations.evaluation_of(recipe, model, metrics, prior=prior, examples=examples)
        record = {**before, "metrics": dict(before["metrics"])}
        of_card = [metric for metric in metrics if metric.split(".")[0] == "summary"]
        if of_card:
            record["metrics"] |= verifying.with_tolerances(run(evaluation, of_card).get("summary", {}))
        if others := [metric for metric in metrics if metric not in of_card]:
            old = before["overview"] or {"split": recipe.evaluation.split}
            record["overview"] = evaluations.updated(old, run(evaluation, others))
    else:
        before = where.trained
        record = before | results.evaluated(where, recipe, model, prior, examples)
        if recipes.difference(before.get("recipe", {}), recipe.content):  # further seeds were measured in another way
            record.pop("seeds", None)
    return _describe(where, recipe, model, record, prior, examples)
