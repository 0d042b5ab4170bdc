"""The metrics on a card, which `keras_vae.zoo.verify` measures again."""

import numpy as np

from keras_vae.core import estimators
from keras_vae.core.inference import fitted
from keras_vae.errors import NotApplicable
from keras_vae.evaluation import latent, sequences
from keras_vae.evaluation.estimates import Details, Estimate, mean_of
from keras_vae.evaluation.evaluation import Evaluation

BATCH = 128  # images in a batch, for terms that depend on the batch as a whole


def terms_of(evaluation: Evaluation) -> dict[str, Estimate]:
    """Return `elbo`, `log_px` and `kl`, with the KL of each dimension or level; or `log_px` alone: nats."""
    model, terms = evaluation.model, evaluation.terms
    if not model.stochastic:
        return {"log_px": mean_of(terms["log_px"], samples=0, unit="nats")}
    samples = model.draws_per_example
    rows = {name: mean_of(terms[name], samples=samples, unit="nats") for name in ("elbo", "log_px", "kl")}
    groups = [mean_of(group) for group in terms["kl_groups"].T]
    rows["kl"]["parts"] = [group["value"] for group in groups]
    rows["kl"]["errors"] = [group["standard_error"] or 0.0 for group in groups]
    rows["kl"]["names"] = latent.kl_names(model, len(groups))
    return rows


def fitted_terms_of(evaluation: Evaluation) -> dict[str, Estimate]:
    """Return `elbo_fitted` and `kl_fitted`: the ELBO and the KL with the fitted prior in place of the own one, nats.

    The KL is the rate, -log p(z) of an integer code: the mean of log p(x|z) less the ELBO of each example.

    Raises:
      NotApplicable: no fitted prior, or a model without a distribution over codes.
    """
    if evaluation.prior is None:
        raise NotApplicable("The ELBO with a fitted prior needs one, prior=. Given: none.")
    evaluation.require_distribution()
    prior = fitted(evaluation.model, evaluation.prior)
    elbo = estimators.elbo_under(evaluation.model, evaluation.inputs, evaluation.seed, prior)
    return {
        "elbo_fitted": mean_of(elbo, samples=1, unit="nats"),
        "kl_fitted": mean_of(evaluation.terms["log_px"] - elbo, samples=1, unit="nats"),
    }


def log_prob_of(evaluation: Evaluation) -> Estimate:
    """Return the importance-weighted log p(x) under the model's own prior, nats, of `of_likelihood`'s images.

    Raises:
      NotApplicable: no samples, no distribution over codes, or integer codes, where the ELBO is log p(x).
    """
    evaluation.require_log_prob()
    values = log_probs_of(evaluation)
    details: Details = {"samples": evaluation.samples, "unit": "nats"}
    if len(values) < len(evaluation):
        details["examples"] = len(values)
    return mean_of(values, **details)


def log_probs_of(evaluation: Evaluation) -> np.ndarray:
    """Return the importance-weighted log p(x) of each of `of_likelihood`'s images, nats."""
    return evaluation.of_likelihood.importance_weights(evaluation.samples, with_prior=False)["log_prob"]


def squared_error_of(evaluation: Evaluation) -> Estimate:
    """Return the squared error of the mean reconstruction, summed over the pixels of an image.

    Raises:
      NotApplicable: a model of anything but images.
    """
    evaluation.require_kind("image", "Squared errors are of images")
    return mean_of(evaluation.squared_errors, samples=0, unit="summed over pixels")


def tokens_of(evaluation: Evaluation) -> dict[str, Estimate]:
    """Return the shares of tokens and of sequences that are reconstructed.

    Raises:
      NotApplicable: a model of anything but tokens.
    """
    tokens = sequences.reconstructed_tokens_of(evaluation)
    return {name: mean_of(values, samples=0, unit="share") for name, values in tokens.items()}


def active_units_of(evaluation: Evaluation) -> Estimate:
    """Return the number of active units, with the variance of each dimension of the codes."""
    units = latent.active_units_of(evaluation)
    count = _count(units["value"], f"of {units['of']} dimensions")
    return {**count, "parts": units["variances"]}


def codebook_of(evaluation: Evaluation) -> dict[str, Estimate]:
    """Return how many entries of the codebook are used, and their perplexity."""
    usage = latent.codebook_usage_of(evaluation)
    unit = f"of {usage['entries']} entries"
    perplexity = _count(usage["perplexity"], unit)
    return {
        "codes_used": _count(usage["used"], unit),
        "code_perplexity": {**perplexity, "standard_error": usage["standard_error"]},
    }


def own_terms_of(evaluation: Evaluation) -> dict[str, Estimate]:
    """Return the model's own terms, the names in `metric_names`: means over whole batches of 128 images."""
    model = evaluation.model
    samples = model.draws_per_example if model.stochastic else 0
    terms = estimators.own_terms(model, evaluation.inputs, evaluation.seed, BATCH)
    return {name: _over_batches(values, samples) for name, values in terms.items()}


def _over_batches(values: np.ndarray, samples: int) -> Estimate:
    error = mean_of(values)["standard_error"] if len(values) > 1 else None
    return {"value": float(values.mean()), "standard_error": error, "samples": samples, "unit": "", "batch": BATCH}


def _count(value: float, unit: str) -> Estimate:
    return {"value": value, "standard_error": None, "samples": 0, "unit": unit}
