"""Keras as its VAE tutorial writes it: a sampling layer, a `train_step` with three trackers, and plain `fit`.

The data are a `tf.data.Dataset` with the autotuner off: with arrays, an epoch waits for the autotuner's thread at its
end, which is no time of Keras's.
"""

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

PACKAGES = ("tensorflow", "keras")


class Sampling(layers.Layer):
    """z = mean + exp(log_var / 2) * noise, the noise from a seed generator."""

    def __init__(self):
        super().__init__()
        self.seed_generator = keras.random.SeedGenerator(0)

    def call(self, inputs):
        mean, log_var = inputs
        return mean + ops.exp(0.5 * log_var) * keras.random.normal(ops.shape(mean), seed=self.seed_generator)


class PlainVAE(keras.Model):
    """A VAE in the manner of Keras's tutorial: functional encoder and decoder, loss and trackers in `train_step`."""

    def __init__(self, hidden, latent_dim):
        super().__init__()
        inputs = x = keras.Input((28, 28, 1))
        x = layers.Flatten()(x)
        for size in hidden:
            x = layers.Dense(size, activation="relu")(x)
        mean, log_var = layers.Dense(latent_dim)(x), layers.Dense(latent_dim)(x)
        self.encoder = keras.Model(inputs, [mean, log_var, Sampling()([mean, log_var])])
        codes = x = keras.Input((latent_dim,))
        for size in reversed(hidden):
            x = layers.Dense(size, activation="relu")(x)
        x = layers.Dense(784, activation="sigmoid")(x)
        self.decoder = keras.Model(codes, layers.Reshape((28, 28, 1))(x))
        self.trackers = [keras.metrics.Mean(name=name) for name in ("loss", "reconstruction_loss", "kl_loss")]

    @property
    def metrics(self):
        return self.trackers

    def losses_of(self, x):
        mean, log_var, z = self.encoder(x)
        reconstruction = ops.mean(ops.sum(keras.losses.binary_crossentropy(x, self.decoder(z)), axis=(1, 2)))
        kl = ops.mean(ops.sum(-0.5 * (1 + log_var - ops.square(mean) - ops.exp(log_var)), axis=1))
        return reconstruction + kl, reconstruction, kl

    def train_step(self, data):
        with tf.GradientTape() as tape:
            values = self.losses_of(data)
        gradients = tape.gradient(values[0], self.trainable_weights)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_weights, strict=True))
        for tracker, value in zip(self.trackers, values, strict=True):
            tracker.update_state(value)
        return {tracker.name: tracker.result() for tracker in self.trackers}


class Contender:
    def __init__(self, case: dict, train: np.ndarray, test: np.ndarray) -> None:
        self.test, self.model = test, PlainVAE(case["hidden"], case["latent_dim"])
        self.model.compile(keras.optimizers.Adam(1e-3))
        options = tf.data.Options()
        options.autotune.enabled = False
        data = tf.data.Dataset.from_tensor_slices(train).shuffle(len(train))
        self.train = data.batch(case["batch_size"], drop_remainder=True).prefetch(4).with_options(options)

    def epochs(self, count: int) -> None:
        self.model.fit(self.train, epochs=count, verbose=0)

    def bound(self) -> float:
        """The ELBO of the test images, nats."""
        loss = tf.function(self.model.losses_of)
        return -float(np.mean([loss(self.test[start : start + 1000])[0] for start in range(0, len(self.test), 1000)]))
