"""What training needs around its step: the data and optimizers it is given, the epoch's means, the first failure."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from keras_vae.data import pipeline
from keras_vae.errors import DivergedError, UserError

_NO_WEIGHTS = "A VAE weighs all examples alike."


class Mean(keras.metrics.Mean):
    """A weighted mean; of nothing, NaN rather than 0."""

    def result(self) -> Any:
        return ops.where(self.count > 0, super().result(), float("nan"))


class Trackers:
    """The running means that `fit` and `evaluate` show, weighted by batch size, and the first failure.

    A plain object: Keras saves the variables of a model's own attributes, and none of these belong in a weights file.
    """

    def __init__(self, means: Mapping[str, Any]) -> None:
        self.means = dict(means)  # name -> a Keras metric: a mean, or what a variant has instead
        # Batches since the last reset: evaluation noise is a function of it, so `evaluate` gives the same twice.
        self.batches = keras.metrics.Sum(name="batches")
        self.failure = keras.Variable(-1, dtype="int64", trainable=False, aggregation="only_first_replica")

    def update(self, values: Mapping[str, Any], batch_size: Any) -> dict[str, Any]:
        """Add one batch: `values` are scalars, `(batch,)`, or `(batch,)` and its weights. Returns the means so far."""
        self.batches.update_state(1.0)
        for name, value in values.items():
            value, weight = value if isinstance(value, tuple) else (value, None)
            value = ops.cast(value, "float32")
            if weight is None:
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


def choose_optimizers(optimizer: Any, players: Sequence[str]) -> dict[str, Any]:
    """One optimizer for each player: from a mapping, or copies of one.

    Raises:
      UserError: a mapping whose keys are not the players.
    """
    if isinstance(optimizer, Mapping):
        if set(optimizer) != set(players):
            raise UserError(f"compile needs one optimizer for each of {list(players)}. Given: {list(optimizer)}.")
        return {name: keras.optimizers.get(each) for name, each in optimizer.items()}
    first = keras.optimizers.get(optimizer)
    return {name: first if name == players[0] else type(first).from_config(first.get_config()) for name in players}


def check_players(players: Sequence[Any], variables: Sequence[Any]) -> None:
    """Raise UserError unless each of the trainable `variables` belongs to exactly one player."""
    for variable in variables:
        owners = [player.name for player in players if any(variable is each for each in player.variables)]
        if len(owners) != 1:
            raise UserError(
                f"Every trainable variable belongs to exactly one player. Given: {variable.path}, which belongs to "
                f"{' and '.join(owners) or 'none'}. Change players() of the model."
            )


def checked_dataset(
    model: Any, x: Any, y: Any = None, batch_size: int = 128, *, training: bool, nats: bool = True
) -> Any:
    """A dataset of batches from a dataset, arrays, or a mapping of "x" and "y", its pixels checked against the model.

    Checked here, on the host, because XLA drops asserts: a dataset made by `keras_vae.data` says what its pixels are;
    of any other, the first batch is looked at.

    Args:
      nats: also require images in the likelihood's support.

    Raises:
      UserError: images of another shape, outside [0, 1], or outside the likelihood's support.
    """
    if not isinstance(x, tf.data.Dataset):
        if isinstance(x, Mapping):
            x, y = as_batch(x)["x"], x.get("y", y)
        examples, whole = model.check_x(x), True
        dataset = pipeline.batches(examples, y, batch_size=batch_size, training=training, seed=model.seed)
        labels = y
    else:
        dataset, known = x, pipeline.pixels_of(x)
        whole = known is not None
        if known is None:
            first = as_batch(next(iter(x.take(1).as_numpy_iterator()), None))
            batch_size = len(first["x"])
            examples = model.check_x(first["x"], "x of the dataset's first batch")
            labels = first.get("y")
        else:
            examples = model.check_x(known.example, "x of the dataset")
            labels, batch_size = known.labels, as_batch(x.element_spec)["x"].shape[0] or batch_size
    if nats:
        model.likelihood_family.check(examples)
    if model.conditional:
        model.check_condition(labels, len(examples) if labels is None else len(labels))
    if training:
        # Of a dataset of the user's the first batch alone is known, which may be without labels by chance.
        labelled = labels is not None and (not whole or bool((np.asarray(labels) >= 0).any()))
        model.check_training_data(labelled, batch_size)
    return dataset


def as_batch(data: Any, dtype: str | None = None) -> Mapping[str, Any]:
    """The batch dict of what Keras hands over: a dict already, images, `(images,)`, or `(images, labels)`.

    Args:
      data: a batch.
      dtype: what to cast the images to; a user's dataset may hold float64, bools or integers.

    Raises:
      UserError: no data, a dict without "x", or sample weights.
    """
    parts = data if isinstance(data, tuple | list) else [data]
    if len(parts) > 2 and parts[2] is not None:
        raise UserError(f"A batch is (images, labels) at most; {_NO_WEIGHTS} Given: {len(parts)} parts.")
    batch = data if isinstance(data, Mapping) else dict(zip("xy", parts, strict=False))
    if batch.get("x") is None:
        given = "nothing" if data is None else f"a dict of {list(batch)}"
        raise UserError(f'A batch is a dict with "x", (images, labels), or images alone. Given: {given}.')
    return batch if dtype is None else {**batch, "x": ops.cast(batch["x"], dtype)}


def refuse_weights(arguments: Mapping[str, Any]) -> None:
    """Raise UserError for Keras's weights of examples or classes, which no term of the equation would see."""
    given = [name for name in ("sample_weight", "class_weight") if arguments.get(name) is not None]
    if given:
        raise UserError(f"{_NO_WEIGHTS} Given: {given[0]}=. Leave it out, or repeat examples in the data.")
