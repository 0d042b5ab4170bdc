"""How priors that are networks are trained: Keras's own fit, on batches that are a function of seed and epoch."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_vae import checks
from keras_vae.data import pipeline
from keras_vae.errors import DivergedError, UserError

if TYPE_CHECKING:
    from keras_vae.priors.base import FittedPrior


class _Cost(keras.Model):
    """The network, as a model whose output is what a code costs."""

    def __init__(self, network: keras.Layer, log_prob: Callable[[Any], Any]) -> None:
        super().__init__(name="cost")
        self.network, self._log_prob = network, log_prob

    def call(self, codes: np.ndarray) -> Any:
        return -self._log_prob(codes)


def take_arguments(prior: "FittedPrior", epochs: int, batch_size: int, learning_rate: float) -> None:
    """Check what the training of a prior is told, and keep it under these names; `history` is empty before it.

    Raises:
      UserError: an argument that does not fit.
    """
    prior.epochs = checks.check_whole_number(epochs, "epochs")
    prior.batch_size = checks.check_whole_number(batch_size, "batch_size")
    prior.learning_rate = checks.check_number(learning_rate, "learning_rate")
    prior.history = {}  # "loss": nats per code after each epoch


def train(
    network: keras.Layer, codes: np.ndarray, log_prob: Callable[[Any], Any], arguments: Any
) -> dict[str, list[float]]:
    """Minimise the mean of -log_prob, nats per code, by Adam: its `loss` after each epoch.

    Args:
      network: a Keras layer, or a list of them.
      codes: `(count, ...)`.
      log_prob: from a batch of codes to `(batch,)`, by the network.
      arguments: has `epochs`, `batch_size`, `learning_rate` and `seed`.

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
    dataset = pipeline.shuffled(codes, arguments.batch_size, arguments.seed)
    history = model.fit(dataset, epochs=arguments.epochs, verbose=0).history
    if not all(np.isfinite(weight).all() for weight in model.get_weights()):
        raise DivergedError("Training of the prior must stay finite. Lower its learning_rate.")
    return {name: [float(value) for value in values] for name, values in history.items()}


def arrays_of(network: keras.Layer) -> dict[str, np.ndarray]:
    """The weights of a network by their places."""
    return {f"weight_{place}": np.asarray(weight) for place, weight in enumerate(network.get_weights())}


def restore_into(network: keras.Layer, held: Mapping[str, np.ndarray]) -> None:
    """The inverse of `arrays_of`.

    Raises:
      KeyError: a weight is missing.
      ValueError: a weight has another shape.
    """
    network.set_weights([held[f"weight_{place}"] for place in range(len(network.get_weights()))])
