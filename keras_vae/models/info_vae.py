"""InfoVAE, the MMD-VAE among them."""

from types import MappingProxyType
from typing import Any, Unpack

import keras
from keras import ops

from keras_vae import backend
from keras_vae.checks import check_number
from keras_vae.core import VAE, Batch, Terms
from keras_vae.divergences import KERNELS, mmd
from keras_vae.errors import UserError
from keras_vae.models.parts.arguments import FreeBitsArguments
from keras_vae.registry import choose


@keras.saving.register_keras_serializable(package="keras_vae")
class InfoVAE(VAE):
    """Minimises -log p(x|z) + (1 - alpha) * KL(q(z|x) || p(z)) + (alpha + scale - 1) * MMD(q(z), p(z)).

    Equation 6 of Zhao et al. 2019, https://arxiv.org/abs/1706.02262, with the maximum mean discrepancy for divergence.
    `scale` is the paper's lambda. alpha = 0 and scale = 1 is `VAE`; alpha = 1 is the MMD-VAE.
    Logs `mmd`, a number of the batch without unit; the other terms are nats, as `VAE`'s.

    Args:
      alpha: how far mutual information between x and z is preferred, at most 1. A number, as scale is: alpha + scale,
        the divergence's weight and one more, must not fall below 1 on the way.
      scale: lambda; alpha + scale must be 1 or more.
      kernel: `"rbf"` or `"imq"`.
      **kwargs: as `VAE`, but for `beta`, which is 1 - alpha.
    """

    metric_names = ("mmd",)
    batch_statistic = "the discrepancy between the codes of a batch and the prior"
    rejects = MappingProxyType({"beta": "The weight of its KL is 1 - alpha. "})

    def __init__(
        self, alpha: float = 0.0, scale: float = 1000.0, kernel: str = "imq", **kwargs: Unpack[FreeBitsArguments]
    ) -> None:
        alpha, scale = check_number(alpha, "alpha", minimum=-float("inf")), check_number(scale, "scale")
        if not -float("inf") < alpha <= 1 <= alpha + scale:
            raise UserError(
                f"alpha must be finite and at most 1, and alpha + scale 1 or more. Given: alpha={alpha!r}, "
                f"scale={scale!r}."
            )
        super().__init__(beta=1.0 - alpha, **kwargs)
        self.alpha, self.scale, self.kernel = alpha, scale, kernel
        self._kernel = choose("kernel", kernel, KERNELS)

    def terms(self, batch: Batch, training: bool) -> Terms:
        terms = super().terms(batch, training)
        z = terms.cache["z"]
        prior_samples = self.draws.sample(self.prior(training=training), examples=ops.shape(z)[0])
        distance = mmd(backend.gather_over_replicas(z), backend.gather_over_replicas(prior_samples), self._kernel)
        return terms._replace(penalty=(self.alpha + self.scale - 1.0) * distance, logs={"mmd": distance})

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "alpha": self.alpha, "scale": self.scale, "kernel": self.kernel}
