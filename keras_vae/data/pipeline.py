"""From arrays of pixels, or of tokens, to batches, as a pure function of the seed, the epoch and the batch."""

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike

from keras_vae import backend, checks, randomness, supports
from keras_vae.errors import UserError
from keras_vae.types import Batch, Kind, Tensor

Stream: TypeAlias = tf.data.Dataset | keras.utils.PyDataset | Iterator[Any]
BINARIZE = ("dynamic", "static")
# The static binarisation is one dataset, the same for everybody, whatever the seed of a run.
_STATIC_SEED = 2008
_ALIGNMENT = 64  # bytes, of TensorFlow's memory


class Pixels(NamedTuple):
    """A description of the examples of a dataset that `batches` made, without reading it."""

    image_shape: tuple[int, ...]
    # Images of every value that a pixel has: of grey levels, each that occurs; of noise, some. Floats, tokens: all x.
    example: np.ndarray
    labels: np.ndarray | dict[str, np.ndarray] | None = None  # all of them, if there are any; or several by name
    sparse: bool = False  # `example` has the values of sparse rows, not the rows


@dataclasses.dataclass(frozen=True)
class _Examples:
    """The examples as they are kept in memory, and how a batch of x is made of them."""

    rows: np.ndarray  # grey levels, floats, bytes of 0 and 1, tokens, or the arguments of `render`
    shape: tuple[int, ...]  # of one x
    white: int = 1  # the value in `rows` of a white pixel
    binary: bool = False  # only 0 and 1
    tokens: bool = False
    binarize: bool = False  # in each epoch
    dequantize: bool = False
    render: Callable[[np.ndarray], np.ndarray] | None = None
    source: Any = (
        None  # a memory map or a sparse matrix, of which `rows` are the numbers: a batch of it is read at a time
    )

    @property
    def example(self) -> np.ndarray:
        """`Pixels.example`."""
        if is_sparse(self.source):
            values = np.append(self.source.data, 0.0).astype("float32")
        elif self.source is not None and self.source.dtype != np.uint8:
            return self.source
        elif self.binary:
            values = np.array([0.0, 1.0], "float32")
        elif self.dequantize:
            values = np.array([1.0 / np.pi, 1.0 / np.e], "float32")  # on no grid
        elif (rows := self.rows if self.source is None else self.source).dtype == np.uint8:
            values = (_levels_in(rows) / self.white).astype("float32")
        else:
            return self.rows
        return np.resize(values, (-(-len(values) // int(np.prod(self.shape))), *self.shape))

    def x(self, rows: Any, seed: Tensor) -> Any:
        """The x of some rows; `seed` is that of the noise."""
        if self.tokens:
            return rows
        if self.render is not None:
            rows = tf.numpy_function(self.render, [rows], tf.uint8, stateful=False)
        if self.source is not None:
            rows = tf.numpy_function(self._read, [rows], self.source.dtype, stateful=False)
        x: Any = tf.cast(rows, "float32")
        if self.dequantize:
            return (x + backend.uniform(tf.shape(x), seed)) / 256.0
        if self.binarize:
            # 16 bits take half the time of 32. A 1 has the probability of its grey level to 2**-16.
            noise = tf.bitcast(backend.random_bits(((tf.size(x) + 1) // 2,), seed), "uint16")
            noise = tf.reshape(tf.reshape(noise, (-1,))[: tf.size(x)], tf.shape(x))
            return tf.cast(tf.cast(noise, "float32") < x * (2.0**16 / self.white), "float32")
        return x / float(self.white) if self.white != 1 else x

    def _read(self, numbers: np.ndarray) -> np.ndarray:
        rows = self.source[numbers]
        return rows.toarray() if is_sparse(rows) else np.ascontiguousarray(rows)


def batches(
    images: np.ndarray,
    labels: ArrayLike | Mapping[str, ArrayLike] | None = None,
    *,
    batch_size: int = 128,
    training: bool,
    binarize: str | None = None,
    dequantize: bool = False,
    seed: int = 0,
    first_epoch: int = 0,
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
        `(examples, length)`, which are not changed. Of a `numpy.memmap`, or a sparse matrix of scipy, whose rows are
        numbers, a batch at a time is read, and made dense.
      labels: one for each example; or a mapping of such arrays: then "y" is a dict by these names.
      batch_size: examples in a batch.
      training: shuffle each epoch, and leave out the last partial batch; otherwise all examples in their order.
      binarize: `"dynamic"`: pixels are 1 with the probability of their grey level, drawn in each epoch; `"static"`:
        drawn once, always the same; None: grey levels.
      dequantize: add uniform noise of one grey level: (level + u) / 256, drawn in each epoch.
      seed: of order and noise.
      first_epoch: the number of the first epoch.
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
    sparse: Any = images if is_sparse(images) else None
    if sparse is not None:
        if binarize or dequantize or kind not in (None, "numbers"):
            raise UserError("The rows of a sparse matrix are numbers. Given: noise or a kind of pixels. Leave it out.")
        sparse = sparse.tocsr()
        supports.REALS.check(sparse.data[:, None], "x")
        _check_count(sparse.shape[0], batch_size, training)
        examples = _Examples(np.arange(sparse.shape[0]), sparse.shape[1:], source=sparse)
    elif render is None:
        masked = isinstance(images, np.ma.MaskedArray)
        mapped, images = images, checks.numbers(images, "images") if masked else np.asarray(images)
        kind = kind or ("tokens" if images.dtype == np.int32 and images.ndim == 2 else "image")
        images = _checked_images(images, binarize, dequantize, kind, missing)
        _check_count(len(images), batch_size, training)
        examples = _stored(mapped if isinstance(mapped, np.memmap) else images, binarize, dequantize, kind)
    else:
        images = np.asarray(images)
        _check_noise(binarize, dequantize)  # rendered images are binary already
        if dequantize:
            raise UserError("dequantize needs grey levels. Given: rendered images, which are binary. Leave it out.")
        _check_count(len(images), batch_size, training)
        examples = _Examples(images, render(images[:1]).shape[1:], binary=True, render=render)
    count = len(examples.rows)
    columns: dict[str, Any] = {"x": examples.rows}
    example = examples.example
    examples = dataclasses.replace(examples, rows=np.empty(0))  # the dataset holds a tensor of them, and no second copy
    if labels is not None:
        columns["y"] = _checked_columns(labels, count)
    epoch = tf.Variable(tf.constant(first_epoch, "int64"))
    parts = None if labelled_in_batch is None else _parts(columns.get("y"), labelled_in_batch, batch_size, training)
    marked: Any = _epochs(examples, columns, batch_size, training, seed, epoch, parts)
    marked.keras_vae = Pixels(examples.shape, example, columns.get("y"), sparse is not None)
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


def is_sparse(array: object) -> bool:
    """Whether an array is a sparse one of scipy, which is not imported here."""
    return hasattr(array, "tocsr") and hasattr(array, "toarray")


def _levels_in(images: np.ndarray) -> np.ndarray:
    """The grey levels of 256 that occur."""
    seen = np.zeros(256, bool)
    for piece in supports.pieces(images):
        seen[piece.ravel()] = True
        if seen.all():  # mostly after the first piece
            break
    return np.flatnonzero(seen)


def _stored(images: np.ndarray, binarize: str | None, dequantize: bool, kind: Kind) -> _Examples:
    """Images or tokens as they are kept in memory: binarised once, and binary ones as bytes."""
    shape, white = images.shape[1:], 255 if images.dtype == np.uint8 else 1
    if kind == "tokens":
        return _Examples(images, shape, tokens=True)
    if isinstance(images, np.memmap) and binarize != "static":
        noisy = binarize is not None
        options = {"white": white, "binary": noisy, "binarize": noisy, "dequantize": dequantize}
        return _Examples(np.arange(len(images)), shape, source=images, **options)
    if kind == "numbers":
        return _Examples(images, shape)
    if dequantize:
        return _Examples(images, shape, white, dequantize=True)
    if binarize == "static":
        images, white, binarize = _binarized_once(images, white), 1, None
    if all(((piece == 0) | (piece == white)).all() for piece in supports.pieces(images)):
        # A quarter of the bytes that floats would move in each epoch.
        return _Examples((images == white).view("uint8"), shape, binary=True)
    return _Examples(images, shape, white, binary=binarize is not None, binarize=binarize is not None)


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
    epoch: "tf.Variable",
    parts: "_Parts | None" = None,
) -> "tf.data.Dataset":
    """A dataset that is another epoch in each iteration, counted by `epoch`."""
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
            part = slice(step * batch_size, (step + 1) * batch_size)
            # Batch by batch: a permuted copy for each epoch would be the whole data again, and no faster.
            batch = tf.nest.map_structure(
                lambda tensor: tensor[part] if order is None else tf.gather(tensor, order[part]), tensors
            )
            x = examples.x(batch["x"], randomness.fold(base, step + 1))
            batch["x"] = tf.ensure_shape(x, (batch_size if training else None, *examples.shape))
            return batch

        return tf.data.Dataset.range(steps).map(one_batch, num_parallel_calls=2, deterministic=True)

    dataset = _one_epoch_at_a_time(epoch, one_epoch)
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(steps)).prefetch(4)
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


def is_stream(data: object) -> bool:
    """Whether `data` gives batches: a `tf.data.Dataset`, a `keras.utils.PyDataset`, a generator or another iterator."""
    return isinstance(data, tf.data.Dataset | keras.utils.PyDataset | Iterator)


def elements(stream: Any) -> Iterator[Any]:
    """The batches of a stream, once, with numpy arrays."""
    if isinstance(stream, keras.utils.PyDataset):
        return (stream[index] for index in range(stream.num_batches or 0))
    return stream.as_numpy_iterator() if isinstance(stream, tf.data.Dataset) else stream


def peeked(stream: Any, as_batch: Callable[[object], Batch]) -> tuple[Batch, Any]:
    """The first batch of a user's stream, and the stream as Keras takes it, from that batch on.

    Args:
      stream: see `is_stream`.
      as_batch: from an element to a batch dict; called with None for an empty stream.
    """
    if isinstance(stream, keras.utils.PyDataset):
        return as_batch(stream[0] if stream.num_batches != 0 else None), stream
    if isinstance(stream, tf.data.Dataset):
        return as_batch(next(iter(stream.take(1).as_numpy_iterator()), None)), _without_autotuner(stream)
    first = next(stream, None)

    def restored() -> Iterator[tuple[Any, ...]]:
        for element in itertools.chain([first], stream):
            batch = as_batch(element)  # Keras takes tuples only
            yield tuple(batch[name] for name in ("x", "y") if name in batch)

    return as_batch(first), restored()


def _without_autotuner(dataset: "tf.data.Dataset") -> "tf.data.Dataset":
    """The dataset without the waits of tf.data's autotuner, unless its options say otherwise."""
    options = tf.data.Options()
    if dataset.options().autotune.enabled is None:
        options.autotune.enabled = False  # as in `_epochs`
    return dataset.with_options(options)


def part_of(dataset: Stream, worker: backend.Replica) -> Stream:
    """The rows of each batch that one of several workers trains on, by their position in the batch.

    Raises:
      UserError: batches that cannot be divided among the workers.
    """
    if worker.count == 1:
        return dataset
    spec = dataset.element_spec if isinstance(dataset, tf.data.Dataset) else None
    sizes = {column.shape[0] for column in tf.nest.flatten(spec) if column is not None and column.shape.rank} - {None}
    size = sizes.pop() if len(sizes) == 1 else 0  # a column that says none has as many
    if not isinstance(dataset, tf.data.Dataset) or not size or size % worker.count:
        raise UserError(
            f"Workers train on equal parts of each batch of a tf.data.Dataset. Given: {worker.count} workers, and a "
            f"{type(dataset).__name__} with batches of {size or 'unknown'} examples. Batch with drop_remainder=True, "
            f"and a size that {worker.count} divides."
        )
    first = worker.index * (size // worker.count)

    def part(*columns: object) -> Any:
        rows = tf.nest.map_structure(lambda column: column[first : first + size // worker.count], columns)
        return rows[0] if len(rows) == 1 else rows

    return dataset.map(backend.plain(part))


def batches_of(dataset: Any) -> int | None:
    """The number of batches of a stream, if it knows it."""
    if isinstance(dataset, keras.utils.PyDataset):
        return dataset.num_batches
    count = int(dataset.cardinality()) if isinstance(dataset, tf.data.Dataset) else 0
    return count if count > 0 else None


def pixels_of(dataset: object) -> Pixels | None:
    """The description of a dataset that `batches` made; None for any other."""
    return getattr(dataset, "keras_vae", None)


def _binarized_once(images: np.ndarray, scale: int) -> np.ndarray:
    generator = np.random.Generator(np.random.PCG64(_STATIC_SEED))
    uniform = generator.random(images.shape, dtype="float32")
    return (uniform * np.float32(scale) < images).astype("float32")


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
