"""Attribute vectors: the direction in which codes with an attribute lie from codes without."""

from typing import Any

import numpy as np

from keras_vae.errors import UserError
from keras_vae.tasks.interpolation import vector_codes


def attribute_vector(model: Any, x: Any, has: Any) -> np.ndarray:
    """The mean code of images that have an attribute, less that of those that have not: `(latent_dim,)`.

    Section 4.2 of Larsen et al. 2016, https://arxiv.org/abs/1512.09300.

    Args:
      model: a model whose code is one vector.
      x: images.
      has: true or false for each of them.

    Raises:
      UserError: no image with the attribute, or none without; numbers that do not pair.
    """
    has = np.asarray(has)
    if has.dtype != bool or has.shape != (len(x),):
        raise UserError(f"has is true or false for each of {len(x)} images. Given: {has.dtype} of shape {has.shape}.")
    if has.all() or not has.any():
        given = "all of them" if has.all() else "none"
        raise UserError(f"An attribute is had by some images and not by others. Given: {given}.")
    codes = vector_codes(model, x)
    return codes[has].mean(axis=0) - codes[~has].mean(axis=0)


def with_attribute(model: Any, x: Any, vector: Any, amounts: Any = (-1.0, 0.0, 1.0)) -> np.ndarray:
    """Each image with more or less of an attribute: `(batch, amounts, *image_shape)`, in [0, 1].

    Args:
      model: the model of `attribute_vector`.
      x: images.
      vector: the attribute's.
      amounts: how much of it is added to each code.

    Raises:
      UserError: a vector that is not of the model's latent size.
    """
    codes, vector = vector_codes(model, x), np.asarray(vector)
    if vector.shape != codes.shape[1:]:
        raise UserError(f"vector must have shape {codes.shape[1:]}. Given: {vector.shape}.")
    moved = [model.decode((codes + amount * vector).astype(model.float_dtype)) for amount in np.asarray(amounts)]
    return np.stack(moved, axis=1)
