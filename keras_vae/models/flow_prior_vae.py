"""VAE with a normalising flow as its prior."""

from collections.abc import Sequence
from typing import Any, Unpack

import keras

from keras_vae import randomness
from keras_vae.backend import tfb, tfd
from keras_vae.checks import check_whole_number
from keras_vae.core import VAE
from keras_vae.distributions import flows
from keras_vae.errors import UserError
from keras_vae.models.parts.arguments import VAEArguments
from keras_vae.networks.masked import MaskedNetwork
from keras_vae.types import Condition

FLOW = "realnvp"


@keras.saving.register_keras_serializable(package="keras_vae")
class FlowPriorVAE(VAE):
    """A VAE whose prior is a flow trained with it: log p(z) = log N(f(z); 0, I) + log abs det df/dz.

    f is a chain of affine coupling layers, equations 3, 7 and 8 of Dinh et al. 2017, https://arxiv.org/abs/1605.08803.
    `keras_vae.priors.FlowPrior` is the same density, fitted to the codes of a finished model. The KL has no closed
    form: it is log q(z|x) - log p(z) at the draw, `(batch, 1)`, nats. Depth 0 is `VAE` with a sampled KL.

    Args:
      depth: the number of layers.
      flow_hidden: the sizes of the hidden layers of each layer's network.
      **kwargs: as `VAE`.
    """

    analytic_kl = False

    def __init__(self, depth: int = 6, flow_hidden: Sequence[int] = (128, 128), **kwargs: Unpack[VAEArguments]) -> None:
        self.depth = check_whole_number(depth, "depth", minimum=0)
        self.flow_hidden = tuple(check_whole_number(size, "a size in flow_hidden") for size in flow_hidden)
        if not self.flow_hidden:
            raise UserError("flow_hidden needs the size of one hidden layer or more. Given: none.")
        self.kl_axis = "total" if self.depth else "dimension"
        super().__init__(**kwargs)
        degrees = [flows.masked_degrees(FLOW, self.latent_dim, layer) for layer in range(self.depth)]
        with randomness.initial_weights(self.seed, "flow prior"):
            # In float32 under every policy: a change of variables must be exact.
            self.flow_networks = [
                MaskedNetwork(of_layer, 2, hidden=self.flow_hidden, dtype=self.float_dtype) for of_layer in degrees
            ]

    def prior(self, condition: Condition | None = None, training: bool = False) -> tfd.Distribution:
        """p(z): batch shape `()`, event shape `(latent_dim,)`."""
        noise = super().prior(condition, training)
        if not self.depth:
            return noise
        maps = [
            flows.masked_map(FLOW, network, self.latent_dim, layer, noise.dtype)
            for layer, network in enumerate(self.flow_networks)
        ]
        return tfd.TransformedDistribution(noise, tfb.Invert(tfb.Chain(maps[::-1])))  # a Chain applies its last first

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "depth": self.depth, "flow_hidden": self.flow_hidden}
