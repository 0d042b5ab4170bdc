"""VAE with integer codes: residual vector quantisation."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_vae import checks
from keras_vae.core import VAE, Batch, Terms
from keras_vae.distributions import quantizers
from keras_vae.models.parts import codebooks, discrete


@keras.saving.register_keras_serializable(package="keras_vae")
class ResidualVQVAE(VAE):
    """Each vector z_e of the encoder becomes a sum of entries, e_1 + ... + e_D: maximises log p(x|sum) - penalty.

    Algorithm 1 of Zeghidour et al. 2021 (SoundStream), https://arxiv.org/abs/2107.03312: e_1 is the nearest entry of
    the first codebook, e_2 that of the second one to what is left, z_e - e_1, and so on, so a code of D log(K) nats
    needs D K entries, not K**D. The penalty is commitment * |z_e - sg(e_1 + ... + e_d)|**2, summed over d: equation 8
    of Lee et al. 2022 (RQ-VAE), https://arxiv.org/abs/2203.01941; and the codebooks' own as in `VQVAE`, which depth 1
    is. With the uniform prior the KL is the constant positions * D * log(entries), nats.

    A code is an int32 array `(batch, *code_shape, depth)`, coarse to fine. Logs `perplexity`, how many entries are in
    use over an epoch, the mean over codebooks; `commitment`, the sum of |.|**2 above.

    Args:
      code_shape: the positions of a code, `(7, 7)` or `(16,)`.
      depth: D, the number of codebooks.
      entries: K, the size of each.
      embedding_dim: the size of each entry.
      codebook, commitment, decay, restart_below: as `VQVAE`, for each codebook.
      **kwargs: as `VAE`, but for latent_dim, beta and free_bits.
    """

    analytic_kl = False
    log_names = ("perplexity", "commitment")
    network_shapes = discrete.network_shapes
    posterior = discrete.posterior
    prior = discrete.prior
    code = discrete.code
    code_spec = discrete.code_spec
    check_code = discrete.check_code

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
        **kwargs: Any,
    ) -> None:
        self.code_shape = codebooks.take_arguments(
            self, code_shape, entries, embedding_dim, codebook, commitment, decay, restart_below
        )
        self.depth = checks.check_whole_number(depth, "depth")
        self.index_shape = (*self.code_shape, self.depth)
        super().__init__(latent_dim=self.embedding_dim, **kwargs)
        self.refuse("beta", "free_bits")
        self.codebooks = codebooks.add(self, "codebooks", (self.depth,))

    def quantised(self, outputs: Any) -> list[tuple[Any, Any, Any]]:
        """For each codebook: what was left before it, `(..., embedding_dim)`; its code, `(...)`; and the entry."""
        levels, left = [], outputs
        for entries in self._entries():
            code = quantizers.nearest(left, entries)
            vector = ops.take(entries, code, axis=0)
            levels.append((left, code, vector))
            left = left - ops.stop_gradient(vector)
        return levels

    def posterior_parameters(self, x: Any, condition: Any = None, training: bool = False) -> dict[str, Any]:
        """`codes`, int32 `(batch, *code_shape, depth)`."""
        levels = self.quantised(self.run(self.encoder, x, training))
        return {"codes": ops.stack([code for _, code, _ in levels], axis=-1)}

    def likelihood_parameters(self, z: Any, condition: Any = None, training: bool = False) -> dict[str, Any]:
        """Of codes, or of vectors `(batch, *code_shape, embedding_dim)`."""
        return super().likelihood_parameters(self.vectors(z), condition, training)

    def vectors(self, code: Any) -> Any:
        code = ops.convert_to_tensor(code)
        if not code.dtype.is_integer:
            return code
        return sum(ops.take(entries, code[..., level], axis=0) for level, entries in enumerate(self._entries()))

    def terms(self, batch: Batch, training: bool) -> Terms:
        outputs = self.run(self.encoder, batch["x"], training)
        levels = self.quantised(outputs)
        through = quantizers.straight_through(outputs, sum(vector for _, _, vector in levels))
        log_px = self.likelihood(through, training=training).log_prob(batch["x"])
        distance = sum(quantizers.squared_length(left - ops.stop_gradient(vector)) for left, _, vector in levels)
        penalty = self.commitment * distance
        if self.codebook_kind == "gradient":
            penalty += sum(quantizers.squared_length(ops.stop_gradient(left) - vector) for left, _, vector in levels)
        uses = ops.stack([quantizers.uses_of(code, self.entries) for _, code, _ in levels], axis=1)
        found = []
        for left, code, _ in levels:
            flat = ops.reshape(left, (-1, self.embedding_dim))
            candidates = codebooks.rows_of(flat, self.entries, self.draws.next())
            found.append({"codes": ops.reshape(code, (-1,)), "outputs": flat, "candidates": candidates})
        return Terms(
            log_px,
            discrete.kl(self, log_px),
            penalty,
            {"perplexity": uses, "commitment": distance},
            {"levels": found},
        )

    def after_step(self, terms: Terms) -> None:
        """Each codebook's moving averages and new places, as in `VQVAE`, of what was left before it."""
        found = [codebooks.over_replicas(**level, entries=self.entries) for level in terms.cache["levels"]]
        codebooks.move(self, self.codebooks, [ops.stack(each) for each in zip(*found, strict=True)])

    def make_metric(self, name: str) -> Any:
        return quantizers.Perplexity((self.depth, self.entries)) if name == "perplexity" else super().make_metric(name)

    def get_config(self) -> dict[str, Any]:
        own = ("code_shape", "depth", *codebooks.ARGUMENTS)
        inherited = {name: value for name, value in super().get_config().items() if name != "latent_dim"}
        own_values = {name: getattr(self, name) for name in own}
        return {**inherited, **own_values, "codebook": self.codebook_kind}

    def _entries(self) -> list[Any]:
        return ops.unstack(ops.cast(self.codebooks, self.float_dtype))
