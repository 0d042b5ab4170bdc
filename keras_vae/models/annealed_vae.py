"""AnnealedVAE: a capacity that grows."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Unpack

import keras
from keras import ops

from keras_vae.checks import check_number
from keras_vae.core import VAE, Batch, Terms
from keras_vae.models.parts.arguments import PlainArguments
from keras_vae.schedules import Linear, Schedule, schedule
from keras_vae.types import Tensor


@keras.saving.register_keras_serializable(package="keras_vae")
class AnnealedVAE(VAE):
    """Minimises -log p(x|z) + gamma * abs(KL - C(step)), KL the batch mean, C the capacity, in nats per example.

    Equation 8 of Burgess et al. 2018, https://arxiv.org/abs/1804.03599. As C grows the code may carry more, one factor
    after the other. gamma = 1 and C = 0 is `VAE`.

    Args:
      gamma: the weight of the distance from the capacity.
      capacity: C, logged as `capacity`: a number of nats, or a schedule such as
        `{"name": "linear", "final": 25.0, "steps": 100000}`.
      **kwargs: as `VAE`, but for `beta` and `free_bits`: gamma and C take their place.
    """

    metric_names = ("capacity",)
    batch_statistic = "the distance from the capacity, of the mean KL of a batch"
    rejects = MappingProxyType(dict.fromkeys(("beta", "free_bits"), "gamma and the capacity take its place. "))

    def __init__(
        self,
        gamma: float = 1000.0,
        capacity: float | Mapping[str, Any] | Schedule | None = None,
        **kwargs: Unpack[PlainArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.gamma = check_number(gamma, "gamma")
        self.capacity = Linear(final=25.0, steps=100_000) if capacity is None else schedule(capacity, "capacity")

    def terms(self, batch: Batch, training: bool) -> Terms:
        terms = super().terms(batch, training)
        return terms._replace(logs={"capacity": self.capacity(self.step)})

    def objective(self, terms: Terms) -> Tensor:
        """The loss; the absolute value is of the mean over the whole batch, all replicas', not of each example."""
        capacity = ops.cast(self.capacity(self.step), self.float_dtype)
        return ops.mean(-terms.log_px) + self.gamma * ops.abs(self.batch_mean(ops.sum(terms.kl, axis=-1)) - capacity)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "gamma": self.gamma, "capacity": self.capacity.get_config()}
