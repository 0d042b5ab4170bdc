"""Early stopping: the weights of the best epoch, and the end of a run that has not improved for some epochs.

What is watched is a function of the history, which is in every checkpoint: a run that is resumed stops where it would
have stopped.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import keras

from keras_vae import weights

NAME = "best.safetensors"
BOUNDS = ("val_iw_bound", "val_elbo")  # an IWAE's own bound rises while its ELBO may fall


def best_epoch(history: Mapping[str, Sequence[float]]) -> int:
    """The epoch, from 1, of the highest bound of the validation data so far, or 0: of the first of `BOUNDS` there is.

    Without a bound, of the lowest loss. Not of the loss of all: while beta rises, so does the loss.
    """
    bounds = [history[name] for name in BOUNDS if name in history]
    values = bounds[0] if bounds else [-loss for loss in history.get("val_loss", ())]
    return max(range(len(values)), key=values.__getitem__) + 1 if values else 0


def is_over(history: Mapping[str, Sequence[float]], patience: int | None) -> bool:
    """Whether the last `patience` epochs were no better than the one before; None: never."""
    return patience is not None and max(map(len, history.values()), default=0) - best_epoch(history) >= patience


class StopEarly(keras.callbacks.Callback):
    """Write the averaged weights of the best epoch, and stop `patience` epochs after it.

    Args:
      folder: of the run.
      history: of the epochs before, one number each, by metric.
      patience: in epochs.
    """

    def __init__(self, folder: Path, history: Mapping[str, Sequence[float]], patience: int) -> None:
        super().__init__()
        self.path, self.patience = folder / NAME, patience
        self.history = {name: list(values) for name, values in history.items()}

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(float(value))
        if best_epoch(self.history) == epoch + 1:
            with self.model.averaged():
                weights.save(self.path, weights.numpy_arrays(weights.named_variables(self.model)))
        self.model.stop_training = self.model.stop_training or is_over(self.history, self.patience)
