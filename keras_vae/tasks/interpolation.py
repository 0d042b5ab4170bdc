"""Interpolation between images, through codes or through posteriors."""

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from keras_vae import randomness
from keras_vae.checks import check_whole_number
from keras_vae.core.inference import checked_inputs
from keras_vae.errors import UserError
from keras_vae.evaluation.evaluation import posterior_draws
from keras_vae.tasks.codes import Codes, check_real, decode, map_codes, real_codes
from keras_vae.types import ConditionLike

if TYPE_CHECKING:
    from keras_vae.core import VAE

PATHS = ("codes", "posteriors")
DECODED_WITH = ("nearer", "first", "second")


def linear(first: np.ndarray, second: np.ndarray, share: float) -> np.ndarray:
    """Return (1 - share) first + share second."""
    return (1.0 - share) * first + share * second


def spherical(first: np.ndarray, second: np.ndarray, share: float) -> np.ndarray:
    """Return a point of the great circle between two directions: (sin((1 - t) w) a + sin(t w) b) / sin(w).

    w is the angle between them.

    The length of draws of N(0, I) is nearly constant, and so is it along this path: White 2016,
    https://arxiv.org/abs/1609.04468. Linear where the angle is 0 or 180 degrees, which leave the circle undefined.

    Args:
      first: codes `(batch, latent_dim)`.
      second: of the same shape.
      share: t, from 0 to 1.
    """
    lengths = [np.linalg.norm(codes, axis=-1, keepdims=True) for codes in (first, second)]
    product = np.sum(first * second, axis=-1, keepdims=True) / np.maximum(lengths[0] * lengths[1], 1e-20)
    angle = np.arccos(np.clip(product, -1.0, 1.0))
    sine = np.sin(angle)
    curved = sine > 1e-4
    safe = np.where(curved, sine, 1.0)
    path = (np.sin((1.0 - share) * angle) * first + np.sin(share * angle) * second) / safe
    return np.where(curved, path, linear(first, second, share))


METHODS = {"linear": linear, "spherical": spherical}


def interpolate(
    model: "VAE",
    first: ArrayLike,
    second: ArrayLike,
    steps: int = 11,
    method: str = "linear",
    path: str = "codes",
    seed: int = 0,
    condition: tuple[ConditionLike, ConditionLike] | None = None,
    decoded_with: str = "nearer",
) -> np.ndarray:
    """Return images between those of `first` and of `second`, `(batch, steps, *image_shape)`, in [0, 1].

    The levels of a hierarchy are interpolated separately, with the same shares. Codes that are directions stay on their
    sphere.

    Args:
      model: a model with real-valued codes.
      first: images `(batch, *image_shape)`.
      second: as many.
      steps: images in a row, both ends among them.
      method: `"linear"` or `"spherical"`.
      path: `"codes"`: between the mean codes. `"posteriors"`: between a draw from either posterior with the same noise,
        independent for each pair of a block. Where the posteriors are diagonal Gaussians and the method is linear, a
        code at share t is a draw from the Gaussian whose mean and standard deviation are interpolated to t: the
        geodesic of the Wasserstein distance, McCann 1997, https://doi.org/10.1006/aima.1997.1634.
      seed: of that noise.
      condition: where the model is conditional, that of the first images and that of the second, a pair.
      decoded_with: the condition to decode with: that of the `"nearer"` end, or of the `"first"` or the `"second"` for
        all steps.

    Raises:
      UserError: images that do not pair, integer codes; a model without a posterior where the path needs one;
        conditions that are no pair; an unknown method, path or end.
    """
    steps, seed = check_whole_number(steps, "steps", minimum=2), check_whole_number(seed, "seed", minimum=0)
    _check_options(method, path, decoded_with)
    ends, conditions = (model.check_x(first, "first"), model.check_x(second, "second")), _pair_of_conditions(condition)
    if len(ends[0]) != len(ends[1]):
        raise UserError(f"Images pair one to one. Given: {len(ends[0])} and {len(ends[1])}.")
    conditions = [model.infer_condition(x, y) for x, y in zip(ends, conditions, strict=True)]
    codes = [
        real_codes(model, x, y) if path == "codes" else _draws(model, x, y, seed)
        for x, y in zip(ends, conditions, strict=True)
    ]
    images = []
    for share in np.linspace(0.0, 1.0, steps):
        between = map_codes(lambda a, b, share=share: _between(method, a, b, share), *codes)
        end = {"first": 0, "second": 1}.get(decoded_with, int(share > 0.5))
        images.append(decode(model, between, conditions[end]))
    return np.stack(images, axis=1)


def _check_options(method: str, path: str, decoded_with: str) -> None:
    """Raise UserError unless each option is one of its list."""
    options = {"method": (method, tuple(METHODS)), "path": (path, PATHS), "decoded_with": (decoded_with, DECODED_WITH)}
    for name, (option, allowed) in options.items():
        if option not in allowed:
            raise UserError(f"{name} is one of {', '.join(allowed)}. Given: {option!r}.")


def _pair_of_conditions(condition: object) -> tuple[ConditionLike, ConditionLike]:
    """Return the conditions of the first and of the second images."""
    if condition is None:
        return None, None
    if not isinstance(condition, list | tuple) or len(condition) != 2:
        raise UserError(
            "condition is a pair, that of the first images and that of the second. Given: "
            f"{type(condition).__name__}. Write condition=(of_first, of_second)."
        )
    return condition[0], condition[1]


def _between(method: str, first: np.ndarray, second: np.ndarray, share: float) -> np.ndarray:
    """Return one level's codes at a share of the path. A level that is a map is interpolated as one vector."""
    vectors = [codes.reshape(len(codes), math.prod(codes.shape[1:])).astype("float64") for codes in (first, second)]
    return METHODS[method](vectors[0], vectors[1], share).reshape(first.shape)


def _draws(model: "VAE", x: ArrayLike, condition: ConditionLike, seed: int) -> Codes:
    """Return a draw from q(z|x) for each image; its noise is a function of the seed and of the image's index."""
    check_real(model)
    if not model.stochastic:
        raise UserError(
            f"path='posteriors' needs a distribution over codes. Given: {type(model).__name__}. Use path='codes'."
        )
    inputs, noise = checked_inputs(model, x, condition), randomness.seed_of(seed, randomness.SAMPLING)
    return posterior_draws(model, inputs, noise)
