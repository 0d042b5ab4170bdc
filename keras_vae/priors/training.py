"""Training of priors that are networks: Keras's `fit`, on batches that are a function of seed and epoch."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import keras
import numpy as np

from keras_vae import checks
from keras_vae.core.fit_callbacks import SayEpochs
from keras_vae.data import epochs
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
    dataset = epochs.shuffled(codes, arguments.batch_size, arguments.seed)
    history = model.fit(dataset, epochs=arguments.epochs, verbose=0, shuffle=False, callbacks=[SayEpochs()]).history
    if not all(np.isfinite(weight).all() for weight in model.get_weights()):
        raise DivergedError("Training of the prior must stay finite. Lower its learning_rate.")
    return {name: [float(value) for value in values] for name, values in history.items()}


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
