"""The aggregate posterior q(z) = (1/N) sum_n q(z|x_n), and the decomposition of the KL by it."""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from keras_vae import backend, divergences
from keras_vae.backend import base_of, tfd
from keras_vae.checks import check_whole_number
from keras_vae.errors import NotApplicable, UserError
from keras_vae.evaluation.estimates import Details, Estimate, mean_of
from keras_vae.evaluation.evaluation import SUBSET, Evaluation
from keras_vae.evaluation.factors import vectors_in
from keras_vae.types import Latent, Tensor

if TYPE_CHECKING:
    from keras_vae.core import VAE


class LogProbs(NamedTuple):
    """Log densities of a draw z_i of each q(z|x_i), nats: `(N,)`, and by dimension where these are independent."""

    posterior: np.ndarray  # log q(z_i|x_i)
    aggregate: np.ndarray  # log q(z_i)
    prior: np.ndarray  # log p(z_i)
    aggregate_dimensions: np.ndarray | None  # log q(z_ij), (N, latent_dim)
    prior_dimensions: np.ndarray | None = None  # log p(z_ij), where the prior is a product too


def aggregate_log_probs(model: "VAE", x: ArrayLike, seed: int = 0) -> LogProbs:
    """Return log densities of a draw from each posterior: under itself, under the mean of all, and under the prior.

    q(z) is the aggregate of exactly these N images, so only the expectation over z is approximated. The cost is
    `N**2` densities: seconds for thousands of images.

    Args:
      model: a model of this library, unconditional.
      x: N images, 2 or more.
      seed: of the draws.

    Raises:
      NotApplicable: a model without a distribution over codes, with a condition, or with a posterior that has a density
        at its own draws only.
      UserError: fewer than two images.
    """
    _require_posterior(model)  # before a condition that is missing
    return aggregate_log_probs_of(Evaluation(model, x, seed=seed))


def aggregate_log_probs_of(evaluation: Evaluation) -> LogProbs:
    """As `aggregate_log_probs`."""
    model, count = evaluation.model, len(evaluation)
    _require_posterior(model)
    if count < 2:
        raise UserError(f"An aggregate posterior needs two images or more. Given: {count}.")
    posterior, prior = model.posterior(ops.convert_to_tensor(evaluation.x)), model.prior()
    z = posterior.sample(seed=evaluation.noise)
    log_q, log_p = (np.asarray(distribution.log_prob(z), "float64") for distribution in (posterior, prior))
    product = divergences.is_product(posterior) and z.dtype.is_floating
    mixture = _mixture(posterior, z, product)
    try:
        rows = [mixture(_row(z, i), ops.convert_to_tensor(i), ops.convert_to_tensor(log_q[i])) for i in range(count)]
    except NotImplementedError as error:
        raise NotApplicable(
            f"The aggregate posterior needs log q(z|x) at other images' codes. Given: a {type(model).__name__}. Its "
            f"posterior has a density at its own draws only, as planar flows do. Use another flow."
        ) from error
    aggregate = np.asarray([row[0] for row in rows], "float64")
    if not product:
        return LogProbs(log_q, aggregate, log_p, None)
    dimensions = np.stack([np.asarray(row[1]) for row in rows]).astype("float64")
    if not divergences.is_product(prior):
        return LogProbs(log_q, aggregate, log_p, dimensions)
    return LogProbs(log_q, aggregate, log_p, dimensions, np.asarray(base_of(prior).log_prob(z), "float64"))


def _row(z: Latent, i: int) -> Latent:
    return keras.tree.map_structure(lambda part: part[i], z)


def _mixture(posterior: tfd.Distribution, z: Latent, product: bool) -> Callable[..., tuple[Tensor, Tensor]]:
    """Return the compiled function `(z_i, i, log q(z_i|x_i))` -> log q(z_i), and log q(z_ij) of a product."""
    count = keras.tree.flatten(z)[0].shape[0]
    log_count = float(np.log(count))

    @backend.compiled
    def mixture(code: Latent, i: Tensor, log_q_i: Tensor) -> tuple[Tensor, Tensor]:
        spread = keras.tree.map_structure(lambda part: ops.broadcast_to(part, (count, *part.shape)), code)
        if product:
            log_q = base_of(posterior).log_prob(spread)
            return ops.logsumexp(ops.sum(log_q, axis=-1)) - log_count, ops.logsumexp(log_q, axis=0) - log_count
        log_q = posterior.log_prob(spread)
        # The density under the draw's own posterior is available without inverting a flow.
        log_q = ops.where(ops.arange(count) == i, ops.cast(log_q_i, log_q.dtype), log_q)
        return ops.logsumexp(log_q) - log_count, ops.zeros(0)

    return mixture


def _require_posterior(model: "VAE") -> None:
    name = type(model).__name__
    if not model.stochastic:
        raise NotApplicable(f"{name} has no distribution over codes, and so no KL to split. Train a VAE.")
    if model.conditional:
        raise NotApplicable(
            f"The aggregate posterior is that of an unconditional model. Given: a {name}, where prior and posterior "
            f"depend on the condition."
        )


SATURATED = 0.1  # nats from its cap


