"""Abstract base of the models with learned codebooks, which moving averages or gradients move."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Unpack

from keras import ops

from keras_vae import backend, checks, randomness
from keras_vae.core import Terms
from keras_vae.distributions import quantizers
from keras_vae.errors import UserError
from keras_vae.models.discrete_vae import DiscreteVAE
from keras_vae.models.parts.arguments import ImageArguments
from keras_vae.types import Condition, Latent, Tensor

CODEBOOKS = ("ema", "gradient")
_MOVED = "a codebook that follows the codes of a batch, unless codebook='gradient' and restart_below=0"


class CodebookVAE(DiscreteVAE):
    """Abstract: a `DiscreteVAE` with one codebook, or several of one size.

    Args:
      code_shape: the positions of a code.
      entries: of each codebook.
      embedding_dim: the size of each entry.
      codebook: `"ema"` or `"gradient"`.
      commitment: the weight of the penalty that keeps the encoder's vectors near their entries.
      decay: of the moving averages.
      restart_below: an entry that was chosen less often, on average a step, becomes a vector of the batch; 0: never.
      depth: the number of codebooks; None: one, which adds no axis to a code.
      **kwargs: as `DiscreteVAE`.
    """

    rejects = MappingProxyType(
        {
            **DiscreteVAE.rejects,
            "latent_dim": "Its latent is an array of integers: code_shape is the shape of that array, and "
            "embedding_dim the size of each entry of the codebook. ",
        }
    )

    def __init__(
        self,
        code_shape: Sequence[int],
        entries: int,
        embedding_dim: int,
        codebook: str,
        commitment: float,
        decay: float,
        restart_below: float,
        depth: int | None = None,
        **kwargs: Unpack[ImageArguments],
    ) -> None:
        if codebook not in CODEBOOKS:
            raise UserError(f"codebook is one of {', '.join(CODEBOOKS)}. Given: {codebook!r}.")
        self.codebook_kind, self.decay = codebook, checks.check_number(decay, "decay")
        if self.decay >= 1:
            raise UserError(f"decay is a number from 0, below 1. Given: {decay!r}.")
        self.embedding_dim = checks.check_whole_number(embedding_dim, "embedding_dim")
        self.commitment = checks.check_number(commitment, "commitment")
        self.restart_below = checks.check_number(restart_below, "restart_below")
        entries = checks.check_whole_number(entries, "entries")
        super().__init__(code_shape=code_shape, entries=entries, size=self.embedding_dim, depth=depth, **kwargs)
        shape = (*(() if depth is None else (depth,)), self.entries, self.embedding_dim)
        learned = self.codebook_kind == "gradient"
        with randomness.initial_weights(self.seed, "codebook"):
            self.codebook = self._state("codebook", shape, "random_normal", trainable=learned)
        # Moving averages start from zero; `weight` is what they sum to so far, by which they are divided.
        self.counts, self.weight = self._state("counts", shape[:-1]), self._state("weight", ())
        self.sums = None if learned else self._state("sums", shape)

    @property
    def batch_statistic(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        return _MOVED if self.codebook_kind == "ema" or self.restart_below else ""

    def likelihood_parameters(
        self, z: Latent, condition: Condition | None = None, training: bool = False
    ) -> dict[str, Tensor]:
        """Of codes, or of vectors `(batch, *code_shape, embedding_dim)`."""
        return super().likelihood_parameters(self.vectors(z), condition, training)

    def penalty(self, pairs: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        """The penalty of vectors z_e that became entries e, and its distance `|z_e - sg(e)|**2`: each `(batch,)`.

        Args:
          pairs: z_e and e, each `(batch, *code_shape, embedding_dim)`, for each codebook.
        """
        distance = sum(quantizers.squared_length(outputs - ops.stop_gradient(entries)) for outputs, entries in pairs)
        penalty = self.commitment * distance
        if self.codebook_kind == "gradient":
            penalty += sum(
                quantizers.squared_length(ops.stop_gradient(outputs) - entries) for outputs, entries in pairs
            )
        return ops.convert_to_tensor(penalty), ops.convert_to_tensor(distance)

    def choices(self, outputs: Tensor, codes: Tensor) -> dict[str, Tensor]:
        """The arguments of `over_replicas`, for `after_step`: flat codes and vectors, and this replica's share of the
        vectors to restart from."""
        flat = ops.reshape(outputs, (-1, self.embedding_dim))
        candidates = rows_of(flat, self.entries, self.draws.next())
        return {"codes": ops.reshape(codes, (-1,)), "outputs": flat, "candidates": candidates}

    def move(self, step: Sequence[Tensor]) -> None:
        """Move the codebook and its averages by one step, with `moved`."""
        self.weight.assign(self.decay * self.weight + (1.0 - self.decay))
        state = self.codebook, self.counts, self.sums
        after = moved(*state, self.weight, step, self.decay, self.restart_below)
        for variable, value in zip(state, after, strict=True):
            if variable is not None:
                variable.assign(value)

    def after_step(self, terms: Terms) -> None:
        """Moving averages over the vectors of all replicas, and new vectors for entries that nothing chooses."""
        super().after_step(terms)
        self.move(self.statistics(terms.cache))

    def statistics(self, cache: Mapping[str, Any]) -> list[Tensor]:
        """Counts, sums and candidates of this step over all replicas, shaped as `moved` takes them."""
        return over_replicas(**cache, entries=self.entries)

    def get_config(self) -> dict[str, Any]:
        names = ("code_shape", "entries", "embedding_dim", "commitment", "decay", "restart_below")
        arguments = {name: getattr(self, name) for name in names}
        return {**super().get_config(), **arguments, "codebook": self.codebook_kind}

    def _state(self, name: str, shape: Sequence[int], initializer: str = "zeros", trainable: bool = False) -> Any:
        """A variable, a codebook or its averages, equal on all replicas."""
        return self.add_weight(
            shape=tuple(shape),
            initializer=initializer,
            dtype=self.float_dtype,
            trainable=trainable,
            aggregation="none" if trainable else "only_first_replica",
            name=name,
        )


def rows_of(vectors: Tensor, count: int, seed: Any) -> Tensor:
    """`count` rows of the vectors of all replicas, drawn with replacement: zeros where another replica has the row."""
    replica, held = backend.replica(), ops.shape(vectors)[0]
    rows = backend.integers((count,), seed, replica.count * held)
    if replica.count == 1:
        return ops.take(vectors, rows, axis=0)
    here = ops.equal(rows // held, replica.index)
    return ops.where(here[:, None], ops.take(vectors, rows % held, axis=0), 0.0)


def over_replicas(codes: Tensor, outputs: Tensor, candidates: Tensor, entries: int) -> list[Tensor]:
    """How often each entry was chosen, `(entries,)`, and the sum of the vectors that chose it, `(entries, size)`, over
    the batches of all replicas; and the candidates, each of them of the replica that has it.

    Args:
      codes: `(n,)`.
      outputs: `(n, size)`.
      candidates: `(entries, size)`.
    """
    rows = ops.one_hot(codes, entries, dtype=outputs.dtype)
    sums = [ops.sum(rows, axis=0), ops.matmul(ops.transpose(rows), outputs), candidates]
    return backend.sum_over_replicas(sums)


def smoothed(counts: Tensor, alpha: float = 1e-5) -> Tensor:
    """Laplace smoothing of counts, `(..., entries)`, that keeps their sum n: (c + alpha) n / (n + entries alpha)."""
    total = ops.sum(counts, axis=-1, keepdims=True)
    return (counts + alpha) / (total + counts.shape[-1] * alpha) * total


def moved(
    codebook: Tensor,
    counts: Tensor,
    sums: Tensor | None,
    weight: Tensor,
    step: Sequence[Tensor],
    decay: float,
    restart_below: float,
) -> tuple[Tensor, Tensor, Tensor | None]:
    """A codebook `(..., entries, size)` after a step, with its averages: `counts`, `(..., entries)`, and `sums`.

    Args:
      codebook: the entries before.
      counts: how often each was chosen, an average that starts from zero.
      sums: of the vectors that chose it; None for a codebook that gradients move.
      weight: of what is in the averages, this step included: `1 - decay**steps`.
      step: counts and sums of this step, and the vectors that entries restart from.
      decay: of the averages.
      restart_below: an entry that was chosen less often, on average a step, restarts.
    """
    new_counts, new_sums, candidates = step
    counts = decay * counts + (1.0 - decay) * new_counts
    dead = counts < restart_below * weight
    entries = codebook
    if sums is not None:
        sums = decay * sums + (1.0 - decay) * new_sums
        size = smoothed(counts / weight)
        # An entry that nothing has chosen stays as it is: its sums are empty.
        entries = ops.where((counts > 0)[..., None], sums / weight / size[..., None], codebook)
        sums = ops.where(dead[..., None], weight * candidates, sums)
    # A restarted entry starts as if chosen once a step.
    return ops.where(dead[..., None], candidates, entries), ops.where(dead, weight, counts), sums
