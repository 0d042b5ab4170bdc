"""VAE of sequences of tokens."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Unpack

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from keras_vae import checks, randomness
from keras_vae.backend import tfd
from keras_vae.core import VAE
from keras_vae.errors import UserError
from keras_vae.likelihoods.sequences import TokenSequence, TokenSequences
from keras_vae.models.parts.arguments import SequenceArguments
from keras_vae.models.parts.steps import step_graphs
from keras_vae.networks import NetworkSpec, searches
from keras_vae.networks.recurrent import GRUDecoder, GRUEncoder
from keras_vae.types import Condition, Latent, Spec, Tensor


@keras.saving.register_keras_serializable(package="keras_vae")
class SequenceVAE(VAE):
    """One code for a whole sequence: maximises sum_t log p(x_t|x_{<t}, z) - KL(q(z|x) || p(z)).

    Section 3 of Bowman et al. 2016, https://arxiv.org/abs/1511.06349. x holds token ids, int32 `(batch, length)`: 0
    ends a sequence and fills it up. The sum runs up to and including the end; padding is 0 nats. `likelihood(z)` is a
    `TokenSequence`, which a decoder that reads the true x_{<t} can maximise without z. Against that: `word_dropout`, a
    beta that rises from 0, and free bits.

    Args:
      length: of a sequence, its end counted.
      vocabulary_size: tokens are below it.
      word_dropout: in training, the probability that the decoder reads an unknown token in place of a true one.
      encoder: `"gru"`, a mapping of `name` and arguments, or a Keras layer from tokens to `2 * latent_dim` numbers.
      decoder: the same, or a layer with the methods of `networks.GRUDecoder`.
      **kwargs: as `VAE`, but for the shape of x and likelihood.
    """

    output_name = "tokens"
    rejects = MappingProxyType(
        {
            "image_shape": "The shape of its x is length. ",
            "x_shape": "The shape of its x is length. ",
            "likelihood": "Its likelihood is that of its tokens. ",
            "missing": "A token depends on those before it. ",
        }
    )
    encoders, decoders = {"gru": GRUEncoder}, {"gru": GRUDecoder}

    def __init__(
        self,
        length: int = 16,
        vocabulary_size: int = 27,
        word_dropout: float = 0.0,
        encoder: NetworkSpec = "gru",
        decoder: NetworkSpec = "gru",
        **kwargs: Unpack[SequenceArguments],
    ) -> None:
        self.length = checks.check_whole_number(length, "length")
        self.vocabulary_size = checks.check_whole_number(vocabulary_size, "vocabulary_size", minimum=2)
        self.word_dropout = checks.check_number(word_dropout, "word_dropout")
        if self.word_dropout > 1:
            raise UserError(f"word_dropout is a probability, at most 1. Given: {word_dropout!r}.")
        if isinstance(decoder, keras.layers.Layer) and not {"initial_state", "step"} <= set(dir(decoder)):
            raise UserError(
                f"The decoder writes token by token, and needs the methods initial_state(z) and step(tokens, state, z) "
                f"of keras_vae.networks.GRUDecoder. Given: a {type(decoder).__name__}. Add them."
            )
        super().__init__(
            x_shape=(self.length,),
            encoder=encoder,
            decoder=decoder,
            likelihood=TokenSequences(self.vocabulary_size),
            **kwargs,
        )

    def network_shapes(self) -> dict[str, tuple[Any, ...]]:
        tokens, z = keras.Input((self.length,), dtype="int32"), keras.Input((self.latent_dim,))
        return {
            "encoder": (tokens, (2 * self.latent_dim,), {"vocabulary_size": self.vocabulary_size}),
            "decoder": ((tokens, z), (self.length, self.vocabulary_size)),
        }

    def x_spec(self) -> Spec:
        return Spec((self.length,), "int32", "tokens", self.vocabulary_size)

    def check_x(self, x: ArrayLike, name: str = "x") -> np.ndarray:
        """`x` as int32 token ids.

        Raises:
          UserError: not whole numbers of shape `(batch, length)`, not below vocabulary_size, or more after an end.
        """
        return checks.check_tokens(x, (self.length,), self.vocabulary_size, name)

    def likelihood(self, z: Latent, condition: Condition | None = None, training: bool = False) -> tfd.Distribution:
        """p(x|z), a `TokenSequence` of batch shape `(batch,)`; in training it hides tokens from the decoder."""
        rate = self.word_dropout if training else 0.0
        code = self.active(ops.cast(z, self.float_dtype))
        noise = self.draws.uniform((ops.shape(code)[0], self.length - 1)) if rate else None
        return TokenSequence(self.decoder, code, self.length, self.vocabulary_size, training, rate, noise)

    def likelihood_parameters(
        self, z: Latent, condition: Condition | None = None, training: bool = False
    ) -> dict[str, Tensor]:
        """`tokens`, the greedy sequence `(batch, length)`, and the `logits` that each was the largest of."""
        code = self.active(ops.cast(z, self.float_dtype))
        tokens, logits = searches.rollout(self.decoder, code, self.length, self.vocabulary_size)
        return {"tokens": tokens, "logits": logits}

    def extra_graphs(self) -> list[Any]:
        """The decoder step by step, for searches outside of Python: `keras_vae.models.parts.steps.step_graphs`."""
        return step_graphs(self)

    def beam_search(self, z: Tensor, beams: int = 5) -> np.ndarray:
        """For each code the likeliest sequence that keeping the likeliest beginnings finds: int32 `(batch, length)`.

        Args:
          z: codes `(batch, latent_dim)`.
          beams: how many beginnings are kept at each step; 1 is what `decode` does.

        Raises:
          UserError: codes of another shape, or beams that are no whole number.
        """
        codes, beams = {"z": self.check_latent(z)}, checks.check_whole_number(beams, "beams")
        return checks.in_blocks(lambda _, part: self.functions.of(self._likeliest)(part["z"], beams), codes)

    def draw(self, z: Tensor, temperature: float = 1.0, seed: int = 0) -> np.ndarray:
        """A draw of p(x|z) for each code, token by token from softmax(logits / temperature): int32 `(batch, length)`.

        Args:
          z: codes `(batch, latent_dim)`.
          temperature: above 0; the lower, the nearer to what `decode` does.
          seed: the noise of an example depends on it and on the example's position.

        Raises:
          UserError: codes of another shape, or a temperature that is not above 0.
        """
        codes, scale = {"z": self.check_latent(z)}, checks.check_number(temperature, "temperature", minimum=1e-6)
        base = randomness.seed_of(checks.check_whole_number(seed, "seed", minimum=0), randomness.SAMPLING)

        def one_block(block: int, part: Mapping[str, np.ndarray]) -> Any:
            return self.functions.of(self._sampled)(part["z"], scale, randomness.fold(base, block))

        return checks.in_blocks(one_block, codes, pad=True)

    def get_config(self) -> dict[str, Any]:
        arguments = {name: getattr(self, name) for name in ("length", "vocabulary_size", "word_dropout")}
        return super().get_config() | arguments

    def _likeliest(self, z: Tensor, beams: int) -> Any:
        return searches.beam_search(self.decoder, z, self.length, beams)[0][:, 0]

    def _sampled(self, z: Tensor, temperature: float, seed: Tensor) -> Any:
        return searches.draw(self.decoder, z, self.length, self.vocabulary_size, seed, temperature)
