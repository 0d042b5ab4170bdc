"""From a decoder of tokens to sequences: the likeliest token at each step, a draw, or the likeliest of many.

A decoder has `initial_state(z)` and `step(tokens, state, z)`, as `networks.GRUDecoder`; its first input is token 0.
Sequences are int32 `(batch, length)`, and hold only 0 after their first 0.
"""

from typing import Any

from keras import ops

from keras_vae import backend
from keras_vae.backend import tfd
from keras_vae.types import Tensor


def draw(decoder: Any, z: Tensor, length: int, vocabulary_size: int, seed: Tensor, temperature: float = 1.0) -> Any:
    """Return a draw for each code, token by token from softmax(logits / temperature): tokens `(batch, length)`.

    The argmax of the logits plus Gumbel noise is such a draw: section 2 of Maddison et al. 2014,
    https://arxiv.org/abs/1411.0030.
    """
    zero = ops.zeros((), z.dtype)
    noise = tfd.Gumbel(zero, zero + 1.0).sample((length, ops.shape(z)[0], vocabulary_size), seed=seed)
    return rollout(decoder, z, length, vocabulary_size, noise, temperature)[0]


def rollout(
    decoder: Any, z: Tensor, length: int, vocabulary_size: int, noise: Tensor | None = None, temperature: float = 1.0
) -> tuple[Any, Any]:
    """Return the argmax of logits / temperature + noise, step by step; without noise, the greedy sequence.

    Args:
      z: codes `(batch, latent_dim)`.
      length: steps.
      vocabulary_size: tokens are below it.
      noise: `(length, batch, vocabulary_size)`.
      temperature: above 0.

    Returns:
      The tokens, and the logits of each step `(batch, length, vocabulary_size)`.
    """
    positions = ops.arange(length)

    def one_step(position: Tensor, carry: Tensor) -> Any:
        last, state, tokens, all_logits = carry
        logits, state = decoder.step(last, state, z)
        logits = ops.cast(logits, z.dtype)
        score = logits if noise is None else logits / temperature + ops.take(noise, position, axis=0)
        best = backend.argmax(score, axis=1)
        ended = ops.logical_and(ops.equal(last, 0), position > 0)
        last = ops.where(ended, ops.zeros_like(best), best)
        here = ops.equal(positions, position)
        tokens = ops.where(here, last[:, None], tokens)
        return last, state, tokens, ops.where(here[:, None], logits[:, None], all_logits)

    tokens = ops.zeros_like(z[:, :1], dtype="int32") + ops.zeros((length,), "int32")
    all_logits = ops.zeros_like(z[:, :1, None]) + ops.zeros((length, vocabulary_size), z.dtype)
    start = tokens[:, 0], decoder.initial_state(z), tokens, all_logits
    _, _, tokens, all_logits = ops.fori_loop(0, length, one_step, start)
    return tokens, all_logits


def beam_search(decoder: Any, z: Tensor, length: int, beams: int) -> tuple[Any, Any]:
    """Return the likeliest sequences of a beam search.

    One beam is the greedy search. With as many beams as there are sequences the search is exact.

    Args:
      z: codes `(batch, latent_dim)`.
      length: steps.
      beams: the number of prefixes kept at each step.

    Returns:
      Sequences `(batch, beams, length)`, the likeliest first, and their log p(x|z) `(batch, beams)`, nats: -inf if
      the number of sequences is smaller than that of beams.
    """
    codes, positions = ops.repeat(z, beams, axis=0), ops.arange(length)

    def one_step(position: Tensor, carry: Tensor) -> Any:
        tokens, state, scores, ended = carry
        previous = ops.take_along_axis(
            tokens, ops.broadcast_to(ops.maximum(position - 1, 0), (*ops.shape(scores), 1)), 2
        )
        logits, state = decoder.step(ops.reshape(previous, (-1,)), state, codes)
        log_p = ops.log_softmax(ops.cast(logits, z.dtype), axis=-1)
        size = log_p.shape[-1]
        log_p = ops.reshape(log_p, (-1, beams, size))
        only_end = ops.where(ops.equal(ops.arange(size), 0), 0.0, -float("inf"))
        log_p = ops.where(ended[..., None], ops.cast(only_end, z.dtype), log_p)
        scores, best = ops.top_k(ops.reshape(scores[..., None] + log_p, (-1, beams * size)), beams)
        parents, last = ops.floor_divide(best, size)[..., None], ops.mod(best, size)

        def survivors(value: Tensor) -> Any:
            return ops.take_along_axis(value, parents, axis=1)

        tokens = ops.where(ops.equal(positions, position), last[..., None], survivors(tokens))
        ended = ops.logical_or(survivors(ended[..., None])[..., 0], ops.equal(last, 0))
        state = ops.reshape(survivors(ops.reshape(state, (-1, beams, state.shape[-1]))), (-1, state.shape[-1]))
        return tokens, state, scores, ended

    tokens = ops.zeros((ops.shape(z)[0], beams, length), "int32")
    only_first = ops.where(ops.equal(ops.arange(beams), 0), 0.0, -float("inf"))  # at first all beams are the same
    scores = ops.zeros_like(tokens[..., 0], dtype=z.dtype) + ops.cast(only_first, z.dtype)
    start = (tokens, decoder.initial_state(codes), scores, ops.zeros_like(tokens[..., 0], dtype="bool"))
    tokens, _, scores, _ = ops.fori_loop(0, length, one_step, start)
    return tokens, scores
