"""Metrics of the likelihood: the terms of the ELBO and log p(x), in nats per example, and bits per dimension."""

import time

from keras_vae.core.estimators import bits_of, with_density
from keras_vae.evaluation import agreement
from keras_vae.evaluation.estimates import Estimate, mean_of
from keras_vae.evaluation.evaluation import SUBSET, Evaluation


def nats_of(evaluation: Evaluation) -> dict[str, Estimate]:
    """Return `elbo`, `log_px`, `kl`, and `log_prob` where there are samples: means over images, nats.

    `samples` are the draws of q(z|x) for each image in one pass of the model's equation, 1 but for an IWAE's K.
    `log_prob` also has its `monte_carlo_error`, that of the mean over draws, the median of `effective_samples`, and its
    `seconds`. With a fitted prior in place of p(z), `elbo` is estimated at the draw, and `kl` is missing.

    Raises:
      NotApplicable: a model without a distribution over codes.
      UserError: images outside the likelihood's support.
    """
    evaluation.require_distribution()
    terms, seed = evaluation.terms, evaluation.seed
    draws = dict.fromkeys(("elbo", "log_px", "kl"), evaluation.model.draws_per_example)
    if evaluation.prior is not None:
        terms, draws = terms | {"elbo": evaluation.importance_weights(1)["log_prob"]}, draws | {"elbo": 1}
        del draws["kl"]
    estimates = {name: mean_of(terms[name], samples=count, seed=seed) for name, count in draws.items()}
    if evaluation.samples and evaluation.model.latent_kind != "index":  # of one code the weights are all the ELBO
        estimates["log_prob"] = log_prob_of(evaluation)
    return estimates


def log_prob_of(evaluation: Evaluation) -> Estimate:
    """Return the mean of the importance-weighted log p(x), nats, with its errors and `seconds`."""
    start = time.perf_counter()
    weights = evaluation.of_likelihood.importance_weights(evaluation.samples)
    estimate = agreement.over_images(weights, evaluation.samples, evaluation.seed)
    estimate["seconds"] = round(time.perf_counter() - start, 1)
    return estimate


def bits_per_dim_of(evaluation: Evaluation) -> Estimate:
    """Return the mean of `bits_per_dim` of the images that log p(x) is measured on, at most the first 1,000."""
    part, seed = evaluation.of_likelihood.first(SUBSET), evaluation.seed
    samples = 1 if part.model.latent_kind == "index" else max(evaluation.samples, 1)  # a certain code has one draw
    images, offset = with_density(part.model, part.x, seed, part.dequantized)
    if offset and not part.dequantized:
        log_prob = part.model.log_prob(images, samples, seed, part.condition, part.prior)
    else:  # of the same images, with the same noise
        log_prob = part.importance_weights(samples)["log_prob"]
    bits = bits_of(part.model, log_prob, offset)
    return mean_of(bits, samples=samples, seed=seed, examples=len(part))


def agreement_of(evaluation: Evaluation) -> agreement.Agreement:
    """Return `log_prob_agreement` of the images that log p(x) is measured on, at most the first 1,000."""
    return agreement.log_prob_agreement_of(evaluation.of_likelihood.first(SUBSET))
