"""Attribute vectors: the direction in latent space from images without an attribute to images with it."""

from typing import TYPE_CHECKING

import keras
import numpy as np
from numpy.typing import ArrayLike

from keras_vae.checks import as_array
from keras_vae.errors import UserError
from keras_vae.tasks.codes import Codes, decode, map_codes, real_codes
from keras_vae.types import ConditionLike

if TYPE_CHECKING:
    from keras_vae.core import VAE


def attribute_vector(model: "VAE", x: ArrayLike, has: ArrayLike, condition: ConditionLike = None) -> Codes:
    """Return the mean code of images with an attribute less that of images without, `(latent_dim,)`.

    For a hierarchy, a dict of such differences, one for each level. Section 4.2 of Larsen et al. 2016,
    https://arxiv.org/abs/1512.09300.

    Args:
      model: a model with real-valued codes.
      x: images.
      has: true or false for each of them.
      condition: one for each image, where the model is conditional.

    Raises:
      UserError: no image with the attribute, or none without; numbers that do not pair; integer codes.
    """
    images, mask = model.check_x(x), as_array(has, "has")
    if mask.dtype != bool or mask.shape != images.shape[:1]:
        raise UserError(
            f"has is true or false for each of {len(images)} images. Given: {mask.dtype} of shape {mask.shape}."
        )
    if mask.all() or not mask.any():
        count = "all of them" if mask.all() else "none"
        raise UserError(f"An attribute is had by some images and not by others. Given: {count}.")
    codes = real_codes(model, images, condition)
    return map_codes(lambda level: level[mask].mean(axis=0) - level[~mask].mean(axis=0), codes)


def with_attribute(
    model: "VAE",
    x: ArrayLike,
    vector: Codes,
    amounts: ArrayLike = (-1.0, 0.0, 1.0),
    condition: ConditionLike = None,
) -> np.ndarray:
    """Return the images with more or less of an attribute, `(batch, amounts, *image_shape)`, in [0, 1].

    Args:
      model: the model of `attribute_vector`.
      x: images.
      vector: of the attribute, as `attribute_vector` returns it.
      amounts: multiples of the vector to add to the codes, a list of numbers.
      condition: one for each image, where the model is conditional; it stays as it is.

    Raises:
      UserError: a vector that is not of the code's shape, or amounts that are no list of finite numbers.
    """
    shares = as_array(amounts, "amounts")
    if shares.ndim != 1 or not shares.size or shares.dtype.kind not in "fiu" or not np.isfinite(shares).all():
        raise UserError(f"amounts is a list of one finite number or more. Given: {amounts!r}.")
    condition = model.infer_condition(x, condition)
    codes = real_codes(model, x, condition)
    shape = keras.tree.map_structure(lambda level: str(np.shape(level)), vector)
    expected = keras.tree.map_structure(lambda level: str(np.shape(level)[1:]), codes)
    if shape != expected:
        raise UserError(f"vector must have shape {expected}. Given: {shape}.")
    moved = [
        map_codes(lambda level, step, share=share: level + share * np.asarray(step), codes, vector) for share in shares
    ]
    return np.stack([decode(model, step, condition) for step in moved], axis=1)
