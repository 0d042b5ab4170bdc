"""Random numbers as a pure function of seed, purpose and step: only the training step needs saving."""

import contextlib
import random
from collections.abc import Iterator

from keras_vae.backend import Draws as Draws
from keras_vae.backend import fold as fold
from keras_vae.backend import seed_of as seed_of

# The purposes of noise. Training and evaluation at the same seed and step never share a draw.
DATA, TRAINING, EVALUATION, SAMPLING = 0, 1, 2, 3


@contextlib.contextmanager
def initial_weights(seed: int, role: str) -> Iterator[None]:
    """Make Keras's initializers a function of `seed` and of the network's `role` inside the block.

    Keras draws the seed of an initializer without one from Python's global generator. Its state is restored.
    """
    state = random.getstate()
    random.seed(f"{seed}/{role}")
    try:
        yield
    finally:
        random.setstate(state)
