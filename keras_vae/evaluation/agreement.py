"""Agreement of two estimates of log p(x) that fail in different ways: importance weights, and annealing."""

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Required, TypedDict

import numpy as np
from numpy.typing import ArrayLike

from keras_vae.checks import check_whole_number
from keras_vae.errors import NotApplicable
from keras_vae.evaluation.annealing import annealed_importance_of
from keras_vae.evaluation.estimates import Estimate, mean_of
from keras_vae.evaluation.evaluation import Evaluation
from keras_vae.types import ConditionLike

if TYPE_CHECKING:
    from keras_vae.core import VAE
    from keras_vae.priors.base import FittedPrior

SAMPLES, ANNEALED, TEMPERATURES, CHAINS = 5000, 100, 200, 8
_ERRORS, _ENOUGH = 3.0, 1e-3  # joint standard errors; a difference in nats that is negligible
_ACCEPTED = 0.1  # of the steps of annealing, at least: with fewer its chains have hardly moved


class Agreement(TypedDict, total=False):
    """Two estimates of log p(x). Where annealing does not apply, or moves nothing: `log_prob`, `verdict`, `seconds`."""

    log_prob: Required[Estimate]  # importance-weighted, of all images
    importance_weighted: Estimate  # of the first images, its standard error over draws
    annealed: Estimate  # of those
    difference: Estimate  # the first minus the second, paired, with the standard errors of both
    agrees: bool  # whether it is within 3 standard errors
    verdict: Required[str]  # a sentence
    seconds: float


def log_prob_agreement(
    model: "VAE",
    x: ArrayLike,
    condition: ConditionLike = None,
    samples: int = SAMPLES,
    annealed: int = ANNEALED,
    temperatures: int = TEMPERATURES,
    chains: int = CHAINS,
    seed: int = 0,
    prior: "FittedPrior | None" = None,
) -> Agreement:
    """Return log p(x) by importance weights, and of the first images by annealing, which hardly needs the encoder.

    Both are lower bounds in expectation. Importance weights fail, without a sign of it, where q(z|x) misses a part of
    the true posterior; annealing fails where its chains are too few or too short. That both fail by the same amount is
    unlikely.

    Args:
      model: a model of this library.
      x: images, 2 or more.
      condition: one for each image, where the model is conditional.
      samples: importance weights of each image.
      annealed: the number of images, the first ones, that are annealed too, 2 or more.
      temperatures: as of `annealed_importance`.
      chains: as of `annealed_importance`.
      seed: of all draws.
      prior: of `keras_vae.priors`, fitted to the model; None: the model's own.

    Raises:
      NotApplicable: a model without a distribution over codes, or with integer codes, where the ELBO is exact.
      UserError: images outside the likelihood's support, or fewer than two.
    """
    annealed, samples = check_whole_number(annealed, "annealed", minimum=2), check_whole_number(samples, "samples")
    evaluation = Evaluation(model, x, condition=condition, seed=seed, prior=prior)
    return log_prob_agreement_of(evaluation, samples, annealed, temperatures, chains)


def log_prob_agreement_of(
    evaluation: Evaluation,
    samples: int = SAMPLES,
    annealed: int = ANNEALED,
    temperatures: int = TEMPERATURES,
    chains: int = CHAINS,
) -> Agreement:
    """As `log_prob_agreement`."""
    start, model = time.perf_counter(), evaluation.model
    evaluation.require_distribution()
    if model.latent_kind == "index":
        raise NotApplicable(f"The code of a {type(model).__name__} is certain: its ELBO is its log p(x) already.")
    weights = evaluation.importance_weights(samples)
    result: Agreement = {"log_prob": over_images(weights, samples, evaluation.seed), "verdict": ""}
    try:
        chained = annealed_importance_of(evaluation.first(annealed), temperatures, chains)
    except NotApplicable as error:
        result["verdict"] = f"Importance weights stand alone. {error}"
    else:
        accepted = float(chained["acceptance"].mean())
        if accepted < _ACCEPTED:
            result["verdict"] = (
                f"Importance weights stand alone. Of the steps of annealing {accepted:.1%} were accepted, too few for "
                f"its chains to move: the likelihood is too narrow for their step size."
            )
        else:
            method: Estimate = {**_over_draws(chained, len(chained["log_prob"])), "chains": chains}
            result["annealed"] = {**method, "temperatures": temperatures, "acceptance": accepted}
            _compare(result, weights, chained)
    result["seconds"] = round(time.perf_counter() - start, 1)
    return result


def _compare(result: Agreement, weights: Mapping[str, np.ndarray], chained: Mapping[str, np.ndarray]) -> None:
    """Add to `result` the importance-weighted estimate of the images that were annealed, and the difference."""
    count = len(chained["log_prob"])
    difference = mean_of(weights["log_prob"][:count] - chained["log_prob"], examples=count)
    gap, error = difference["value"], difference["standard_error"] or 0.0
    agrees = bool(abs(gap) <= _ERRORS * max(error, _ENOUGH))
    described = f"{gap:+.3f} ± {error:.3f} nats on {count} examples"
    lower = "annealing" if gap > 0 else "importance weights"
    result["importance_weighted"] = _over_draws(weights, count)
    result["difference"], result["agrees"] = difference, agrees
    result["verdict"] = (
        f"Importance weights and annealing agree within 3 standard errors: {described}."
        if agrees
        else f"Importance weights and annealing differ: {described}. Both are lower bounds: that of {lower} is loose."
    )


def _over_draws(estimates: Mapping[str, np.ndarray], count: int) -> Estimate:
    """Return the mean of the first `count` images, its standard error over draws."""
    values, errors = estimates["log_prob"][:count], estimates["standard_error"][:count]
    error = float(np.sqrt(np.square(errors).sum()) / count)
    return {"value": float(values.mean()), "standard_error": error, "examples": count}


def over_images(weights: Mapping[str, np.ndarray], samples: int, seed: int) -> Estimate:
    """Return the mean over images of the log p(x) of `importance_weights`, with its error over draws."""
    errors = weights["standard_error"]
    return {
        **mean_of(weights["log_prob"], samples=samples, seed=seed, examples=len(errors)),
        "monte_carlo_error": float(np.sqrt(np.square(errors).sum()) / len(errors)),
        "effective_samples": float(np.median(weights["effective_samples"])),
    }
