"""DIP-VAE I and II."""

from typing import Any, Unpack

import keras
from keras import ops

from keras_vae import backend
from keras_vae.checks import check_number
from keras_vae.core import VAE, Batch, Terms
from keras_vae.divergences import covariance
from keras_vae.errors import UserError
from keras_vae.models.parts.arguments import VAEArguments

KINDS = ("i", "ii")


@keras.saving.register_keras_serializable(package="keras_vae")
class DIPVAE(VAE):
    """Adds to the negative ELBO the distance of the aggregate posterior's covariance C from the identity:

    `off_diagonal * sum over i != j of C_ij**2 + diagonal * sum over i of (C_ii - 1)**2`

    Kind "i": C is the covariance over x of the posterior's mean; kind "ii": of z itself, which adds the mean over x of
    its variance. Equations 6 and 7 of Kumar et al. 2018, https://arxiv.org/abs/1711.00848. Both weights 0 is `VAE`.
    Logs `dip`, the sum of both, a number of the batch; the other terms are nats, as `VAE`'s.

    Args:
      kind: `"i"` or `"ii"`.
      off_diagonal: the weight of the covariances.
      diagonal: the weight of the variances. The paper takes 10 times `off_diagonal` for I, and `off_diagonal` for II.
      **kwargs: as `VAE`.
    """

    metric_names = ("dip",)
    batch_statistic = "the covariance of the codes of a batch"

    def __init__(
        self,
        kind: str = "ii",
        off_diagonal: float = 10.0,
        diagonal: float | None = None,
        **kwargs: Unpack[VAEArguments],
    ) -> None:
        super().__init__(**kwargs)
        if kind not in KINDS:
            raise UserError(f"The kind of a DIP-VAE is one of {', '.join(KINDS)}. Given: {kind!r}.")
        self.kind, self.off_diagonal = kind, check_number(off_diagonal, "off_diagonal")
        default = (10.0 if kind == "i" else 1.0) * self.off_diagonal
        self.diagonal = default if diagonal is None else check_number(diagonal, "diagonal")

    def terms(self, batch: Batch, training: bool) -> Terms:
        terms = super().terms(batch, training)
        posterior = terms.cache["posterior"]
        matrix = covariance(backend.gather_over_replicas(posterior.mean()))
        if self.kind == "ii":
            matrix = matrix + ops.diag(self.batch_mean(posterior.variance()))
        variances = ops.diagonal(matrix)
        apart = ops.sum(ops.square(matrix)) - ops.sum(ops.square(variances))
        penalty = self.off_diagonal * apart + self.diagonal * ops.sum(ops.square(variances - 1.0))
        return terms._replace(penalty=penalty, logs={"dip": penalty})

    def get_config(self) -> dict[str, Any]:
        arguments = {"kind": self.kind, "off_diagonal": self.off_diagonal, "diagonal": self.diagonal}
        return {**super().get_config(), **arguments}
