"""Training around the step: compile, fit, evaluate and predict; running means, data checks and the first failure."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras import ops

from keras_vae.data import pipeline
from keras_vae.errors import DivergedError, UserError
from keras_vae.types import Batch, Tensor

if TYPE_CHECKING:
    from keras_vae.core.vae import VAE, Player

# A mixin's `self` is the whole model, which this rule does not allow for.
# pyright: reportGeneralTypeIssues=false

_NO_WEIGHTS = "A VAE weighs all examples alike."


class Trainer:
    """Keras's compile, fit, evaluate and predict for a `VAE`: its own data checks, players and running means."""

    def compile(
        self: "VAE",
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
            self.trackers = Trackers({name: self.make_metric(name) for name in self.logged_names(players)})
            keras.Model.compile(
                self,
                optimizer=chosen[players[0].name],
                jit_compile=jit_compile,
                steps_per_execution=steps_per_execution,
                run_eagerly=run_eagerly,
                **kwargs,
            )
            scaled = isinstance(self.optimizer, keras.optimizers.LossScaleOptimizer)
            self.extra_optimizers = {
                player.name: keras.optimizers.LossScaleOptimizer(chosen[player.name]) if scaled else chosen[player.name]
                for player in players[1:]
            }
            for optimizer_, player in zip(self.optimizers, players, strict=True):
                optimizer_.build(player.variables)

    def fit(
        self: "VAE",
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
          y: labels for `x` where it is an array; of a model with several conditions, a mapping of arrays by name.
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
            self.required_trackers(), [player.name for player in self.players()], lambda: int(self.step.numpy())
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

    def evaluate(self: "VAE", x: Any = None, y: Any = None, batch_size: int = 128, **kwargs: Any) -> Any:
        """Mean loss, elbo, log_px, kl and beta over a dataset or images, as `keras.Model.evaluate`: the same each time.

        Raises:
          UserError: data outside the model's domain.
        """
        self.required_trackers()
        refuse_weights(kwargs)
        if not kwargs.get("_use_cached_eval_dataset"):
            x, y = checked_dataset(self, x, y, batch_size, training=False), None
        return keras.Model.evaluate(self, x, y, **kwargs)

    def predict(self: "VAE", x: Any, batch_size: int = 128, **kwargs: Any) -> Any:
        """The mean reconstructions of a dataset or images, as `keras.Model.predict`; `reconstruct` is for arrays.

        Raises:
          UserError: images of another shape, or outside [0, 1].
        """
        dataset = checked_dataset(self, x, None, batch_size, training=False, nats=False)
        return keras.Model.predict(self, dataset, **kwargs)

    @property
    def optimizers(self: "VAE") -> list[Any]:
        """One optimizer for each player, in the order of `players`; none before `compile`."""
        return [self.optimizer, *self.extra_optimizers.values()] if self.compiled else []

    @property
    def metrics(self: "VAE") -> list[Any]:
        """The epoch's running means, and the count of its batches; `fit` and `evaluate` reset them."""
        return [] if self.trackers is None else [*self.trackers.means.values(), self.trackers.batches]

    def get_metrics_result(self: "VAE") -> dict[str, Any]:
        """The means so far: loss, elbo, log_px, kl, beta, and the variant's own."""
        return {name: mean.result() for name, mean in self.required_trackers().means.items()}

    def loss_names(self: "VAE", players: Sequence["Player"]) -> list[str]:
        """The name under which each player's loss is logged."""
        return ["loss", *(f"{player.name}_loss" for player in players[1:])]

    def logged_names(self: "VAE", players: Sequence["Player"]) -> list[str]:
        """The names that `fit` shows, in their order."""
        bound = ["elbo", "log_px", "kl", "beta"] if self.stochastic else ["log_px"]
        return [*self.loss_names(players), *bound, *self.metric_names]

    def required_trackers(self: "VAE") -> "Trackers":
        """The running means.

        Raises:
          UserError: the model is not compiled.
        """
        if self.trackers is None:
            raise UserError("Call model.compile() before fit or evaluate.")
        return self.trackers


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

    def note_failures(self, losses: Sequence[Any], step: Tensor) -> None:
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
        return {name: keras.optimizers.get(given) for name, given in optimizer.items()}
    first = keras.optimizers.get(optimizer)
    return {name: first if name == players[0] else type(first).from_config(first.get_config()) for name in players}


def check_players(players: Sequence["Player"], variables: Sequence[Any]) -> None:
    """Raise UserError unless each of the trainable `variables` belongs to exactly one player."""
    for variable in variables:
        owners = [player.name for player in players if any(variable is owned for owned in player.variables)]
        if len(owners) != 1:
            raise UserError(
                f"Every trainable variable belongs to exactly one player. Given: {variable.path}, which belongs to "
                f"{' and '.join(owners) or 'none'}. Change players() of the model."
            )


def checked_dataset(
    model: "VAE", x: Any, y: Any = None, batch_size: int = 128, *, training: bool, nats: bool = True
) -> Any:
    """A dataset of batches from a dataset, arrays, or a mapping of "x" and "y", its pixels checked against the model.

    Checked here, on the host, because XLA drops asserts: a dataset made by `keras_vae.data` says what its pixels are;
    of any other, the first batch is looked at.

    Args:
      nats: also require images in the likelihood's support.

    Raises:
      UserError: images of another shape, outside [0, 1], or outside the likelihood's support.
    """
    if not pipeline.is_dataset(x):
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
    columns = [] if labels is None else keras.tree.flatten(labels)
    if model.conditional:
        model.check_condition(labels, len(columns[0]) if columns else len(examples))
    if training:
        # Of a dataset of the user's the first batch alone is known, which may be without labels by chance.
        labelled = bool(columns) and (not whole or any(bool((np.asarray(column) >= 0).any()) for column in columns))
        model.check_training_data(labelled, batch_size)
    return dataset


def as_batch(data: Any, dtype: str | None = None) -> Batch:
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
