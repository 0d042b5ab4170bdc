"""This library on sparse counts: `compile` and `fit` with their defaults, and an encoder of logarithms."""

import keras
import numpy as np
from keras import layers, ops
from scipy import sparse

from keras_vae import data, models

PACKAGES = ("keras-vae", "tensorflow", "keras")


def read(path: str, case: dict) -> tuple[sparse.csr_matrix]:
    """The counts of the case, float32."""
    return (sparse.load_npz(path).tocsr().astype("float32"),)


def model_of(case: dict, **likelihood: object) -> models.VAE:
    """A VAE of counts at the network of a case, with further arguments of its likelihood."""
    genes, latent = case["genes"], case["latent_dim"]
    encoder = keras.Sequential(
        [
            layers.Input((genes,)),
            layers.Lambda(ops.log1p),
            layers.Dense(case["hidden"], "relu"),
            layers.Dense(2 * latent),
        ]
    )
    return models.VAE(
        x_shape=(genes,), latent_dim=latent, encoder=encoder, decoder={"name": "mlp", "hidden": [case["hidden"]]},
        likelihood={"name": "negative_binomial", "dispersion": "feature", **likelihood},
    )  # fmt: skip


class Contender:
    def __init__(self, case: dict, counts: sparse.csr_matrix, **likelihood: object) -> None:
        self.counts, self.model = counts, model_of(case, **likelihood)
        self.train = data.batches(counts, batch_size=case["batch_size"], training=True)
        self.model.compile(keras.optimizers.Adam(1e-3))

    def epochs(self, count: int) -> None:
        self.model.fit(self.train, epochs=count, verbose=0)

    def recovered(self) -> dict[str, list]:
        """The logarithm of each gene's dispersion, and the mean code of each cell."""
        size = 2000
        parts = [self.counts[start : start + size].toarray() for start in range(0, self.counts.shape[0], size)]
        codes = np.concatenate([self.model.encode(part) for part in parts])
        parameters = self.model.likelihood_parameters(ops.convert_to_tensor(codes[:1]))
        return {"log_dispersion": np.asarray(parameters["log_dispersion"])[0].tolist(), "codes": codes.tolist()}
