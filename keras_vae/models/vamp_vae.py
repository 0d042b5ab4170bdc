"""VAE with a VampPrior."""

from typing import Any, Unpack

import keras
from keras import ops

from keras_vae.backend import tfd
from keras_vae.checks import check_whole_number
from keras_vae.core import VAE
from keras_vae.distributions.mixture import GaussianMixture
from keras_vae.models.parts.arguments import VAEArguments
from keras_vae.models.parts.pseudo_inputs import initial_pseudo_inputs, pseudo_inputs_of
from keras_vae.types import Condition, Tensor


@keras.saving.register_keras_serializable(package="keras_vae")
class VampVAE(VAE):
    """A VAE whose prior is the mixture of its posteriors at learned pseudo-inputs u_k: (1/K) sum_k q(z|u_k).

    Equation 9 of Tomczak and Welling 2018, https://arxiv.org/abs/1705.07120. The pseudo-inputs are images in [0, 1], a
    sigmoid of what is learned; or numbers in the units of x, of what is learned standardised. The KL has no closed
    form: it is log q(z|x) - log p(z) at the sample, nats, `(batch, 1)`.

    Args:
      pseudo_inputs: K, the number of components.
      **kwargs: as `VAE`.
    """

    analytic_kl = False
    kl_axis = "total"

    def __init__(self, pseudo_inputs: int = 500, **kwargs: Unpack[VAEArguments]) -> None:
        super().__init__(**kwargs)
        self.pseudo_inputs = check_whole_number(pseudo_inputs, "pseudo_inputs")
        start = initial_pseudo_inputs(self.pseudo_inputs, self.likelihood_family, self.x_shape, self.seed)
        self.raw_pseudo_inputs = self.add_weight(shape=start.shape, initializer="zeros", name="pseudo_inputs")
        self.raw_pseudo_inputs.assign(start)

    def prior(self, condition: Condition | None = None, training: bool = False) -> tfd.Distribution:
        """The mixture of the posteriors at the pseudo-inputs; batch shape `()`, event shape `(latent_dim,)`."""
        components = self.posterior(pseudo_inputs_of(self, self.raw_pseudo_inputs), condition, training)
        return GaussianMixture(components, self.pseudo_inputs)

    def posterior_and_prior(
        self, x: Tensor, condition: Condition | None = None, training: bool = False
    ) -> tuple[Any, Any]:
        """Both of one pass of the encoder: BatchNorm normalises images and pseudo-inputs together."""
        both = self.posterior(ops.concatenate([pseudo_inputs_of(self, self.raw_pseudo_inputs), x]), condition, training)
        return both[self.pseudo_inputs :], GaussianMixture(both[: self.pseudo_inputs], self.pseudo_inputs)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "pseudo_inputs": self.pseudo_inputs}
