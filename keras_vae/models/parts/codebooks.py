"""Codebooks that are learned, by moving averages or by gradients: what the models that have them share."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
from keras import ops

from keras_vae import checks, randomness
from keras_vae.errors import UserError

CODEBOOKS = ("ema", "gradient")
ARGUMENTS = ("entries", "embedding_dim", "commitment", "decay", "restart_below")


def take_arguments(
    model: Any,
    code_shape: Sequence[int],
    entries: int,
    embedding_dim: int,
    codebook: str,
    commitment: float,
    decay: float,
    restart_below: float,
) -> tuple[int, ...]:
    """Check what a model with codebooks is made with, and keep it under these names, the kind as `codebook_kind`.

    Returns:
      The positions of a code.

    Raises:
      UserError: an argument that does not fit.
    """
    if codebook not in CODEBOOKS:
        raise UserError(f"codebook is one of {', '.join(CODEBOOKS)}. Given: {codebook!r}.")
    positions = tuple(checks.check_whole_number(size, "a size in code_shape") for size in code_shape)
    model.entries = checks.check_whole_number(entries, "entries")
    model.embedding_dim = checks.check_whole_number(embedding_dim, "embedding_dim")
    model.codebook_kind, model.decay = codebook, checks.check_number(decay, "decay")
    model.commitment = checks.check_number(commitment, "commitment")
    model.restart_below = checks.check_number(restart_below, "restart_below")
    if not positions or model.decay >= 1:
        raise UserError(f"decay is below 1, code_shape not empty. Given: {decay!r} and {code_shape!r}.")
    return positions


def add(model: Any, name: str, depth: tuple[int, ...] = ()) -> Any:
    """The codebook, a variable `(*depth, entries, embedding_dim)`, which is returned, and its averages.

    `counts` and `sums`, None for a codebook that gradients move, start from zero; `weight` is of what is in them, by
    which they are divided.
    """
    shape, learned = (*depth, model.entries, model.embedding_dim), model.codebook_kind == "gradient"
    with randomness.initial_weights(model.seed, "codebook"):
        codebook = _state(model, name, shape, "random_normal", trainable=learned)
    model.counts, model.weight = _state(model, "counts", shape[:-1]), _state(model, "weight", ())
    model.sums = None if learned else _state(model, "sums", shape)
    return codebook


def rows_of(vectors: Any, count: int, seed: Any) -> Any:
    """`count` rows of `vectors`, drawn with replacement."""
    return ops.take(vectors, tf.random.stateless_uniform((count,), seed, 0, ops.shape(vectors)[0], tf.int32), axis=0)


def over_replicas(codes: Any, outputs: Any, candidates: Any, entries: int) -> list[Any]:
    """How often each entry was chosen, `(entries,)`, and the sum of the vectors that chose it, `(entries, size)`, over
    the batches of all replicas; and the candidates of the first replica, for all.

    Args:
      codes: `(n,)`.
      outputs: `(n, size)`.
      candidates: `(entries, size)`.
    """
    replica: Any = tf.distribute.get_replica_context()
    chosen = ops.one_hot(codes, entries, dtype=outputs.dtype)
    first = ops.cast(ops.equal(replica.replica_id_in_sync_group, 0), outputs.dtype)
    found = [ops.sum(chosen, axis=0), ops.matmul(ops.transpose(chosen), outputs), first * candidates]
    return replica.all_reduce(tf.distribute.ReduceOp.SUM, found)


def smoothed(counts: Any, alpha: float = 1e-5) -> Any:
    """Laplace smoothing of counts, `(..., entries)`, that keeps their sum n: (c + alpha) n / (n + entries alpha)."""
    total = ops.sum(counts, axis=-1, keepdims=True)
    return (counts + alpha) / (total + counts.shape[-1] * alpha) * total


def moved(
    codebook: Any, counts: Any, sums: Any, weight: Any, found: Sequence[Any], decay: float, restart_below: float
) -> tuple[Any, Any, Any]:
    """A codebook `(..., entries, size)` after a step, with its averages: `counts`, `(..., entries)`, and `sums`.

    Args:
      codebook: the entries before.
      counts: how often each was chosen, an average that starts from zero.
      sums: of the vectors that chose it; None for a codebook that gradients move.
      weight: of what is in the averages, this step included: 1 - decay**steps.
      found: counts and sums of this step, and the vectors that entries restart from.
      decay: of the averages.
      restart_below: an entry that was chosen less often, on average a step, restarts.
    """
    new_counts, new_sums, candidates = found
    counts = decay * counts + (1.0 - decay) * new_counts
    dead = counts < restart_below * weight
    entries = codebook
    if sums is not None:
        sums = decay * sums + (1.0 - decay) * new_sums
        size = smoothed(counts / weight)
        # What nothing has chosen stays where it is: its sums say nothing.
        entries = ops.where((counts > 0)[..., None], sums / weight / size[..., None], codebook)
        sums = ops.where(dead[..., None], weight * candidates, sums)
    # A restarted entry starts as if chosen once a step.
    return ops.where(dead[..., None], candidates, entries), ops.where(dead, weight, counts), sums


def move(model: Any, codebook: Any, found: Sequence[Any]) -> None:
    """A step of a model's codebook, a variable, and of its averages `counts`, `sums` and `weight`: `moved`."""
    model.weight.assign(model.decay * model.weight + (1.0 - model.decay))
    state = codebook, model.counts, model.sums
    after = moved(*state, model.weight, found, model.decay, model.restart_below)
    for variable, value in zip(state, after, strict=True):
        if variable is not None:
            variable.assign(value)


def _state(model: Any, name: str, shape: Sequence[int], initializer: str = "zeros", trainable: bool = False) -> Any:
    """A variable of a model: a codebook, or what is known of it, equal on all replicas."""
    aggregation = "none" if trainable else "only_first_replica"
    given: dict[str, Any] = {"shape": shape, "dtype": model.float_dtype, "trainable": trainable, "name": name}
    return model.add_weight(initializer=initializer, aggregation=aggregation, **given)
