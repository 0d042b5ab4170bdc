"""Random numbers as a pure function of what they are for: nothing but the training step needs saving."""

import contextlib
import random
from collections.abc import Iterator

from keras_vae.backend import Draws as Draws
from keras_vae.backend import fold as fold
from keras_vae.backend import seed_of as seed_of

# What a stream of noise is for. Training and evaluation at the same seed and step never share a draw.
DATA, TRAINING, EVALUATION, SAMPLING = 0, 1, 2, 3


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
