"""A user's batches: TensorFlow's datasets, Keras's and Python's iterators, told apart and looked into."""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias, cast

import keras
import numpy as np
import tensorflow as tf

from keras_vae import backend
from keras_vae.errors import UserError
from keras_vae.types import Batch

WEIGHT = "sample_weight"  # its name in batches, as in Keras
Dataset: TypeAlias = tf.data.Dataset  # for annotations where TensorFlow is not imported
Stream: TypeAlias = Dataset | keras.utils.PyDataset | Iterator[Any]


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

    An iterator is read once: a second epoch of its dataset goes on where the first one ended, or is empty.
    """
    if not isinstance(stream, keras.utils.PyDataset | tf.data.Dataset):
        first = as_batch(next(stream, None))
        return first, _read_once(first, stream, as_batch)
    if isinstance(stream, tf.data.Dataset):
        element, dataset = next(iter(stream.take(1).as_numpy_iterator()), None), _without_autotuner(stream)
    else:
        element, dataset = stream[0] if stream.num_batches != 0 else None, stream
    # As in (x, None, weights): Keras takes no PyDataset of such parts, and replicas can take no rows of None.
    gap = isinstance(element, tuple | list) and any(part is None for part in element)
    first = as_batch(element)
    if isinstance(dataset, tf.data.Dataset) and (closed := _closed(dataset, first, as_batch)):
        return first, closed
    if isinstance(dataset, keras.utils.PyDataset) and (gap or WEIGHT in first):
        return first, mapped(dataset, lambda batch: read(as_batch(batch)))
    return first, mapped(dataset, as_batch) if gap else dataset


def _closed(dataset: tf.data.Dataset, first: Batch, as_batch: Callable[[object], Batch]) -> Stream | None:
    """Return the dataset as batch dicts of known shapes, if its specs leave them open; otherwise None.

    Specs are open after a generator's `TensorSpec(None)`, `py_function` or `decode_png`, but a step is traced with
    shapes. Those of x are of the first batch, which the model has checked; of the others, the number of axes is enough.
    """

    def shape(name: str, spec: object, part: Any) -> Sequence[int | None] | None:
        if not isinstance(spec, tf.TensorSpec) or spec.shape[1:].is_fully_defined():
            return None
        if name == "x":
            return [None, *np.shape(part)[1:]]
        return [None] * np.ndim(part) if spec.shape.rank is None else None

    specs = as_batch(dataset.element_spec)
    names = [name for name in ("x", "y", WEIGHT) if first.get(name) is not None]
    shapes: dict[str, list[Any]] = {}
    for name in names:
        leaves, parts = tf.nest.flatten(specs[name]), tf.nest.flatten(first[name])
        if len(leaves) == len(parts):  # a sparse tensor is three arrays
            shapes[name] = [shape(name, leaf, part) for leaf, part in zip(leaves, parts, strict=True)]
    if not any(one is not None for leaves in shapes.values() for one in leaves):
        return None

    def close(element: object) -> Batch:
        batch = dict(as_batch(element))
        for name, leaves in shapes.items():
            parts = zip(tf.nest.flatten(batch[name]), leaves, strict=True)
            closed = [part if one is None else tf.ensure_shape(part, one) for part, one in parts]
            batch[name] = tf.nest.pack_sequence_as(batch[name], closed)
        return batch

    return mapped(dataset, close)


def read(batch: Batch) -> dict[str, Any]:
    """Return what a model reads of a batch of arrays; weights as float32, whatever the first ones of a stream were."""
    parts = {name: batch[name] for name in ("x", "y", WEIGHT) if batch.get(name) is not None}
    arrays = {name: part if isinstance(part, Mapping) else np.asarray(part) for name, part in parts.items()}
    return arrays | ({WEIGHT: np.asarray(parts[WEIGHT], "float32")} if WEIGHT in parts else {})


def _read_once(first: Batch, others: Iterator[Any], as_batch: Callable[[object], Batch]) -> tf.data.Dataset:
    """A dataset of the batches of an iterator, each of them once, however many epochs ask for more.

    Keras, given an iterator that has ended, begins again with the two batches that it looked at.
    """
    parts = read(first)

    def same(batch: object) -> dict[str, Any]:
        later = read(as_batch(batch))
        if later.keys() != parts.keys():
            raise UserError(
                f"All batches have the same parts. Given: {', '.join(later)}, after {', '.join(parts)}. Give a "
                f"missing label as -1, and an example without a weight 1."
            )
        return later

    all_ = itertools.chain([first], others)
    spec = tf.nest.map_structure(lambda part: tf.TensorSpec((None, *np.shape(part)[1:]), np.asarray(part).dtype), parts)
    dataset = tf.data.Dataset.from_generator(lambda: map(same, all_), output_signature=spec)
    return _without_autotuner(dataset.prefetch(2))


class _Named(keras.utils.PyDataset):
    """The batches of a dataset, each as the dict that a function makes of it."""

    def __init__(self, dataset: keras.utils.PyDataset, as_batch: Callable[[object], Batch]) -> None:
        super().__init__(
            workers=dataset.workers,
            use_multiprocessing=dataset.use_multiprocessing,
            max_queue_size=dataset.max_queue_size,
        )
        self._dataset, self._as_batch = dataset, as_batch

    @property
    def num_batches(self) -> int | None:
        return self._dataset.num_batches

    def __getitem__(self, index: int) -> Any:
        return dict(self._as_batch(self._dataset[index]))

    def on_epoch_begin(self) -> None:
        self._dataset.on_epoch_begin()

    def on_epoch_end(self) -> None:
        self._dataset.on_epoch_end()


def mapped(dataset: Stream, function: Callable[[object], Batch]) -> Stream:
    """Return the dataset of `function(element)`, batch dicts: of tensors in a graph, or of what a PyDataset has."""
    if not isinstance(dataset, tf.data.Dataset):
        return _Named(cast("keras.utils.PyDataset", dataset), function)

    def one(*parts: object) -> dict[str, Any]:
        return dict(function(parts[0] if len(parts) == 1 else parts))

    return _without_autotuner(dataset.map(backend.plain(one)))


class _First(keras.utils.PyDataset):
    """The first batches of a dataset."""

    def __init__(self, dataset: keras.utils.PyDataset, count: int) -> None:
        super().__init__()
        self._dataset, self._count = dataset, count

    def __len__(self) -> int:
        return min(self._count, self._dataset.num_batches or self._count)

    def __getitem__(self, index: int) -> Any:
        return self._dataset[index]


def first_batches(dataset: Stream, count: int) -> Stream:
    """Return the first `count` batches of a dataset, in every pass over it."""
    return dataset.take(count) if isinstance(dataset, tf.data.Dataset) else _First(dataset, count)


def _without_autotuner(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """The dataset without the waits of tf.data's autotuner, unless its options say otherwise."""
    options = tf.data.Options()
    if dataset.options().autotune.enabled is None:
        options.autotune.enabled = False  # its thread sleeps in doubling periods
    return dataset.with_options(options)


