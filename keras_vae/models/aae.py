"""Adversarial autoencoder."""

from typing import Any

import keras
from keras import ops

from keras_vae import divergences
from keras_vae.arrays import check_number
from keras_vae.core import VAE, Batch, Player, Terms
from keras_vae.networks import MLP


@keras.saving.register_keras_serializable(package="keras_vae")
class AAE(VAE):
    """Minimises -log p(x|z) + weight * softplus(-critic(z)) at z = encoder(x); the critic tells z from prior draws.

    Section 2 of Makhzani et al. 2016, https://arxiv.org/abs/1511.05644, its phases in one step: reconstruction and
    fooling the critic, the encoder's two aims, are one player's loss. The critic's logit is positive for the prior.
    weight = 0 is `AE`.

    Players: `"model"`, and `"critic"`.

    Args:
      weight: of fooling the critic.
      critic: a mapping of `name` and arguments, or a Keras layer from `latent_dim` numbers to 1.
      **kwargs: as `VAE`, but for `beta` and `free_bits`; the encoder gives `latent_dim` numbers.
    """

    stochastic = False
    log_names = ("fooling",)

    def __init__(self, weight: float = 10.0, critic: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.refuse("beta", "free_bits")
        self.weight = check_number(weight, "weight")
        self.specs["critic"] = {"name": "mlp", "hidden": (400, 400)} if critic is None else critic
        self.critic = self.make_network("critic", self.specs["critic"], {"mlp": MLP}, (self.latent_dim,), (1,))

    def terms(self, batch: Batch, training: bool) -> Terms:
        terms = super().terms(batch, training)
        z = terms.cache["z"]
        fooling = ops.softplus(-self._logit(z, training))
        drawn = self.prior().sample(ops.shape(z)[0], seed=self.draws.next())
        cache = {
            **terms.cache,
            "codes": self._logit(ops.stop_gradient(z), training),
            "drawn": self._logit(drawn, training),
        }
        return terms._replace(penalty=self.weight * fooling, logs={"fooling": fooling}, cache=cache)

    def players(self) -> list[Player]:
        return self.players_with("critic", self.critic, self._critic_loss)

    def _logit(self, z: Any, training: bool) -> Any:
        return self.run(self.critic, z, training)[:, 0]

    def _critic_loss(self, terms: Terms) -> Any:
        """Cross-entropy: the prior's draws are class 1, codes class 0, which carry no gradient to the encoder."""
        return divergences.cross_entropy(terms.cache["drawn"], terms.cache["codes"])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "weight": self.weight}
