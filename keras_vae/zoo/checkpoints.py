"""The checkpoints of a run: each is one file of weights, every optimizer, the step, the epoch and the history.

One is written after each epoch and, in a long epoch, every few minutes; the latter hold the running means of the
metrics, too. The newest is kept with its predecessor, which takes over if the newest is damaged. Each carries a digest
of its contents and the recipe that it belongs to: training resumes from exactly what was written, or not at all.
"""

import dataclasses
import json
import math
import os
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import h5py
import keras
import numpy as np

from keras_vae import weights
from keras_vae.errors import CorruptFileError, DivergedError, UserError, reading
from keras_vae.zoo import recipes

if TYPE_CHECKING:
    from keras_vae.core import VAE

NAME = "checkpoint.safetensors"
PREVIOUS = "checkpoint.previous.safetensors"
OLD_NAME = "checkpoint.weights.h5"  # of earlier versions, without a digest
NAMES = (NAME, PREVIOUS, OLD_NAME)
_ATTRIBUTE = "keras_vae_run"  # of an old checkpoint, the progress
_MEANS = "means/"
_REMEDY = "To start again: remove it, or say --overwrite."
_RULE = "is not a checkpoint of this model", _REMEDY


@dataclasses.dataclass(frozen=True)
class Progress:
    """The finished epochs of a run, their metrics and their duration."""

    epochs: int = 0
    history: Mapping[str, list[float]] = dataclasses.field(default_factory=dict)  # metric -> one number an epoch
    seconds: float = 0.0  # spent training
    steps: int = 0  # of the epoch after those, if the checkpoint was written within it


class Checkpoint(NamedTuple):
    """A checkpoint as it was read."""

    path: Path
    progress: Progress
    arrays: Mapping[str, np.ndarray] | None  # None: an old HDF5 file, which Keras reads
    means: Mapping[str, np.ndarray] = {}  # of the epoch that is under way, as `_means` names them

    def restore(self, model: "VAE") -> None:
        """Load it into a compiled model.

        Raises:
          CorruptFileError: not a checkpoint of this model.
        """
        if self.arrays is None:
            weights.load_hdf5(model, self.path, _REMEDY)
        else:
            weights.assign(_variables(model), self.arrays, self.path, _REMEDY)


def latest(folder: Path, recipe: Mapping[str, Any]) -> Checkpoint | None:
    """Return the newest intact checkpoint of a run, or None without any; a warning says so if it is not the last.

    Args:
      folder: of the run.
      recipe: its `content`.

    Raises:
      UserError: a checkpoint of another recipe.
      CorruptFileError: there are checkpoints, and all are damaged.
    """
    refused: list[CorruptFileError] = []
    for path in (folder / name for name in NAMES):
        if os.path.lexists(path):
            try:
                checkpoint = read(path, recipe)
            except CorruptFileError as error:
                refused.append(error)
                continue
            if refused:
                done = checkpoint.progress
                steps = f" and {done.steps} steps" if done.steps else ""
                warnings.warn(
                    f"{str(refused[0]).removesuffix(_REMEDY)}Training goes on from the one before, {path}, after "
                    f"{done.epochs} epochs{steps}.",
                    stacklevel=2,
                )
            return checkpoint
    if refused:
        raise refused[0]
    return None


def remove(folder: Path) -> None:
    """Remove the checkpoints of a run, if there are any."""
    for name in NAMES:
        (folder / name).unlink(missing_ok=True)


def write(
    model: "VAE", path: str | Path, progress: Progress, recipe: Mapping[str, Any], previous: Path | None = None
) -> None:
    """Write a checkpoint of a compiled model, and read it back; until then, `path` holds the old one.

    Args:
      model: compiled.
      path: of the file.
      progress: of the run.
      recipe: of the run, its `content`.
      previous: where the old one is kept; by default it is not.
    """
    about = {**dataclasses.asdict(progress), "recipe": recipes.of_training(recipe)}
    variables = {**_variables(model), **(_means(model) if progress.steps else {})}
    weights.save(path, weights.numpy_arrays(variables), about, previous)


def read(path: str | Path, recipe: Mapping[str, Any]) -> Checkpoint:
    """Return a checkpoint, of whichever model.

    Raises:
      UserError: of another recipe.
      CorruptFileError: not a checkpoint, or a damaged one.
    """
    path = Path(path)
    if path.is_symlink():
        raise CorruptFileError(f"A checkpoint is no symbolic link. Given: {path}. Copy what it leads to: cp -L.")
    if path.name.endswith(weights.HDF5_SUFFIX):
        with reading(path, *_RULE), h5py.File(path, "r") as file:
            return Checkpoint(path, _progress(json.loads(str(file.attrs[_ATTRIBUTE]))), None)
    arrays, about = weights.read(path, None, _REMEDY, sealed=True)
    changed = recipes.difference(about.pop("recipe", {}), recipes.of_training(recipe))
    with reading(path, *_RULE):
        progress = _progress(about)
    if changed:
        raise UserError(f"{path} is of another recipe: {changed}. Put that back. {_REMEDY}")
    means = {name: arrays.pop(name) for name in list(arrays) if name.startswith(_MEANS)}
    return Checkpoint(path, progress, arrays, means)


