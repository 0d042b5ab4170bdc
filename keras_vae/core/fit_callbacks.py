"""Checks and averages around the steps of `fit` and `evaluate`: batches, finite numbers, progress."""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_vae import progress
from keras_vae.checks import weightless
from keras_vae.errors import DivergedError, UserError

if TYPE_CHECKING:
    from keras_vae.core.vae import Trackers


class SayEpochs(keras.callbacks.Callback):
    """Tell who listens to an operation, of which the fit is a part, how many epochs are done."""

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        progress.say(f"epoch {epoch + 1:,} of {self.params['epochs']:,}")


class ValidateAverages(keras.callbacks.Callback):
    """Validate with the moving averages of weights, where an optimizer has these, and end the training with them.

    After a validation they stay until `close`: for callbacks that keep the weights of the best epoch.
    """

    def __init__(self) -> None:
        super().__init__()
        self._averaged = contextlib.ExitStack()

    def on_test_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        self._averaged.enter_context(self.model.averaged())

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        self.model.use_averages()  # before another callback brings weights of its own back

    def close(self) -> None:
        """Bring the weights that are trained back."""
        self._averaged.close()


class GoOnTraining(keras.callbacks.Callback):
    """Close `averages` at the end of an epoch: what comes later in the list has the weights that are trained."""

    def __init__(self, averages: ValidateAverages) -> None:
        super().__init__()
        self._averages = averages

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        self._averages.close()


class ShareRate(keras.callbacks.Callback):
    """Give the learning rate of a model's first optimizer, which Keras's callbacks set, to the others.

    A schedule is of each one's steps, which are the same.
    """

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        self._share()

    def on_train_batch_begin(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        self._share()

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        self._share()

    def _share(self) -> None:
        first, *others = (getattr(one, "inner_optimizer", one) for one in self.model.optimizers)
        for optimizer in others if isinstance(first._learning_rate, keras.Variable) else ():
            optimizer.learning_rate = float(keras.ops.convert_to_numpy(first.learning_rate))


def listed(callbacks: object) -> list[Any]:
    """Return Keras callbacks as a list: of one, of lists in lists, or of a `CallbackList`.

    Raises:
      UserError: no callback, or one that does what `fit` does already.
    """
    parts = getattr(callbacks, "callbacks", callbacks)  # of a CallbackList
    flat = [callback for callback in keras.tree.flatten(parts) if callback is not None]
    for callback in flat:
        if not isinstance(callback, keras.callbacks.Callback):
            raise UserError(f"callbacks are keras.callbacks.Callback objects. Given: {callback!r}. Leave it out.")
        if isinstance(callback, keras.callbacks.SwapEMAWeights):
            raise UserError(
                "fit validates and ends with the moving averages, where an optimizer has use_ema=True. Given: "
                "SwapEMAWeights, which would swap them once more. Leave it out."
            )
    return flat


def keeps_best(callback: object) -> bool:
    """Whether a callback keeps the weights of the best epoch, by the numbers of its validation."""
    if isinstance(callback, keras.callbacks.ModelCheckpoint):
        return bool(getattr(callback, "save_best_only", False))
    return isinstance(callback, keras.callbacks.EarlyStopping)


class RequireBatches(keras.callbacks.Callback):
    """Raise UserError where an epoch, or an evaluation, had no batch: Keras warns, and goes on with NaN for its means.

    Likewise where the weights of all its examples are 0.

    Args:
      step: returns the model's step.
    """

    def __init__(self, step: Callable[[], int]) -> None:
        super().__init__()
        self._step, self._begun, self._tested = step, 0, False

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        self._begun = self._step()

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        if self._step() == self._begun:
            raise UserError(
                f"An epoch must have a batch. Given: none in epoch {epoch + 1}. An iterator is read once: train for "
                f"one epoch, with steps_per_epoch for as many as it lasts, or give what can be read again. Where "
                f"TF_XLA_FLAGS names a persistent cache, empty that folder: TensorFlow takes a damaged file of it for "
                f"the end of the data."
            )
        self._require_weight(logs, f"epoch {epoch + 1}")

    def on_test_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        self._tested = False

    def on_test_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        self._tested = True

    def on_test_end(self, logs: Mapping[str, Any] | None = None) -> None:
        if not self._tested:
            raise UserError(
                "An evaluation must have a batch. Given: none. An iterator is read once: as validation_data give what "
                "can be read again, such as arrays or a dataset."
            )
        self._require_weight(logs, "an evaluation")

    def _require_weight(self, logs: Mapping[str, Any] | None, data: str) -> None:
        means = logs or {}
        # Of a model whose numbers are not finite the loss is not, either.
        if self.model.trackers.weighted and np.isnan(means.get("log_px", 0.0)) and np.isfinite(means["loss"]):
            raise UserError(weightless(f"of {data}", "The weight, of sample_weight or class_weight,"))


class StopOnFailure(keras.callbacks.Callback):
    """Raise DivergedError as soon as a step has noted a loss that is not finite, or an epoch ends with such a weight.

    Args:
      trackers: running means, which note the first `failure`.
      players: the names of the players, in the order of their losses.
      step: returns the model's step.
    """

    def __init__(self, trackers: "Trackers", players: Sequence[str], step: Callable[[], int]) -> None:
        super().__init__()
        self.trackers, self.players, self.step = trackers, tuple(players), step

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        self.trackers.failure.assign(-1)

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        failure = int(self.trackers.failure.numpy())
        if failure >= 0:
            step, player = divmod(failure, len(self.players))
            what = f"the loss of {self.players[player]!r} is not finite at step {step}"
            if not step:
                raise DivergedError(
                    f"Training must stay finite: {what}, before any update, of data that are finite. Look for NaN in "
                    f"what the encoder and the decoder return for such data: model.encode(x), model.reconstruct(x); or "
                    f"for weights of examples so large that they overflow, if there are any."
                )
            self._stop(what)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        for weight in self.model.weights:
            if not np.isfinite(np.asarray(weight.numpy(), "float64")).all():
                self._stop(f"the weight {weight.path} is not finite after step {self.step()}")

    def _stop(self, what: str) -> None:
        raise DivergedError(
            f"Training must stay finite: {what}. Lower the learning rate, clip gradients (the optimizer's clipnorm), "
            f"raise the likelihood's scale, or anneal beta from 0."
        )
