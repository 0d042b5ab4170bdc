"""Wasserstein autoencoder, WAE-MMD."""

from types import MappingProxyType
from typing import Any, Unpack

import keras
from keras import ops

from keras_vae import backend
from keras_vae.checks import check_number
from keras_vae.core import VAE, Batch, Terms
from keras_vae.divergences import KERNELS, mmd
from keras_vae.models.parts.arguments import PlainArguments
from keras_vae.registry import choose


@keras.saving.register_keras_serializable(package="keras_vae")
class WAE(VAE):
    """Minimises -log p(x|z) + scale * MMD(q(z), p(z)) at z = encoder(x), q(z) the codes of the batch.

    Equation 4 and algorithm 2 of Tolstikhin et al. 2018, https://arxiv.org/abs/1711.01558; the likelihood is the cost,
    squared error for a Gaussian of fixed scale. The unbiased estimate of MMD may be negative. scale = 0 is `AE`.
    Logs `mmd`, a number of the batch without unit; log p(x|z) is nats an example.

    Args:
      scale: lambda, the weight of the discrepancy.
      kernel: `"imq"` or `"rbf"`.
      **kwargs: as `VAE`, but for `beta` and `free_bits`; the encoder gives `latent_dim` numbers.
    """

    stochastic = False
    has_sampler = False
    rejects = MappingProxyType({"beta": "It has no KL. ", "free_bits": "It has no KL. "})
    metric_names = ("mmd",)
    batch_statistic = "the discrepancy between the codes of a batch and the prior"

    def __init__(self, scale: float = 100.0, kernel: str = "imq", **kwargs: Unpack[PlainArguments]) -> None:
        super().__init__(**kwargs)
        self.scale = check_number(scale, "scale")
        self.kernel, self._kernel = kernel, choose("kernel", kernel, KERNELS)

    def terms(self, batch: Batch, training: bool) -> Terms:
        terms = super().terms(batch, training)
        z = terms.cache["z"]
        drawn = self.draws.sample(self.prior(training=training), examples=ops.shape(z)[0])
        distance = mmd(backend.gather_over_replicas(z), backend.gather_over_replicas(drawn), self._kernel)
        return terms._replace(penalty=self.scale * distance, logs={"mmd": distance})

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "scale": self.scale, "kernel": self.kernel}