def part_of(dataset: Stream, worker: backend.Replica, devices: int = 1) -> Stream:
    """The rows of each batch that one of several workers trains on, by their position in the batch.

    Args:
      dataset: of batches for all workers.
      worker: which of them, and their number.
      devices: of each worker.

    Raises:
      UserError: batches that cannot be divided among the devices of all workers.
    """
    count = worker.count * devices
    if count == 1:
        return dataset
    spec = dataset.element_spec if isinstance(dataset, tf.data.Dataset) else None
    sizes = {column.shape[0] for column in tf.nest.flatten(spec) if column is not None and column.shape.rank} - {None}
    size = sizes.pop() if len(sizes) == 1 else 0  # a column that says none has as many
    if not isinstance(dataset, tf.data.Dataset) or not size or size % count:
        raise UserError(
            f"Workers and devices train on equal parts of each batch of a tf.data.Dataset. Given: {worker.count} "
            f"workers of {devices} devices, and a {type(dataset).__name__} with batches of {size or 'unknown'} "
            f"examples. Batch with drop_remainder=True, and a size that {count} divides."
        )
    if worker.count == 1:
        return dataset
    first = worker.index * (size // worker.count)

    def part(*columns: object) -> Any:
        rows = tf.nest.map_structure(lambda column: column[first : first + size // worker.count], columns)
        return rows[0] if len(rows) == 1 else rows

    return dataset.map(backend.plain(part))


def is_endless(dataset: object) -> bool:
    """Whether a dataset is known to have no end, as after `repeat()`."""
    return isinstance(dataset, tf.data.Dataset) and int(dataset.cardinality()) == tf.data.INFINITE_CARDINALITY


def batches_of(dataset: Any) -> int | None:
    """The number of batches of a stream, if it knows it."""
    if isinstance(dataset, keras.utils.PyDataset):
        return dataset.num_batches
    count = int(dataset.cardinality()) if isinstance(dataset, tf.data.Dataset) else 0
    return count if count > 0 else None
