"""Decoded images of a plane in latent space."""

from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from keras_vae.checks import check_whole_number
from keras_vae.errors import UserError
from keras_vae.tasks.codes import check_real, decode, dimension_names, flatten, map_condition, real_codes, unflatten
from keras_vae.types import ConditionLike

if TYPE_CHECKING:
    from keras_vae.core import VAE


def latent_plane(
    model: "VAE",
    x: ArrayLike | None = None,
    side: int = 20,
    dimensions: tuple[int, int] = (0, 1),
    condition: ConditionLike = None,
) -> np.ndarray:
    """Return images of a square of codes, `(side, side, *image_shape)`: dimension 0 grows to the right, 1 upwards.

    Both run through the quantiles of N(0, 1) at (i + 1/2) / side, so that equal areas of the picture have equal
    probability under the prior: figure 4 of Kingma and Welling 2014, https://arxiv.org/abs/1312.6114.

    Args:
      model: a model with real-valued codes; the dimensions of a hierarchy are numbered through its
        levels, z1 first, and for them these quantiles are mere values.
      x: one image `(1, *image_shape)`, of whose code the other dimensions keep their values; by default 0.
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
    rest = np.zeros((1, count)) if x is None else flatten(real_codes(model, x, condition))
    if len(rest) != 1:
        raise UserError(f"x is one image, with a batch axis. Given: {len(rest)} images.")
    values = np.array([NormalDist().inv_cdf((index + 0.5) / side) for index in range(side)])
    codes = np.tile(rest, (side * side, 1))
    codes[:, dimensions[0]] = np.tile(values, side)
    codes[:, dimensions[1]] = np.repeat(values[::-1], side)
    conditions = map_condition(lambda values: np.repeat(values, side * side, axis=0), condition)
    images = decode(model, unflatten(model, codes), conditions)
    return images.reshape(side, side, *images.shape[1:])
