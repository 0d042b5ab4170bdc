"""VAE with integer codes: residual vector quantisation."""

import functools
import operator
from collections.abc import Mapping, Sequence
from typing import Any, Unpack

import keras
from keras import ops

from keras_vae import checks
from keras_vae.core import Batch, Terms
from keras_vae.distributions import quantizers
from keras_vae.models.codebook_vae import CodebookVAE, over_replicas
from keras_vae.models.parts.arguments import ImageArguments
from keras_vae.types import Condition, Latent, Tensor


@keras.saving.register_keras_serializable(package="keras_vae")
class ResidualVQVAE(CodebookVAE):
    """Each vector z_e of the encoder becomes a sum of entries, e_1 + ... + e_D: maximises log p(x|sum) - penalty.

    Algorithm 1 of Zeghidour et al. 2021 (SoundStream), https://arxiv.org/abs/2107.03312: e_1 is the nearest entry of
    the first codebook, e_2 that of the second one to what is left, z_e - e_1, and so on, so a code of D log(K) nats
    needs D K entries, not `K**D`. The penalty is `commitment * |z_e - sg(e_1 + ... + e_d)|**2`, summed over d: equation
    8 of Lee et al. 2022 (RQ-VAE), https://arxiv.org/abs/2203.01941; and the codebooks' own as in `VQVAE`, which depth 1
    is. With the uniform prior the KL is the constant positions * D * log(entries), nats.

    A code is an int32 array `(batch, *code_shape, depth)`, coarse to fine. Logs `perplexity`, how many entries are in
    use over an epoch, the mean over codebooks; `commitment`, the sum of `|.|**2` above.

    Args:
      code_shape: the positions of a code, `(7, 7)` or `(16,)`.
      depth: D, the number of codebooks.
      entries: K, the size of each.
      embedding_dim: the size of each entry.
      codebook, commitment, decay, restart_below: as `VQVAE`, for each codebook.
      **kwargs: as `VAE`, but for latent_dim, beta and free_bits.
    """

    metric_names = ("perplexity", "commitment")

    def __init__(
        self,
        code_shape: Sequence[int] = (7, 7),
        depth: int = 4,
        entries: int = 256,
        embedding_dim: int = 64,
        codebook: str = "ema",
        commitment: float = 0.25,
        decay: float = 0.99,
        restart_below: float = 0.01,
        **kwargs: Unpack[ImageArguments],
    ) -> None:
        self.depth = checks.check_whole_number(depth, "depth")
        super().__init__(
            code_shape=code_shape,
            entries=entries,
            embedding_dim=embedding_dim,
            codebook=codebook,
            commitment=commitment,
            decay=decay,
            restart_below=restart_below,
            depth=self.depth,
            **kwargs,
        )

    def quantised(self, outputs: Tensor) -> list[tuple[Any, Any, Any]]:
        """For each codebook: the residual before it, `(..., embedding_dim)`; its code, `(...)`; and the entry."""
        levels, residual = [], outputs
        for entries in self._entries():
            code = quantizers.nearest(residual, entries)
            vector = ops.take(entries, code, axis=0)
            levels.append((residual, code, vector))
            residual = residual - ops.stop_gradient(vector)
        return levels

    def posterior_parameters(
        self, x: Tensor, condition: Condition | None = None, training: bool = False
    ) -> dict[str, Tensor]:
        """`codes`, int32 `(batch, *code_shape, depth)`."""
        levels = self.quantised(self.apply_network(self.encoder, x, training))
        return {"codes": ops.stack([code for _, code, _ in levels], axis=-1)}

    def vectors(self, code: Latent) -> Tensor:
        indices = ops.convert_to_tensor(code)
        if not indices.dtype.is_integer:
            return indices
        parts = [ops.take(entries, indices[..., level], axis=0) for level, entries in enumerate(self._entries())]
        return functools.reduce(operator.add, parts)

    def terms(self, batch: Batch, training: bool) -> Terms:
        outputs = self.apply_network(self.encoder, batch["x"], training)
        levels = self.quantised(outputs)
        through = quantizers.straight_through(
            outputs, functools.reduce(operator.add, [vector for _, _, vector in levels])
        )
        log_px = self.likelihood(through, training=training).log_prob(batch["x"])
        penalty, distance = self.penalty([(residual, vector) for residual, _, vector in levels])
        codes = ops.stack([code for _, code, _ in levels], axis=-1)
        uses = ops.stack([quantizers.uses_of(code, self.entries) for _, code, _ in levels], axis=1)
        return Terms(
            log_px,
            self.constant_kl(codes),
            penalty,
            {"perplexity": uses, "commitment": distance},
            {"levels": [self.choices(residual, code) for residual, code, _ in levels]},
        )

    def statistics(self, cache: Mapping[str, Any]) -> list[Tensor]:
        """As `CodebookVAE.statistics`, with an axis of codebooks, each of the residuals before it."""
        steps = [over_replicas(**level, entries=self.entries) for level in cache["levels"]]
        return [ops.stack(parts) for parts in zip(*steps, strict=True)]

    def make_metric(self, name: str) -> Any:
        return quantizers.Perplexity((self.depth, self.entries)) if name == "perplexity" else super().make_metric(name)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "depth": self.depth}

    def _entries(self) -> list[Any]:
        return ops.unstack(ops.cast(self.codebook, self.float_dtype))
