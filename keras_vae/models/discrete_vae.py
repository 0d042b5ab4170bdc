"""Abstract base of the models with a code of integers."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Self, Unpack

import keras
import numpy as np

from keras_vae import checks
from keras_vae.backend import tfd
from keras_vae.core import VAE
from keras_vae.distributions import quantizers
from keras_vae.errors import UserError
from keras_vae.models.parts.arguments import ImageArguments
from keras_vae.types import Condition, Spec, Tensor


class DiscreteVAE(VAE):
    """Abstract: a code of integers at each of several positions, under a uniform prior.

    A variant defines `terms`, and `posterior_parameters`, which returns `codes`, int32 `(batch, *index_shape)`.

    Args:
      code_shape: the positions of a code.
      entries: the number of vectors that an integer chooses from.
      size: of each of these vectors; it is the model's `latent_dim`.
      depth: integers at each position, if there are several: the last axis of `index_shape`.
      **kwargs: as `VAE`.
    """

    analytic_kl = False
    has_sampler = False
    rejects = MappingProxyType(
        {
            "latent_dim": "The latent is an array of integers, of shape code_shape. ",
            "latent_shape": "The latent is an array of integers, of shape code_shape. ",
            "active_dims": "The latent is an array of integers. ",
            "beta": "Its KL is a constant. ",
            "free_bits": "Its KL is a constant. ",
        }
    )

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Refuse a class without terms, which has no equation, before its constructor asks for arguments.

        Raises:
          UserError: an abstract base.
        """
        if cls.terms is VAE.terms:
            raise UserError(
                f"{cls.__name__} is an abstract base, which variants derive from. Use VQVAE, ResidualVQVAE or FSQVAE, "
                f"or define terms and posterior_parameters in a class of yours."
            )
        return super().__new__(cls, *args, **kwargs)

    def __init__(
        self,
        code_shape: Sequence[int],
        entries: int,
        size: int,
        depth: int | None = None,
        **kwargs: Unpack[ImageArguments],
    ) -> None:
        self.code_shape = tuple(checks.check_whole_number(length, "a size in code_shape") for length in code_shape)
        if not self.code_shape:
            raise UserError(f"code_shape has one axis or more, as (7, 7) or (16,). Given: {code_shape!r}.")
        self.entries = entries
        self.index_shape = self.code_shape if depth is None else (*self.code_shape, depth)
        super().__init__(latent_dim=size, **kwargs)

    def network_shapes(self) -> dict[str, tuple[Any, ...]]:
        """As `VAE.network_shapes`: the networks meet at one vector for each position."""
        shapes, vectors = super().network_shapes(), (*self.code_shape, self.latent_dim)
        return {"encoder": (shapes["encoder"][0], vectors), "decoder": (vectors, shapes["decoder"][1])}

    def posterior(self, x: Tensor, condition: Condition | None = None, training: bool = False) -> tfd.Distribution:
        """All mass on the codes of x; event shape `index_shape`."""
        return quantizers.certain(self.posterior_parameters(x, condition, training)["codes"], self.float_dtype)

    def prior(self, condition: Condition | None = None, training: bool = False) -> tfd.Distribution:
        """p(z), uniform over all codes; batch shape `()`, event shape `index_shape`."""
        return quantizers.uniform(self.index_shape, self.entries, self.float_dtype)

    def constant_kl(self, codes: Tensor) -> Tensor:
        """The KL of certain codes from the uniform prior: positions * log(entries) nats, as `(batch, 1)`.

        Args:
          codes: int32 `(batch, *index_shape)`.
        """
        return tfd.kl_divergence(quantizers.certain(codes, self.float_dtype), self.prior())[:, None]

    def make_metric(self, name: str) -> keras.metrics.Metric:
        """As `VAE.make_metric`; `perplexity` is that of all codes of an epoch, from `uses_of` each batch."""
        return quantizers.Perplexity((self.entries,)) if name == "perplexity" else super().make_metric(name)

    def code(self, parameters: Mapping[str, Any]) -> Tensor:
        """The codes of `posterior_parameters`."""
        return parameters["codes"]

    def latent_spec(self) -> dict[str, Spec]:
        """As `VAE.latent_spec`: an index below `entries` at each position."""
        return {"codes": Spec(self.index_shape, "int32", "index", self.entries)}

    def check_latent(self, z: Tensor) -> np.ndarray:
        """As `VAE.check_latent`: int32 `(batch, *index_shape)`.

        Raises:
          UserError: not whole numbers, of another shape, or out of range.
        """
        return checks.check_indices(z, self.index_shape, self.entries)
