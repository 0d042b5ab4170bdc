"""The aggregate posterior q(z) = (1/N) sum_n q(z|x_n), and what it splits the KL into."""

from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from keras_vae import divergences, randomness
from keras_vae.arrays import check_whole_number
from keras_vae.errors import UserError
from keras_vae.evaluation.estimates import mean_of
from keras_vae.inference import checked_inputs


class LogProbs(NamedTuple):
    """Of one draw z_i of each q(z|x_i), in nats: `(N,)`, and by dimension where the posterior has independent ones."""

    own: np.ndarray  # log q(z_i|x_i)
    aggregate: np.ndarray  # log q(z_i)
    prior: np.ndarray  # log p(z_i)
    aggregate_dimensions: np.ndarray | None  # log q(z_ij), (N, latent_dim)


def aggregate_log_probs(model: Any, x: Any, seed: int = 0) -> LogProbs:
    """Log densities of a draw from each posterior under its own, under the mean of all of them, and under the prior.

    q(z) is the aggregate of exactly these N images, so nothing is approximated but the expectation over z. It takes
    N**2 densities: seconds for thousands of images.

    Args:
      model: a model of this library, unconditional.
      x: N images, 2 or more.
      seed: of the draws.

    Raises:
      UserError: a model without a distribution over codes, with a condition, or whose posterior has a density at its
        own draws only; fewer than two images.
    """
    if not model.stochastic:
        raise UserError(f"{type(model).__name__} has no distribution over codes, and so no KL to split. Train a VAE.")
    if model.conditional:
        raise UserError(
            f"The aggregate posterior is that of an unconditional model. Given: a {type(model).__name__}, whose prior "
            f"and posteriors differ with the condition."
        )
    inputs = checked_inputs(model, x)
    if len(inputs["x"]) < 2:
        raise UserError(f"An aggregate posterior needs two images or more. Given: {len(inputs['x'])}.")
    noise = randomness.seed_of(check_whole_number(seed, "seed", minimum=0), randomness.EVALUATION)
    posterior = model.posterior(tf.constant(inputs["x"]))
    z = posterior.sample(seed=noise)
    product = divergences.is_product(posterior) and z.dtype.is_floating
    count = len(inputs["x"])

    @tf.function(autograph=False)
    def of_one(one: Any) -> Any:
        """log of the mean over n of q(z|x_n), and of q(z_j|x_n)."""
        log_count = float(np.log(count))
        if product:
            log_q = posterior.distribution.log_prob(ops.broadcast_to(one, ops.shape(z)))
            return (
                ops.logsumexp(ops.sum(log_q, axis=-1)) - log_count,
                ops.logsumexp(log_q, axis=0) - log_count,
            )
        spread = keras.tree.map_structure(lambda part: ops.broadcast_to(part, (count, *part.shape)), one)
        return ops.logsumexp(posterior.log_prob(spread)) - log_count, ops.zeros(0)

    try:
        rows = [of_one(keras.tree.map_structure(lambda part, i=i: part[i], z)) for i in range(count)]
    except NotImplementedError as error:
        raise UserError(
            f"The aggregate posterior needs log q(z|x) at other images' codes. Given: a {type(model).__name__} whose "
            f"posterior has a density at its own draws only, as planar flows do. Use another flow."
        ) from error
    dimensions = np.stack([row[1] for row in rows]).astype("float64") if product else None
    own, prior = (np.asarray(each.log_prob(z), "float64") for each in (posterior, model.prior()))
    return LogProbs(own, np.asarray([row[0] for row in rows], "float64"), prior, dimensions)


def kl_split(model: Any, x: Any, seed: int = 0) -> dict[str, dict[str, Any]]:
    """The mean KL(q(z|x) || p(z)) of N images and its parts, in nats, from one draw for each image.

    * `kl` = `mutual_information` + `marginal_kl`, exactly, draw by draw: I(x; z) = E log q(z|x) - log q(z), and
      KL(q(z) || p(z)). Hoffman and Johnson 2016, http://approximateinference.org/accepted/HoffmanJohnson2016.pdf.
    * Where dimensions are independent given x: `marginal_kl` = `total_correlation` + `dimension_kl`, KL(q(z) || prod_j
      q(z_j)) and sum_j KL(q(z_j) || p(z_j)): equation 2 of Chen et al. 2018, https://arxiv.org/abs/1802.04942.

    All are of the aggregate posterior of the images given. Its mutual information is at most log N: where the estimate
    is near that `cap`, most codes tell their image from all others, and of a larger data set it would be more (and the
    marginal KL less). An estimate near 0 can be slightly negative.

    Returns:
      part -> `value`, `standard_error` over draws, `samples` (1), `seed`, `examples`; `mutual_information` also `cap`.

    Raises:
      UserError: as `aggregate_log_probs`.
    """
    found = aggregate_log_probs(model, x, seed)
    parts = {
        "kl": found.own - found.prior,
        "mutual_information": found.own - found.aggregate,
        "marginal_kl": found.aggregate - found.prior,
    }
    if found.aggregate_dimensions is not None:
        product = found.aggregate_dimensions.sum(axis=1)
        parts |= {"total_correlation": found.aggregate - product, "dimension_kl": product - found.prior}
    split = {name: mean_of(value, samples=1, seed=seed, examples=len(value)) for name, value in parts.items()}
    split["mutual_information"]["cap"] = float(np.log(len(found.own)))
    return split
