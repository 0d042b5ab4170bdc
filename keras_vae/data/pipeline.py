"""From arrays of pixels, or of tokens, to batches, as a pure function of the seed, the epoch and the batch."""

import dataclasses
import functools
import re
from collections.abc import Callable, Mapping
from typing import Any, Concatenate, NamedTuple, ParamSpec, TypeVar

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike

from keras_vae import backend, checks, randomness, supports
from keras_vae.data import rows as lazily
from keras_vae.data.iterators import Stream as Stream
from keras_vae.data.iterators import batches_of as batches_of
from keras_vae.data.iterators import elements as elements
from keras_vae.data.iterators import is_stream as is_stream
from keras_vae.data.iterators import part_of as part_of
from keras_vae.data.iterators import peeked as peeked
from keras_vae.data.rows import Rows
from keras_vae.data.rows import is_sparse as is_sparse
from keras_vae.errors import CorruptFileError, UserError
from keras_vae.types import Kind, Tensor

BINARIZE = ("dynamic", "static")
_ALIGNMENT = 64  # bytes, of TensorFlow's memory


class Pixels(NamedTuple):
    """A description of the examples of a dataset that `batches` made, without reading it."""

    image_shape: tuple[int, ...]
    # Images of every value that a pixel has: of grey levels, each that occurs; of noise, some. Floats, tokens: all x.
    example: np.ndarray
    labels: np.ndarray | dict[str, np.ndarray] | None = None  # all of them, if there are any; or several by name
    partial: bool = False  # `example` has not the values of all rows
    made_up: bool = False  # `example` has those values, but no x of the data


