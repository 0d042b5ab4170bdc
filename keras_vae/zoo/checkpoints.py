"""The checkpoint of a run: one file of weights, every optimizer, the step, the epoch and the history."""

import contextlib
import dataclasses
import json
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import h5py
import keras

from keras_vae.errors import CorruptFileError, DivergedError
from keras_vae.files import atomic
from keras_vae.zoo import weights

if TYPE_CHECKING:
    from keras_vae.core import VAE

NAME = "checkpoint.weights.h5"
_ATTRIBUTE = "keras_vae_run"


@dataclasses.dataclass(frozen=True)
class Progress:
    """The finished epochs of a run, their metrics and their duration."""

    epochs: int = 0
    history: Mapping[str, list[float]] = dataclasses.field(default_factory=dict)  # metric -> one number an epoch
    seconds: float = 0.0  # spent training


def write(model: "VAE", path: str | Path, progress: Progress) -> None:
    """Write a checkpoint of a compiled model; if it is interrupted, `path` still holds the old one."""
    with atomic(path) as temporary:
        weights.require_room(temporary, model)
        model.save_weights(temporary)
        with h5py.File(temporary, "a") as file:
            file.attrs[_ATTRIBUTE] = json.dumps(dataclasses.asdict(progress))


def restore(model: "VAE", path: str | Path) -> Progress:
    """Load a checkpoint into a compiled model and return its progress.

    Raises:
      CorruptFileError: not a checkpoint of this model.
    """
    progress = read(path)
    with _checkpoint_errors(path):
        model.load_weights(path)
    return progress


def read(path: str | Path) -> Progress:
    """Return the progress of a checkpoint, of whichever model.

    Raises:
      CorruptFileError: not a checkpoint.
    """
    with _checkpoint_errors(path), h5py.File(path, "r") as file:
        return Progress(**json.loads(str(file.attrs[_ATTRIBUTE])))


@contextlib.contextmanager
def _checkpoint_errors(path: str | Path) -> Iterator[None]:
    """Raise the errors of reading a file as CorruptFileError."""
    try:
        yield
    except (OSError, KeyError, TypeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise CorruptFileError(
            f"{path} is not a checkpoint of this model: {reason}. To start again: remove it, or say --overwrite."
        ) from error


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
