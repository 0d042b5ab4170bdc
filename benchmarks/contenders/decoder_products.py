"""The matrix products of the decoder alone, in float32, for every code: no activations, no noise, no log p(x|z)."""

import itertools

import numpy as np
import tensorflow as tf

PACKAGES = ("tensorflow",)
_ROWS = 8192  # codes in a chunk, as this library has


class Contender:
    def __init__(self, case: dict, train: np.ndarray, test: np.ndarray) -> None:
        sizes = (case["latent_dim"], *reversed(case["hidden"]), 784)
        codes = tf.random.stateless_normal((_ROWS, sizes[0]), (0, 1))
        kernels = [tf.random.stateless_normal(pair, (0, 2)) / pair[0] for pair in itertools.pairwise(sizes)]
        self.chunks = -(-case["examples"] * case["samples"] // _ROWS)

        def products() -> list:
            hidden = [codes]
            for kernel in kernels:
                hidden.append(tf.linalg.matmul(hidden[-1], kernel))
            return hidden[1:]

        self.products = tf.function(products, autograph=False)

    def epochs(self, count: int) -> None:
        for _ in range(count * self.chunks):
            self.products()
