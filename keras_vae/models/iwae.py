"""IWAE, with the gradients of the paper or doubly reparameterised ones."""

from types import MappingProxyType
from typing import Any, Unpack

import keras
from keras import ops

from keras_vae import divergences
from keras_vae.backend import base_of, tfd
from keras_vae.checks import check_number, check_whole_number
from keras_vae.core import VAE, Batch, Player, Terms
from keras_vae.errors import UserError
from keras_vae.models.parts.arguments import PlainArguments
from keras_vae.types import Tensor

GRADIENTS = ("iwae", "dreg")


@keras.saving.register_keras_serializable(package="keras_vae")
class IWAE(VAE):
    """Maximises log (1/K) sum_k p(x, z_k) / q(z_k|x), a bound of log p(x) that rises with K.

    Equation 8 of Burda et al. 2016, https://arxiv.org/abs/1509.00519. "dreg" takes for the encoder the doubly
    reparameterised gradient, `sum_k v_k**2 d log w_k / d z_k` with v_k the normalised weights: equation 8 of Tucker
    et al. 2019, https://arxiv.org/abs/1810.04152, of lower variance for large K. K = 1 is `VAE` with a sampled KL.

    Rainforth et al. 2018, section 4, https://arxiv.org/abs/1802.04537, give the encoder a better signal: MIWAE is the
    mean of M such bounds, of K draws each; CIWAE the mixture share * ELBO + (1 - share) * bound.

    Logs the bound as `iw_bound`, `(batch,)`, nats; `elbo`, `log_px` and `kl` are means over all draws.

    Args:
      importance_samples: K.
      bounds: M.
      elbo_share: from 0 to 1.
      gradient: `"iwae"` or `"dreg"`; the latter has two players, `"model"` (all but the encoder) and `"encoder"`.
      **kwargs: as `VAE`, but for `beta` and `free_bits`: the bound has no KL to weigh.
    """

    metric_names = ("iw_bound",)
    batch_statistic = ""
    rejects = MappingProxyType(
        dict.fromkeys(("beta", "free_bits"), "Its bound is of log p(x), without a KL to weigh. ")
    )

    def __init__(
        self,
        importance_samples: int = 5,
        gradient: str = "iwae",
        bounds: int = 1,
        elbo_share: float = 0.0,
        **kwargs: Unpack[PlainArguments],
    ) -> None:
        super().__init__(**kwargs)
        if gradient not in GRADIENTS:
            raise UserError(f"gradient is one of {', '.join(GRADIENTS)}. Given: {gradient!r}.")
        self.importance_samples = check_whole_number(importance_samples, "importance_samples")
        self.bounds = check_whole_number(bounds, "bounds")
        self.elbo_share = check_number(elbo_share, "elbo_share")
        if self.elbo_share > 1:
            raise UserError(f"elbo_share is a share, at most 1. Given: {elbo_share!r}.")
        self.draws_per_example = self.bounds * self.importance_samples
        self.gradient = gradient

    def terms(self, batch: Batch, training: bool) -> Terms:
        x, condition = batch["x"], self.condition_of(batch)
        posterior, prior = self.posterior_and_prior(x, condition, training)
        z = self.draws.sample(posterior, self.draws_per_example)
        log_px = self.log_px_of(x, z, condition, training)
        # DReG: the encoder's gradient goes through z alone, not through the parameters in log q(z|x).
        scored = _stopped(posterior) if self.gradient == "dreg" else posterior
        log_w = log_px + prior.log_prob(z) - scored.log_prob(z)
        log_w = ops.reshape(log_w, (self.bounds, self.importance_samples, -1))
        bounds = ops.logsumexp(log_w, axis=1) - ops.log(ops.cast(self.importance_samples, log_w.dtype))
        bound = self._mixed(ops.mean(log_w, axis=1), bounds)
        kl = divergences.kl(posterior, prior)
        return Terms(ops.mean(log_px, axis=0), kl, logs={"iw_bound": bound}, cache={"log_w": log_w})

    def weighted(self, terms: Terms, weights: Tensor) -> Terms:
        """As `VAE.weighted`: the bound of each example, times its weight."""
        logs = {"iw_bound": weights * terms.logs["iw_bound"]}
        return terms._replace(logs=logs, cache={**terms.cache, "weights": weights})

    def objective(self, terms: Terms) -> Tensor:
        """The loss: the negative bound, averaged over the batch."""
        return -ops.mean(terms.logs["iw_bound"])

    def players(self) -> list[Player]:
        if self.gradient == "iwae":
            return super().players()
        return self.players_with("encoder", self.encoder, self._doubly_reparameterised)

    def _doubly_reparameterised(self, terms: Terms) -> Tensor:
        log_w = terms.cache["log_w"]
        shares = ops.stop_gradient(ops.softmax(log_w, axis=1))
        # A draw of the ELBO is the only one of its sum: its share is 1.
        bound = self._mixed(ops.mean(log_w, axis=1), ops.sum(ops.square(shares) * log_w, axis=1))
        return -ops.mean(bound * terms.cache["weights"] if "weights" in terms.cache else bound)

    def _mixed(self, elbo: Tensor, bound: Tensor) -> Tensor:
        """Of both, `(bounds, batch)`: the mixture, averaged over the bounds."""
        return ops.mean(self.elbo_share * elbo + (1.0 - self.elbo_share) * bound, axis=0)

    def get_config(self) -> dict[str, Any]:
        names = ("importance_samples", "gradient", "bounds", "elbo_share")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


def _stopped(posterior: tfd.Distribution) -> tfd.Distribution:
    inner = base_of(posterior)
    return tfd.Independent(tfd.Normal(ops.stop_gradient(inner.loc), ops.stop_gradient(inner.scale)), 1)
