"""Attribute vectors: the direction in which codes with an attribute lie from codes without."""

from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from numpy.typing import ArrayLike

from keras_vae.errors import UserError
from keras_vae.tasks.codes import decoded, real_codes
from keras_vae.types import ConditionLike

if TYPE_CHECKING:
    from keras_vae.core import VAE


def attribute_vector(model: "VAE", x: ArrayLike, has: Any, condition: ConditionLike = None) -> Any:
    """The mean code of images that have an attribute, less that of those that have not: `(latent_dim,)`.

    Of a hierarchy, a dict of such differences, one for each level. Section 4.2 of Larsen et al. 2016,
    https://arxiv.org/abs/1512.09300.

    Args:
      model: a model whose code is made of real numbers.
      x: images.
      has: true or false for each of them.
      condition: one for each image, where the model is conditional.

    Raises:
      UserError: no image with the attribute, or none without; numbers that do not pair; integer codes.
    """
    has = np.asarray(has)
    if has.dtype != bool or has.shape != (len(x),):
        raise UserError(f"has is true or false for each of {len(x)} images. Given: {has.dtype} of shape {has.shape}.")
    if has.all() or not has.any():
        given = "all of them" if has.all() else "none"
        raise UserError(f"An attribute is had by some images and not by others. Given: {given}.")
    codes = real_codes(model, x, condition)
    return keras.tree.map_structure(lambda each: each[has].mean(axis=0) - each[~has].mean(axis=0), codes)


def with_attribute(
    model: "VAE", x: ArrayLike, vector: np.ndarray, amounts: Any = (-1.0, 0.0, 1.0), condition: ConditionLike = None
) -> np.ndarray:
    """Each image with more or less of an attribute: `(batch, amounts, *image_shape)`, in [0, 1].

    Args:
      model: the model of `attribute_vector`.
      x: images.
      vector: the attribute's, as `attribute_vector` gives it.
      amounts: how much of it is added to each code, a list of numbers.
      condition: one for each image, where the model is conditional; it stays as it is.

    Raises:
      UserError: a vector that is not of the code's shape, or amounts that are no list of finite numbers.
    """
    shares = np.asarray(amounts)
    if shares.ndim != 1 or not shares.size or shares.dtype.kind not in "fiu" or not np.isfinite(shares).all():
        raise UserError(f"amounts is a list of one finite number or more. Given: {amounts!r}.")
    codes = real_codes(model, x, condition)
    given, needed = (
        keras.tree.map_structure(lambda each, skip=skip: str(np.shape(each)[skip:]), tree)
        for tree, skip in ((vector, 0), (codes, 1))
    )
    if given != needed:
        raise UserError(f"vector must have shape {needed}. Given: {given}.")
    moved = [
        keras.tree.map_structure(lambda code, way, at=share: code + at * np.asarray(way), codes, vector)
        for share in shares
    ]
    return np.stack([decoded(model, each, condition) for each in moved], axis=1)
