"""From arrays of pixels, or of tokens, to batches, as a pure function of the seed, the epoch and the batch."""

import dataclasses
import functools
import re
from collections.abc import Callable, Mapping
from typing import Any, Concatenate, ParamSpec, TypeVar

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike

from keras_vae import checks
from keras_vae.data import rows as lazily
from keras_vae.data.epochs import Start, epochs, parts_of
from keras_vae.data.examples import Pixels, examples_of
from keras_vae.data.rows import Rows
from keras_vae.errors import CorruptFileError, UserError
from keras_vae.types import Kind


def batches(
    images: np.ndarray | Rows,
    labels: ArrayLike | Mapping[str, ArrayLike] | None = None,
    *,
    batch_size: int = 128,
    training: bool,
    binarize: str | None = None,
    dequantize: bool = False,
    seed: int = 0,
    first_epoch: int = 0,
    first_batch: int = 0,
    worker: tuple[int, int] = (0, 1),
    render: Callable[[np.ndarray], np.ndarray] | None = None,
    labelled_in_batch: int | None = None,
    kind: Kind | None = None,
    missing: bool = False,
    sample_weight: ArrayLike | None = None,
) -> tf.data.Dataset:
    """A `tf.data.Dataset` of dicts: "x", float32 in [0, 1] `(batch, height, width, channels)`; "y" if there are labels;
    "sample_weight" if there are weights.

    Each iteration of the dataset is one epoch, and the next iteration the next epoch. Order, dynamic binarisation and
    dequantisation of an epoch are functions of `(seed, epoch)`, so a run that is resumed at `first_epoch` gets the
    batches of an uninterrupted one.

    Args:
      images: `(examples, height, width, channels)`, uint8 grey levels or floats in [0, 1]; or tokens, int32
        `(examples, length)`, which are not changed. Of a `numpy.memmap`, of `keras_vae.data.rows.Rows`, or a sparse
        matrix of scipy, whose rows are numbers, a batch at a time is read, and made dense.
      labels: one for each example; or a mapping of such arrays: then "y" is a dict by these names.
      batch_size: examples in a batch.
      training: shuffle each epoch, and leave out the last partial batch; otherwise all examples in their order.
      binarize: `"dynamic"`: pixels are 1 with the probability of their grey level, drawn in each epoch; `"static"`:
        drawn once, always the same; None: grey levels.
      dequantize: add uniform noise of one grey level: (level + u) / 256, drawn in each epoch.
      seed: of order and noise.
      first_epoch: the number of the first epoch.
      first_batch: of the first epoch; the batches before it are not read. The dataset then has no known length.
      worker: index and count of workers that share each batch: this dataset has the part of one, in order, so that all
        together have what one worker has. `batch_size` is of all.
      render: from rows of `images`, whatever these are, to binary images, uint8. They are rendered batch by batch, so
        that they take no memory.
      kind: of x, as in a model's `x_spec`: `"image"`, `"tokens"`, or `"numbers"` of any shape, which stay what they
        are, as float32, and which the model's likelihood is asked about; None: int32 `(examples, length)` are tokens,
        all else images.
      missing: NaN is a number that is missing, and so is what a `numpy.ma.MaskedArray` masks, for a model with the
        argument `missing`; otherwise it is refused.
      labelled_in_batch: examples in each training batch whose label is not -1. An epoch is then one pass over the
        others, and the labelled ones are repeated, or left out, as often as that takes; None: where chance puts them.
      sample_weight: the weight of each example in the loss, 0 or more; all 1 is None.

    Raises:
      UserError: arguments that contradict each other, or fewer examples than one training batch.
    """
    batch_size = checks.check_whole_number(batch_size, "batch_size")
    checks.check_whole_number(seed, "seed", minimum=0)
    checks.check_whole_number(first_epoch, "first_epoch", minimum=0)
    checks.check_whole_number(first_batch, "first_batch", minimum=0)
    _check_worker(worker, batch_size, training)
    examples = examples_of(images, binarize, dequantize, kind, missing, render)
    count = len(examples.rows)
    if not count:
        raise UserError("A dataset needs at least one example. Given: none.")
    if training and count < batch_size:
        raise UserError(
            f"Training needs at least one full batch: {batch_size} examples. Given: {count}. Lower batch_size."
        )
    columns: dict[str, Any] = {"x": examples.rows}
    example, made_up = examples.example, examples.made_up
    examples = dataclasses.replace(examples, rows=np.empty(0))  # the dataset holds a tensor of them, and no second copy
    if isinstance(labels, Mapping):
        columns["y"] = {name: _checked_labels(column, count) for name, column in labels.items()}
    elif labels is not None:
        columns["y"] = _checked_labels(labels, count)
    if sample_weight is not None:
        weights = checks.check_weights(sample_weight, count)
        if (weights != 1).any():  # else the compiled step is that without, and so are the last bits of its numbers
            columns["sample_weight"] = weights
    epoch = tf.Variable(tf.constant(first_epoch, "int64"))
    parts = None if labelled_in_batch is None else parts_of(columns.get("y"), labelled_in_batch, batch_size, training)
    start = Start(epoch, first_epoch, first_batch)
    marked: Any = epochs(examples, columns, batch_size, training, seed, start, worker, parts)
    # What is drawn, or read batch by batch.
    partial = examples.render is not None or not isinstance(examples.source, lazily.Mapped | None)
    marked.keras_vae = Pixels(examples.shape, example, columns.get("y"), partial, made_up, examples.totals)
    marked.epoch = epoch  # the graph holds the variable's handle only
    return marked


