"""Sequences of tokens, each of which depends on those before it."""

from typing import Any, Unpack

import keras
from keras import ops

from keras_vae import backend
from keras_vae.backend import tfd
from keras_vae.likelihoods.base import Likelihood
from keras_vae.networks.arguments import LayerArguments
from keras_vae.networks.searches import draw
from keras_vae.supports import tokens
from keras_vae.types import Tensor


@keras.saving.register_keras_serializable(package="keras_vae")
class TokenSequences(Likelihood):
    """The family of `TokenSequence`, of tokens below `vocabulary_size`: a model's `likelihood` makes it."""

    def __init__(self, vocabulary_size: int = 27, **kwargs: Unpack[LayerArguments]) -> None:
        super().__init__(**kwargs)
        self.vocabulary_size, self.support = vocabulary_size, tokens(vocabulary_size)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "vocabulary_size": self.vocabulary_size}


class TokenSequence(tfd.Distribution):
    """p(x|z) = prod_t softmax(logits(x_1, ..., x_{t-1}, z))_{x_t}, up to and including the first token 0, the end.

    A probability mass, in nats, over token ids int32 `(length,)`: those that hold only 0 after their first 0, whose
    padding is certain, 0 nats. A sequence without an end is a beginning, cut off after `length` tokens; so the
    probabilities of all sequences add to 1. Any other has probability 0.

    log_prob runs the decoder once, on the tokens themselves (teacher forcing). Bowman et al. 2016, section 3,
    https://arxiv.org/abs/1511.06349.

    Args:
      decoder: `networks.GRUDecoder`, or a layer with its methods.
      z: codes `(batch, latent_dim)`; the batch shape is `(batch,)`.
      length: tokens of a sequence.
      vocabulary_size: tokens are below it; equal to it is the unknown one, which a decoder only reads.
      training: passed on to the decoder.
      word_dropout: the probability that log_prob hides a token from those after it, the decoder reading the unknown
        one: section 3.1.1. The start is not hidden.
      noise: where there is word_dropout, of uniform numbers in [0, 1), `(batch, length - 1)`: a token is hidden where
        its number is below the probability.
    """

    def __init__(
        self,
        decoder: Any,
        z: Tensor,
        length: int,
        vocabulary_size: int,
        training: bool = False,
        word_dropout: float = 0.0,
        noise: Tensor | None = None,
    ) -> None:
        self._decoder, self._z = decoder, ops.convert_to_tensor(z)
        self._length, self._size = length, vocabulary_size
        self._training, self._word_dropout, self._noise = training, word_dropout, noise
        super().__init__(backend.dtype_of("int32"), tfd.NOT_REPARAMETERIZED, validate_args=False, allow_nan_stats=True)

    def logits(self, x: Tensor) -> Tensor:
        """Of every token of x given those before it: `(..., length, vocabulary_size)`."""
        tokens = ops.reshape(x, (-1, self._length))
        z = ops.broadcast_to(self._z, (*ops.shape(x)[:-1], self._z.shape[-1]))
        previous = ops.pad(tokens[:, :-1], ((0, 0), (1, 0)))
        if self._noise is not None:
            noise = ops.broadcast_to(self._noise, (*ops.shape(x)[:-1], self._length - 1))
            hidden = ops.reshape(noise < self._word_dropout, (-1, self._length - 1))
            hidden = ops.pad(hidden, ((0, 0), (1, 0)))
            previous = ops.where(hidden, self._size, previous)
        outputs = self._decoder((previous, ops.reshape(z, (-1, z.shape[-1]))), training=self._training)
        return ops.reshape(ops.cast(outputs, self._z.dtype), (*ops.shape(x), self._size))

    def _log_prob(self, value: Tensor) -> Tensor:
        end = ops.cast(ops.equal(value, 0), "int32")
        padding = ops.greater(ops.cumsum(end, axis=-1) - end, 0)
        log_p = -ops.sparse_categorical_crossentropy(value, self.logits(value), from_logits=True)
        impossible = ops.where(ops.equal(value, 0), 0.0, -float("inf"))
        return ops.sum(ops.where(padding, ops.cast(impossible, log_p.dtype), log_p), axis=-1)

    def _sample_n(self, n: int, seed: Any = None) -> Tensor:
        z = ops.reshape(ops.broadcast_to(self._z, (n, *ops.shape(self._z))), (-1, self._z.shape[-1]))
        tokens = draw(self._decoder, z, self._length, self._size, seed)
        return ops.reshape(tokens, (n, -1, self._length))

    def _batch_shape(self) -> Any:
        return self._z.shape[:-1]

    def _batch_shape_tensor(self) -> Any:
        return ops.convert_to_tensor(ops.shape(self._z)[:-1], "int32")

    def _event_shape(self) -> Any:
        return backend.TensorShape([self._length])

    def _event_shape_tensor(self) -> Any:
        return ops.convert_to_tensor([self._length])
