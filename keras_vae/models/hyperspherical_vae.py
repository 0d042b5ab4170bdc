"""VAE with codes on a sphere."""

from types import MappingProxyType
from typing import Any, Unpack

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from keras_vae import checks
from keras_vae.backend import tfd
from keras_vae.core import VAE
from keras_vae.distributions.spherical import PowerSpherical
from keras_vae.errors import UserError
from keras_vae.models.parts.arguments import LevelArguments
from keras_vae.types import Condition, Spec, Tensor


@keras.saving.register_keras_serializable(package="keras_vae")
class HypersphericalVAE(VAE):
    """A VAE with codes on the unit sphere in `latent_dim` dimensions and a uniform prior, so no centre draws them.

    The posterior is power-spherical, q(z|x) proportional to `(1 + mean . z)**concentration`: equation 5 of De Cao
    and Aziz 2020, https://arxiv.org/abs/2006.04437, which is near the von Mises-Fisher of Davidson et al. 2018
    (https://arxiv.org/abs/1804.00891) and sampled without rejection. Its KL to the uniform prior, log of the sphere's
    area minus the entropy, is in closed form: one number an example, `(batch, 1)`, nats.

    `mean`, which `encode` returns and `decode` takes, is the mean direction, `(batch, latent_dim)`, of length 1;
    `concentration`, `(batch, 1)`, is above 0.

    Args:
      latent_dim: of the space that holds the sphere, 2 or more: 2 is a circle. Use fewer than some 20: on spheres of
        many dimensions the uniform prior leaves little room for a code to differ.
      maximum_concentration: what the concentration stays below, at most 100,000.
      **kwargs: as `VAE`.
    """

    rejects = MappingProxyType(
        {"active_dims": "A direction has all of its dimensions. ", "latent_shape": "A direction has one axis. "}
    )
    has_sampler = False
    kl_axis = "total"

    def __init__(
        self, latent_dim: int = 10, maximum_concentration: float = 10_000.0, **kwargs: Unpack[LevelArguments]
    ) -> None:
        if not checks.is_number(maximum_concentration) or not 1 <= maximum_concentration <= 1e5:
            raise UserError(f"maximum_concentration is a number from 1 to 100000. Given: {maximum_concentration!r}.")
        self.maximum_concentration = float(maximum_concentration)
        super().__init__(latent_dim=latent_dim, **kwargs)
        if self.latent_dim < 2:
            raise UserError(f"A sphere lies in 2 dimensions or more. Given: latent_dim={latent_dim!r}.")

    def network_shapes(self) -> dict[str, tuple[tuple[int, ...], tuple[int, ...]]]:
        shapes = super().network_shapes()
        return {**shapes, "encoder": (shapes["encoder"][0], (self.latent_dim + 1,))}

    def posterior_parameters(
        self, x: Tensor, condition: Condition | None = None, training: bool = False
    ) -> dict[str, Tensor]:
        """`mean`, a direction of length 1, `(batch, latent_dim)`, and `concentration`, `(batch, 1)`."""
        outputs = self.apply_network(self.encoder, x, training)
        # Outputs of all zeros have no direction: they get the first axis.
        first = ops.one_hot(0, self.latent_dim, dtype=outputs.dtype)
        vector = outputs[:, :-1] + 1e-6 * first
        length = ops.sqrt(ops.sum(ops.square(vector), axis=-1, keepdims=True))
        raw, limit = ops.softplus(outputs[:, -1:]) + 1e-3, self.maximum_concentration
        return {"mean": vector / length, "concentration": raw * limit / (raw + limit)}

    def posterior(self, x: Tensor, condition: Condition | None = None, training: bool = False) -> tfd.Distribution:
        """q(z|x), power-spherical; batch shape `(batch,)`, event shape `(latent_dim,)`."""
        parameters = self.posterior_parameters(x, condition, training)
        return PowerSpherical(parameters["mean"], parameters["concentration"][:, 0])

    def prior(self, condition: Condition | None = None, training: bool = False) -> tfd.Distribution:
        """p(z), uniform on the sphere; batch shape `()`, event shape `(latent_dim,)`."""
        return tfd.SphericalUniform(self.latent_dim, dtype=self.float_dtype)

    def latent_spec(self) -> dict[str, Spec]:
        return {"z": Spec((self.latent_dim,), "float32", "direction")}

    def check_latent(self, z: ArrayLike) -> np.ndarray:
        """As `VAE.check_latent`: directions of length 1.

        Raises:
          UserError: as `VAE.check_latent`, or a length that differs from 1 by more than 0.01.
        """
        return checks.check_directions(z, (self.latent_dim,), dtype=self.float_dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "maximum_concentration": self.maximum_concentration}
