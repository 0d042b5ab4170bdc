"""Training around the step: compile, fit, evaluate and predict; running means and the first failure."""

import contextlib
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeGuard

import keras
import numpy as np

from keras_vae import backend
from keras_vae.backend import workers
from keras_vae.checks import check_whole_number, is_whole_number
from keras_vae.core.fit_callbacks import (
    GoOnTraining,
    RequireBatches,
    SayEpochs,
    ShareRate,
    StopOnFailure,
    ValidateAverages,
    keeps_best,
    listed,
)
from keras_vae.core.players import check_players, check_unused, choose_optimizers, is_built_for
from keras_vae.core.training_data import checked_batch, checked_dataset, split_off
from keras_vae.core.watch import StopOnBadData
from keras_vae.data import iterators, pipeline
from keras_vae.errors import UserError

if TYPE_CHECKING:
    from keras_vae.core.vae import VAE

# A mixin's `self` is the whole model, which this rule does not allow for.
# pyright: reportGeneralTypeIssues=false


class Trainer:
    """Keras's compile, fit, evaluate and predict for a `VAE`: with data checks, players and running means."""

    one_optimizer: bool = True  # whether `compile` was given one, so that all players have its learning rate

    def compile(
        self: "VAE",
        optimizer: object = "adam",
        jit_compile: bool | str = "auto",
        steps_per_execution: int = 32,
        run_eagerly: bool = False,
        **kwargs: object,
    ) -> None:
        """Prepare the model for training, with XLA and several steps in each call of TensorFlow.

        Args:
          optimizer: a Keras optimizer, or its name, cloned for each additional player; or `{player: optimizer}`.
          jit_compile: compile the training step with XLA, which draws the same noise; `"auto"`: where `gains_by_xla`.
            Under a strategy of several devices or workers, only where all of them are GPUs.
          steps_per_execution: optimizer steps in each call, at most: `fit` takes the largest number that divides the
            steps of an epoch.
          run_eagerly: run the step in Python, for debugging; turns the two above off.
          **kwargs: other arguments of `keras.Model.compile`.

        Raises:
          UserError: players and optimizers do not match, or a trainable variable has no player, or two; an optimizer
            that was built for other variables.
        """
        of_keras = ("loss", "loss_weights", "metrics", "weighted_metrics")
        if others := [name for name in of_keras if kwargs.get(name) is not None]:
            raise UserError(f"A VAE has its own loss and metrics. Given: {others[0]}=. Leave it out.")
        check_whole_number(steps_per_execution, "steps_per_execution")
        if self.strategy is not None and jit_compile and not workers.compiles_replicas(self.strategy):
            if jit_compile is True:
                warnings.warn(
                    "TensorFlow compiles the step of several devices with XLA where all are GPUs: it is turned off.",
                    stacklevel=2,
                )
            jit_compile = False
        if run_eagerly:
            jit_compile, steps_per_execution = False, 1
        if jit_compile == "auto":
            jit_compile = gains_by_xla(self.trainable_variables)
        elif not isinstance(jit_compile, bool):
            raise UserError(f"jit_compile is True, False or 'auto'. Given: {jit_compile!r}.")
        if self.compute_dtype == "bfloat16" and backend.emulates_bfloat16():
            warnings.warn(
                "This processor has no bfloat16 instructions: mixed_bfloat16 is emulated, and slower than float32 "
                "here. Train in float32, unless it is to try what runs elsewhere.",
                stacklevel=2,
            )
        players = self.players()
        check_players(players, self.trainable_variables)
        self.steps_limit = steps_per_execution
        with (self.strategy or self.distribute_strategy).scope():
            by_player = choose_optimizers(optimizer, [player.name for player in players])
            self.one_optimizer = not isinstance(optimizer, Mapping) or "class_name" in optimizer
            for player in players:
                check_unused(by_player[player.name], player)
            self.trackers = self.make_trackers(self.logged_names(players))
            keras.Model.compile(
                self,
                optimizer=by_player[players[0].name],
                jit_compile=jit_compile,
                steps_per_execution=steps_per_execution,
                run_eagerly=run_eagerly,
                **kwargs,
            )
            scaled = isinstance(self.optimizer, keras.optimizers.LossScaleOptimizer)
            self.extra_optimizers = {
                player.name: keras.optimizers.LossScaleOptimizer(by_player[player.name])
                if scaled and not isinstance(by_player[player.name], keras.optimizers.LossScaleOptimizer)
                else by_player[player.name]
                for player in players[1:]
            }
            for optimizer_, player in zip(self.optimizers, players, strict=True):
                if not optimizer_.built:
                    optimizer_.build(player.variables)
                # Keras's fit ends with this call, for all variables of the model: `use_averages` is for each player's.
                optimizer_.finalize_variable_values = lambda variables: None

    @pipeline.says_what_cannot_be_read
    def fit(
        self: "VAE",
        x: object = None,
        y: object = None,
        batch_size: int = 128,
        epochs: int = 1,
        validation_data: object = None,
        callbacks: object = None,
        steps_per_epoch: int | None = None,
        sample_weight: object = None,
        class_weight: object = None,
        shuffle: bool = True,
        **kwargs: object,
    ) -> Any:
        """Train, as `keras.Model.fit`.

        With weights w_i of the examples the loss of a batch of N is `sum(w_i * loss_i) / N`, as Keras reduces it: the
        divisor is not the sum of the weights. Free bits are on the weighted KL. `elbo`, `log_px`, `kl` and other means
        over examples are weighted, `sum(w_i * v_i) / sum(w_i)`, as Keras's `weighted_metrics`. Normalisation in
        networks, and what layers add to a loss, are without weights, as in Keras.

        Args:
          x: a `tf.data.Dataset` of batches, as `keras_vae.data.load` gives, of dicts with "x" (and "y"), a
            `keras.utils.PyDataset` of them, in its order, or a generator, which is read once; or images. Images are
            shuffled in each epoch, and the last partial batch is dropped. A batch may be (x, y, sample_weight) too, y
            None where there are no labels, or a dict that has "sample_weight".
          y: labels for `x` where it is an array; for a model with several conditions, a mapping of arrays by name.
          batch_size: for arrays.
          epochs: passes over the data.
          validation_data: a dataset, images, `(images, labels)`, or `(images, labels, weights)`. All of it is used.
          callbacks: Keras callbacks. Where an optimizer has `use_ema`, those that keep the weights of the best epoch,
            `EarlyStopping` and `ModelCheckpoint(save_best_only=True)`, have the averages that were validated, and
            others the weights that are trained.
          steps_per_epoch: batches of an epoch; None: all of the data.
          sample_weight: for arrays, the weight of each example, `(examples,)`, 0 or more.
          class_weight: of data with one label an example, the weight by label; 1 for those that it has not.
          shuffle: of arrays, always; of a dataset, its own matter.
          **kwargs: other arguments of `keras.Model.fit`.

        Raises:
          UserError: data outside the model's domain. Arrays, what `keras_vae.data` makes of arrays, and the first batch
            of any other dataset are held to its rules before the first step; every batch of streams in the graph, where
            the error comes at the end of its execution.
          UserError: an epoch or a validation without a batch, as of a generator that was read before.
          UserError: weights that are not finite, below 0 or all 0; or for a model with a `batch_statistic` in its loss.
          UserError: `trainable` was changed since `compile`, or a player has nothing to train.
          DivergedError: a loss or a weight is no longer finite; names the step.
        """
        check_whole_number(epochs, "epochs", minimum=0)
        if steps_per_epoch is not None:
            check_whole_number(steps_per_epoch, "steps_per_epoch")
        if is_whole_number(frequency := kwargs.get("validation_freq", 1)):
            check_whole_number(frequency, "validation_freq")
        if not shuffle and not iterators.is_stream(x):
            raise UserError(
                "Arrays are shuffled in each epoch. Given: shuffle=False. Give batches in their order: "
                "keras_vae.data.batches(x, training=False)."
            )
        self.required_trackers()
        self._check_compiled()
        users = sorted(listed(callbacks), key=lambda callback: not keeps_best(callback))
        best = sum(map(keeps_best, users))
        if share := kwargs.pop("validation_split", 0):
            x, y, sample_weight, validation_data = split_off(x, y, sample_weight, share, validation_data)
        dataset = checked_dataset(
            self, x, y, batch_size, training=True, sample_weight=sample_weight, class_weight=class_weight
        )
        pixels = pipeline.pixels_of(dataset)
        if self.watch.skip_training(pixels is not None and not pixels.partial):
            self.train_function = None
        if validation_data is not None:
            held_out = self.as_batch(tuple(validation_data)) if _is_batch(validation_data) else validation_data
            validation_data = checked_dataset(self, held_out, batch_size=batch_size, training=False)
            validation_data = _first(validation_data, kwargs.pop("validation_steps", None), "validation_steps")
        stop = StopOnFailure(
            self.required_trackers(), [player.name for player in self.players()], lambda: int(self.step.numpy())
        )
        if steps_per_epoch is None:
            _require_end(dataset, "steps_per_epoch")
        steps = steps_per_epoch or iterators.batches_of(dataset)
        self.set_steps_per_execution(steps if self.strategy is None else steps or 1)
        if self.strategy is not None:
            worker = workers.current(self.strategy)
            dataset = iterators.part_of(dataset, worker, self.strategy.num_replicas_in_sync // worker.count)
        if self.jit_compile and kwargs.get("verbose", "auto") != 0 and self.train_function is None:
            print("Compiling the training step with XLA, which takes a while before the first step.", file=sys.stderr)
        with workers.going_together(self.strategy), contextlib.closing(ValidateAverages()) as averages:
            return keras.Model.fit(
                self,
                dataset,
                epochs=epochs,
                validation_data=validation_data,
                callbacks=[
                    StopOnBadData(self.watch, "the validation data"),
                    stop,
                    RequireBatches(lambda: int(self.step.numpy())),
                    averages,
                    SayEpochs(),
                    *users[:best],
                    GoOnTraining(averages),
                    *users[best:],
                    *([ShareRate()] if self.one_optimizer and self.extra_optimizers else []),
                ],
                steps_per_epoch=steps_per_epoch,
                shuffle=False,
                **kwargs,
            )

    def _check_compiled(self: "VAE") -> None:
        """Raise UserError unless each player trains the variables that it had in `compile`."""
        for optimizer, player in zip(self.optimizers, self.players(), strict=True):
            if not is_built_for(optimizer, player.variables):
                raise UserError(
                    f"compile takes note of what is trained. Given: other variables since then, of {player.name!r}: "
                    f"trainable was set, or a layer exchanged. Call compile again, with a new optimizer."
                )
            if not player.variables:
                raise UserError(
                    f"A player trains its variables. Given: {player.name!r}, of which all are frozen. Set trainable = "
                    f"True of a layer of it, and call compile again."
                )

    def train_on_batch(
        self: "VAE",
        x: object,
        y: object = None,
        sample_weight: object = None,
        class_weight: object = None,
        return_dict: bool = False,
    ) -> Any:
        """Train on one batch of arrays, and return the means over it, as `keras.Model.train_on_batch`.

        Raises:
          UserError: a batch outside the model's domain, or a model that `fit` has not yet seen all training examples
            for.
        """
        self.required_trackers()
        self._check_compiled()
        if (self.reads_totals or self.likelihood_family.standardizes) and not int(self.step.numpy()):
            raise UserError(
                f"A {type(self).__name__} begins with numbers of all training examples, which fit takes from them. "
                f"Given: train_on_batch. Call fit with these first, for an epoch; or give what it takes, "
                f"as library= of a LibraryVAE or total= of a likelihood, and leave standardize out."
            )
        batch = checked_batch(self, x, y, sample_weight, class_weight, training=True)
        self.watch.clear()  # of what a stream before has left
        return keras.Model.train_on_batch(self, *batch, return_dict=return_dict)

    def test_on_batch(
        self: "VAE", x: object, y: object = None, sample_weight: object = None, return_dict: bool = False
    ) -> Any:
        """Return the means over one batch of arrays, as `keras.Model.test_on_batch`.

        Raises:
          UserError: a batch outside the model's domain.
        """
        self.required_trackers()
        batch = checked_batch(self, x, y, sample_weight, None, training=False)
        self.watch.clear()
        return keras.Model.test_on_batch(self, *batch, return_dict=return_dict)

    def predict_on_batch(self: "VAE", x: object) -> Any:
        """Return the mean reconstructions of a batch of arrays: `reconstruct`.

        Raises:
          UserError: images of another shape, or outside [0, 1].
        """
        batch = self.as_batch(x)
        return self.reconstruct(batch["x"], batch.get("y") if self.conditional else None)

    def use_averages(self: "VAE") -> None:
        """Replace the weights by their moving averages, where an optimizer has these: `use_ema` of Keras.

        `fit` ends with it, and validates with the averages.
        """
        for optimizer, player in zip(self.optimizers, self.players(), strict=True):
            if int(optimizer.iterations.numpy()):  # before the first step the averages are 0
                type(optimizer).finalize_variable_values(optimizer, player.variables)

    @contextlib.contextmanager
    def averaged(self: "VAE") -> Iterator[None]:
        """Inside, the weights are their moving averages, where an optimizer has these; afterwards they are back."""
        optimizers = [getattr(optimizer, "inner_optimizer", optimizer) for optimizer in self.optimizers]
        if not any(optimizer.use_ema for optimizer in optimizers):
            yield
            return
        kept = [(variable, variable.numpy()) for variable in self.trainable_variables]
        self.use_averages()
        try:
            yield
        finally:
            for variable, value in kept:
                variable.assign(value)

    def set_steps_per_execution(self: "VAE", steps: int | None) -> None:
        """Set the steps of each call to the largest divisor of an epoch of `steps` up to the limit of `compile`.

        Args:
          steps: of an epoch; None if unknown: the limit itself.
        """
        # Otherwise the last call of an epoch, and the progress bar, would run past its end.
        divisor = max(count for count in range(1, self.steps_limit + 1) if not (steps or self.steps_limit) % count)
        if divisor != self.steps_per_execution:
            self.steps_per_execution = divisor
            self.train_function = self.test_function = self.predict_function = None  # traced for another number

    @pipeline.says_what_cannot_be_read
    def evaluate(
        self: "VAE",
        x: object = None,
        y: object = None,
        batch_size: int = 128,
        sample_weight: object = None,
        **kwargs: object,
    ) -> Any:
        """Return mean loss, elbo, log_px, kl and beta over a dataset or images, as `keras.Model.evaluate`.

        Args:
          x: as of `fit`.
          y: as of `fit`.
          batch_size: for arrays.
          sample_weight: as of `fit`.
          **kwargs: other arguments of `keras.Model.evaluate`.

        Raises:
          UserError: data outside the model's domain, or weights that do not fit.
        """
        self.required_trackers()
        if not kwargs.get("_use_cached_eval_dataset"):
            x, y = checked_dataset(self, x, y, batch_size, training=False, sample_weight=sample_weight), None
            kwargs["callbacks"] = [
                StopOnBadData(self.watch),
                RequireBatches(lambda: 0),
                *listed(kwargs.get("callbacks")),
            ]
            x = _first(x, kwargs.pop("steps", None), "steps")
        return keras.Model.evaluate(self, x, y, **kwargs)

    @pipeline.says_what_cannot_be_read
    def predict(self: "VAE", x: object, batch_size: int = 128, **kwargs: object) -> Any:
        """Return the mean reconstructions of a dataset or images, as `keras.Model.predict`; for arrays, `reconstruct`.

        Raises:
          UserError: images of another shape, or outside [0, 1].
        """
        dataset = checked_dataset(self, x, None, batch_size, training=False, nats=False)
        callbacks = [StopOnBadData(self.watch), *listed(kwargs.pop("callbacks", None))]
        dataset = _first(dataset, kwargs.pop("steps", None), "steps")
        return keras.Model.predict(self, dataset, callbacks=callbacks, **kwargs)

    def make_train_function(self: "VAE", force: bool = False) -> Any:
        """Make the function that `fit` calls: Keras's, or on several devices ours."""
        if self.strategy is None:
            return keras.Model.make_train_function(self, force)
        if self.train_function is None or force:
            function: Any = workers.on_replicas(
                self.strategy,
                self.train_step,
                self.get_metrics_result,
                self.steps_per_execution,
                True,
                self.jit_compile,
            )
            self.train_function = function

    def make_test_function(self: "VAE", force: bool = False) -> Any:
        """Make the function that `evaluate` calls, without XLA. Each of several devices evaluates all of the data.

        So the last batch, which may have fewer examples than there are devices, gives the numbers of one device.
        """
        self._forget_stale_graphs()
        if self.strategy is None:
            with self._without_xla():
                return keras.Model.make_test_function(self, force)
        if self.test_function is None or force:

            def step(batch: object) -> None:
                with backend.alone():
                    self.test_step(batch)

            one = workers.on_replicas(self.strategy, step, self.get_metrics_result, 1, share=False)
            function: Any = workers.repeated(one, self.steps_per_execution)
            self.test_function = function

    def make_predict_function(self: "VAE", force: bool = False) -> Any:
        """Make the function that `predict` calls, without XLA."""
        self._forget_stale_graphs()
        with self._without_xla():
            return keras.Model.make_predict_function(self, force)

    def _forget_stale_graphs(self: "VAE") -> None:
        """Forget the functions of `evaluate` and `predict` where networks, variables or dtypes are others by now."""
        _ = self.functions

    @contextlib.contextmanager
    def _without_xla(self: "VAE") -> Iterator[None]:
        """Inside, functions are made without XLA, which would compile one for each size of a batch."""
        jit_compile, self.jit_compile = self.jit_compile, False
        try:
            yield
        finally:
            self.jit_compile = jit_compile

    @property
    def metrics(self: "VAE") -> list[Any]:
        """The epoch's running means, and the count of its batches; `fit` and `evaluate` reset them."""
        return [] if self.trackers is None else [*self.trackers.means.values(), self.trackers.batches]

    def get_metrics_result(self: "VAE") -> dict[str, Any]:
        """Return the running means: loss, elbo, log_px, kl, beta, and those of `metric_names`."""
        return {name: mean.result() for name, mean in self.required_trackers().means.items()}


def _first(dataset: Any, steps: object, name: str) -> Any:
    """Return the first `steps` batches, all for None: Keras would run on to the end of a call of several."""
    if steps is not None:
        return iterators.first_batches(dataset, check_whole_number(steps, name))
    _require_end(dataset, name)
    return dataset


def _require_end(dataset: object, name: str) -> None:
    if iterators.is_endless(dataset):
        raise UserError(f"A dataset is read to its end. Given: one without end. Give {name}=, or do not repeat it.")


def gains_by_xla(variables: Sequence[Any]) -> bool:
    """Return whether networks of these variables train at least as fast with XLA as without: all but convolutions.

    TensorFlow's own kernels of these are faster on a CPU: benchmarks/engines.json has the times of every model.
    """
    return not any(variable.name.endswith("kernel") and len(variable.shape) > 2 for variable in variables)


def _is_batch(data: object) -> TypeGuard[Sequence[Any]]:
    """Whether validation data are `(x, y)` or `(x, y, weights)`; or a list of these, as Keras takes them."""
    return isinstance(data, tuple) or (isinstance(data, list) and len(data) in (2, 3) and np.ndim(data[0]) > 1)
