"""Divergences between distributions, in nats: free functions on tensors, each with its formula."""

from typing import Any

from keras import ops
from tensorflow_probability import distributions as tfd

from keras_vae.errors import UserError


def kl(posterior: tfd.Distribution, prior: tfd.Distribution) -> Any:
    """KL(posterior || prior) = E_posterior[log posterior(z) - log prior(z)], in closed form through TFP.

    For two products of independent dimensions the KL is the sum over dimensions, and is returned dimension by
    dimension: for diagonal Gaussians 0.5 * (mean**2 + var - log var - 1) against N(0, I), equation 10 of Kingma and
    Welling 2014, https://arxiv.org/abs/1312.6114.

    Returns:
      Shape `(batch, groups)`: groups is the latent dimension for `tfd.Independent` of one dimension, otherwise 1.

    Raises:
      UserError: TFP has no closed form for the pair.
    """
    try:
        if _is_product(posterior) and _is_product(prior):
            return tfd.kl_divergence(posterior.distribution, prior.distribution)
        return tfd.kl_divergence(posterior, prior)[:, None]
    except NotImplementedError as error:
        raise UserError(
            f"The KL needs a closed form in TFP. Given: a posterior {posterior.name} and a prior {prior.name}, which "
            f"have none. Set analytic_kl = False in the variant: the KL is then estimated at the sample."
        ) from error


def sampled_kl(posterior: tfd.Distribution, prior: tfd.Distribution, z: Any) -> Any:
    """One-sample estimate log posterior(z) - log prior(z) for z from the posterior: unbiased, and may be negative.

    Args:
      z: one draw for each example, `(batch, latent_dim)`.

    Returns:
      Shape `(batch, groups)`, as `kl`.
    """
    if _is_product(posterior) and _is_product(prior):
        return posterior.distribution.log_prob(z) - prior.distribution.log_prob(z)
    return ops.expand_dims(posterior.log_prob(z) - prior.log_prob(z), -1)


def _is_product(distribution: tfd.Distribution) -> bool:
    return isinstance(distribution, tfd.Independent) and distribution.event_shape.rank == 1
