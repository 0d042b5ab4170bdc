"""VAE with integer codes: vector quantisation."""

from collections.abc import Sequence
from typing import Unpack

import keras
from keras import ops

from keras_vae.core import Batch, Terms
from keras_vae.distributions import quantizers
from keras_vae.models.codebook_vae import CodebookVAE
from keras_vae.models.parts.arguments import ImageArguments
from keras_vae.types import Condition, Latent, Tensor


@keras.saving.register_keras_serializable(package="keras_vae")
class VQVAE(CodebookVAE):
    """Each vector z_e of the encoder becomes the nearest entry e of a codebook: maximises log p(x|e) - penalty.

    Equation 3 of van den Oord et al. 2017, https://arxiv.org/abs/1711.00937: the decoder's gradient goes straight to
    z_e; the penalty is `commitment * |z_e - sg(e)|**2`, and, for a codebook learned by gradients, `|sg(z_e) - e|**2`,
    summed over positions and dimensions. An "ema" codebook holds moving averages of the vectors that chose each entry
    (appendix A.1), free of bias from their start at zero. With the uniform prior the KL is the constant
    positions * log(entries), nats, so the logged elbo is a bound of log p(x); a prior fitted to codes betters it.

    A code is an int32 array `(batch, *code_shape)`. Logs `perplexity`, how many entries are in use over an
    epoch; `commitment`, `|z_e - e|**2`.

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

    metric_names = ("perplexity", "commitment")

    def __init__(
        self,
        code_shape: Sequence[int] = (7, 7),
        entries: int = 512,
        embedding_dim: int = 64,
        codebook: str = "ema",
        commitment: float = 0.25,
        decay: float = 0.99,
        restart_below: float = 0.01,
        **kwargs: Unpack[ImageArguments],
    ) -> None:
        super().__init__(
            code_shape=code_shape,
            entries=entries,
            embedding_dim=embedding_dim,
            codebook=codebook,
            commitment=commitment,
            decay=decay,
            restart_below=restart_below,
            **kwargs,
        )

    def posterior_parameters(
        self, x: Tensor, condition: Condition | None = None, training: bool = False
    ) -> dict[str, Tensor]:
        """`codes`, int32 `(batch, *code_shape)`."""
        return {"codes": quantizers.nearest(self.apply_network(self.encoder, x, training), self._entries())}

    def vectors(self, code: Latent) -> Tensor:
        indices = ops.convert_to_tensor(code)
        return ops.take(self._entries(), indices, axis=0) if indices.dtype.is_integer else indices

    def terms(self, batch: Batch, training: bool) -> Terms:
        outputs, entries = self.apply_network(self.encoder, batch["x"], training), self._entries()
        codes = quantizers.nearest(outputs, entries)
        vectors = ops.take(entries, codes, axis=0)
        through = quantizers.straight_through(outputs, vectors)
        log_px = self.likelihood(through, training=training).log_prob(batch["x"])
        penalty, distance = self.penalty([(outputs, vectors)])
        logs = {"perplexity": quantizers.uses_of(codes, self.entries), "commitment": distance}
        return Terms(log_px, self.constant_kl(codes), penalty, logs, self.choices(outputs, codes))

    def _entries(self) -> Tensor:
        return ops.cast(self.codebook, self.float_dtype)