def _variables(model: "VAE") -> dict[str, Any]:
    """Return everything that training resumes from, by name: `model/PATH`, and `optimizers/PLAYER/INDEX`."""
    named = {f"model/{name}": variable for name, variable in weights.named_variables(model).items()}
    for player, optimizer in zip(model.players(), model.optimizers, strict=True):
        for index, variable in enumerate(optimizer.variables):
            named[f"optimizers/{player.name}/{index}"] = variable
    return named


def _means(model: "VAE") -> dict[str, Any]:
    """Return the running means of an epoch, by name."""
    return {
        f"{_MEANS}{metric.name}/{index}": variable
        for metric in model.metrics
        for index, variable in enumerate(metric.variables)
    }


def _progress(stored: Any) -> Progress:
    """Return the progress that a checkpoint stores.

    Raises:
      TypeError, ValueError: it stores none.
    """
    stored = {"steps": 0, **stored}  # earlier versions wrote no checkpoints within epochs
    missing = [field.name for field in dataclasses.fields(Progress) if field.name not in stored]
    if missing:
        raise ValueError(f"it has no {', '.join(missing)}")
    progress = Progress(**stored)
    counts = (progress.epochs, progress.steps)
    if any(type(count) is not int or count < 0 for count in counts) or not math.isfinite(progress.seconds):
        raise ValueError(f"it holds {counts[0]!r} epochs, {counts[1]!r} steps and {progress.seconds!r} seconds")
    for values in progress.history.values():
        if len(values) > progress.epochs or not all(map(math.isfinite, values)):
            raise ValueError(f"its history is not of {progress.epochs} epochs")
    return progress


class SaveProgress(keras.callbacks.Callback):
    """Write a checkpoint after each epoch, and every few minutes within one, and keep its predecessor.

    Args:
      folder: of the run.
      recipe: of the run, its `content`.
      clock: the time in seconds.
      start: the checkpoint that training resumes from, or None.
      minutes: the least time between two checkpoints within an epoch; 0: one after each execution.
      writes: whether this process writes them; of workers that train together, only one does.
    """

    def __init__(
        self,
        folder: Path,
        recipe: Mapping[str, Any],
        clock: Callable[[], float],
        start: Checkpoint | None = None,
        minutes: float = math.inf,
        writes: bool = True,
    ) -> None:
        super().__init__()
        self.writes = writes
        self.path, self.recipe, self.clock, self._started = folder / NAME, recipe, clock, clock()
        self.progress, self.minutes = start.progress if start else Progress(), minutes
        self._means, self._before = start.means if start else {}, 0
        self._intact = start is None or start.path == self.path  # what is there, and may be kept as the predecessor

    def on_train_begin(self, logs: Mapping[str, float] | None = None) -> None:
        self._started = self.clock()

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        self._before = self.progress.steps
        if self._means:  # which Keras has just reset
            weights.assign(_means(self.model), self._means, self.path, _REMEDY)
            self._means = {}

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        due = batch + 1 != self.params["steps"] and self.clock() - self._started >= 60 * self.minutes
        # A step may leave weights that are not finite, which only the next one notices: never resume from them.
        if due and _finite(self.model):
            self._save(dataclasses.replace(self.progress, steps=self._before + batch + 1))

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        history = {name: [*self.progress.history.get(name, []), float(value)] for name, value in (logs or {}).items()}
        for name, values in history.items():
            if not math.isfinite(values[-1]):  # of validation: those of training are checked at each step
                raise DivergedError(
                    f"Training must stay finite: {name} is {values[-1]} after epoch {epoch + 1}. Lower the learning "
                    f"rate, or raise the likelihood's scale."
                )
        self._save(Progress(epoch + 1, history, self.progress.seconds))

    def _save(self, progress: Progress) -> None:
        now = self.clock()
        self.progress = dataclasses.replace(progress, seconds=progress.seconds + now - self._started)
        self._started = now
        if not self.writes:
            return
        previous = self.path.with_name(PREVIOUS)
        write(self.model, self.path, self.progress, self.recipe, previous if self._intact else None)
        self._intact = True
        self.path.with_name(OLD_NAME).unlink(missing_ok=True)


def _finite(model: "VAE") -> bool:
    return all(np.isfinite(np.asarray(weight.numpy(), "float64")).all() for weight in model.weights)
