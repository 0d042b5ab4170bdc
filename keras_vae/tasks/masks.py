"""Masks of missing pixels, for `keras_vae.tasks.impute`."""

from collections.abc import Sequence

import numpy as np

from keras_vae.checks import check_memory, check_whole_number
from keras_vae.errors import UserError
from keras_vae.registry import choose


def half_observed(image_shape: Sequence[int], missing: str = "bottom", seed: int = 0) -> np.ndarray:
    """Return a mask `image_shape`, true where a pixel is observed: one half of the image, in all channels.

    Args:
      image_shape: height, width and channels.
      missing: the half that is not observed: `"bottom"`, `"top"`, `"left"`, `"right"`, or `"random"` pixels.
      seed: of random pixels.

    Raises:
      UserError: an unknown half, or a shape that is none of an image.
    """
    sides = tuple(np.asarray(image_shape).tolist()) if np.ndim(image_shape) == 1 else ()
    if len(sides) != 3:
        raise UserError(f"image_shape is (height, width, channels). Given: {image_shape!r}.")
    height, width, channels = (check_whole_number(side, "image_shape") for side in sides)
    check_memory(height * width, channels + 17, "pixels")  # the indices of a pixel, and a random number
    row, column = np.indices((height, width))
    generator = np.random.default_rng(check_whole_number(seed, "seed", minimum=0))
    observed = {
        "bottom": row < height // 2,
        "top": row >= height // 2,
        "left": column >= width // 2,
        "right": column < width // 2,
        "random": generator.random((height, width)) < 0.5,
    }
    return choose("half", missing, observed)[..., None] & np.ones((height, width, channels), bool)
