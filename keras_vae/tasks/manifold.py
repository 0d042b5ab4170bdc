"""The picture of a two-dimensional latent space: what each point of a plane decodes to."""

from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from keras_vae.checks import check_whole_number
from keras_vae.errors import UserError
from keras_vae.tasks.codes import apart, check_real, decoded, dimension_names, real_codes, side_by_side
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
    """Images of a square of codes, `(side, side, *image_shape)`: dimension 0 grows to the right, 1 upwards.

    Both run through the quantiles of N(0, 1) at (i + 1/2) / side, so that equal areas of the picture have equal
    probability under the prior: figure 4 of Kingma and Welling 2014, https://arxiv.org/abs/1312.6114.

    Args:
      model: a model whose code is made of real numbers; the dimensions of a hierarchy are counted on over its levels,
        and a quantile of N(0, 1) is there a value like any other.
      x: one image `(1, *image_shape)`, whose code the other dimensions rest at; by default they rest at 0.
      side: images in a row and in a column.
      dimensions: which two dimensions.
      condition: one, where the model is conditional.

    Raises:
      UserError: dimensions that the model does not have, integer codes, or arguments out of range.
    """
    side = check_whole_number(side, "side", minimum=2)
    check_real(model)
    count = len(dimension_names(model))
    whole = [isinstance(each, int | np.integer) and 0 <= each < count for each in dimensions]
    if len(whole) != 2 or len(set(dimensions)) != 2 or not all(whole):
        raise UserError(f"dimensions are two different ones, 0 to {count - 1}. Given: {dimensions!r}.")
    rest = np.zeros((1, count)) if x is None else side_by_side(real_codes(model, x, condition))
    if len(rest) != 1:
        raise UserError(f"x is one image, with a batch axis. Given: {len(rest)} images.")
    values = np.array([NormalDist().inv_cdf((place + 0.5) / side) for place in range(side)])
    codes = np.tile(rest, (side * side, 1))
    codes[:, dimensions[0]] = np.tile(values, side)
    codes[:, dimensions[1]] = np.repeat(values[::-1], side)
    given = None if condition is None else np.repeat(np.asarray(condition), side * side, axis=0)
    images = decoded(model, apart(model, codes), given)
    return images.reshape(side, side, *images.shape[1:])
