"""The running means of a training or an evaluation, and the first loss that is not finite."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from keras_vae.types import Tensor


class Mean(keras.metrics.Mean):
    """A weighted mean; NaN rather than 0 before the first update."""

    def result(self) -> Any:
        return ops.where(self.count > 0, super().result(), float("nan"))


class Trackers:
    """The running means that `fit` and `evaluate` show, over examples or of scalars by batch size; the first failure.

    A plain object: Keras saves the variables of a model's attributes, and none of these belong in a weights file.
    """

    def __init__(self, means: Mapping[str, Any]) -> None:
        self.means = dict(means)  # name -> a Keras metric, a mean unless the variant has another
        # Batches since the last reset: evaluation noise is a function of it, so `evaluate` gives the same twice.
        self.batches = keras.metrics.Sum(name="batches")
        self.weighted = False  # whether a step was traced with weights of examples
        self.failure = keras.Variable(-1, dtype="int64", trainable=False, aggregation="only_first_replica")

    def update(
        self, values: Mapping[str, Any], batch_size: Tensor | int, weights: Tensor | None = None
    ) -> dict[str, Any]:
        """Add one batch: `values` are scalars, `(batch, ...)`, or `(batch,)` and its weights. Returns the means so far.

        Args:
          values: by name.
          batch_size: the weight of scalars.
          weights: of examples, `(batch,)`: their values are means weighted by these, as Keras's `weighted_metrics`.
        """
        self.batches.update_state(1.0)
        self.weighted = self.weighted or weights is not None
        for name, value in values.items():
            value, weight = value if isinstance(value, tuple) else (value, None)
            value = ops.cast(value, "float32")
            if not value.shape.rank:
                weight = ops.cast(batch_size, "float32")
            elif weights is not None:
                of_examples = ops.reshape(ops.cast(weights, "float32"), (-1, *[1] * (value.shape.rank - 1)))
                weight = of_examples if weight is None else of_examples * ops.cast(weight, "float32")
            elif weight is None and value.shape.rank == 1:
                weight = ops.ones_like(value)
            self.means[name].update_state(value, sample_weight=weight)
        return {name: mean.result() for name, mean in self.means.items()}

    def note_failures(self, losses: Sequence[Any], step: Tensor) -> None:
        """Record the first step and player with a loss that is not finite, as `step * players + player`."""
        for player, loss in enumerate(losses):
            number = ops.cast(step, "int64") * len(losses) + player
            first = ops.logical_and(self.failure < 0, ops.logical_not(ops.isfinite(loss)))
            self.failure.assign(ops.where(first, number, self.failure))
