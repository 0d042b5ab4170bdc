"""VAE with integer codes: vector quantisation."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_vae.core import VAE, Batch, Terms
from keras_vae.distributions import quantizers
from keras_vae.models.parts import codebooks, discrete


@keras.saving.register_keras_serializable(package="keras_vae")
class VQVAE(VAE):
    """Each vector z_e of the encoder becomes the nearest entry e of a codebook: maximises log p(x|e) - penalty.

    Equation 3 of van den Oord et al. 2017, https://arxiv.org/abs/1711.00937: the decoder's gradient goes straight to
    z_e; the penalty is commitment * |z_e - sg(e)|**2, and, for a codebook learned by gradients, |sg(z_e) - e|**2,
    summed over positions and dimensions. An "ema" codebook holds moving averages of the vectors that chose each entry
    (appendix A.1), free of bias from their start at zero. With the uniform prior the KL is the constant
    positions * log(entries), nats, so the logged elbo is a bound of log p(x); a prior fitted to codes betters it.

    A code is an int32 array `(batch, *code_shape)`. Logs `perplexity`, how many entries are in use over an
    epoch; `commitment`, |z_e - e|**2.

    Args:
      code_shape: the positions of a code, `(7, 7)` or `(16,)`.
      entries: K, the size of the codebook.
      embedding_dim: the size of each entry.
      codebook: `"ema"` or `"gradient"`.
      commitment: the penalty's weight.
      decay: of the moving averages.
      restart_below: an entry that was chosen less often, on average a step, becomes a vector of the batch; 0: never.
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
    make_metric = discrete.make_metric

    def __init__(
        self,
        code_shape: Sequence[int] = (7, 7),
        entries: int = 512,
        embedding_dim: int = 64,
        codebook: str = "ema",
        commitment: float = 0.25,
        decay: float = 0.99,
        restart_below: float = 0.01,
        **kwargs: Any,
    ) -> None:
        self.code_shape = self.index_shape = codebooks.take_arguments(
            self, code_shape, entries, embedding_dim, codebook, commitment, decay, restart_below
        )
        super().__init__(latent_dim=self.embedding_dim, **kwargs)
        self.refuse("beta", "free_bits")
        self.codebook = codebooks.add(self, "codebook")

    def posterior_parameters(self, x: Any, condition: Any = None, training: bool = False) -> dict[str, Any]:
        """`codes`, int32 `(batch, *code_shape)`."""
        return {"codes": quantizers.nearest(self.run(self.encoder, x, training), self._entries())}

    def likelihood_parameters(self, z: Any, condition: Any = None, training: bool = False) -> dict[str, Any]:
        """Of codes, or of vectors `(batch, *code_shape, embedding_dim)`."""
        return super().likelihood_parameters(self.vectors(z), condition, training)

    def vectors(self, code: Any) -> Any:
        code = ops.convert_to_tensor(code)
        return ops.take(self._entries(), code, axis=0) if code.dtype.is_integer else code

    def terms(self, batch: Batch, training: bool) -> Terms:
        outputs, entries = self.run(self.encoder, batch["x"], training), self._entries()
        codes = quantizers.nearest(outputs, entries)
        vectors = ops.take(entries, codes, axis=0)
        through = quantizers.straight_through(outputs, vectors)
        log_px = self.likelihood(through, training=training).log_prob(batch["x"])
        distance = quantizers.squared_length(outputs - ops.stop_gradient(vectors))
        penalty = self.commitment * distance
        if self.codebook_kind == "gradient":
            penalty += quantizers.squared_length(ops.stop_gradient(outputs) - vectors)
        logs = {"perplexity": quantizers.uses_of(codes, self.entries), "commitment": distance}
        flat = ops.reshape(outputs, (-1, self.embedding_dim))
        candidates = codebooks.rows_of(flat, self.entries, self.draws.next())
        cache = {"codes": ops.reshape(codes, (-1,)), "outputs": flat, "candidates": candidates}
        return Terms(log_px, discrete.kl(self, log_px), penalty, logs, cache)

    def after_step(self, terms: Terms) -> None:
        """Moving averages over the vectors of all replicas, and new places for entries that nothing chooses."""
        codebooks.move(self, self.codebook, codebooks.over_replicas(**terms.cache, entries=self.entries))

    def get_config(self) -> dict[str, Any]:
        own = ("code_shape", *codebooks.ARGUMENTS)
        inherited = {name: value for name, value in super().get_config().items() if name != "latent_dim"}
        return {**inherited, **{name: getattr(self, name) for name in own}, "codebook": self.codebook_kind}

    def _entries(self) -> Any:
        return ops.cast(self.codebook, self.float_dtype)
