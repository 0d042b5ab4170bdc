"""TensorFlow by hand: one XLA step on plain variables, Adam written out, batches gathered in the graph.

What TensorFlow allows without Keras, metrics, or checks.
"""

import itertools
import math
from typing import Any

import numpy as np
import tensorflow as tf

PACKAGES = ("tensorflow",)


class Contender:
    def __init__(self, case: dict, train: np.ndarray, test: np.ndarray) -> None:
        self.case, self.test, self.size = case, test.reshape(-1, 784), case["batch_size"]
        self.train = tf.constant(train.reshape(-1, 784).astype("uint8"))
        hidden, latent = case["hidden"], case["latent_dim"]
        generator = np.random.default_rng(0)

        def chain(*sizes):
            for rows, columns in itertools.pairwise(sizes):
                limit = math.sqrt(6 / (rows + columns))
                yield tf.Variable(tf.constant(generator.uniform(-limit, limit, (rows, columns)).astype("float32")))
                yield tf.Variable(tf.zeros((columns,)))

        self.encoder = list(chain(784, *hidden, 2 * latent))
        self.decoder = list(chain(latent, *reversed(hidden), 784))
        self.weights = self.encoder + self.decoder
        self.moments = [[tf.Variable(tf.zeros(weight.shape)) for weight in self.weights] for _ in range(2)]
        self.step, self.order = tf.Variable(tf.constant(0, "int64")), np.random.default_rng(1)
        compiled = tf.function(self._train, autograph=False, jit_compile=True)

        def epoch(order):
            return tf.while_loop(
                lambda index: index < tf.shape(order)[0],
                lambda index: (compiled(tf.gather(self.train, order[index])), index + 1)[1:],
                [tf.constant(0)],
                parallel_iterations=1,
            )

        self._epoch = tf.function(epoch, autograph=False)
        self._bound = tf.function(lambda x: tf.reduce_mean(self._bounds(x, (3, 5))), autograph=False)

    def _bounds(self, x, seed):
        def dense(weights, x):
            *inner, last = zip(weights[::2], weights[1::2], strict=True)
            for kernel, bias in inner:
                x = tf.nn.relu(x @ kernel + bias)
            return x @ last[0] + last[1]

        samples, latent = self.case["samples"], self.case["latent_dim"]
        mean, log_var = tf.split(dense(self.encoder, x), 2, axis=-1)
        shape: Any = (samples, *mean.shape)
        noise = tf.random.stateless_normal(shape, seed, alg="philox")
        z = mean + tf.exp(0.5 * log_var) * noise
        logits = tf.reshape(dense(self.decoder, tf.reshape(z, (-1, latent))), (samples, -1, 784))
        log_px = tf.reduce_sum(x * logits - tf.nn.softplus(logits), axis=-1)
        if samples == 1:
            return log_px[0] - 0.5 * tf.reduce_sum(mean**2 + tf.exp(log_var) - 1 - log_var, axis=-1)
        log_w = log_px + 0.5 * tf.reduce_sum(noise**2 - z**2 + log_var, axis=-1)
        return tf.reduce_logsumexp(log_w, axis=0) - math.log(samples)

    def _train(self, rows):
        x = tf.cast(rows, "float32")
        with tf.GradientTape() as tape:
            loss = -tf.reduce_mean(self._bounds(x, tf.stack([tf.cast(self.step, "int32"), 1])))
        gradients = tape.gradient(loss, self.weights)
        count = tf.cast(self.step.assign_add(1), "float32")
        rate = 1e-3 * tf.sqrt(1 - 0.999**count) / (1 - 0.9**count)
        for weight, first, second, gradient in zip(self.weights, *self.moments, gradients, strict=True):
            first.assign(first + 0.1 * (gradient - first))
            second.assign(second + 0.001 * (gradient**2 - second))
            weight.assign_sub(rate * first / (tf.sqrt(second) + 1e-7))
        return loss

    def epochs(self, count: int) -> None:
        steps = len(self.train) // self.size
        for _ in range(count):
            order = self.order.permutation(len(self.train))[: steps * self.size].reshape(steps, self.size)
            self._epoch(tf.constant(order))

    def bound(self) -> float:
        """The ELBO of the test images, or the bound of as many samples for 1,000 of them, nats."""
        test = self.test if self.case["samples"] == 1 else self.test[:1000]
        return float(np.mean([self._bound(test[start : start + 100]) for start in range(0, len(test), 100)]))
