"""β-TCVAE."""

from typing import Any

import keras
from keras import ops

from keras_vae.arrays import check_number, check_whole_number
from keras_vae.core import VAE, Batch, Terms
from keras_vae.divergences import ESTIMATORS, aggregate_log_probs
from keras_vae.naming import choose


@keras.saving.register_keras_serializable(package="keras_vae")
class BetaTCVAE(VAE):
    """Minimises -log p(x|z) + alpha * I(x; z) + beta * TC(z) + gamma * sum over j of KL(q(z_j) || p(z_j)).

    Equation 4 of Chen et al. 2018, https://arxiv.org/abs/1802.04942. The parts add up to the KL, sample by sample, so
    alpha = beta = gamma = 1 is `VAE` with a sampled KL. The ELBO that is logged has the KL in closed form. Logs the
    parts, each `(batch,)`, nats: `mutual_information`, `total_correlation`, `dimension_kl`.

    Args:
      dataset_size: the number of training examples, N in the estimators of q(z).
      beta: the weight of the total correlation, a number or a schedule.
      alpha: the weight of the mutual information between an example's index and z.
      gamma: the weight of the dimension-wise KL.
      estimator: of log q(z) from a batch: `"stratified"` (unbiased for q(z)) or `"weighted"` (biased by a constant
        log(N) and more; its gradients are those of the paper's experiments).
      **kwargs: as `VAE`, but for `free_bits`.
    """

    log_names = ("mutual_information", "total_correlation", "dimension_kl")

    def __init__(
        self,
        dataset_size: int,
        beta: Any = 6.0,
        alpha: float = 1.0,
        gamma: float = 1.0,
        estimator: str = "stratified",
        **kwargs: Any,
    ) -> None:
        super().__init__(beta=beta, **kwargs)
        self.refuse("free_bits")
        self.alpha, self.gamma = check_number(alpha, "alpha"), check_number(gamma, "gamma")
        self.dataset_size = check_whole_number(dataset_size, "dataset_size", minimum=2)
        self.estimator = estimator
        choose("estimator", estimator, ESTIMATORS)

    def terms(self, batch: Batch, training: bool) -> Terms:
        terms = super().terms(batch, training)
        posterior, z = terms.cache["posterior"], terms.cache["z"]
        log_qz, log_qz_dimensions = aggregate_log_probs(posterior, z, self.dataset_size, self.estimator)
        product = ops.sum(log_qz_dimensions, axis=-1)
        parts = {
            "mutual_information": posterior.log_prob(z) - log_qz,
            "total_correlation": log_qz - product,
            "dimension_kl": product - self.prior(training=training).log_prob(z),
        }
        return terms._replace(logs=parts)

    def objective(self, terms: Terms, step: Any) -> Any:
        """The loss: the KL is replaced by its three parts, each with its weight."""
        parts = terms.logs
        weighted = (
            self.alpha * parts["mutual_information"]
            + ops.cast(self.beta(step), self.float_dtype) * parts["total_correlation"]
            + self.gamma * parts["dimension_kl"]
        )
        return ops.mean(-terms.log_px + weighted)

    def get_config(self) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in ("dataset_size", "alpha", "gamma", "estimator")}
        return {**super().get_config(), **own}
