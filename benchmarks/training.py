"""How fast does this library train, against plain Keras?

The same dense VAE (784-400-400-20), once with this library's defaults and once as Keras' VAE tutorial writes it: a
sampling layer, a `train_step` with three trackers, and plain `fit`. Both train on the same once-binarised MNIST digits,
in turns within one process, so that whatever else the machine does hits both.

    python benchmarks/training.py [--rounds 3] [--epochs 3] [--output benchmarks/training.json]
"""

import argparse
import itertools
import json
import os
import statistics
import time
from importlib.metadata import version

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from keras_vae import data, models
from keras_vae.files import write_json
from keras_vae.zoo.results import PACKAGES, processor

HIDDEN, LATENT, BATCH = (400, 400), 20, 128


class PlainSampling(layers.Layer):
    """z = mean + exp(log_var / 2) * noise, the noise from a seed generator."""

    def __init__(self):
        super().__init__()
        self.seed_generator = keras.random.SeedGenerator(0)

    def call(self, inputs):
        mean, log_var = inputs
        return mean + ops.exp(0.5 * log_var) * keras.random.normal(ops.shape(mean), seed=self.seed_generator)


class PlainVAE(keras.Model):
    """A VAE in the manner of Keras' tutorial: functional encoder and decoder, loss and trackers in `train_step`."""

    def __init__(self):
        super().__init__()
        inputs = hidden = keras.Input((28, 28, 1))
        hidden = layers.Flatten()(hidden)
        for size in HIDDEN:
            hidden = layers.Dense(size, activation="relu")(hidden)
        mean, log_var = layers.Dense(LATENT)(hidden), layers.Dense(LATENT)(hidden)
        self.encoder = keras.Model(inputs, [mean, log_var, PlainSampling()([mean, log_var])])
        codes = hidden = keras.Input((LATENT,))
        for size in HIDDEN:
            hidden = layers.Dense(size, activation="relu")(hidden)
        hidden = layers.Dense(784, activation="sigmoid")(hidden)
        self.decoder = keras.Model(codes, layers.Reshape((28, 28, 1))(hidden))
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

    def elbo(self, x):
        """The one-sample ELBO of each block of images, averaged: nats."""
        values = tf.function(self.losses_of)
        return -float(np.mean([values(x[start : start + 1000])[0] for start in range(0, len(x), 1000)]))


def matmul_rate(size: int = 1024, repeats: int = 30) -> float:
    """Float32 matrix products, in GFLOP/s."""
    a = tf.random.stateless_normal((size, size), (0, 1))
    product = tf.function(lambda: tf.reduce_sum(tf.linalg.matmul(a, a)))
    value = product()
    start = time.perf_counter()
    for _ in range(repeats):
        value = product()
    float(value)
    return 2 * size**3 * repeats / (time.perf_counter() - start) / 1e9


def flops_per_image() -> float:
    """Multiplications and additions of the matrix products: forward, and both gradients but the image's own."""
    sizes = [784, *HIDDEN, 2 * LATENT], [LATENT, *HIDDEN, 784]
    products = [a * b for chain in sizes for a, b in itertools.pairwise(chain)]
    return 2.0 * (3 * sum(products) - 784 * HIDDEN[0])


def measure(rounds: int, epochs: int) -> dict:
    """Train both in turns and time them; the first epoch of each, with its compilation, is not counted."""
    train = (data.load_arrays("mnist", "train+validation", "static"), data.load_arrays("mnist", "test", "static"))
    ours = models.VAE(
        latent_dim=LATENT, encoder={"name": "mlp", "hidden": HIDDEN}, decoder={"name": "mlp", "hidden": HIDDEN}
    )
    ours.compile(keras.optimizers.Adam())
    plain = PlainVAE()
    plain.compile(keras.optimizers.Adam())
    contenders = {"keras_vae": ours, "plain Keras": plain}
    for model in contenders.values():
        model.fit(train[0], batch_size=BATCH, epochs=1, verbose=0)
    rates: dict[str, list[float]] = {name: [] for name in contenders}
    matmul = []
    for _ in range(rounds):
        matmul.append(matmul_rate())
        for name, model in contenders.items():
            start = time.perf_counter()
            model.fit(train[0], batch_size=BATCH, epochs=epochs, verbose=0)
            rates[name].append(epochs * len(train[0]) / (time.perf_counter() - start))
    elbo = {"keras_vae": float(ours.elbo(train[1]).mean()), "plain Keras": plain.elbo(train[1])}
    peak = statistics.median(matmul)
    medians = {name: statistics.median(values) for name, values in rates.items()}
    return {
        "rows": {
            name: {
                "images_per_second": medians[name],
                "rounds": rates[name],
                "share_of_matmul_rate": medians[name] * flops_per_image() / (peak * 1e9),
                "test_elbo": elbo[name],
            }
            for name in contenders
        },
        "ratio": medians["keras_vae"] / medians["plain Keras"],
        "elbo_difference": elbo["keras_vae"] - elbo["plain Keras"],
        "matmul_gflops": peak,
        "epochs": 1 + rounds * epochs,
        "batch_size": BATCH,
        "machine": {"processor": processor(), "cores": os.cpu_count()},
        "versions": {name: version(name) for name in PACKAGES},
    }


def markdown(result: dict) -> str:
    """The result as a table."""
    rounds = len(next(iter(result["rows"].values()))["rounds"])
    machine = result["machine"]
    lines = ["| | images/s | share of the matrix-product rate | test ELBO, nats |", "| --- | ---: | ---: | ---: |"]
    for name, row in result["rows"].items():
        cells = f"{row['images_per_second']:,.0f} | {row['share_of_matmul_rate']:.0%} | {row['test_elbo']:.2f}"
        lines.append(f"| {name} | {cells} |")
    lines += [
        "",
        f"Ratio {result['ratio']:.2f}: medians of {rounds} interleaved rounds; {result['epochs']} epochs each, batch "
        f"{result['batch_size']}; float32 matrix products reach {result['matmul_gflops']:.0f} GFLOP/s on "
        f"{machine['processor']}, {machine['cores']} cores.",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=3, help="in each round")
    parser.add_argument("--output", default=None, help="write the result here, as JSON")
    arguments = parser.parse_args()
    result = measure(arguments.rounds, arguments.epochs)
    print(markdown(result))
    if arguments.output:
        write_json(arguments.output, result)
    else:
        print(json.dumps(result["rows"]))


if __name__ == "__main__":
    main()
