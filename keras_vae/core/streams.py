"""Examples that are not all in memory: the batches of a stream, as checked blocks of one size."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from keras_vae.checks import BLOCK
from keras_vae.data import iterators
from keras_vae.errors import UserError

Arrays = Mapping[str, np.ndarray]


def blocks(stream: Any, check: Callable[[Any], Arrays], condition: object = None) -> Iterator[Arrays]:
    """Yield the examples of all batches, `BLOCK` at a time: noise depends on a block's number, and not on batches.

    Args:
      stream: as of `data.iterators.is_stream`.
      check: from a batch of it to arrays by name.
      condition: of the caller, who gives it with the batches.

    Raises:
      UserError: a batch does not fit.
    """
    if condition is not None:
        raise UserError("The condition of a stream comes with it: batches are pairs (x, condition). Leave it out here.")
    held: list[Arrays] = []  # less than a block, and a batch
    count = 0
    for number, batch in enumerate(iterators.elements(stream)):
        try:
            held.append(check(batch))
        except UserError as error:
            raise UserError(f"{error} It is in batch {number} of the stream.") from error
        count += len(next(iter(held[-1].values())))
        while count >= BLOCK:
            joined = _joined(held)
            yield {name: array[:BLOCK] for name, array in joined.items()}
            held[:] = [{name: array[BLOCK:] for name, array in joined.items()}]
            count -= BLOCK
    if count:
        yield _joined(held)


def _joined(held: list[Arrays]) -> Arrays:
    return {name: np.concatenate([part[name] for part in held]) for name in held[0]} if len(held) > 1 else held[0]
