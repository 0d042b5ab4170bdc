"""Whether two estimates of log p(x) that fail in different ways agree: importance weights, and annealing."""

import time
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from keras_vae.checks import check_whole_number
from keras_vae.core.estimators import importance_weights
from keras_vae.core.inference import checked_inputs, fitted
from keras_vae.errors import NotApplicable
from keras_vae.evaluation.annealing import annealed_importance
from keras_vae.evaluation.estimates import mean_of
from keras_vae.types import ConditionLike

if TYPE_CHECKING:
    from keras_vae.core import VAE
    from keras_vae.priors.base import FittedPrior

SAMPLES, IMAGES, ANNEALED, CHAINS = 5000, 1000, 100, 8
_ERRORS, _ENOUGH = 3.0, 1e-3  # joint standard errors; nats that nobody asks about


def log_prob_agreement(
    model: "VAE",
    x: ArrayLike,
    condition: ConditionLike = None,
    samples: int = SAMPLES,
    annealed: int = ANNEALED,
    temperatures: int = 200,
    chains: int = CHAINS,
    seed: int = 0,
    prior: "FittedPrior | None" = None,
) -> dict[str, Any]:
    """log p(x) by importance weights, and of the first images by annealing too, which hardly needs the encoder.

    Both are lower bounds in expectation. Importance weights fail where q(z|x) misses a part of the true posterior, and
    do not notice; annealing fails where its chains are too few or too short. That both fail alike is unlikely.

    Args:
      model: a model of this library.
      x: images, 2 or more.
      condition: one for each image, where the model is conditional.
      samples: importance weights of each image.
      annealed: how many of the images, the first ones, are annealed too, 2 or more.
      temperatures: as of `annealed_importance`.
      chains: likewise.
      seed: of all draws.
      prior: of `keras_vae.priors`, fitted to the model; None: the model's own.

    Returns:
      `log_prob`: of all images, `value`, `standard_error` over images, `samples`, `examples`; `monte_carlo_error`, that
      of the mean over draws, and `effective_samples`, the median over images.
      `importance_weighted`, `annealed`: means over the first images, with their standard errors over draws.
      `difference`: the first minus the second, paired, with its standard error, in which both are.
      `agrees`: whether it is within 3 of those; `verdict`: a sentence. `seconds`: the time of all. Where annealing does
      not apply, to codes that are no real vectors, `log_prob`, `verdict` and `seconds` only.

    Raises:
      NotApplicable: a model without a distribution over codes, or one whose codes are certain.
      UserError: images outside the likelihood's support, or fewer than two.
    """
    start, annealed = time.perf_counter(), check_whole_number(annealed, "annealed", minimum=2)
    samples, seed = check_whole_number(samples, "samples"), check_whole_number(seed, "seed", minimum=0)
    inputs = checked_inputs(model, x, condition, likelihood=True)
    if model.latent_kind == "index":
        raise NotApplicable(f"The code of a {type(model).__name__} is certain: its ELBO is its log p(x) already.")
    chosen = None if prior is None else fitted(model, prior)
    weighted = importance_weights(model, inputs, samples, seed, chosen)
    found: dict[str, Any] = {"log_prob": over_images(weighted, samples, seed)}
    few = {name: array[:annealed] for name, array in inputs.items()}
    given = few.get("condition")
    try:
        second = annealed_importance(model, few["x"], temperatures, chains, seed=seed, condition=given, prior=prior)
    except NotApplicable as error:
        found["verdict"] = f"Importance weights stand alone. {error}"
        return {**found, "seconds": round(time.perf_counter() - start, 1)}
    count = len(few["x"])
    pair = {"importance_weighted": weighted, "annealed": second}
    for name, each in pair.items():
        values, errors = each["log_prob"][:count], each["standard_error"][:count]
        error = float(np.sqrt(np.square(errors).sum()) / count)
        found[name] = {"value": float(values.mean()), "standard_error": error, "examples": count}
    found["annealed"] |= {"acceptance": float(second["acceptance"].mean()), "chains": chains,
                          "temperatures": temperatures}  # fmt: skip
    difference = mean_of(weighted["log_prob"][:count] - second["log_prob"], examples=count)
    found["difference"] = difference
    joint = max(difference["standard_error"], _ENOUGH)
    found["agrees"] = bool(abs(difference["value"]) <= _ERRORS * joint)
    gap = f"{difference['value']:+.3f} ± {difference['standard_error']:.3f} nats on {count} images"
    if found["agrees"]:
        found["verdict"] = f"Importance weights and annealing agree within 3 standard errors: {gap}."
    else:
        lower = "annealing" if difference["value"] > 0 else "importance weights"
        found["verdict"] = (
            f"Importance weights and annealing differ: {gap}. Both are lower bounds: that of {lower} is loose."
        )
    return {**found, "seconds": round(time.perf_counter() - start, 1)}


def over_images(weighted: dict[str, np.ndarray], samples: int, seed: int) -> dict[str, Any]:
    """The mean of what `importance_weights` gives, over images: as `log_prob` of `log_prob_agreement`."""
    errors = weighted["standard_error"]
    return {
        **mean_of(weighted["log_prob"], samples=samples, seed=seed, examples=len(errors)),
        "monte_carlo_error": float(np.sqrt(np.square(errors).sum()) / len(errors)),
        "effective_samples": float(np.median(weighted["effective_samples"])),
    }
