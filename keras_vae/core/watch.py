"""The watch over every batch of a stream: in the graph, the rules of the supports of x and of the conditions."""

import functools
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import keras
from keras import ops

from keras_vae import backend, supports
from keras_vae.core.example_weights import one_each
from keras_vae.data.iterators import WEIGHT
from keras_vae.errors import UserError
from keras_vae.supports import Support
from keras_vae.types import Batch, Tensor

if TYPE_CHECKING:
    from keras_vae.core.vae import VAE

_CLEAN = (-1.0, 0.0, 0.0, 0.0, 0.0, 0.0)  # no rule, and no facts


class Watch:
    """Counts the batches of a pass over data, and keeps the diagnosis of the first one that breaks a rule.

    A plain object, and its one variable is not the model's: Keras saves what it finds in a model's attributes.
    """

    def __init__(self, model: "VAE") -> None:
        self._model = model
        # Of arrays, which are held to the rules on the host; and before the first `fit`: nobody would read the report.
        self.skips_training = True
        # Batches so far; the number of the batch, from 0, and its rule among those of all columns; the facts.
        self._report = keras.Variable(
            (0.0, 0.0, *_CLEAN), dtype="float64", trainable=False, aggregation="only_first_replica"
        )

    def note(self, batch: Batch, hull: bool = False) -> Batch:
        """Hold one batch to the rules, in a graph, and return it; tokens of one that breaks a rule as 0.

        A token that is in no table would end the execution before its report is read.

        Args:
          batch: x as networks read it, y if there is one, and weights if there are.
          hull: of x, only the rules for what a network reads.
        """
        row, offset = ops.convert_to_tensor(_CLEAN, "float64"), 0
        for name, support, array in self._columns(batch):
            if name == WEIGHT:
                if hull:  # a network does not read them
                    continue
                array = one_each(ops.cast(array, "float32"), batch["x"])  # of bools too
            if array is None:  # no batch has it, but its rules are counted, as in `require_clean`
                offset += len(support.rules)
                continue
            rules = support.hull if hull else support
            row = ops.cond(
                # Of each example, then of all: XLA takes less time than for one reduction of all numbers.
                ops.any(rules.breaks(ops, array)),
                # The facts cost several passes over the batch, and are computed only where a rule is broken.
                functools.partial(_first, row, rules, array, offset),
                lambda row=row: row,
            )
            offset += len(support.rules)
        if backend.replica().count > 1:
            rows = backend.gather_over_replicas(row[None])
            row = rows[ops.argmax(ops.where(rows[:, 0] >= 0, 1, 0))]
        seen = self._report[0]
        first = ops.logical_and(self._report[2] < 0, row[0] >= 0)
        rest = ops.where(first, ops.concatenate([seen[None], row]), self._report[1:])
        self._report.assign(ops.concatenate([seen[None] + 1, rest]))
        if "int" in str(batch["x"].dtype):
            return {**batch, "x": ops.where(rest[1] < 0, batch["x"], 0)}
        return batch

    def skip_training(self, checked: bool) -> bool:
        """Set whether training steps do without the watch; return whether that changed, and they are to be traced anew.

        Args:
          checked: all examples were held to the rules on the host, before the first step.
        """
        changed, self.skips_training = self.skips_training != checked, checked
        return changed

    def clear(self) -> None:
        """Start a pass: count from 0, and forget what was found."""
        self._report.assign((0.0, 0.0, *_CLEAN))

    def require_clean(self, data: str, ending: str = "") -> None:
        """Raise UserError if a batch since `clear` broke a rule.

        Args:
          data: what the message calls the data.
          ending: of the message.
        """
        _, number, rule, *facts = self._report.numpy().tolist()
        if rule < 0:
            return
        for name, support, _ in self._columns({"x": None, WEIGHT: ()}):
            if rule < len(support.rules):
                message = support.message([rule, *facts], name)
                raise UserError(f"Batch {number:.0f} of {data}, counted from 0: {message}{ending}")
            rule -= len(support.rules)

    def _columns(self, batch: Mapping[str, Any]) -> Iterator[tuple[str, Support, Any]]:
        """Yield name, support and array of what the model reads of a batch."""
        yield "x", self._model.likelihood_family.support, batch["x"]
        if self._model.conditional:
            y, single = batch.get("y"), self._model.condition_spec().keys() == {"condition"}
            for name, spec in self._model.condition_spec().items():
                support = supports.labels(spec.classes) if spec.kind == "label" else supports.REALS
                yield name, support, y if single or y is None else y[name]
        if batch.get(WEIGHT) is not None:
            yield WEIGHT, supports.WEIGHTS, batch[WEIGHT]


def _first(row: Tensor, support: Support, array: Tensor, offset: int) -> Tensor:
    """Return `row` if it has a rule already, or else the diagnosis of `array`."""
    rule, *facts = (ops.cast(fact, "float64") for fact in support.diagnosis(ops, array))
    return ops.where(row[0] >= 0, row, ops.stack([rule + offset, *facts]))


class StopOnBadData(keras.callbacks.Callback):
    """Raise UserError as soon as an execution has met a batch that breaks a rule.

    Args:
      watch: of the model.
      data: what messages call the data of `evaluate` and `predict`.
    """

    def __init__(self, watch: Watch, data: str = "the data") -> None:
        super().__init__()
        self.watch, self.data = watch, data

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        self.watch.clear()

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        remedy = " The model has trained on it: make it anew, or load its last weights."
        self.watch.require_clean("the training data", remedy)

    def on_test_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        self.watch.clear()

    def on_test_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        self.watch.require_clean(self.data)

    on_predict_begin = on_test_begin
    on_predict_batch_end = on_test_batch_end
