"""The order of the examples in each epoch, a pure function of the seed and the epoch; and datasets in that order."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from keras_vae import backend, checks, randomness
from keras_vae.data.examples import Examples, Part
from keras_vae.errors import UserError
from keras_vae.types import Tensor

_ALIGNMENT = 64  # bytes, of TensorFlow's memory


class Start(NamedTuple):
    """The epoch and batch of a training at which a dataset starts."""

    epoch: tf.Variable  # which counts the epochs
    first_epoch: int
    first_batch: int


class Parts(NamedTuple):
    """The indices of the labelled and of the other examples of training data, where each batch has some of both."""

    labelled: np.ndarray
    others: np.ndarray
    in_batch: int  # labelled ones in each batch

    def order(self, seed: Tensor, steps: int, batch_size: int) -> Any:
        """Return the indices of an epoch, batch by batch, the labelled ones of a batch first."""
        count, passes = steps * self.in_batch, -(-steps * self.in_batch // len(self.labelled))
        # Every pass over the labelled examples is in an order of its own.
        noise = backend.uniform((passes, len(self.labelled)), randomness.fold(seed, 0, 1))
        first = tf.gather(self.labelled, tf.reshape(tf.argsort(noise, axis=-1, stable=True), (-1,))[:count])
        rest = tf.argsort(backend.uniform((len(self.others),), randomness.fold(seed, 0, 2)), stable=True)
        rest = tf.gather(self.others, rest[: steps * (batch_size - self.in_batch)])
        batches = tf.concat([tf.reshape(first, (steps, -1)), tf.reshape(rest, (steps, -1))], axis=1)
        return tf.reshape(batches, (-1,))


def parts_of(labels: object, in_batch: int, batch_size: int, training: bool) -> Parts:
    """Return the parts of the training data for batches that have `in_batch` labelled examples each.

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
    return Parts(labelled, others, in_batch)


def epochs(
    examples: Examples,
    columns: Mapping[str, Any],
    batch_size: int,
    training: bool,
    seed: int,
    start: Start,
    worker: tuple[int, int],
    parts: Parts | None,
) -> tf.data.Dataset:
    """Return a dataset of which each iteration is the next epoch."""
    count, tensors = len(columns["x"]), tf.nest.map_structure(_tensor, dict(columns))
    steps = count // batch_size if training else -(-count // batch_size)
    if parts is not None:
        steps = len(parts.others) // (batch_size - parts.in_batch)

    def one_epoch(number: Any) -> tf.data.Dataset:
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
            x = examples.x(batch["x"], randomness.fold(base, step + 1), Part(slice(low, high), size))
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
    options.experimental_optimization.apply_default_optimizations = False  # they make an iterator copy the data
    return dataset.with_options(options)


def _one_epoch_at_a_time(epoch: tf.Variable, one_epoch: Callable[[Any], tf.data.Dataset]) -> tf.data.Dataset:
    """Return the batches of the epoch that the variable counts; each new iterator is one epoch further."""
    counted = tf.data.Dataset.range(1).map(backend.plain(lambda _: epoch.assign_add(1) - 1))
    return counted.flat_map(backend.plain(one_epoch))


def _tensor(array: np.ndarray) -> Any:
    """Return a tensor of a single copy of the array, its bytes in this machine's order.

    `tf.constant` copies numpy's memory, and once more to align it.
    """
    memory = np.empty(array.nbytes + _ALIGNMENT, "uint8")
    start = -memory.ctypes.data % _ALIGNMENT
    aligned = memory[start : start + array.nbytes].view(array.dtype.newbyteorder("=")).reshape(array.shape)
    aligned[...] = array
    return tf.experimental.dlpack.from_dlpack(aligned.__dlpack__())  # of no further copy


def shuffled(codes: np.ndarray, batch_size: int, seed: int) -> Any:
    """Return batches of codes, without the last partial one, in an order that is a function of the seed and the epoch.

    Beside the codes there are zeros, as Keras asks for targets.
    """
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