@dataclasses.dataclass(frozen=True)
class _Examples:
    """The examples as they are kept in memory, and how a batch of x is made of them."""

    rows: np.ndarray  # grey levels, floats, bytes of 0 and 1, tokens, or the arguments of `render`
    shape: tuple[int, ...]  # of one x
    white: int = 1  # the value in `rows` of a white pixel
    binary: bool = False  # only 0 and 1
    tokens: bool = False
    numbers: bool = False  # no pixels: a byte is a number too, of its column
    binarize: bool = False  # in each epoch
    dequantize: bool = False
    render: Callable[[np.ndarray], np.ndarray] | None = None
    source: Rows | None = None  # of which `rows` are the numbers: a batch of it is read at a time

    @property
    def example(self) -> np.ndarray:
        """`Pixels.example`."""
        if self.binary:
            values = np.array([0.0, 1.0], "float32")
        elif self.dequantize:
            values = np.array([1.0 / np.pi, 1.0 / np.e], "float32")  # on no grid
        else:
            if self.source is None:
                values = lazily.levels_in(self.rows) if self.made_up else self.rows
            elif self.numbers and isinstance(self.source, lazily.Mapped):
                values = self.source.array
            else:
                values = self.source.values()
            if values.ndim > 1:
                return values
            values = (values / self.white).astype("float32")
        return np.resize(values, (-(-len(values) // int(np.prod(self.shape))), *self.shape))

    @property
    def made_up(self) -> bool:
        """`Pixels.made_up`."""
        stored = self.rows if self.source is None else self.source
        return self.binary or self.dequantize or (stored.dtype == np.uint8 and not self.numbers)

    def x(self, rows: Any, seed: Tensor, part: "_Part") -> Any:
        """The x of some rows, a part of a batch; `seed` is that of the batch's noise."""
        if self.render is not None:
            rows = tf.numpy_function(self.render, [rows], tf.uint8, stateful=False)
        if self.source is not None:
            rows = tf.numpy_function(self.source.__getitem__, [rows], self.source.dtype, stateful=False)
        if self.tokens:
            return rows
        x: Any = tf.cast(rows, "float32")
        # Noise is of the whole batch, of which a worker may have a part.
        shape = tf.concat([[tf.cast(part.of, "int32")], tf.shape(x)[1:]], axis=0)
        if self.dequantize:
            return (x + backend.uniform(shape, seed)[part.rows]) / 256.0
        if self.binarize:
            # 16 bits take half the time of 32. A 1 has the probability of its grey level to 2**-16.
            size: Any = tf.reduce_prod(shape)
            noise: Any = tf.bitcast(backend.random_bits(((size + 1) // 2,), seed), "uint16")
            noise = tf.reshape(tf.reshape(noise, (-1,))[:size], shape)[part.rows]
            return tf.cast(tf.cast(noise, "float32") < x * (2.0**16 / self.white), "float32")
        return x / float(self.white) if self.white != 1 else x


class _Part(NamedTuple):
    """The rows of a batch that a worker has."""

    rows: slice
    of: Any  # the rows of the batch


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
) -> "tf.data.Dataset":
    """A `tf.data.Dataset` of dicts: "x", float32 in [0, 1] `(batch, height, width, channels)`; "y" if there are labels.

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

    Raises:
      UserError: arguments that contradict each other, or fewer examples than one training batch.
    """
    batch_size = checks.check_whole_number(batch_size, "batch_size")
    checks.check_whole_number(seed, "seed", minimum=0)
    checks.check_whole_number(first_epoch, "first_epoch", minimum=0)
    checks.check_whole_number(first_batch, "first_batch", minimum=0)
    _check_worker(worker, batch_size, training)
    mapped = images
    if is_sparse(images):
        if binarize or dequantize or kind not in (None, "numbers"):
            raise UserError("The rows of a sparse matrix are numbers. Given: noise or a kind of pixels. Leave it out.")
        source = lazily.Sparse(images)
        supports.REALS.check(source.matrix.data[:, None], "x")
        examples = _read_by_batches(source, None, False, "numbers")
    elif render is None:
        images = checks.numbers(images, "images") if isinstance(images, np.ma.MaskedArray) else images
        images = images if isinstance(images, Rows) else np.asarray(images)
        kind = kind or ("tokens" if images.dtype == np.int32 and images.ndim == 2 else "image")
        looked_at = images if isinstance(images, np.ndarray) else images[np.arange(min(1, len(images)))]
        looked_at = _checked_images(looked_at, binarize, dequantize, kind, missing)
        if isinstance(mapped, np.memmap):
            images = lazily.Mapped(mapped)
        if isinstance(images, Rows):
            examples = _read_by_batches(images, binarize, dequantize, kind)
        else:
            examples = _stored(looked_at, binarize, dequantize, kind)
    else:
        images = np.asarray(images)
        _check_noise(binarize, dequantize)  # rendered images are binary already
        if dequantize:
            raise UserError("dequantize needs grey levels. Given: rendered images, which are binary. Leave it out.")
        examples = _Examples(images, render(images[:1]).shape[1:], binary=True, render=render)
    _check_count(len(examples.rows), batch_size, training)
    count = len(examples.rows)
    columns: dict[str, Any] = {"x": examples.rows}
    example, made_up = examples.example, examples.made_up
    examples = dataclasses.replace(examples, rows=np.empty(0))  # the dataset holds a tensor of them, and no second copy
    if labels is not None:
        columns["y"] = _checked_columns(labels, count)
    epoch = tf.Variable(tf.constant(first_epoch, "int64"))
    parts = None if labelled_in_batch is None else _parts(columns.get("y"), labelled_in_batch, batch_size, training)
    start = _Start(epoch, first_epoch, first_batch)
    marked: Any = _epochs(examples, columns, batch_size, training, seed, start, worker, parts)
    # What is drawn, or read batch by batch.
    partial = examples.render is not None or not isinstance(examples.source, lazily.Mapped | None)
    marked.keras_vae = Pixels(examples.shape, example, columns.get("y"), partial, made_up)
    marked.epoch = epoch  # the graph holds the variable's handle only
    return marked


def _checked_images(
    images: np.ndarray, binarize: str | None, dequantize: bool, kind: Kind, missing: bool
) -> np.ndarray:
    """The images, floats or uint8, or tokens, or other numbers.

    Raises:
      UserError: pixels outside [0, 1], or noise that does not apply to them.
    """
    _check_noise(binarize, dequantize)
    if kind != "image" and (binarize or dequantize):
        raise UserError(f"binarize and dequantize are for grey levels. Given: {kind}, {images.dtype}. Leave them out.")
    reals, pixels = (one.or_missing() if missing else one for one in (supports.REALS, supports.PIXELS))
    if kind == "numbers":
        return checks.check_images(images, images.shape[1:], "x", reals)
    if images.dtype != np.uint8 and kind == "image":
        images = checks.check_images(images, images.shape[1:], "images", pixels)
    if missing and (binarize or dequantize):
        raise UserError("What is missing has no grey level to draw from. Given: missing and noise. Leave one out.")
    if dequantize and images.dtype != np.uint8:
        raise UserError(f"dequantize needs grey levels 0 to 255 as uint8. Given: {images.dtype}.")
    return images


def _check_noise(binarize: str | None, dequantize: bool) -> None:
    if binarize is not None and binarize not in BINARIZE:
        raise UserError(f"binarize is one of {', '.join(BINARIZE)}, or None for grey levels. Given: {binarize!r}.")
    if binarize and dequantize:
        raise UserError("dequantize adds noise to grey levels; binary pixels have none. Use one or the other.")


def _check_count(count: int, batch_size: int, training: bool) -> None:
    if not count:
        raise UserError("A dataset needs at least one example. Given: none.")
    if training and count < batch_size:
        raise UserError(
            f"Training needs at least one full batch: {batch_size} examples. Given: {count}. Lower batch_size."
        )


def _check_worker(worker: tuple[int, int], batch_size: int, training: bool) -> None:
    index, count = worker
    checks.check_whole_number(count, "the count of workers")
    if not 0 <= checks.check_whole_number(index, "the index of a worker", minimum=0) < count:
        raise UserError(f"worker is (index, count), the index from 0 and below the count. Given: {worker}.")
    if training and batch_size % count:
        raise UserError(
            f"Workers share each batch evenly. Given: batch_size={batch_size} and {count} workers. Take a multiple."
        )


def _read_by_batches(source: Rows, binarize: str | None, dequantize: bool, kind: Kind) -> _Examples:
    """Rows of which a batch at a time is read."""
    shape, white = source.shape[1:], 255 if source.dtype == np.uint8 and kind == "image" else 1
    if binarize == "static":
        source, white, binarize = lazily.StaticallyBinary(source, white), 1, None
    numbers = np.arange(len(source), dtype="int32" if len(source) < 2**31 else "int64")
    noisy = binarize is not None
    numbered = kind == "numbers"
    return _Examples(numbers, shape, white, noisy, kind == "tokens", numbered, noisy, dequantize, source=source)


def _stored(images: np.ndarray, binarize: str | None, dequantize: bool, kind: Kind) -> _Examples:
    """Images or tokens as they are kept in memory: binarised once, and binary ones as bytes."""
    shape, white = images.shape[1:], 255 if images.dtype == np.uint8 else 1
    if kind == "tokens":
        return _Examples(images, shape, tokens=True)
    if kind == "numbers":
        return _Examples(images, shape, numbers=True)
    if dequantize:
        return _Examples(images, shape, white, dequantize=True)
    if binarize == "static":
        images, white, binarize = lazily.binarized_once(images, white), 1, None
    if all(((piece == 0) | (piece == white)).all() for piece in supports.pieces(images)):
        # A quarter of the bytes that floats would move in each epoch.
        return _Examples((images == white).view("uint8"), shape, binary=True)
    return _Examples(images, shape, white, binary=binarize is not None, binarize=binarize is not None)


class _Start(NamedTuple):
    """The place in a training from which a dataset goes on."""

    epoch: Any  # a variable, which counts
    first_epoch: int
    first_batch: int


class _Parts(NamedTuple):
    """The indices of the labelled examples and of the others, of training data of which each batch has some of both."""

    labelled: np.ndarray
    others: np.ndarray
    in_batch: int  # labelled ones in each batch

    def order(self, seed: Tensor, steps: int, batch_size: int) -> Any:
        """The indices of an epoch, batch by batch, each the labelled ones first."""
        count, passes = steps * self.in_batch, -(-steps * self.in_batch // len(self.labelled))
        # Every pass over the labelled examples is in an order of its own.
        noise = backend.uniform((passes, len(self.labelled)), randomness.fold(seed, 0, 1))
        first = tf.gather(self.labelled, tf.reshape(tf.argsort(noise, axis=-1, stable=True), (-1,))[:count])
        rest = tf.argsort(backend.uniform((len(self.others),), randomness.fold(seed, 0, 2)), stable=True)
        rest = tf.gather(self.others, rest[: steps * (batch_size - self.in_batch)])
        batches = tf.concat([tf.reshape(first, (steps, -1)), tf.reshape(rest, (steps, -1))], axis=1)
        return tf.reshape(batches, (-1,))


def _parts(labels: object, in_batch: int, batch_size: int, training: bool) -> _Parts:
    """The parts of the training data for batches that have `in_batch` labelled examples each.

    Raises:
      UserError: no single column of labels, or not enough of one part for a batch.
    """
    in_batch = checks.check_whole_number(in_batch, "labelled_in_batch")
    has_label = labels >= 0 if isinstance(labels, np.ndarray) and labels.ndim == 1 else np.zeros(0, bool)
    labelled, others = np.flatnonzero(has_label), np.flatnonzero(~has_label)
    if not training or not len(labelled) or in_batch >= batch_size or len(others) < batch_size - in_batch:
        raise UserError(
            f"labelled_in_batch is for training data of which some have a label and others -1, and leaves room in the "
            f"batch for these. Given: labelled_in_batch={in_batch}, batch_size={batch_size}, {len(labelled)} labelled "
            f"examples and {len(others)} others{'' if training else ', for evaluation'}. Leave it out, or lower it."
        )
    return _Parts(labelled, others, in_batch)


def _epochs(
    examples: _Examples,
    columns: Mapping[str, Any],
    batch_size: int,
    training: bool,
    seed: int,
    start: "_Start",
    worker: tuple[int, int],
    parts: "_Parts | None" = None,
) -> "tf.data.Dataset":
    """A dataset that is another epoch in each iteration."""
    count, tensors = len(columns["x"]), tf.nest.map_structure(_tensor, dict(columns))
    steps = count // batch_size if training else -(-count // batch_size)
    if parts is not None:
        steps = len(parts.others) // (batch_size - parts.in_batch)

    def one_epoch(number: Any) -> "tf.data.Dataset":
        base = randomness.fold(randomness.seed_of(seed, randomness.DATA), number)
        order = None
        if training:
            order = tf.argsort(backend.uniform((count,), base), stable=True)
            order = order if parts is None else parts.order(base, steps, batch_size)

        def one_batch(step: Any) -> dict[str, Any]:
            first: Any = step * batch_size
            size = batch_size if training else tf.minimum(count - first, batch_size)
            low, high = (size * bound // worker[1] for bound in (worker[0], worker[0] + 1))
            part = slice(first + low, first + high)
            # Batch by batch: a permuted copy for each epoch would be the whole data again, and no faster.
            batch = tf.nest.map_structure(
                lambda tensor: tensor[part] if order is None else tf.gather(tensor, order[part]), tensors
            )
            x = examples.x(batch["x"], randomness.fold(base, step + 1), _Part(slice(low, high), size))
            batch["x"] = tf.ensure_shape(x, (batch_size // worker[1] if training else None, *examples.shape))
            return batch

        begin = tf.where(tf.equal(number, start.first_epoch), tf.constant(start.first_batch, "int64"), 0)
        return tf.data.Dataset.range(begin, steps).map(one_batch, num_parallel_calls=2, deterministic=True)

    dataset = _one_epoch_at_a_time(start.epoch, one_epoch)
    if not start.first_batch:
        dataset = dataset.apply(tf.data.experimental.assert_cardinality(steps))
    dataset = dataset.prefetch(4)
    options = tf.data.Options()
    # The autotuner's thread sleeps in doubling periods, and the end of an epoch waits for it to wake.
    options.autotune.enabled = False
    options.experimental_optimization.apply_default_optimizations = False  # for them, an iterator copies the data
    return dataset.with_options(options)


def _one_epoch_at_a_time(epoch: tf.Variable, one_epoch: Callable[[Any], "tf.data.Dataset"]) -> "tf.data.Dataset":
    """The batches of the epoch that the variable counts, which is one more for each iterator."""
    counted = tf.data.Dataset.range(1).map(backend.plain(lambda _: epoch.assign_add(1) - 1))
    return counted.flat_map(backend.plain(one_epoch))


def _tensor(array: np.ndarray) -> Any:
    """A tensor of a copy of the array, made once: `tf.constant` copies numpy's memory, and again to align it."""
    memory = np.empty(array.nbytes + _ALIGNMENT, "uint8")
    start = -memory.ctypes.data % _ALIGNMENT
    aligned = memory[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    aligned[...] = array
    return tf.experimental.dlpack.from_dlpack(aligned.__dlpack__())  # of no further copy


def shuffled(codes: np.ndarray, batch_size: int, seed: int) -> Any:
    """Batches of codes (and zeros, which Keras wants as targets), without the last partial one, in an order that is a
    function of the seed and the epoch."""
    steps, epoch = len(codes) // batch_size, tf.Variable(tf.constant(0, "int64"))
    tensor = tf.constant(codes)

    def one_epoch(number: Any) -> Any:
        noise = randomness.fold(randomness.seed_of(seed, randomness.DATA), number)
        order = tf.argsort(backend.uniform((len(codes),), noise), stable=True)

        def one_batch(step: Any) -> Any:
            batch = tf.gather(tensor, order[step * batch_size : (step + 1) * batch_size])
            batch = tf.ensure_shape(batch, (batch_size, *codes.shape[1:]))
            return batch, tf.zeros((batch_size,))

        return tf.data.Dataset.range(steps).map(one_batch)

    dataset = _one_epoch_at_a_time(epoch, one_epoch)
    marked: Any = dataset.apply(tf.data.experimental.assert_cardinality(steps))
    marked.epoch = epoch  # the graph holds the variable's handle only
    return marked


def pixels_of(dataset: object) -> Pixels | None:
    """The description of a dataset that `batches` made; None for any other."""
    return getattr(dataset, "keras_vae", None)


def _checked_columns(labels: ArrayLike | Mapping[str, ArrayLike], count: int) -> np.ndarray | dict[str, np.ndarray]:
    if isinstance(labels, Mapping):
        return {name: _checked_labels(column, count) for name, column in labels.items()}
    return _checked_labels(labels, count)


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
    if not labels.ndim:
        raise UserError(f"There must be one label for each image. Given: {labels}, and {count} images.")
    if len(labels) != count:
        raise UserError(f"There must be one label for each image. Given: {len(labels)} labels, {count} images.")
    return labels.astype("int32" if labels.dtype.kind in "iub" else "float32")


_Model = TypeVar("_Model")
_Result = TypeVar("_Result")
_Parameters = ParamSpec("_Parameters")


def says_what_cannot_be_read(
    method: Callable[Concatenate[_Model, _Parameters], _Result],
) -> Callable[Concatenate[_Model, _Parameters], _Result]:
    """Let a method raise our error, where TensorFlow raises one of its own about what `Rows` raised in its threads."""

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
