"""FactorVAE."""

from typing import Any, Unpack

import keras
from keras import ops

from keras_vae import backend, divergences
from keras_vae.checks import check_number
from keras_vae.core import VAE, Batch, Player, Terms
from keras_vae.errors import UserError
from keras_vae.models.parts.arguments import VAEArguments
from keras_vae.networks import MLP, NetworkSpec
from keras_vae.types import Tensor


@keras.saving.register_keras_serializable(package="keras_vae")
class FactorVAE(VAE):
    """Minimises the negative ELBO + gamma * TC(z), the total correlation estimated by a critic.

    Equation 2 and algorithm 2 of Kim and Mnih 2018, https://arxiv.org/abs/1802.05983. The critic separates codes z
    of every second example from codes of the others whose dimensions are permuted independently across the examples:
    samples of q(z) and of the product of its marginals. Its logit is the log density ratio, whose mean is TC.
    gamma = 0 is `VAE`. Logs `total_correlation`, nats, a number of the batch.

    Players: `"model"`, and `"critic"`, which the paper trains with Adam(1e-4, beta_1=0.5, beta_2=0.9).

    Args:
      gamma: the weight of the total correlation.
      critic: the discriminator: a mapping of `name` and arguments, or a Keras layer from `latent_dim` numbers to 1.
      **kwargs: as `VAE`. Training batches need two examples or more; of several replicas, each an even number.
    """

    metric_names = ("total_correlation",)
    batch_statistic = "a critic that compares the codes of a batch with permuted ones"

    def __init__(self, gamma: float = 10.0, critic: NetworkSpec | None = None, **kwargs: Unpack[VAEArguments]) -> None:
        super().__init__(**kwargs)
        self.gamma = check_number(gamma, "gamma")
        default = {"name": "mlp", "hidden": (1000,) * 5, "activation": "leaky_relu"}
        self.specs["critic"] = default if critic is None else critic
        self.critic = self.make_network("critic", self.specs["critic"], {"mlp": MLP}, (self.latent_dim,), (1,))

    def terms(self, batch: Batch, training: bool) -> Terms:
        terms = super().terms(batch, training)
        z = terms.cache["z"]
        if (count := backend.replica().count) > 1 and (z.shape[0] or 0) % 2:
            raise UserError(
                f"The critic takes every second example, so that the part of a worker or a device is even. Given: "
                f"{z.shape[0]} examples on each of {count}. Take a batch_size that is a multiple of {2 * count}."
            )
        # Every second example: in replicas of an even number of examples, the same ones as in the whole batch.
        joint, permuted = z[::2], _permuted(z[1::2], self.draws.next())
        correlation = ops.mean(self._log_ratio(joint, training))
        cache = {
            **terms.cache,
            "joint": self._log_ratio(ops.stop_gradient(joint), training),
            "permuted": self._log_ratio(ops.stop_gradient(permuted), training),
        }
        return terms._replace(penalty=self.gamma * correlation, logs={"total_correlation": correlation}, cache=cache)

    def players(self) -> list[Player]:
        return self.players_with("critic", self.critic, self._critic_loss)

    def _log_ratio(self, z: Tensor, training: bool) -> Tensor:
        return self.apply_network(self.critic, z, training)[:, 0]

    def _critic_loss(self, terms: Terms) -> Tensor:
        """Cross-entropy: codes of q(z) are class 1, permuted ones class 0; no gradient reaches the encoder."""
        # A last batch of one example, which evaluation does not leave out, has no second half.
        return 0.5 * divergences.cross_entropy(terms.cache["joint"], terms.cache["permuted"])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "gamma": self.gamma}


def _permuted(z: Tensor, seed: Any) -> Tensor:
    """Each column of z, (examples, latent_dim), in an independent order along the examples of all replicas."""
    replica, of_all = backend.replica(), backend.gather_over_replicas(z)
    order = ops.argsort(backend.uniform(ops.shape(of_all), seed), axis=0)
    permuted = ops.take_along_axis(of_all, order, axis=0)
    if replica.count == 1:
        return permuted
    return ops.take(ops.reshape(permuted, (replica.count, -1, z.shape[-1])), replica.index, axis=0)
