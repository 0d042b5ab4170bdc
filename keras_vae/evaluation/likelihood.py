"""Importance-weighted log-likelihood, through a model's `log_weights` alone."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from keras import ops

from keras_vae import randomness
from keras_vae.arrays import BLOCK, in_blocks

# Draws in one call of the compiled function: with a block of examples, enough rows to keep the matrix products busy
# and few enough to stay in memory.
_CHUNK = 32


def importance_weighted(model: Any, inputs: Mapping[str, np.ndarray], samples: int, seed: int) -> np.ndarray:
    """log (1/S) sum_s w_s for S importance weights w = p(x, z) / q(z|x), z from q(z|x): one value an example, nats.

    A lower bound of log p(x) in expectation, tight as S grows: equation 8 of Burda et al. 2016,
    https://arxiv.org/abs/1509.00519.

    Args:
      model: has `log_weights(x, samples, seed, condition)`.
      inputs: "x", checked images, and "condition" where the model has one.
      samples: S.
      seed: the noise of an example depends on it and on the example's position.
    """

    @tf.function(jit_compile=True)
    def log_sum(part: Mapping[str, Any], draws: int, noise: Any) -> Any:
        return ops.logsumexp(model.log_weights(samples=draws, seed=noise, **part), axis=0)

    base = randomness.seed_of(seed, randomness.EVALUATION)
    sizes = [min(_CHUNK, samples - start) for start in range(0, samples, _CHUNK)]

    def one_block(block: int, part: Mapping[str, np.ndarray]) -> np.ndarray:
        tensors = {name: tf.constant(array) for name, array in part.items()}
        total = np.full(BLOCK, -np.inf)
        for chunk, size in enumerate(sizes):
            total = np.logaddexp(total, log_sum(tensors, size, randomness.fold(base, block, chunk)).numpy())
        return total - np.log(samples)

    return in_blocks(one_block, inputs, pad=True)
