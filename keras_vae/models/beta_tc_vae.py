"""β-TCVAE."""

from types import MappingProxyType
from typing import Any, Unpack

import keras
from keras import ops

from keras_vae import backend
from keras_vae.backend import base_of, tfd
from keras_vae.checks import check_whole_number
from keras_vae.core import VAE, Batch, Terms
from keras_vae.divergences import ESTIMATORS, minibatch_log_probs
from keras_vae.errors import UserError
from keras_vae.models.parts.arguments import PlainArguments
from keras_vae.registry import choose
from keras_vae.schedules import ScheduleLike, schedule
from keras_vae.types import Tensor


@keras.saving.register_keras_serializable(package="keras_vae")
class BetaTCVAE(VAE):
    """Minimises -log p(x|z) + alpha * I(x; z) + beta * TC(z) + gamma * sum over j of KL(q(z_j) || p(z_j)).

    Equation 4 of Chen et al. 2018, https://arxiv.org/abs/1802.04942. The parts add up to the KL, sample by sample, so
    alpha = beta = gamma = 1 is `VAE` with a sampled KL. The ELBO that is logged has the KL in closed form. Logs the
    parts, each `(batch,)`, nats: `mutual_information`, `total_correlation`, `dimension_kl`, by the stratified estimator
    whatever the loss has: the weighted one's total correlation is too large by about (latent_dim - 1) log(N).

    Args:
      dataset_size: the number of training examples, N in the estimators of q(z); no less than a training batch.
      beta: the weight of the total correlation, a number or a schedule.
      alpha: the weight of the mutual information between an example's index and z, a number or a schedule.
      gamma: the weight of the dimension-wise KL, a number or a schedule.
      estimator: of log q(z) in the loss: `"stratified"` (unbiased for q(z)) or `"weighted"` (biased by a constant
        log(N) and more; its gradients are those of the paper's experiments).
      **kwargs: as `VAE`, but for `free_bits`.
    """

    rejects = MappingProxyType({"free_bits": "Its loss has the parts of the KL in the place of the KL. "})
    metric_names = ("mutual_information", "total_correlation", "dimension_kl")
    batch_statistic = "q(z), estimated from the codes of a batch"

    def __init__(
        self,
        dataset_size: int,
        beta: ScheduleLike = 6.0,
        alpha: ScheduleLike = 1.0,
        gamma: ScheduleLike = 1.0,
        estimator: str = "stratified",
        **kwargs: Unpack[PlainArguments],
    ) -> None:
        super().__init__(beta=beta, **kwargs)
        self.alpha, self.gamma = schedule(alpha, "alpha"), schedule(gamma, "gamma")
        self.dataset_size = check_whole_number(dataset_size, "dataset_size", minimum=2)
        self.estimator = estimator
        choose("estimator", estimator, ESTIMATORS)

    def terms(self, batch: Batch, training: bool) -> Terms:
        terms = super().terms(batch, training)
        posterior, z = terms.cache["posterior"], terms.cache["z"]
        log_q, log_p = posterior.log_prob(z), self.prior(training=training).log_prob(z)
        of_all, first = _of_all_replicas(posterior), backend.replica().index * ops.shape(z)[0]

        def parts(estimator: str) -> dict[str, Any]:
            log_qz, log_qz_dimensions = minibatch_log_probs(of_all, z, self.dataset_size, estimator, first)
            product = ops.sum(log_qz_dimensions, axis=-1)
            return dict(zip(self.metric_names, (log_q - log_qz, log_qz - product, product - log_p), strict=True))

        logs = parts("stratified")
        minimised = logs if self.estimator == "stratified" else parts(self.estimator)
        return terms._replace(logs=logs, cache={**terms.cache, "parts": minimised})

    def objective(self, terms: Terms) -> Tensor:
        """The loss: the KL is replaced by its three parts, each with its weight."""
        parts = terms.cache["parts"]
        weights = (ops.cast(weight(self.step), self.float_dtype) for weight in (self.alpha, self.beta, self.gamma))
        weighted = sum(weight * parts[name] for weight, name in zip(weights, self.metric_names, strict=True))
        return ops.mean(-terms.log_px + weighted)

    def check_training_data(self, labelled: bool, batch_size: int) -> None:
        """As `VAE.check_training_data`.

        Raises:
          UserError: a batch of more examples than the dataset is said to have.
        """
        if batch_size > self.dataset_size:
            raise UserError(
                f"dataset_size is the number of training examples, and no less than those of one batch. Given: "
                f"dataset_size={self.dataset_size} and batches of {batch_size}. Set dataset_size to the data's."
            )

    def get_config(self) -> dict[str, Any]:
        arguments = {"dataset_size": self.dataset_size, "estimator": self.estimator}
        weights = {"alpha": self.alpha.get_config(), "gamma": self.gamma.get_config()}
        return {**super().get_config(), **arguments, **weights}


def _of_all_replicas(posterior: tfd.Distribution) -> tfd.Distribution:
    """Return q(z|x) of the examples of all replicas."""
    if backend.replica().count == 1:
        return posterior
    normal = base_of(posterior)
    return tfd.Independent(tfd.Normal(*map(backend.gather_over_replicas, (normal.loc, normal.scale))), 1)
