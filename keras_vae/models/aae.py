"""Adversarial autoencoder."""

from types import MappingProxyType
from typing import Any, Unpack

import keras
import numpy as np
from keras import ops

from keras_vae import divergences
from keras_vae.backend import tfd
from keras_vae.checks import check_number, check_whole_number
from keras_vae.core import VAE, Batch, Player, Terms
from keras_vae.errors import UserError
from keras_vae.models.parts import conditions
from keras_vae.models.parts.arguments import PlainArguments
from keras_vae.networks import MLP, NetworkSpec
from keras_vae.types import Condition, ConditionLike, Tensor


@keras.saving.register_keras_serializable(package="keras_vae")
class AAE(VAE):
    """Minimises -log p(x|z) + weight * softplus(-critic(z)) at z = encoder(x); the critic separates z from prior draws.

    Section 2 of Makhzani et al. 2016, https://arxiv.org/abs/1511.05644, its phases in one step: reconstruction and
    fooling the critic, the encoder's two aims, are one player's loss. The critic's logit is positive for the prior.
    weight = 0 is `AE`.

    With num_classes, section 2.3: the prior is a mixture of one Gaussian a class, and the codes of a class are to fill
    its component. The critic also reads the label "y" of a batch, and its prior draws for an image of class k are from
    component k; unlabelled, -1, is one class more, with draws from the whole mixture. The components have deviation
    `spread`, and means on a circle of `radius` in the first two dimensions, in the order of the classes.

    Logs `fooling`, softplus(-critic(z)), `(batch,)`, nats. Players: `"model"`, and `"critic"`.

    Args:
      weight: of fooling the critic.
      critic: the discriminator: a mapping of `name` and arguments, or a Keras layer from `latent_dim` numbers, with
        num_classes from `latent_dim + num_classes + 1`, to 1.
      num_classes: 0: no labels, and the prior is N(0, I).
      radius: of the circle of means, where there are classes.
      spread: the deviation of each component, in all dimensions.
      **kwargs: as `VAE`, but for `beta` and `free_bits`; the encoder gives `latent_dim` numbers.
    """

    stochastic = False
    has_sampler = False
    rejects = MappingProxyType({"beta": "It has no KL. ", "free_bits": "It has no KL. "})
    metric_names = ("fooling",)
    batch_statistic = "a critic that compares the codes of a batch with the prior"

    def __init__(
        self,
        weight: float = 10.0,
        critic: NetworkSpec | None = None,
        num_classes: int = 0,
        radius: float = 4.0,
        spread: float = 0.5,
        **kwargs: Unpack[PlainArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.weight = check_number(weight, "weight")
        self.num_classes = check_whole_number(num_classes, "num_classes", minimum=0)
        self.radius, self.spread = check_number(radius, "radius"), check_number(spread, "spread")
        if self.num_classes and (self.latent_dim < 2 or not self.spread):
            raise UserError(
                f"A mixture of one Gaussian a class needs two latent dimensions or more, and a spread above 0. Given: "
                f"latent_dim={self.latent_dim}, spread={spread!r}."
            )
        self.conditional = self.num_classes > 0
        self.specs["critic"] = {"name": "mlp", "hidden": (400, 400)} if critic is None else critic
        size = self.latent_dim + (self.num_classes + 1 if self.conditional else 0)
        self.critic = self.make_network("critic", self.specs["critic"], {"mlp": MLP}, (size,), (1,))

    def prior(self, condition: Condition | None = None, training: bool = False) -> tfd.Distribution:
        """p(z): N(0, I), or the mixture of all classes' Gaussians; for labels, each example's own, the mixture for -1.

        Batch shape `()`, or `(batch,)` for labels; event shape `(latent_dim,)`.
        """
        if not self.conditional:
            return super().prior()
        angles = 2 * np.pi * np.arange(self.num_classes) / self.num_classes
        circle = self.radius * np.stack([np.cos(angles), np.sin(angles)], axis=-1)
        means = ops.convert_to_tensor(np.pad(circle, ((0, 0), (0, self.latent_dim - 2))), self.float_dtype)
        shares = ops.ones((self.num_classes,), self.float_dtype)
        if condition is not None:
            rows = conditions.one_hot(condition, self.num_classes, self.float_dtype)
            shares = rows + ops.cast(ops.sum(rows, axis=-1, keepdims=True) == 0, self.float_dtype)
        components = tfd.Independent(tfd.Normal(means, self.spread * ops.ones_like(means)), 1)
        return tfd.MixtureSameFamily(tfd.Categorical(logits=ops.log(shares)), components)

    def condition_of(self, batch: Batch) -> Any:
        missing = ops.full((ops.shape(batch["x"])[0],), -1, "int32")
        return batch.get("y", missing) if self.conditional else None

    def terms(self, batch: Batch, training: bool) -> Terms:
        terms, labels = super().terms(batch, training), self.condition_of(batch)
        z = terms.cache["z"]
        prior = self.prior(labels)
        prior_samples = self.draws.sample(prior, examples=None if prior.batch_shape.rank else ops.shape(z)[0])
        fooling = ops.softplus(-self._logit(z, labels, training))
        cache = {
            **terms.cache,
            "codes": self._logit(ops.stop_gradient(z), labels, training),
            "prior_samples": self._logit(prior_samples, labels, training),
        }
        return terms._replace(penalty=self.weight * fooling, logs={"fooling": fooling}, cache=cache)

    def players(self) -> list[Player]:
        return self.players_with("critic", self.critic, self._critic_loss)

    def check_training_data(self, labelled: bool, batch_size: int) -> None:
        if self.conditional:
            conditions.warn_unlabelled(type(self).__name__, labelled)

    def check_condition(self, condition: ConditionLike, count: int) -> dict[str, np.ndarray]:
        """Labels `(count,)`, -1 where there are none; empty without num_classes.

        Raises:
          UserError: labels that do not fit, or for a model without num_classes.
        """
        if not self.conditional:
            return super().check_condition(condition, count)
        return {"condition": conditions.labels_or_none(condition, self.num_classes, count)}

    def _logit(self, z: Tensor, labels: Tensor, training: bool) -> Tensor:
        if self.conditional:  # -1, unlabelled, is class 0 here
            rows = conditions.one_hot(labels + 1, self.num_classes + 1, self.float_dtype)
            z = ops.concatenate([z, rows], axis=-1)
        return self.apply_network(self.critic, z, training)[:, 0]

    def _critic_loss(self, terms: Terms) -> Tensor:
        """Cross-entropy: the prior's draws are class 1, codes class 0, which carry no gradient to the encoder."""
        return divergences.cross_entropy(terms.cache["prior_samples"], terms.cache["codes"])

    def get_config(self) -> dict[str, Any]:
        arguments = {name: getattr(self, name) for name in ("weight", "num_classes", "radius", "spread")}
        return {**super().get_config(), **arguments}
