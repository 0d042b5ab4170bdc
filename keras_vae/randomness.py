"""Random numbers as a pure function of what they are for: nothing but the training step needs saving."""

import contextlib
import random
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from keras_vae.types import Tensor

_fold_in: Any = tf.random.experimental.stateless_fold_in  # pyright: ignore[reportAttributeAccessIssue]

# What a stream of noise is for. Training and evaluation at the same seed and step never share a draw.
DATA, TRAINING, EVALUATION, SAMPLING = 0, 1, 2, 3


def seed_of(seed: int, purpose: int) -> Any:
    """The stateless seed, an int32 pair, of one purpose under the user's `seed`."""
    return tf.constant([seed, purpose], "int32")


def fold(seed: Tensor, *counts: Any) -> Any:
    """The stateless seed of the `counts`-th stream under `seed`: of a step, a replica, a block of examples."""
    for count in counts:
        seed = _fold_in(seed, tf.cast(count, "int32"))
    return seed


@contextlib.contextmanager
def initial_weights(seed: int, role: str) -> Iterator[None]:
    """Inside the block, Keras's initializers are a function of `seed` and of the network's `role`.

    Keras draws the seed of an initializer that has none from Python's generator, whose state is put back.
    """
    state = random.getstate()
    random.seed(f"{seed}/{role}")
    try:
        yield
    finally:
        random.setstate(state)


class Draws:
    """Numbers the draws of one step, so that each of them gets a seed of its own.

    The count is Python's: it runs while a step is traced, and a step draws the same number of times each time it runs.
    """

    def __init__(self) -> None:
        self._seed: Any = None
        self._count = 0

    @contextlib.contextmanager
    def using(self, seed: Tensor) -> Iterator[None]:
        """Draw from `seed` inside the block, starting at draw 0."""
        previous = self._seed, self._count
        self._seed, self._count = seed, 0
        try:
            yield
        finally:
            self._seed, self._count = previous

    def next(self) -> Any:
        """The seed of the next draw."""
        if self._seed is None:
            raise RuntimeError("terms() draws noise: call it inside `with model.draws.using(seed):`")
        self._count += 1
        return fold(self._seed, self._count)
