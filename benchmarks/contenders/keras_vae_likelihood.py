"""This library's `log_prob`, with its defaults."""

import numpy as np

from keras_vae import models

PACKAGES = ("keras-vae", "tensorflow", "keras")


def model_of(case: dict) -> models.VAE:
    """A VAE at the network of a case."""
    network = {"name": "mlp", "hidden": case["hidden"]}
    return models.VAE(latent_dim=case["latent_dim"], encoder=network, decoder=network)


class Contender:
    def __init__(self, case: dict, train: np.ndarray, test: np.ndarray) -> None:
        self.model, self.digits, self.samples = model_of(case), test[: case["examples"]], case["samples"]

    def epochs(self, count: int) -> None:
        for _ in range(count):
            self.model.log_prob(self.digits, samples=self.samples)
