"""Latent traversals: what each dimension of the code draws."""

from typing import Any, NamedTuple

import numpy as np

from keras_vae.arrays import check_whole_number
from keras_vae.errors import UserError
from keras_vae.evaluation.latent import kl_per_dimension


class Traversal(NamedTuple):
    """Rows of images, one row a latent dimension, the most informative first."""

    images: np.ndarray  # (latent_dim, steps, height, width, channels), in [0, 1]
    dimensions: np.ndarray  # (latent_dim,): which dimension each row moves
    kl: np.ndarray  # (latent_dim,): its mean KL over the images, nats
    values: np.ndarray  # (steps,): what it is set to


def traverse(model: Any, x: np.ndarray, start: int = 0, steps: int = 11, span: float = 3.0) -> Traversal:
    """Move each latent dimension of one image's code through [-span, span], the others at rest.

    Args:
      model: a model whose latent is one vector.
      x: images, for the order: dimensions are sorted by their mean KL over them.
      start: the image of `x` whose mean code is the point of departure.
      steps: images in a row.
      span: how far, in standard deviations of the prior.

    Raises:
      UserError: arguments out of range.
    """
    steps = check_whole_number(steps, "steps", minimum=2)
    if not 0 < span < float("inf"):
        raise UserError(f"span must be a positive number. Given: {span!r}.")
    if not 0 <= start < len(x):
        raise UserError(f"start must be the number of an image, 0 to {len(x) - 1}. Given: {start!r}.")
    kl = kl_per_dimension(model, x)
    order = np.argsort(-kl, kind="stable")
    values = np.linspace(-span, span, steps, dtype="float32")
    codes = np.tile(model.encode(x[start : start + 1])[0], (len(order), steps, 1))
    for row, dimension in enumerate(order):
        codes[row, :, dimension] = values
    images = model.decode(codes.reshape(-1, codes.shape[-1]))
    return Traversal(images.reshape(len(order), steps, *images.shape[1:]), order, kl[order], values)
