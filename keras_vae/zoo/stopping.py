"""Early stopping: the weights of the best epoch, and the end of a run that has not improved for some epochs.

What is watched is a function of the history, which is in every checkpoint: a run that is resumed stops where it would
have stopped.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras

from keras_vae import weights
from keras_vae.errors import CorruptFileError
from keras_vae.zoo import recipes

if TYPE_CHECKING:
    from keras_vae.core import VAE

NAME = "best.safetensors"
BOUNDS = ("val_iw_bound", "val_elbo")  # an IWAE's own bound rises while its ELBO may fall
_REMEDY = "To start again: --overwrite."


def best_epoch(history: Mapping[str, Sequence[float]]) -> int:
    """Return the epoch, from 1, with the highest bound of the validation data so far, or 0 before the first.

    The bound is the first of `BOUNDS` that the history has. Only a model without any is judged by its lowest loss:
    while beta rises, so does the loss.
    """
    bounds = [history[name] for name in BOUNDS if name in history]
    values = bounds[0] if bounds else [-loss for loss in history.get("val_loss", ())]
    return max(range(len(values)), key=values.__getitem__) + 1 if values else 0


def is_over(history: Mapping[str, Sequence[float]], patience: int | None) -> bool:
    """Return whether the last `patience` epochs brought nothing better; never, if it is None."""
    return patience is not None and max(map(len, history.values()), default=0) - best_epoch(history) >= patience


def restore(model: "VAE", folder: Path, history: Mapping[str, Sequence[float]], recipe: Mapping[str, Any]) -> None:
    """Load the weights of the best epoch into a model of the run.

    Raises:
      CorruptFileError: a damaged file, or one of another epoch or recipe.
    """
    path, variables = folder / NAME, weights.named_variables(model)
    arrays, about = weights.read(path, weights.size(variables), _REMEDY, sealed=True)
    if about != _about(history, recipe):
        raise CorruptFileError(f"{path} is not of the best epoch of this run, {best_epoch(history)}. {_REMEDY}")
    weights.assign(variables, arrays, path, _REMEDY)


def _about(history: Mapping[str, Sequence[float]], recipe: Mapping[str, Any]) -> dict[str, Any]:
    return {"epoch": best_epoch(history), "recipe": recipes.of_training(recipe)}


class StopEarly(keras.callbacks.Callback):
    """Write the averaged weights of the best epoch, and stop `patience` epochs after it.

    Args:
      folder: of the run.
      history: of the epochs before, one number each, by metric.
      patience: in epochs.
      recipe: of the run, its `content`.
      writes: whether this process writes them; of workers that train together, only one does.
    """

    def __init__(
        self,
        folder: Path,
        history: Mapping[str, Sequence[float]],
        patience: int,
        recipe: Mapping[str, Any],
        writes: bool = True,
    ) -> None:
        super().__init__()
        self.writes = writes
        self.path, self.patience, self.recipe = folder / NAME, patience, recipe
        self.history = {name: list(values) for name, values in history.items()}

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(float(value))
        if self.writes and best_epoch(self.history) == epoch + 1:
            with self.model.averaged():
                arrays = weights.numpy_arrays(weights.named_variables(self.model))
                weights.save(self.path, arrays, _about(self.history, self.recipe))
        self.model.stop_training = self.model.stop_training or is_over(self.history, self.patience)
