"""Metrics of reconstructed sequences of tokens."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

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
    same, ended = evaluation.reconstructions == x, np.cumsum(x == 0, axis=1)
    counts = (ended == 0) | ((ended == 1) & (x == 0))  # up to the first 0, with it
    right = (same & counts).sum(axis=1) / counts.sum(axis=1)
    return {"tokens_right": right, "sequences_right": np.asarray(same.all(axis=1), "float64")}
