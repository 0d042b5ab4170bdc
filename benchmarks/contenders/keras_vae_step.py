"""This library's training step in the loop of `bare_tensorflow`: without tf.data, and without Keras's `fit`."""

from typing import Any

import keras_vae_fit
import numpy as np
import tensorflow as tf

PACKAGES = keras_vae_fit.PACKAGES


class Contender(keras_vae_fit.Contender):
    def __init__(self, case: dict, train: np.ndarray, test: np.ndarray) -> None:
        super().__init__(case, train, test)
        images, self.order, self.count = tf.constant(train.astype("uint8")), np.random.default_rng(1), len(train)

        def step(rows: Any) -> None:
            self.model.train_step({"x": rows})

        compiled = tf.function(step, autograph=False, jit_compile=True)

        def epoch(order: Any) -> Any:
            def one(index: Any) -> Any:
                compiled(tf.gather(images, order[index]))
                return index + 1

            return tf.while_loop(lambda index: index < tf.shape(order)[0], one, [tf.constant(0)], parallel_iterations=1)

        self._epoch = tf.function(epoch, autograph=False)

    def epochs(self, count: int) -> None:
        size = self.case["batch_size"]
        steps = self.count // size
        for _ in range(count):
            order = self.order.permutation(self.count)[: steps * size].reshape(steps, size)
            self._epoch(tf.constant(order))
