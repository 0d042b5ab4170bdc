"""The matrix products of a step alone, in float32: forward, and both gradients but the image's own. No training."""

import itertools

import numpy as np
import tensorflow as tf

PACKAGES = ("tensorflow",)


class Contender:
    def __init__(self, case: dict, train: np.ndarray, test: np.ndarray) -> None:
        self.steps = len(train) // case["batch_size"]
        hidden, latent = case["hidden"], case["latent_dim"]
        rows, many = case["batch_size"], case["batch_size"] * case["samples"]
        chains = [(rows, (784, *hidden, 2 * latent)), (many, (latent, *reversed(hidden), 784))]
        shapes = [(rows, *pair) for rows, sizes in chains for pair in itertools.pairwise(sizes)]

        def normal(*shape):
            return tf.random.stateless_normal(shape, (0, 1))

        operands = [(normal(n, a), normal(a, b), normal(n, b)) for n, a, b in shapes]

        def products():
            results = []
            for place, (x, kernel, gradient) in enumerate(operands):
                results += [tf.matmul(x, kernel), tf.matmul(x, gradient, transpose_a=True)]
                if place:  # the image needs no gradient
                    results.append(tf.matmul(gradient, kernel, transpose_b=True))
            return results

        self.products = tf.function(products, autograph=False)

    def epochs(self, count: int) -> None:
        for _ in range(count * self.steps):
            self.products()

    def bound(self) -> None:
        return None
