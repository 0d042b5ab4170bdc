"""Anomaly scores of the steps of a series."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from keras_vae import backend, checks, randomness
from keras_vae.core.inference import checked_inputs
from keras_vae.errors import UserError
from keras_vae.likelihoods import Observed
from keras_vae.types import ConditionLike, Tensor, Tensors

if TYPE_CHECKING:
    from keras_vae.core import VAE


def step_scores(
    model: "VAE", x: ArrayLike, samples: int = 16, seed: int = 0, condition: ConditionLike = None
) -> np.ndarray:
    """Return -log p(x_t|z) of each step of each series, nats, its mean over draws z of q(z|x): `(batch, steps)`.

    Higher is more anomalous. A step is a place along the first axis of an x, and its score the sum over what is
    observed of it; NaN where nothing is, as beyond the end of a series. The sum of a series is -E[log p(x|z)].

    Args:
      model: a trained model of independent numbers, as of every likelihood but those of tokens.
      x: series `(batch, steps, channels)`, NaN where the model has `missing`; or another x, as a row of a table, whose
        steps are its columns.
      samples: draws for each series.
      seed: of the draws.
      condition: one for each series, where the model is conditional.

    Raises:
      UserError: as `model.elbo`; or a likelihood whose numbers are not independent.
    """
    samples = checks.check_whole_number(samples, "samples")
    base = randomness.fold(
        randomness.seed_of(checks.check_whole_number(seed, "seed", minimum=0), randomness.SAMPLING), 9
    )
    if model.x_spec().kind == "tokens":
        raise UserError(f"Steps are scored by independent numbers. Given: a {type(model).__name__}, of tokens.")
    inputs, family = checked_inputs(model, x, model.infer_condition(x, condition)), model.likelihood_family
    if not family.tells_total:
        raise UserError(
            f"Steps are scored by numbers that are independent given the code. Given: the likelihood {family.title}, "
            f"whose numbers share a total. Use 'negative_binomial' or 'poisson' without a library."
        )
    family.check(inputs["x"])
    family = family if isinstance(family, Observed) else Observed(family)
    inner = tuple(range(2, inputs["x"].ndim))  # the axes within a step

    def scores(part: Tensors, noise: Tensor) -> Tensor:
        y = model.condition_in(part)
        z = model.draws.sample(model.posterior(part["x"], y), seed=noise)
        log_p = family.distribution(model.likelihood_parameters(z, y)).number_log_prob(part["x"])
        return -ops.sum(log_p, axis=inner) if inner else -log_p

    graph = backend.compiled(scores, reduce_retracing=True)

    def one_block(block: int, part: Mapping[str, np.ndarray]) -> Any:
        tensors = {name: ops.convert_to_tensor(array) for name, array in part.items()}
        draws = [np.asarray(graph(tensors, randomness.fold(base, block, draw)), "float64") for draw in range(samples)]
        return np.mean(draws, axis=0)

    results = checks.in_blocks(one_block, inputs, pad=True, what="step_scores")
    return np.where(np.isnan(inputs["x"]).all(axis=inner), np.nan, results)


class Step(NamedTuple):
    """The score of a step of an x."""

    row: int  # of x
    step: int
    score: float


def highest(scores: np.ndarray, count: int = 10) -> list[Step]:
    """Return the steps with the highest of the `step_scores`, in falling order; without those that have none.

    Args:
      scores: `(batch, steps)`.
      count: of the steps, at most.
    """
    flat = np.where(np.isnan(scores), -np.inf, scores).ravel()
    order = np.argsort(-flat, kind="stable")[: checks.check_whole_number(count, "count", minimum=0)]
    rows, steps = np.divmod(order[flat[order] > -np.inf], scores.shape[1])
    return [Step(int(row), int(step), float(scores[row, step])) for row, step in zip(rows, steps, strict=True)]
