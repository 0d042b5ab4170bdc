"""Training of priors that are networks: Keras's `fit`, on batches that are a function of seed and epoch."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import keras
import numpy as np
import tensorflow as tf

from keras_vae import checks, randomness
from keras_vae.errors import DivergedError, UserError
from keras_vae.types import Tensor

Networks = keras.Layer | Sequence[keras.Layer]


class Arguments(Protocol):
    """A prior's arguments of training."""

    epochs: int
    batch_size: int
    learning_rate: float
    seed: int


class _Cost(keras.Model):
    """The network as a model with the output -log p(code)."""

    def __init__(self, network: Networks, log_prob: Callable[[Tensor], Tensor]) -> None:
        super().__init__(name="cost")
        self.network, self._log_prob = network, log_prob

    def call(self, codes: Tensor) -> Tensor:
        return -self._log_prob(codes)


def check_arguments(epochs: object, batch_size: object, learning_rate: object) -> tuple[int, int, float]:
    """Return the arguments of a prior's training, checked.

    Raises:
      UserError: an argument that does not fit.
    """
    return (
        checks.check_whole_number(epochs, "epochs"),
        checks.check_whole_number(batch_size, "batch_size"),
        checks.check_number(learning_rate, "learning_rate"),
    )


def train(
    network: Networks, codes: np.ndarray, log_prob: Callable[[Tensor], Tensor], arguments: Arguments
) -> dict[str, list[float]]:
    """Minimise the mean of -log_prob, nats per code, by Adam, and return its `loss` after each epoch.

    Args:
      network: a Keras layer, or a list of them, with the weights to train.
      codes: `(count, ...)`.
      log_prob: from a batch of codes to `(batch,)`, by the network.
      arguments: of the training.

    Raises:
      UserError: fewer codes than one batch.
      DivergedError: the loss is no longer finite.
    """
    if len(codes) < arguments.batch_size:
        raise UserError(
            f"Training needs at least one full batch: {arguments.batch_size} codes. Given: {len(codes)}. Lower "
            f"batch_size, or give more images."
        )
    model = _Cost(network, log_prob)
    model.compile(keras.optimizers.Adam(arguments.learning_rate), loss=lambda _, cost: cost, jit_compile=False)
    dataset = shuffled(codes, arguments.batch_size, arguments.seed)
    history = model.fit(dataset, epochs=arguments.epochs, verbose=0).history
    if not all(np.isfinite(weight).all() for weight in model.get_weights()):
        raise DivergedError("Training of the prior must stay finite. Lower its learning_rate.")
    return {name: [float(value) for value in values] for name, values in history.items()}


def shuffled(codes: np.ndarray, batch_size: int, seed: int) -> Any:
    """Batches of codes (and zeros, which Keras wants as targets), without the last partial one, in an order that is a
    function of the seed and the epoch."""
    steps, epoch = len(codes) // batch_size, tf.Variable(tf.constant(0, "int64"))
    tensor = tf.constant(codes)

    def one_epoch(number: Any) -> Any:
        noise = randomness.fold(randomness.seed_of(seed, randomness.DATA), number)
        order = tf.argsort(tf.random.stateless_uniform((len(codes),), noise), stable=True)

        def one_batch(step: Any) -> Any:
            batch = tf.gather(tensor, order[step * batch_size : (step + 1) * batch_size])
            batch = tf.ensure_shape(batch, (batch_size, *codes.shape[1:]))
            return batch, tf.zeros((batch_size,))

        return tf.data.Dataset.range(steps).map(one_batch)

    dataset = tf.data.Dataset.range(1).map(lambda _: epoch.assign_add(1) - 1).flat_map(one_epoch)
    marked: Any = dataset.apply(tf.data.experimental.assert_cardinality(steps))
    marked.epoch = epoch  # the graph holds the variable's handle only
    return marked


def arrays_of(network: keras.Layer) -> dict[str, np.ndarray]:
    """Return the weights of a network by their index."""
    return {f"weight_{index}": np.asarray(weight) for index, weight in enumerate(network.get_weights())}


def restore_into(network: keras.Layer, held: Mapping[str, np.ndarray]) -> None:
    """Set the weights of a network, as `arrays_of` returns them.

    Raises:
      KeyError: a weight is missing.
      ValueError: a weight has another shape.
    """
    network.set_weights([held[f"weight_{index}"] for index in range(len(network.get_weights()))])
