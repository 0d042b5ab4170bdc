"""Examples that are not in memory: datasets and iterators of batches, as checked blocks of one size."""

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard

import numpy as np

from keras_vae.checks import BLOCK
from keras_vae.data.pipeline import is_dataset
from keras_vae.errors import UserError

if TYPE_CHECKING:
    import tensorflow as tf

    Stream: TypeAlias = tf.data.Dataset | Iterator[Any]

Arrays = Mapping[str, np.ndarray]


def is_stream(x: object) -> "TypeGuard[Stream]":
    """Whether x is a `tf.data.Dataset` or an iterator, such as a generator, and no array."""
    return is_dataset(x) or isinstance(x, Iterator)


def blocks(
    stream: "Stream", check: Callable[[Any, Any], Arrays], condition: object = None, key: str = "x"
) -> Iterator[Arrays]:
    """Yield the examples of all batches as `check` returns them, `BLOCK` at a time: noise depends on a block's number.

    Args:
      stream: of batches: an array, a pair of it and a condition, or a dict of `key` and perhaps "y".
      check: from the array and the condition of a batch to arrays by name.
      condition: of the caller, who gives it with the batches.
      key: of the array in a dict; any other dict is itself the array, of several levels.

    Raises:
      UserError: a batch does not fit.
    """
    if condition is not None:
        raise UserError("The condition of a stream comes with it: batches are pairs (x, condition). Leave it out here.")
    held: list[Arrays] = []
    count = 0
    iterator = stream.as_numpy_iterator() if is_dataset(stream) else iter(stream)
    for number, batch in enumerate(iterator):
        pair = (batch[key], batch.get("y")) if isinstance(batch, Mapping) and key in batch else batch
        first, second = pair if isinstance(pair, tuple) and len(pair) == 2 else (pair, None)
        try:
            held.append(check(first, second))
        except UserError as error:
            raise UserError(f"{error} It is in batch {number} of the stream.") from error
        count += len(next(iter(held[-1].values())))
        while count >= BLOCK:
            joined = _joined(held)
            yield {name: array[:BLOCK] for name, array in joined.items()}
            held, count = [{name: array[BLOCK:] for name, array in joined.items()}], count - BLOCK
    if count:
        yield _joined(held)


def _joined(held: list[Arrays]) -> Arrays:
    return {name: np.concatenate([part[name] for part in held]) for name in held[0]} if len(held) > 1 else held[0]
