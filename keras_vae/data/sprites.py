"""Sprites: white shapes on black, drawn from five known factors. Made here, so it needs no file and no network.

The factor grid is that of dSprites (Matthey et al. 2017, https://github.com/google-deepmind/dsprites-dataset), so that
measures of disentanglement can be compared in kind. It is NOT dSprites: the outlines, sizes and places are this
module's own, and no number measured on one may be given as a number of the other. Unlike there, the 40 orientations are
40 different angles, 9 degrees apart (0 and 360 degrees are one), and a step of a position is exactly one pixel.

As there, an image may have several factors: a square looks the same every 10 orientations, an ellipse every 20.
"""

import functools

import numpy as np
from numpy.typing import ArrayLike

from keras_vae.errors import UserError

# name -> how many values, 0 to size - 1; the order of the columns of a factor array
FACTORS = {"shape": 3, "scale": 6, "orientation": 40, "x": 32, "y": 32}
SHAPES = ("square", "ellipse", "heart")
IMAGE_SHAPE = (64, 64, 1)
COUNT = int(np.prod(list(FACTORS.values())))  # 737,280: every combination once
SIZES = {"train": COUNT - 20_000, "validation": 10_000, "test": 10_000}
_SPLIT_SEED = 2017
_PATCH = 31  # pixels: no shape is larger, however it is turned
_FIRST = 1  # the patch's first row or column where a position is 0; at 31 it ends with pixel 62
_SUBPIXELS = 3  # a side: a pixel is white where more than half of its 9 points lie inside


def outline(shape: str, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """A function of positions (u, v) that is negative inside one of `SHAPES` and 0 on its outline.

    Pixels of the largest scale, where the areas are 412, 411 and 411 square pixels. v points down, as rows do.
    """
    if shape == "square":
        return np.maximum(np.abs(u), np.abs(v)) - 10.15
    if shape == "ellipse":
        return (u / 14.7) ** 2 + (v / 8.9) ** 2 - 1
    a, b = u / 10.6, 0.2 - v / 10.6
    return a**2 + b**2 - 1 - np.cbrt(a**2) * b


def insides(shape: int, scale: int) -> np.ndarray:
    """`outline` at each point of a patch, for each orientation: `(40, 31, 31, 9)`."""
    offsets = np.arange(_PATCH) - _PATCH // 2
    parts = (np.arange(_SUBPIXELS) - _SUBPIXELS // 2) / _SUBPIXELS
    line = (offsets[:, None] + parts).ravel()
    # Scales are 0.5, 0.6, ..., 1, as those of dSprites are.
    angles = 2 * np.pi * np.arange(FACTORS["orientation"])[:, None, None] / FACTORS["orientation"]
    row, column = line[None, :, None] / (0.5 + 0.1 * scale), line[None, None, :] / (0.5 + 0.1 * scale)
    u, v = column * np.cos(angles) + row * np.sin(angles), row * np.cos(angles) - column * np.sin(angles)
    values = outline(SHAPES[shape], u, v).reshape(-1, _PATCH, _SUBPIXELS, _PATCH, _SUBPIXELS)
    return values.swapaxes(2, 3).reshape(-1, _PATCH, _PATCH, _SUBPIXELS**2)


@functools.cache
def _patches() -> np.ndarray:
    """The 720 pictures of a shape at a scale and orientation, uint8 `(720, 31, 31)`."""
    kinds = [(shape, scale) for shape in range(FACTORS["shape"]) for scale in range(FACTORS["scale"])]
    white = [np.count_nonzero(insides(*kind) < 0, axis=-1) * 2 > _SUBPIXELS**2 for kind in kinds]
    return np.concatenate(white).astype("uint8")


def render(factors: ArrayLike) -> np.ndarray:
    """Render the image of each row of `factors`: uint8, 0 or 1, `(count, 64, 64, 1)`.

    Args:
      factors: whole numbers `(count, 5)`, columns in the order of `FACTORS`: shape, scale (0 the smallest),
        orientation (steps of 9 degrees, clockwise), x (pixels to the right) and y (pixels down).

    Raises:
      UserError: another shape, no whole numbers, or a value out of the range of its factor.
    """
    factors = check_factors(factors)
    kind = np.ravel_multi_index(tuple(factors[:, :3].T), tuple(FACTORS.values())[:3])
    images = np.zeros((len(factors), *IMAGE_SHAPE[:2]), "uint8")
    windows = np.lib.stride_tricks.sliding_window_view(images, (_PATCH, _PATCH), axis=(1, 2), writeable=True)
    windows[np.arange(len(factors)), factors[:, 4] + _FIRST, factors[:, 3] + _FIRST] = _patches()[kind]
    return images[..., None]


def check_factors(factors: ArrayLike) -> np.ndarray:
    """Return `factors` as int64 `(count, 5)`.

    Raises:
      UserError: as `render`.
    """
    array = np.asarray(factors)
    if array.dtype.kind not in "iu" or array.ndim != 2 or array.shape[1] != len(FACTORS):
        raise UserError(
            f"Factors are whole numbers of shape (count, {len(FACTORS)}): {', '.join(FACTORS)}. Given: {array.dtype} "
            f"of shape {array.shape}."
        )
    for column, (name, size) in zip(array.T, FACTORS.items(), strict=True):
        if column.size and not 0 <= int(column.min()) <= int(column.max()) < size:
            raise UserError(
                f"The factor {name} lies from 0 to {size - 1}. Given: values from {column.min()} to {column.max()}."
            )
    return array.astype("int64")


def factors_of(index: ArrayLike) -> np.ndarray:
    """Return the factors of positions in the grid, 0 to `COUNT - 1`, the last factor fastest: int32 `(count, 5)`."""
    return np.stack(np.unravel_index(np.asarray(index), tuple(FACTORS.values())), axis=-1).astype("int32")


def split_factors(name: str) -> np.ndarray:
    """The factors of `"train"`, `"validation"` or `"test"`: a random part of the grid, always the same; none overlap.

    Each is in random order, so that the first thousand are a fair sample of it: int32 `(count, 5)`.
    """
    order = np.random.Generator(np.random.PCG64(_SPLIT_SEED)).permutation(COUNT)
    start = {"test": 0, "validation": SIZES["test"], "train": SIZES["test"] + SIZES["validation"]}[name]
    return factors_of(order[start : start + SIZES[name]])
