"""The aggregate posterior q(z) = (1/N) sum_n q(z|x_n), and what it splits the KL into."""

from typing import TYPE_CHECKING, Any, NamedTuple

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from keras_vae import backend, divergences, randomness
from keras_vae.checks import check_whole_number
from keras_vae.core.inference import checked_inputs
from keras_vae.errors import NotApplicable, UserError
from keras_vae.evaluation.estimates import mean_of

if TYPE_CHECKING:
    from keras_vae.core import VAE


class LogProbs(NamedTuple):
    """Of one draw z_i of each q(z|x_i), in nats: `(N,)`, and by dimension where the posterior has independent ones."""

    own: np.ndarray  # log q(z_i|x_i)
    aggregate: np.ndarray  # log q(z_i)
    prior: np.ndarray  # log p(z_i)
    aggregate_dimensions: np.ndarray | None  # log q(z_ij), (N, latent_dim)
    prior_dimensions: np.ndarray | None = None  # log p(z_ij), where the prior is a product too


def aggregate_log_probs(model: "VAE", x: ArrayLike, seed: int = 0) -> LogProbs:
    """Log densities of a draw from each posterior under its own, under the mean of all of them, and under the prior.

    q(z) is the aggregate of exactly these N images, so nothing is approximated but the expectation over z. It takes
    N**2 densities: seconds for thousands of images.

    Args:
      model: a model of this library, unconditional.
      x: N images, 2 or more.
      seed: of the draws.

    Raises:
      NotApplicable: a model without a distribution over codes, with a condition, or whose posterior has a density at
        its own draws only.
      UserError: fewer than two images.
    """
    if not model.stochastic:
        raise NotApplicable(
            f"{type(model).__name__} has no distribution over codes, and so no KL to split. Train a VAE."
        )
    if model.conditional:
        raise NotApplicable(
            f"The aggregate posterior is that of an unconditional model. Given: a {type(model).__name__}, whose prior "
            f"and posteriors differ with the condition."
        )
    inputs = checked_inputs(model, x)
    if len(inputs["x"]) < 2:
        raise UserError(f"An aggregate posterior needs two images or more. Given: {len(inputs['x'])}.")
    noise = randomness.seed_of(check_whole_number(seed, "seed", minimum=0), randomness.EVALUATION)
    posterior = model.posterior(ops.convert_to_tensor(inputs["x"]))
    z = posterior.sample(seed=noise)
    product = divergences.is_product(posterior) and z.dtype.is_floating
    count = len(inputs["x"])

    own, prior = (np.asarray(each.log_prob(z), "float64") for each in (posterior, model.prior()))

    @backend.compiled
    def of_one(one: Any, place: Any, known: Any) -> Any:
        """log of the mean over n of q(z|x_n), and of q(z_j|x_n). That of its own image is `known`: no inverse."""
        log_count = float(np.log(count))
        if product:
            log_q = posterior.distribution.log_prob(ops.broadcast_to(one, ops.shape(z)))
            return (
                ops.logsumexp(ops.sum(log_q, axis=-1)) - log_count,
                ops.logsumexp(log_q, axis=0) - log_count,
            )
        spread = keras.tree.map_structure(lambda part: ops.broadcast_to(part, (count, *part.shape)), one)
        log_q = ops.where(ops.arange(count) == place, ops.cast(known, model.float_dtype), posterior.log_prob(spread))
        return ops.logsumexp(log_q) - log_count, ops.zeros(0)

    def row(place: int) -> Any:
        one = keras.tree.map_structure(lambda part: part[place], z)
        return of_one(one, ops.convert_to_tensor(place), ops.convert_to_tensor(own[place]))

    try:
        rows = [row(place) for place in range(count)]
    except NotImplementedError as error:
        raise NotApplicable(
            f"The aggregate posterior needs log q(z|x) at other images' codes. Given: a {type(model).__name__} whose "
            f"posterior has a density at its own draws only, as planar flows do. Use another flow."
        ) from error
    dimensions = np.stack([row[1] for row in rows]).astype("float64") if product else None
    aggregate = np.asarray([row[0] for row in rows], "float64")
    by_dimension = None
    if product and divergences.is_product(model.prior()):
        by_dimension = np.asarray(model.prior().distribution.log_prob(z), "float64")
    return LogProbs(own, aggregate, prior, dimensions, by_dimension)


SATURATED = 0.1  # nats from its cap


