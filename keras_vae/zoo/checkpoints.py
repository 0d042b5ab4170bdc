"""The checkpoint of a run: one file of weights, every optimizer, the step, the epoch and the history."""

import contextlib
import dataclasses
import json
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import keras

from keras_vae import weights
from keras_vae.errors import CorruptFileError, DivergedError

if TYPE_CHECKING:
    from keras_vae.core import VAE

NAME = "checkpoint.safetensors"
OLD_NAME = "checkpoint.weights.h5"  # of earlier versions
NAMES = (NAME, OLD_NAME)
_ATTRIBUTE = "keras_vae_run"  # of an old checkpoint, the progress
_REMEDY = "To start again: remove it, or say --overwrite."


@dataclasses.dataclass(frozen=True)
class Progress:
    """The finished epochs of a run, their metrics and their duration."""

    epochs: int = 0
    history: Mapping[str, list[float]] = dataclasses.field(default_factory=dict)  # metric -> one number an epoch
    seconds: float = 0.0  # spent training


def find(folder: Path) -> Path | None:
    """The checkpoint of a run, or None; that of an earlier version is read where it is the only one."""
    return next((folder / name for name in NAMES if (folder / name).is_file()), None)


def remove(folder: Path) -> None:
    """Remove the checkpoint of a run, if there is one."""
    for name in NAMES:
        (folder / name).unlink(missing_ok=True)


def write(model: "VAE", path: str | Path, progress: Progress) -> None:
    """Write a checkpoint of a compiled model; if it is interrupted, `path` still holds the old one."""
    weights.save(path, weights.numpy_arrays(_variables(model)), dataclasses.asdict(progress))


def restore(model: "VAE", path: str | Path) -> Progress:
    """Load a checkpoint into a compiled model and return its progress.

    Raises:
      CorruptFileError: not a checkpoint of this model.
    """
    progress = read(path)
    if Path(path).name.endswith(weights.HDF5_SUFFIX):
        weights.load_hdf5(model, path, _REMEDY)
        return progress
    variables = _variables(model)
    arrays, _ = weights.read(path, weights.size(variables), _REMEDY)
    weights.assign(variables, arrays, path, _REMEDY)
    return progress


def read(path: str | Path) -> Progress:
    """Return the progress of a checkpoint, of whichever model.

    Raises:
      CorruptFileError: not a checkpoint.
    """
    if Path(path).is_symlink():
        raise CorruptFileError(f"A checkpoint is no symbolic link. Given: {path}. Copy what it leads to: cp -L.")
    if Path(path).name.endswith(weights.HDF5_SUFFIX):
        with _checkpoint_errors(path), h5py.File(path, "r") as file:
            return _progress(json.loads(str(file.attrs[_ATTRIBUTE])))
    metadata = weights.read_metadata(path, _REMEDY)
    with _checkpoint_errors(path):
        return _progress(metadata)


def _variables(model: "VAE") -> dict[str, Any]:
    """All that training goes on from, by name: `model/PATH`, and `optimizers/PLAYER/INDEX`."""
    named = {f"model/{name}": variable for name, variable in weights.named_variables(model).items()}
    for player, optimizer in zip(model.players(), model.optimizers, strict=True):
        for index, variable in enumerate(optimizer.variables):
            named[f"optimizers/{player.name}/{index}"] = variable
    return named


def _progress(stored: Any) -> Progress:
    """The progress as it was stored.

    Raises:
      TypeError, ValueError: it was not.
    """
    missing = [field.name for field in dataclasses.fields(Progress) if field.name not in stored]
    if missing:
        raise ValueError(f"it has no {', '.join(missing)}")
    progress = Progress(**stored)
    if type(progress.epochs) is not int or progress.epochs < 0 or not math.isfinite(progress.seconds):
        raise ValueError(f"it holds {progress.epochs!r} epochs and {progress.seconds!r} seconds")
    for values in progress.history.values():
        if len(values) > progress.epochs or not all(map(math.isfinite, values)):
            raise ValueError(f"its history is not of {progress.epochs} epochs")
    return progress


@contextlib.contextmanager
def _checkpoint_errors(path: str | Path) -> Iterator[None]:
    """Raise the errors of reading a file as CorruptFileError."""
    try:
        yield
    except (OSError, KeyError, TypeError, ValueError, AttributeError, RuntimeError, RecursionError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise CorruptFileError(f"{path} is not a checkpoint of this model: {reason}. {_REMEDY}") from error


class SaveProgress(keras.callbacks.Callback):
    """Write a checkpoint after each epoch."""

    def __init__(self, path: str | Path, start: Progress, clock: Callable[[], float]) -> None:
        super().__init__()
        self.path, self.progress, self.clock, self._started = Path(path), start, clock, clock()

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        history = {name: [*self.progress.history.get(name, []), float(value)] for name, value in (logs or {}).items()}
        for name, values in history.items():
            if not math.isfinite(values[-1]):  # of validation: those of training are checked at each step
                raise DivergedError(
                    f"Training must stay finite: {name} is {values[-1]} after epoch {epoch + 1}. Lower the learning "
                    f"rate, or raise the likelihood's scale."
                )
        now = self.clock()
        self.progress = Progress(epoch + 1, history, self.progress.seconds + now - self._started)
        self._started = now
        write(self.model, self.path, self.progress)
        self.path.with_name(OLD_NAME).unlink(missing_ok=True)