def kl_split(model: "VAE", x: ArrayLike, seed: int = 0) -> dict[str, Estimate]:
    """Return the mean KL(q(z|x) || p(z)) of N images and its parts, in nats, from one draw for each image.

    * `kl` = `mutual_information` + `marginal_kl`, exactly, draw by draw: I(x; z) = E log q(z|x) - log q(z), and
      KL(q(z) || p(z)). Hoffman and Johnson 2016, http://approximateinference.org/accepted/HoffmanJohnson2016.pdf.
    * Where dimensions are independent given x: `total_correlation`, KL(q(z) || prod_j q(z_j)). Where they are in the
      prior too, `dimension_kl`, sum_j KL(q(z_j) || p(z_j)), and `marginal_kl` is the sum of both: equation 2 of Chen et
      al. 2018, https://arxiv.org/abs/1802.04942. A mixture such as a VampPrior is no product, and has no such part.

    q(z) is the mixture over these images, which includes the image of each draw, so log q(z) is too large in
    expectation: the mutual information is underestimated, the marginal KL and the total correlation are overestimated.
    The mutual information of N images is at most log N, its `cap`. Within 0.1 of it, where codes identify their images,
    the numbers depend more on N than on the model: they are bounds, with `bound` "lower" or "upper".
    `gaussian_total_correlation` does not saturate. An estimate near 0 can be slightly negative.

    Returns:
      part -> `value`, `standard_error` over draws, `samples` (1), `seed`, `examples`; `mutual_information` also `cap`;
      where it is saturated, `bound` of it, of `marginal_kl` and of `total_correlation`.

    Raises:
      NotApplicable, UserError: as `aggregate_log_probs`; densities that are not finite.
    """
    _require_posterior(model)
    return kl_split_of(Evaluation(model, x, seed=seed))


def kl_split_of(evaluation: Evaluation) -> dict[str, Estimate]:
    """As `kl_split`."""
    log_probs = aggregate_log_probs_of(evaluation)
    parts = {
        "kl": log_probs.posterior - log_probs.prior,
        "mutual_information": log_probs.posterior - log_probs.aggregate,
        "marginal_kl": log_probs.aggregate - log_probs.prior,
    }
    if log_probs.aggregate_dimensions is not None:
        product = log_probs.aggregate_dimensions.sum(axis=1)
        parts["total_correlation"] = log_probs.aggregate - product
        if log_probs.prior_dimensions is not None:
            parts["dimension_kl"] = product - log_probs.prior
    details: Details = {"samples": 1, "seed": evaluation.seed, "examples": len(log_probs.posterior)}
    split = {name: mean_of(value, **details) for name, value in parts.items()}
    information = split["mutual_information"]
    information["cap"] = float(np.log(len(log_probs.posterior)))
    if information["value"] > information["cap"] - SATURATED:
        bounds = {"mutual_information": "lower", "marginal_kl": "upper", "total_correlation": "upper"}
        for name in bounds.keys() & split.keys():
            split[name]["bound"] = bounds[name]
    return split


def kl_split_of_first(evaluation: Evaluation) -> dict[str, Estimate]:
    """As `kl_split`, of the first 1,000 images: it takes the square of their number."""
    return kl_split_of(evaluation.first(SUBSET))


def gaussian_total_correlation_of(evaluation: Evaluation) -> Estimate:
    """As `gaussian_total_correlation`, of one draw of q(z|x) for each image."""
    model = evaluation.model
    if model.latent_kind == "index":
        raise NotApplicable(f"Integer codes have no correlation. Given: a {type(model).__name__}.")
    return gaussian_total_correlation(evaluation.draws, seed=evaluation.seed)


def gaussian_total_correlation(codes: np.ndarray, repetitions: int = 100, seed: int = 0) -> Estimate:
    """Return -1/2 log det of the correlation matrix of codes, nats: their total correlation, if they are Gaussian.

    The measure of Locatello et al. 2019, appendix C, https://arxiv.org/abs/1811.12359. 0 for uncorrelated dimensions;
    it measures linear dependence only. It has no cap; for n codes of d independent dimensions it is about d (d - 1) /
    (4 n).

    Args:
      codes: `(n, dimensions)`, such as one draw of each q(z|x).
      repetitions: bootstrap resamplings of the codes; their spread is the standard error.
      seed: of the resamplings.

    Returns:
      `value`, `standard_error`, `repetitions`, `seed`, `examples`.

    Raises:
      NotApplicable: one dimension only, or one that is constant; too few codes for the dimensions.
      UserError: codes that are not finite numbers `(n, dimensions)`.
    """
    codes = vectors_in(codes)
    count, dimensions = codes.shape
    if count < 4 * (dimensions + 1):  # of a resampling, three fifths are distinct
        raise NotApplicable(
            f"A correlation matrix of {dimensions} dimensions, and of its resamplings, needs {4 * (dimensions + 1)} "
            f"codes. Given: {count}. Hold more examples out."
        )
    if dimensions < 2 or (np.ptp(codes, axis=0) == 0).any():
        raise NotApplicable("A total correlation needs two dimensions or more that vary. Given: fewer, or a constant.")
    repetitions = check_whole_number(repetitions, "repetitions", minimum=2)
    generator = np.random.default_rng(check_whole_number(seed, "seed", minimum=0))

    def of(rows: np.ndarray) -> float:
        return -0.5 * float(np.linalg.slogdet(np.corrcoef(rows, rowvar=False))[1])

    resampled = [of(codes[generator.integers(count, size=count)]) for _ in range(repetitions)]
    error = float(np.std(resampled, ddof=1))
    return {"value": of(codes), "standard_error": error, "repetitions": repetitions, "seed": seed, "examples": count}