def _check_worker(worker: tuple[int, int], batch_size: int, training: bool) -> None:
    index, count = worker
    checks.check_whole_number(count, "the count of workers")
    if not 0 <= checks.check_whole_number(index, "the index of a worker", minimum=0) < count:
        raise UserError(f"worker is (index, count), the index from 0 and below the count. Given: {worker}.")
    if training and batch_size % count:
        raise UserError(
            f"Workers share each batch evenly. Given: batch_size={batch_size} and {count} workers. Take a multiple."
        )


def pixels_of(dataset: object) -> Pixels | None:
    """The description of a dataset that `batches` made; None for any other."""
    return getattr(dataset, "keras_vae", None)


def _checked_labels(labels: ArrayLike, count: int) -> np.ndarray:
    try:
        labels = np.asarray(labels)
    except ValueError as error:
        raise UserError(f"Labels must be an array. Given: {type(labels).__name__}, {error}.") from error
    if labels.dtype.kind not in "iubf":
        raise UserError(
            f"Labels must be numbers. Given: dtype {labels.dtype}. Number the classes: "
            f"numpy.unique(labels, return_inverse=True)[1]."
        )
    if not labels.ndim or len(labels) != count:
        received = f"{len(labels)} labels" if labels.ndim else str(labels)
        raise UserError(f"There must be one label for each image. Given: {received}, {count} images.")
    return labels.astype("int32" if labels.dtype.kind in "iub" else "float32")


_Model = TypeVar("_Model")
_Result = TypeVar("_Result")
_Parameters = ParamSpec("_Parameters")


def says_what_cannot_be_read(
    method: Callable[Concatenate[_Model, _Parameters], _Result],
) -> Callable[Concatenate[_Model, _Parameters], _Result]:
    """Let a method raise our own error in place of TensorFlow's, which wraps what `Rows` raised in its threads."""

    @functools.wraps(method)
    def wrapped(self: _Model, *args: _Parameters.args, **kwargs: _Parameters.kwargs) -> _Result:
        try:
            return method(self, *args, **kwargs)
        except tf.errors.OpError as error:
            reason = re.search(r"\b(CorruptFile|User)Error: (.*?)\nTraceback", str(error), re.DOTALL)
            if reason is None:
                raise
            kind = CorruptFileError if reason[1] == "CorruptFile" else UserError
            raise kind(reason[2]) from error

    return wrapped
