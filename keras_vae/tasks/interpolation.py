"""Interpolation between images, through codes or through posteriors."""

from typing import Any

import numpy as np
from keras import ops
from tensorflow_probability import distributions as tfd

from keras_vae import randomness
from keras_vae.arrays import check_whole_number
from keras_vae.errors import UserError

METHODS = ("linear", "spherical")
PATHS = ("codes", "posteriors")


def linear(first: np.ndarray, second: np.ndarray, share: float) -> np.ndarray:
    """(1 - share) first + share second."""
    return (1.0 - share) * first + share * second


def spherical(first: np.ndarray, second: np.ndarray, share: float) -> np.ndarray:
    """Along the great circle between two directions: (sin((1 - t) w) a + sin(t w) b) / sin(w), w the angle between.

    The length of draws of N(0, I) is nearly constant, and so is it along this path: White 2016,
    https://arxiv.org/abs/1609.04468. Where the angle is 0 or 180 degrees, which have no one great circle, it is linear.

    Args:
      first: codes `(batch, latent_dim)`.
      second: of the same shape.
      share: how far, 0 to 1.
    """
    lengths = [np.linalg.norm(each, axis=-1, keepdims=True) for each in (first, second)]
    product = np.sum(first * second, axis=-1, keepdims=True) / np.maximum(lengths[0] * lengths[1], 1e-20)
    angle = np.arccos(np.clip(product, -1.0, 1.0))
    sine = np.sin(angle)
    curved = sine > 1e-4
    safe = np.where(curved, sine, 1.0)
    path = (np.sin((1.0 - share) * angle) * first + np.sin(share * angle) * second) / safe
    return np.where(curved, path, linear(first, second, share))


def interpolate(
    model: Any,
    first: Any,
    second: Any,
    steps: int = 11,
    method: str = "linear",
    path: str = "codes",
    seed: int = 0,
    condition: Any = None,
) -> np.ndarray:
    """Images on the way from each image of `first` to that of `second`: `(batch, steps, *image_shape)`, in [0, 1].

    Args:
      model: a model whose code is one vector.
      first: images `(batch, *image_shape)`.
      second: as many.
      steps: images in a row, both ends among them.
      method: `"linear"` or `"spherical"`.
      path: `"codes"`: between the mean codes. `"posteriors"`: mean and log variance of the posterior are interpolated,
        and one draw is taken of each Gaussian on the way, with the same noise along a row.
      seed: of that noise.
      condition: one for each pair, where the model is conditional.

    Raises:
      UserError: images that do not pair, a model whose code is no vector, or words out of their lists.
    """
    steps = check_whole_number(steps, "steps", minimum=2)
    if method not in METHODS or path not in PATHS:
        raise UserError(
            f"method is one of {', '.join(METHODS)}, and path one of {', '.join(PATHS)}. Given: {method!r}, {path!r}."
        )
    ends = [vector_codes(model, each, condition) for each in (first, second)]
    if ends[0].shape != ends[1].shape:
        raise UserError(f"Images pair one to one. Given: {len(ends[0])} and {len(ends[1])}.")
    way = {"linear": linear, "spherical": spherical}[method]
    shares = np.linspace(0.0, 1.0, steps)
    codes = [way(ends[0], ends[1], share) for share in shares]
    if path == "posteriors":
        spread = _log_variances(model, first, second, condition)
        noise = tfd.Normal(0.0, 1.0).sample(
            ends[0].shape, seed=randomness.seed_of(check_whole_number(seed, "seed", minimum=0), randomness.SAMPLING)
        )
        codes = [
            code + np.asarray(noise) * np.exp(0.5 * linear(spread[0], spread[1], share))
            for code, share in zip(codes, shares, strict=True)
        ]
    images = [model.decode(code.astype(model.float_dtype), condition=condition) for code in codes]
    return np.stack(images, axis=1)


def vector_codes(model: Any, x: Any, condition: Any = None) -> np.ndarray:
    """The mean codes of images, `(batch, latent_dim)`.

    Raises:
      UserError: as `encode`, or a model whose code is not one vector of real numbers.
    """
    specs = model.code_spec()
    if len(specs) != 1 or any(spec["kind"] != "code" or len(spec["shape"]) != 1 for spec in specs.values()):
        given = ", ".join(f"{name} of shape {spec['shape']} ({spec['kind']})" for name, spec in specs.items())
        raise UserError(
            f"This task needs a model whose code is one vector. Given: {type(model).__name__}, whose code is {given}."
        )
    return model.encode(x, condition)


def _log_variances(model: Any, first: Any, second: Any, condition: Any) -> list[np.ndarray]:
    found = []
    for images in (first, second):
        given = model.check_condition(condition, len(images))
        parameters = model.posterior_parameters(ops.convert_to_tensor(images, model.float_dtype), **given)
        if "log_var" not in parameters:
            raise UserError(
                f"path='posteriors' needs a Gaussian posterior. Given: {type(model).__name__}. Use path='codes'."
            )
        found.append(np.asarray(parameters["log_var"]))
    return found
