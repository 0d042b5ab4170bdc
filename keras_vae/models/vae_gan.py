"""VAE/GAN: a VAE that reconstructs the features that a critic has of an image."""

from types import MappingProxyType
from typing import Any, Unpack

import keras
from keras import ops

from keras_vae import divergences
from keras_vae.backend import tfd
from keras_vae.checks import check_number, check_whole_number
from keras_vae.core import VAE, Batch, Player, Terms
from keras_vae.errors import UserError
from keras_vae.models.parts.arguments import WholeArguments
from keras_vae.networks import ENCODERS, MLP, NetworkSpec
from keras_vae.types import Tensor


@keras.saving.register_keras_serializable(package="keras_vae")
class VAEGAN(VAE):
    """A VAE whose reconstruction is measured in a critic's features, and whose decoder fools that critic.

    Larsen et al. 2016, https://arxiv.org/abs/1512.09300. A critic is a body, from an image x to its features f(x), and
    a head, from these to a logit D. With x' the mean image of z from q(z|x), and x'' that of z from the prior:

    * llike = -log N(f(x) | f(x'), I), summed over features: equations 7 and 8.
    * gan = -log D(x) - log(1 - D(x')) - log(1 - D(x'')), the critic's cross-entropy: section 2.4.

    Algorithm 1: the encoder minimises beta * KL + llike, the decoder gamma * llike - gan, and the critic gan. So gan
    does not reach the encoder, nor llike the critic, to which it would say that all features should be equal.

    The logged `elbo` and `log_px` are those of the pixels' own likelihood, which nobody maximises; `feature_log_px` is
    -llike. The critic reads mean images, so a likelihood with parameters other than its mean is refused. Grey levels
    and `{"name": "gaussian", "scale": ...}` suit it: binary images differ from mean ones in that alone.

    Players: `"encoder"`, `"decoder"` and `"critic"`.

    Args:
      gamma: the weight of the features against fooling the critic, for the decoder.
      features: the number of outputs of the critic's body.
      critic: the discriminator's body: `"mlp"`, `"conv"`, a mapping of `name` and arguments, or a Keras layer from
        images to `features` numbers.
      head: a mapping of `name` and arguments, or a Keras layer from `features` numbers to 1; linear by default.
      **kwargs: as `VAE`.

    Raises:
      UserError: an argument that does not fit.
    """

    rejects = MappingProxyType({"missing": "Its critic reads the whole of x. "})
    metric_names = ("feature_log_px",)
    batch_statistic = "a critic that compares the images of a batch with what is decoded"

    def __init__(
        self,
        gamma: float = 0.01,
        features: int = 128,
        critic: NetworkSpec = "mlp",
        head: NetworkSpec | None = None,
        **kwargs: Unpack[WholeArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.gamma = check_number(gamma, "gamma")
        self.features = check_whole_number(features, "features")
        family = self.likelihood_family
        if family.channels_per_pixel != 1 or family.trainable_variables or family.columns:
            raise UserError(
                f"The decoder of a VAEGAN learns by its mean image alone, so its likelihood has no other parameter. "
                f"Given: {self.specs['likelihood']!r}. Use 'bernoulli' or {{'name': 'gaussian', 'scale': 1.0}}; "
                f"of numbers that are no pixels, {{'name': 'normal', 'scale': 1.0}}."
            )
        if not family.tells_total:
            raise UserError(
                f"The critic of a VAEGAN compares x with means, which say how many are counted. Given: "
                f"{self.specs['likelihood']!r}, which takes the total of x. Use {{'name': 'poisson'}}."
            )
        self.specs |= {"critic": critic, "head": {"name": "mlp", "hidden": ()} if head is None else head}
        self.critic = self.make_network("critic", critic, ENCODERS, self.x_shape, (self.features,))
        self.head = self.make_network("head", self.specs["head"], {"mlp": MLP}, (self.features,), (1,))

    def terms(self, batch: Batch, training: bool) -> Terms:
        x = batch["x"]
        posterior, prior = self.posterior_and_prior(x, training=training)
        z = self.draws.sample(posterior)
        prior_samples = self.draws.sample(prior, examples=ops.shape(z)[0])
        # One pass of each network over all its inputs, for all players.
        parameters = self.likelihood_parameters(ops.concatenate([z, prior_samples]), training=training)
        posterior_params = {name: ops.split(value, 2)[0] for name, value in parameters.items()}
        log_px = self.likelihood_family.distribution(posterior_params).log_prob(x)
        critic_inputs = self.likelihood_family.standardized(ops.concatenate([x, parameters["mean"]]))
        features = self.apply_network(self.critic, critic_inputs, training)
        logits = self.apply_network(self.head, features, training)[:, 0]
        target, reconstructed, _ = ops.split(features, 3)
        unit = tfd.Independent(tfd.Normal(reconstructed, ops.ones_like(reconstructed)), 1)
        feature_log_px = unit.log_prob(target)
        cache = {"z": z, "posterior": posterior, "logits": logits}
        return Terms(log_px, divergences.kl(posterior, prior), logs={"feature_log_px": feature_log_px}, cache=cache)

    def objective(self, terms: Terms) -> Tensor:
        """The encoder's loss: mean over the batch of llike + beta(step) * kl, with free bits."""
        return super().objective(terms._replace(log_px=terms.logs["feature_log_px"]))

    def players(self) -> list[Player]:
        encoder = self.encoder.trainable_variables
        critic = self.critic.trainable_variables + self.head.trainable_variables
        return [
            Player("encoder", self.objective, encoder),
            Player(
                "decoder",
                lambda terms: self._decoder_loss(terms),
                self.variables_except(self.encoder, self.critic, self.head),
            ),
            Player("critic", lambda terms: _critic_loss(terms.cache["logits"]), critic),
        ]

    def _decoder_loss(self, terms: Terms) -> Tensor:
        return -self.gamma * ops.mean(terms.logs["feature_log_px"]) - _critic_loss(terms.cache["logits"])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "gamma": self.gamma, "features": self.features}


def _critic_loss(logits: Tensor) -> Tensor:
    """gan, the mean over the batch, of logits for real images, then reconstructions, then prior draws."""
    real, reconstructed, sampled = ops.split(logits, 3)
    return divergences.cross_entropy(real, reconstructed) + ops.mean(ops.softplus(sampled))
