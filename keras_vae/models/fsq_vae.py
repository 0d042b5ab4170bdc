"""VAE with integer codes and no codebook: finite scalar quantisation."""

from collections.abc import Sequence
from typing import Any, Unpack

import keras
import numpy as np
from keras import ops

from keras_vae import checks
from keras_vae.core import Batch, Terms
from keras_vae.distributions import quantizers
from keras_vae.errors import UserError
from keras_vae.models.discrete_vae import DiscreteVAE
from keras_vae.models.parts.arguments import ImageArguments
from keras_vae.types import Condition, Latent, Tensor

_MOST = 2**16


@keras.saving.register_keras_serializable(package="keras_vae")
class FSQVAE(DiscreteVAE):
    """Each number of the encoder is bounded and rounded to one of a few levels; maximises log p(x|rounded).

    Mentzer et al. 2024, https://arxiv.org/abs/2309.15505, section 3 and appendix A.1: nothing is learned beside the two
    networks, the decoder's gradient goes straight through the rounding, and there is no penalty. The vector at a
    position is one of prod(levels) points, and the code its number. With the uniform prior the KL is the constant
    positions * log(prod(levels)), nats, so the logged elbo is a bound of log p(x).

    A code is an int32 array `(batch, *code_shape)`. Logs `perplexity`, how many points are in use over an epoch.

    Args:
      code_shape: the positions of a code, `(7, 7)` or `(16,)`.
      levels: of each number, 2 or more; the paper advises 5 or more, such as (8, 5, 5, 5) for 1000 points.
      **kwargs: as `VAE`, but for latent_dim, beta and free_bits.
    """

    metric_names = ("perplexity",)

    def __init__(
        self, code_shape: Sequence[int] = (7, 7), levels: Sequence[int] = (8, 5, 5, 5), **kwargs: Unpack[ImageArguments]
    ) -> None:
        self.levels = tuple(checks.check_whole_number(count, "a count in levels", minimum=2) for count in levels)
        if not self.levels or np.prod(self.levels, dtype="float64") > _MOST:
            raise UserError(f"FSQ needs levels whose product is from 2 to {_MOST}. Given: levels={levels!r}.")
        super().__init__(code_shape=code_shape, entries=int(np.prod(self.levels)), size=len(self.levels), **kwargs)

    def posterior_parameters(
        self, x: Tensor, condition: Condition | None = None, training: bool = False
    ) -> dict[str, Tensor]:
        """`codes`, int32 `(batch, *code_shape)`."""
        points = quantizers.finite_levels(self.apply_network(self.encoder, x, training), self.levels)
        return {"codes": quantizers.finite_index(ops.round(points), self.levels)}

    def likelihood_parameters(
        self, z: Latent, condition: Condition | None = None, training: bool = False
    ) -> dict[str, Tensor]:
        """Of codes, or of points `(batch, *code_shape, len(levels))`; the decoder reads points scaled to [-1, 1]."""
        scale = ops.convert_to_tensor([1.0 / (count // 2) for count in self.levels], self.float_dtype)
        return super().likelihood_parameters(self.vectors(z) * scale, condition, training)

    def vectors(self, code: Latent) -> Tensor:
        indices = ops.convert_to_tensor(code)
        if not indices.dtype.is_integer:
            return indices
        return ops.take(ops.convert_to_tensor(quantizers.finite_table(self.levels), self.float_dtype), indices, axis=0)

    def terms(self, batch: Batch, training: bool) -> Terms:
        points = quantizers.finite_levels(self.apply_network(self.encoder, batch["x"], training), self.levels)
        log_px = self.likelihood(points, training=training).log_prob(batch["x"])
        codes = quantizers.finite_index(ops.round(points), self.levels)
        logs = {"perplexity": quantizers.uses_of(codes, self.entries)}
        return Terms(log_px, self.constant_kl(codes), logs=logs)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "code_shape": self.code_shape, "levels": self.levels}
