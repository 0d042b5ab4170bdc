"""VAE with normalising flows in the posterior."""

from collections.abc import Sequence
from typing import Any, Unpack

import keras
from keras import ops

from keras_vae import randomness
from keras_vae.backend import soft_bound, tfb, tfd
from keras_vae.checks import check_whole_number
from keras_vae.core import VAE
from keras_vae.distributions import flows
from keras_vae.errors import UserError
from keras_vae.models.parts.arguments import VAEArguments
from keras_vae.networks.masked import MaskedNetwork
from keras_vae.types import Condition, Tensor

FLOWS = ("iaf", "planar", "realnvp")


@keras.saving.register_keras_serializable(package="keras_vae")
class FlowVAE(VAE):
    """A VAE whose posterior is a Gaussian draw z_0 sent through invertible maps: z = f_K(... f_1(z_0)).

    log q(z|x) = log q(z_0|x) - sum_k log abs det df_k/dz_{k-1}: equation 13 of Rezende and Mohamed 2015,
    https://arxiv.org/abs/1505.05770. The KL has no closed form: it is log q(z|x) - log p(z) at the draw, `(batch, 1)`,
    nats. Depth 0 is `VAE` with a sampled KL.

    * `"planar"`: the encoder gives u, w and b of each layer for each image. The density is known only
      at the posterior's draws.
    * `"realnvp"`: affine coupling, the halves taking turns. * `"iaf"`: inverse autoregressive, the order reversed
      between layers. Both read a context, `latent_dim` more outputs of the encoder, and have an inverse.

    The code of an image, what `encode` returns and `decode` takes, is the flow's image of the Gaussian's mean. It is
    exported as `mean`: neither the mean nor a mode of the posterior in general, but a point where its mass lies.
    `base_mean` and `log_var` are the Gaussian's, each `(batch, latent_dim)`.

    Args:
      flow: `"iaf"`, `"planar"` or `"realnvp"`.
      depth: K, the number of maps.
      flow_hidden: the sizes of the hidden layers of each map's network; planar maps have none.
      **kwargs: as `VAE`.
    """

    analytic_kl = False
    has_sampler = False

    def __init__(
        self, flow: str = "iaf", depth: int = 4, flow_hidden: Sequence[int] = (64, 64), **kwargs: Unpack[VAEArguments]
    ) -> None:
        if flow not in FLOWS:
            raise UserError(f"flow is one of {', '.join(FLOWS)}. Given: {flow!r}.")
        self.flow, self.depth = flow, check_whole_number(depth, "depth", minimum=0)
        self.flow_hidden = tuple(check_whole_number(size, "a size in flow_hidden") for size in flow_hidden)
        if not self.flow_hidden:
            raise UserError("flow_hidden needs the size of one hidden layer or more. Given: none.")
        self.kl_axis = "total" if self.depth else "dimension"
        super().__init__(**kwargs)
        self.flow_networks, size = [], self.latent_dim
        if self.flow in flows.MASKED:
            with randomness.initial_weights(self.seed, "flow"):
                # In float32 under every policy: a change of variables must be exact.
                self.flow_networks = [
                    MaskedNetwork(
                        flows.masked_degrees(flow, size, layer), 2, size, self.flow_hidden, dtype=self.float_dtype
                    )
                    for layer in range(self.depth)
                ]

    def network_shapes(self) -> dict[str, tuple[tuple[int, ...], tuple[int, ...]]]:
        shapes = super().network_shapes()
        extra = self.depth * (2 * self.latent_dim + 1) if self.flow == "planar" else self.latent_dim
        width = 2 * self.latent_dim + (extra if self.depth else 0)
        return {**shapes, "encoder": (shapes["encoder"][0], (width,))}

    def posterior_parameters(
        self, x: Tensor, condition: Condition | None = None, training: bool = False
    ) -> dict[str, Tensor]:
        """`mean`, the code; `base_mean` and `log_var` of the Gaussian that the flow starts from."""
        mean, log_var, context = self._outputs(x, training)
        code = mean
        for bijector in self._flow(context):
            code = bijector.forward(code)
        return {"mean": code, "base_mean": mean, "log_var": log_var}

    def posterior(self, x: Tensor, condition: Condition | None = None, training: bool = False) -> tfd.Distribution:
        """q(z|x); batch shape `(batch,)`, event shape `(latent_dim,)`. Planar: `log_prob` of its draws only."""
        mean, log_var, context = self._outputs(x, training)
        base = tfd.Independent(tfd.Normal(mean, ops.exp(0.5 * log_var)), 1)
        if not self.depth:
            return base
        return tfd.TransformedDistribution(base, tfb.Chain(self._flow(context)[::-1]))  # a Chain applies its last first

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "flow": self.flow, "depth": self.depth, "flow_hidden": self.flow_hidden}

    def _outputs(self, x: Tensor, training: bool) -> tuple[Any, Any, Any]:
        outputs, size = self.apply_network(self.encoder, x, training), self.latent_dim
        log_var = soft_bound(outputs[:, size : 2 * size], -20.0, 20.0)
        return outputs[:, :size], log_var, outputs[:, 2 * size :]

    def _flow(self, context: Tensor) -> list[Any]:
        """The bijectors, first to last, from the encoder's outputs after mean and variance."""
        size = self.latent_dim
        if self.flow == "planar":
            width = 2 * size + 1
            layers = [context[:, start : start + width] for start in range(0, self.depth * width, width)]
            return [flows.Planar(layer[:, :size], layer[:, size:-1], layer[:, -1]) for layer in layers]
        return [
            flows.masked_map(self.flow, lambda z, network=network: network(z, context), size, layer, context.dtype)
            for layer, network in enumerate(self.flow_networks)
        ]