def kl_split(model: "VAE", x: ArrayLike, seed: int = 0) -> dict[str, dict[str, Any]]:
    """The mean KL(q(z|x) || p(z)) of N images and its parts, in nats, from one draw for each image.

    * `kl` = `mutual_information` + `marginal_kl`, exactly, draw by draw: I(x; z) = E log q(z|x) - log q(z), and
      KL(q(z) || p(z)). Hoffman and Johnson 2016, http://approximateinference.org/accepted/HoffmanJohnson2016.pdf.
    * Where dimensions are independent given x: `total_correlation`, KL(q(z) || prod_j q(z_j)). Where they are in the
      prior too, `dimension_kl`, sum_j KL(q(z_j) || p(z_j)), and `marginal_kl` is the sum of both: equation 2 of Chen et
      al. 2018, https://arxiv.org/abs/1802.04942. A mixture such as a VampPrior is no product, and has no such part.

    q(z) is that of the images given, each of which counts among them, so that log q(z) is too large in expectation:
    the mutual information of all images is at least what is found here, the marginal KL and the total correlation at
    most. Of N images the first is at most log N, its `cap`. Within 0.1 of it, where each code tells its image from all
    others, the numbers say more of N than of the model: they have a `bound`, "lower" or "upper", and are no estimates.
    `gaussian_total_correlation` does not saturate. An estimate near 0 can be slightly negative.

    Returns:
      part -> `value`, `standard_error` over draws, `samples` (1), `seed`, `examples`; `mutual_information` also `cap`;
      where it is saturated, `bound` of it, of `marginal_kl` and of `total_correlation`.

    Raises:
      NotApplicable, UserError: as `aggregate_log_probs`; densities that are not finite.
    """
    found = aggregate_log_probs(model, x, seed)
    parts = {
        "kl": found.own - found.prior,
        "mutual_information": found.own - found.aggregate,
        "marginal_kl": found.aggregate - found.prior,
    }
    if found.aggregate_dimensions is not None:
        product = found.aggregate_dimensions.sum(axis=1)
        parts["total_correlation"] = found.aggregate - product
        if found.prior_dimensions is not None:
            parts["dimension_kl"] = product - found.prior
    split = {name: mean_of(value, samples=1, seed=seed, examples=len(value)) for name, value in parts.items()}
    information = split["mutual_information"]
    information["cap"] = float(np.log(len(found.own)))
    if information["value"] > information["cap"] - SATURATED:
        bounds = {"mutual_information": "lower", "marginal_kl": "upper", "total_correlation": "upper"}
        for name in bounds.keys() & split.keys():
            split[name]["bound"] = bounds[name]
    return split


def gaussian_total_correlation(codes: np.ndarray, repetitions: int = 100, seed: int = 0) -> dict[str, Any]:
    """-1/2 log det of the correlation matrix of codes, nats: the total correlation, where they are Gaussian.

    The figure of Locatello et al. 2019, appendix C, https://arxiv.org/abs/1811.12359. 0 for uncorrelated dimensions;
    it sees what is linear only. It has no cap; of n codes of d independent dimensions it is about d (d - 1) / (4 n).

    Args:
      codes: `(n, dimensions)`, such as one draw of each q(z|x).
      repetitions: resamplings of the codes, whose spread is the standard error.
      seed: of those.

    Returns:
      `value`, `standard_error`, `repetitions`, `seed`, `examples`.

    Raises:
      NotApplicable: one dimension only, or one that is constant.
      UserError: codes that are no finite numbers `(n, dimensions)`, or no more of them than dimensions.
    """
    codes = np.asarray(codes)
    if codes.ndim != 2 or codes.dtype.kind not in "fiu" or not np.isfinite(codes).all():
        raise UserError(f"codes must be finite numbers (n, dimensions). Given: {codes.dtype} of shape {codes.shape}.")
    count, dimensions = codes.shape
    if count <= dimensions + 1:
        raise UserError(f"A correlation matrix needs more codes than dimensions, {dimensions}. Given: {count}.")
    if dimensions < 2 or (np.ptp(codes, axis=0) == 0).any():
        raise NotApplicable("A total correlation needs two dimensions or more that vary. Given: fewer, or a constant.")
    codes = codes.astype("float64")
    repetitions = check_whole_number(repetitions, "repetitions", minimum=2)
    generator = np.random.default_rng(check_whole_number(seed, "seed", minimum=0))

    def of(chosen: np.ndarray) -> float:
        return -0.5 * float(np.linalg.slogdet(np.corrcoef(chosen, rowvar=False))[1])

    again = [of(codes[generator.integers(count, size=count)]) for _ in range(repetitions)]
    error = float(np.std(again, ddof=1))
    return {"value": of(codes), "standard_error": error, "repetitions": repetitions, "seed": seed, "examples": count}
