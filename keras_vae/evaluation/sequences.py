"""Metrics of reconstructed sequences of tokens."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from keras_vae.evaluation.estimates import Estimate, ratio_of
from keras_vae.evaluation.evaluation import Evaluation
from keras_vae.types import ConditionLike

if TYPE_CHECKING:
    from keras_vae.core import VAE


def reconstructed_tokens(model: "VAE", x: ArrayLike, condition: ConditionLike = None) -> dict[str, np.ndarray]:
    """Return which tokens of the likeliest sequence at each mean code are right: each `(batch,)`, float64.

    `tokens_right`: the share of a sequence's tokens, including its end 0, that are the same at the same index;
    `sequences_right`: 1 if all of them are, else 0.

    Args:
      model: a model of token sequences.
      x: token ids `(batch, length)`.
      condition: one for each sequence, where the model is conditional.

    Raises:
      NotApplicable: a model of something else.
      UserError: arrays that are not sequences of the model's tokens.
    """
    return reconstructed_tokens_of(Evaluation(model, x, condition=condition))


def reconstructed_tokens_of(evaluation: Evaluation) -> dict[str, np.ndarray]:
    """As `reconstructed_tokens`."""
    evaluation.require_kind("tokens", "These are errors of token sequences")
    x = evaluation.x
    same, counts = evaluation.reconstructions == x, _counted(x)
    right = (same & counts).sum(axis=1) / counts.sum(axis=1)
    return {"tokens_right": right, "sequences_right": np.asarray(same.all(axis=1), "float64")}


def per_token_of(evaluation: Evaluation) -> Estimate:
    """Return -log2 p(x), importance-weighted, over the number of tokens: bits for each, of held-out sequences.

    The sum over the sequences of `of_likelihood`, over the sum of their tokens, of which an end 0 is one.

    Raises:
      NotApplicable: as `importance_weights`; a model of something else; or no samples.
    """
    part = evaluation.of_likelihood
    part.require_kind("tokens", "This is of token sequences")
    part.require_log_prob()
    log_prob, tokens = part.importance_weights(part.samples)["log_prob"], _counted(part.x).sum(axis=1)
    return ratio_of(-log_prob / np.log(2), tokens, samples=part.samples, examples=len(tokens), unit="bits a token")


def _counted(x: np.ndarray) -> np.ndarray:
    """Which tokens are a sequence's: those up to its first 0, and that."""
    ended = np.cumsum(x == 0, axis=1)
    return (ended == 0) | ((ended == 1) & (x == 0))
