"""This library: `compile` and `fit` with their defaults."""

from typing import Any

import keras
import numpy as np

from keras_vae import data, models

PACKAGES = ("keras-vae", "tensorflow", "keras")


def model_of(case: dict) -> models.VAE:
    """The model of a case, with this library's networks."""
    if case["network"] == "mlp":
        networks = ({"name": "mlp", "hidden": case["hidden"]},) * 2
    else:
        networks = tuple({"name": "conv", "filters": case["filters"], "dense": case["dense"]} for _ in range(2))
    arguments: dict[str, Any] = {"encoder": networks[0], "decoder": networks[1]}
    if "entries" in case:
        return models.VQVAE(
            code_shape=(7, 7),
            entries=case["entries"],
            embedding_dim=case["latent_dim"],
            restart_below=0.0,
            **arguments,
        )
    if case["samples"] > 1:
        return models.IWAE(importance_samples=case["samples"], latent_dim=case["latent_dim"], **arguments)
    return models.VAE(latent_dim=case["latent_dim"], **arguments)


class Contender:
    def __init__(self, case: dict, train: np.ndarray, test: np.ndarray) -> None:
        self.case, self.test, self.model = case, test, model_of(case)
        self.train = data.batches(train, batch_size=case["batch_size"], training=True)
        self.model.compile(keras.optimizers.Adam(1e-3))

    def epochs(self, count: int) -> None:
        self.model.fit(self.train, epochs=count, verbose=0)

    def bound(self) -> float:
        """Of the test images, nats: the ELBO, the bound of as many samples, or log p(x|z) of integer codes."""
        if self.case["samples"] > 1:
            return float(self.model.log_prob(self.test[:1000], self.case["samples"]).mean())
        if "entries" in self.case:
            return float(self.model.elbo(self.test).mean()) + 49 * float(np.log(self.case["entries"]))
        return float(self.model.elbo(self.test).mean())
