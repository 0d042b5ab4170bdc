"""What people train with: Keras's compile, fit, evaluate and predict, with the model's own data checks and players.

These are methods of `VAE`; they live here so that the step, in core.py, and what is around it can be read apart.
"""

import warnings
from collections.abc import Sequence
from typing import Any

import keras

from keras_vae.core.training import (
    StopOnFailure,
    Trackers,
    as_batch,
    check_players,
    checked_dataset,
    choose_optimizers,
    refuse_weights,
)
from keras_vae.errors import UserError


def compile(
    self: Any,
    optimizer: Any = "adam",
    jit_compile: bool = True,
    steps_per_execution: int = 32,
    run_eagerly: bool = False,
    **kwargs: Any,
) -> None:
    """Make ready to train, with XLA and several steps in each call of TensorFlow.

    Args:
      optimizer: a Keras optimizer, or its name, cloned for each further player; or `{player: optimizer}`.
      jit_compile: compile the step with XLA. Off under a strategy of several CPU devices, which cannot.
      steps_per_execution: optimizer steps in each call. 1 under such a strategy.
      run_eagerly: run the step in Python, for debugging; turns the two above off.
      **kwargs: what else `keras.Model.compile` takes.

    Raises:
      UserError: players and optimizers do not match, or a trainable variable has no player, or two.
    """
    if kwargs.get("loss") is not None or kwargs.get("metrics") is not None:
        raise UserError("A VAE has its own loss and metrics. Given: loss= or metrics=. Leave them out.")
    if self.distribute_strategy.num_replicas_in_sync > 1 and (jit_compile or steps_per_execution > 1):
        warnings.warn(
            "Under a strategy of several devices TensorFlow can neither compile the step with XLA nor run several "
            "steps in one call: both are turned off.",
            stacklevel=2,
        )
        jit_compile, steps_per_execution = False, 1
    if run_eagerly:
        jit_compile, steps_per_execution = False, 1
    players = self.players()
    check_players(players, self.trainable_variables)
    chosen = choose_optimizers(optimizer, [player.name for player in players])
    with self.distribute_strategy.scope():
        self._trackers = Trackers({name: self.make_metric(name) for name in self._metric_names(players)})
        keras.Model.compile(
            self,
            optimizer=chosen[players[0].name],
            jit_compile=jit_compile,
            steps_per_execution=steps_per_execution,
            run_eagerly=run_eagerly,
            **kwargs,
        )
        scaled = isinstance(self.optimizer, keras.optimizers.LossScaleOptimizer)
        self.further_optimizers = {
            player.name: keras.optimizers.LossScaleOptimizer(chosen[player.name]) if scaled else chosen[player.name]
            for player in players[1:]
        }
        for each, player in zip(self.optimizers, players, strict=True):
            each.build(player.variables)


def fit(
    self: Any,
    x: Any = None,
    y: Any = None,
    batch_size: int = 128,
    epochs: int = 1,
    validation_data: Any = None,
    callbacks: Sequence[Any] | None = None,
    **kwargs: Any,
) -> Any:
    """Train, as `keras.Model.fit`.

    Args:
      x: a `tf.data.Dataset` of batches, as `keras_vae.data.load` gives, of dicts with "x" (and "y"); or images.
        Images are shuffled anew each epoch, and the last partial batch is left out of it.
      y: labels for `x` where it is an array.
      batch_size: for arrays.
      epochs: passes over the data.
      validation_data: a dataset, images, or `(images, labels)`. All of it is used.
      callbacks: Keras callbacks.
      **kwargs: what else `keras.Model.fit` takes.

    Raises:
      UserError: data outside the model's domain, found on the host before the first step.
      DivergedError: a loss or a weight is no longer finite; names the step.
    """
    if kwargs.pop("validation_split", 0):
        raise UserError("fit takes validation_data, not validation_split. Split the arrays, or load the split "
                        "'validation'.")  # fmt: skip
    refuse_weights(kwargs)
    dataset = checked_dataset(self, x, y, batch_size, training=True)
    if validation_data is not None:
        held_out = as_batch(validation_data) if isinstance(validation_data, tuple) else validation_data
        validation_data = checked_dataset(self, held_out, batch_size=batch_size, training=False)
    stop = StopOnFailure(
        self._required_trackers(), [player.name for player in self.players()], lambda: int(self.step.numpy())
    )
    return keras.Model.fit(
        self,
        dataset,
        epochs=epochs,
        validation_data=validation_data,
        callbacks=[stop, *(callbacks or ())],
        shuffle=False,
        **kwargs,
    )


def evaluate(self: Any, x: Any = None, y: Any = None, batch_size: int = 128, **kwargs: Any) -> Any:
    """Mean loss, elbo, log_px, kl and beta over a dataset or images, as `keras.Model.evaluate`: the same each time.

    Raises:
      UserError: data outside the model's domain.
    """
    self._required_trackers()
    refuse_weights(kwargs)
    if not kwargs.get("_use_cached_eval_dataset"):
        x, y = checked_dataset(self, x, y, batch_size, training=False), None
    return keras.Model.evaluate(self, x, y, **kwargs)


def predict(self: Any, x: Any, batch_size: int = 128, **kwargs: Any) -> Any:
    """The mean reconstructions of a dataset or images, as `keras.Model.predict`; `reconstruct` is for arrays.

    Raises:
      UserError: images of another shape, or outside [0, 1].
    """
    dataset = checked_dataset(self, x, None, batch_size, training=False, nats=False)
    return keras.Model.predict(self, dataset, **kwargs)
