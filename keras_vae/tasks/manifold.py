"""Decoded images of a plane in latent space."""

from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import ArrayLike

from keras_vae import randomness
from keras_vae.backend import tfd
from keras_vae.checks import BLOCK, check_whole_number
from keras_vae.core.inference import draw_codes
from keras_vae.errors import NotApplicable, UserError
from keras_vae.evaluation.evaluation import map_condition
from keras_vae.tasks.codes import check_real, decode, dimension_names, flatten, moved, real_codes, unflatten
from keras_vae.types import ConditionLike

if TYPE_CHECKING:
    from keras_vae.core import VAE

_BLOCKS = 40  # of draws of a prior


def latent_plane(
    model: "VAE",
    x: ArrayLike | None = None,
    side: int = 20,
    dimensions: tuple[int, int] = (0, 1),
    condition: ConditionLike = None,
) -> np.ndarray:
    """Return images of a square of codes, `(side, side, *image_shape)`: dimension 0 grows to the right, 1 upwards.

    Both run through the quantiles of the prior at (i + 1/2) / side, of each dimension by itself. Where the dimensions
    are independent, equal areas of the picture have equal probability under the prior: figure 4 of Kingma and
    Welling 2014, https://arxiv.org/abs/1312.6114. Where the prior is not a diagonal Gaussian, as a mixture, a flow or a
    hierarchy, the quantiles are those of 10,240 draws. A model without a prior takes N(0, I). On a sphere the other
    numbers of a code shrink or grow with the two that are set.

    Args:
      model: a model with real-valued codes; the dimensions of a hierarchy are numbered through its levels, z1 first.
      x: one image `(1, *image_shape)`, of whose code the other dimensions keep their values; by default the prior's
        medians.
      side: images in a row and in a column.
      dimensions: which two dimensions.
      condition: one, where the model is conditional.

    Raises:
      UserError: dimensions that the model does not have, integer codes, or arguments out of range.
    """
    side = check_whole_number(side, "side", minimum=2)
    check_real(model)
    count = len(dimension_names(model))
    valid = [isinstance(dimension, int | np.integer) and 0 <= dimension < count for dimension in dimensions]
    if len(valid) != 2 or len(set(dimensions)) != 2 or not all(valid):
        raise UserError(f"dimensions are two different ones, 0 to {count - 1}. Given: {dimensions!r}.")
    condition = condition if x is None else model.infer_condition(x, condition)
    rest = None if x is None else flatten(real_codes(model, x, condition))
    if rest is not None and len(rest) != 1:
        raise UserError(f"x is one image, with a batch axis. Given: {len(rest)} images.")
    shares = (np.arange(side) + 0.5) / side
    *values, medians = _quantiles(model, condition, [*shares, 0.5])
    across, upwards = (np.array(values)[:, dimension] for dimension in dimensions)
    plane = np.stack([np.tile(across, side), np.repeat(upwards[::-1], side)], axis=-1)
    codes = moved(model, medians if rest is None else rest[0], dimensions, plane)
    conditions = map_condition(lambda values: np.repeat(values, side * side, axis=0), condition)
    images = decode(model, unflatten(model, codes), conditions)
    return images.reshape(side, side, *images.shape[1:])


def _quantiles(model: "VAE", condition: ConditionLike, shares: Sequence[float]) -> np.ndarray:
    """Return the quantiles at `shares` of each dimension of a code under the prior, `(shares, dimensions)`."""
    checked = model.condition_in(model.check_condition(condition, 1)) if model.conditional else None
    normal = np.array([[NormalDist().inv_cdf(share)] for share in shares])
    try:
        prior = model.prior(checked)
    except NotApplicable:  # an autoencoder
        return np.tile(normal, (1, len(dimension_names(model))))
    inner = getattr(prior, "distribution", None)
    if isinstance(inner, tfd.Normal) and isinstance(prior, tfd.Independent):
        return np.reshape(inner.loc, (1, -1)) + np.reshape(inner.scale, (1, -1)) * normal
    noise = randomness.seed_of(0, randomness.SAMPLING)
    conditions: Any = map_condition(lambda values: np.repeat(values, BLOCK, axis=0), cast(ConditionLike, checked))
    blocks = [draw_codes(model, BLOCK, randomness.fold(noise, block), conditions) for block in range(_BLOCKS)]
    draws = [flatten({name: z[name] for name in model.latent_spec()} if isinstance(z, Mapping) else z) for z in blocks]
    return np.quantile(np.concatenate(draws), shares, axis=0)
