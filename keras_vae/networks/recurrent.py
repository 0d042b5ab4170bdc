"""Recurrent networks for sequences of tokens: whole numbers, of which 0 ends a sequence and fills it up."""

from collections.abc import Sequence
from typing import Any, Unpack

import keras
from keras import ops

from keras_vae.checks import check_whole_number
from keras_vae.networks.arguments import LayerArguments
from keras_vae.types import Tensor


class Recurrent(keras.layers.Layer):
    """Base of recurrent networks: the arguments that all have, and the unit made from them."""

    def __init__(
        self,
        output_shape: Sequence[int],
        units: int = 128,
        unroll: bool = False,
        **kwargs: Unpack[LayerArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.target_shape, self.unroll = tuple(output_shape), bool(unroll)
        self.units = check_whole_number(units, "units")

    def gru(self, **arguments: Any) -> Any:
        # cuDNN's kernel exists on one kind of device only, and leaves neither XLA nor an export.
        return keras.layers.GRU(self.units, use_cudnn=False, unroll=self.unroll, dtype=self.dtype_policy, **arguments)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        first = input_shape[0]
        return (first[0] if isinstance(first, Sequence) else first, *self.target_shape)

    def get_config(self) -> dict[str, Any]:
        arguments = {"units": self.units, "unroll": self.unroll}
        return {**super().get_config(), "output_shape": self.target_shape, **arguments}


class _OfTokens(Recurrent):
    """Base of both networks of tokens."""

    def __init__(self, output_shape: Sequence[int], embedding_dim: int = 32, **kwargs: Any) -> None:
        super().__init__(output_shape, **kwargs)
        self.embedding_dim = check_whole_number(embedding_dim, "embedding_dim")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "embedding_dim": self.embedding_dim}


@keras.saving.register_keras_serializable(package="keras_vae")
class GRUEncoder(_OfTokens):
    """Embedded tokens, a gated recurrent unit each way, and a linear layer of their last states.

    The state passes over 0 unchanged, so the output depends on the tokens before the end, and on no padding.
    Cho et al. 2014, https://arxiv.org/abs/1406.1078.

    Args:
      output_shape: the shape of one output, without the batch: `(40,)`.
      vocabulary_size: tokens are below it.
      units: the size of each state.
      embedding_dim: numbers that stand for a token.
      bidirectional: read the sequence backwards too.
      unroll: write the steps out one after the other: a larger graph without a loop, which LiteRT asks for.
    """

    def __init__(
        self,
        output_shape: Sequence[int],
        vocabulary_size: int,
        bidirectional: bool = True,
        **kwargs: Unpack[LayerArguments],
    ) -> None:
        super().__init__(output_shape, **kwargs)
        self.vocabulary_size, self.bidirectional = vocabulary_size, bool(bidirectional)
        self.embedding = keras.layers.Embedding(vocabulary_size, self.embedding_dim, dtype=self.dtype_policy)
        self.readers = [self.gru()] + ([self.gru(go_backwards=True)] if bidirectional else [])
        self.last = keras.layers.Dense(self.target_shape[-1], dtype=self.dtype_policy)

    def build(self, input_shape: Sequence[Any]) -> None:
        self.embedding.build(input_shape)
        for reader in self.readers:
            reader.build((*input_shape, self.embedding_dim))
        self.last.build((None, len(self.readers) * self.units))

    def call(self, tokens: Tensor, training: bool = False) -> Any:
        """`(batch, *output_shape)` of int32 tokens `(batch, length)`."""
        embedded, mask = self.embedding(tokens), ops.not_equal(tokens, 0)
        states = [reader(embedded, mask=mask, training=training) for reader in self.readers]
        return self.last(ops.concatenate(states, axis=-1))

    def get_config(self) -> dict[str, Any]:
        arguments = {"vocabulary_size": self.vocabulary_size, "bidirectional": self.bidirectional}
        return {**super().get_config(), **arguments}


@keras.saving.register_keras_serializable(package="keras_vae")
class GRUDecoder(_OfTokens):
    """Logits of each token from the tokens before it and a code, which is the first state and part of every input.

    Bowman et al. 2016, section 3, https://arxiv.org/abs/1511.06349. It can be run on a whole sequence at once, or
    step by step with `initial_state` and `step`.

    Args:
      output_shape: `(length, vocabulary_size)`. Tokens that it reads are below vocabulary_size, or equal to it: one
        that is not known.
      units: the size of the state.
      embedding_dim: numbers that stand for a token.
      unroll: write the steps of a whole sequence out one after the other; `step` knows no difference.
    """

    def build(self, input_shape: Sequence[Any]) -> None:
        tokens, code = input_shape
        dtype, vocabulary_size = self.dtype_policy, self.target_shape[-1]
        self.embedding = keras.layers.Embedding(vocabulary_size + 1, self.embedding_dim, dtype=dtype)
        self.first = keras.layers.Dense(self.units, activation="tanh", dtype=dtype)
        self.recurrence = self.gru(return_sequences=True)
        self.logits = keras.layers.Dense(vocabulary_size, dtype=dtype)
        self.embedding.build(tokens)
        self.first.build(code)
        self.recurrence.build((*tokens, self.embedding_dim + code[-1]))
        self.logits.build((None, None, self.units))

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        """Logits `(batch, length, vocabulary_size)` of previous tokens `(batch, length)`, int32, and codes."""
        tokens, z = inputs
        codes = ops.broadcast_to(z[:, None], (*ops.shape(tokens), z.shape[-1]))
        states = self.recurrence(self._joined(tokens, codes), initial_state=self.initial_state(z), training=training)
        return self.logits(states)

    def initial_state(self, z: Tensor) -> Tensor:
        """The state before the first token: `(batch, units)`."""
        return self.first(z)

    def step(self, tokens: Tensor, state: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """Logits `(batch, vocabulary_size)` of the next token, and the next state, of one previous token each."""
        output, (state,) = self.recurrence.cell(self._joined(tokens, z), [ops.cast(state, self.compute_dtype)])
        return self.logits(output), state

    def _joined(self, tokens: Tensor, codes: Tensor) -> Tensor:
        return ops.concatenate([self.embedding(tokens), ops.cast(codes, self.compute_dtype)], axis=-1)
