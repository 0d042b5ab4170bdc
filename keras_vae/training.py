"""What one step of training keeps track of: the epoch's means, and the first loss that was not finite."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_vae.errors import DivergedError


class Trackers:
    """The running means that `fit` and `evaluate` show, weighted by batch size, and the first failure.

    A plain object: Keras saves the variables of a model's own attributes, and none of these belong in a weights file.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.means = {name: keras.metrics.Mean(name=name) for name in names}
        # Batches since the last reset: evaluation noise is a function of it, so `evaluate` gives the same twice.
        self.batches = keras.metrics.Sum(name="batches")
        self.failure = keras.Variable(-1, dtype="int64", trainable=False, aggregation="only_first_replica")

    def update(self, values: Mapping[str, Any], batch_size: Any) -> dict[str, Any]:
        """Add one batch: `values` are scalars or `(batch,)`. Returns the means so far."""
        self.batches.update_state(1.0)
        for name, value in values.items():
            value = ops.cast(value, "float32")
            weight = ops.ones_like(value) if value.shape.rank else ops.cast(batch_size, "float32")
            self.means[name].update_state(value, sample_weight=weight)
        return {name: mean.result() for name, mean in self.means.items()}

    def note_failures(self, losses: Sequence[Any], step: Any) -> None:
        """Remember the first step at which a loss was not finite, and whose: `step * players + player`."""
        for player, loss in enumerate(losses):
            number = ops.cast(step, "int64") * len(losses) + player
            first = ops.logical_and(self.failure < 0, ops.logical_not(ops.isfinite(loss)))
            self.failure.assign(ops.where(first, number, self.failure))


class StopOnFailure(keras.callbacks.Callback):
    """Raise DivergedError as soon as a step has noted a loss that is not finite, or an epoch ends with such a weight.

    Args:
      trackers: whose `failure` to watch.
      players: the names of the players, in the order of their losses.
      step: returns the model's step.
    """

    def __init__(self, trackers: Trackers, players: Sequence[str], step: Callable[[], int]) -> None:
        super().__init__()
        self.trackers, self.players, self.step = trackers, tuple(players), step

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        self.trackers.failure.assign(-1)

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        failure = int(self.trackers.failure.numpy())
        if failure >= 0:
            step, player = divmod(failure, len(self.players))
            self._stop(f"the loss of {self.players[player]!r} is not finite at step {step}")

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        for weight in self.model.weights:
            if not np.isfinite(np.asarray(weight.numpy(), "float64")).all():
                self._stop(f"the weight {weight.path} is not finite after step {self.step()}")

    def _stop(self, what: str) -> None:
        raise DivergedError(
            f"Training must stay finite: {what}. Lower the learning rate, clip gradients (the optimizer's clipnorm), "
            f"raise the likelihood's scale, or anneal beta from 0."
        )
