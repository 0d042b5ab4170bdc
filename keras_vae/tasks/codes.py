"""Real-valued codes: an array or a dict of levels, and as flat vectors."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, cast

import keras
import numpy as np
from numpy.typing import ArrayLike

from keras_vae.errors import NotApplicable
from keras_vae.evaluation.evaluation import dimension_names as dimension_names
from keras_vae.evaluation.evaluation import flatten as flatten
from keras_vae.types import ConditionLike

if TYPE_CHECKING:
    from keras_vae.core import VAE

Codes = np.ndarray | Mapping[str, np.ndarray]  # (batch, latent_dim), or levels by name


def real_codes(model: "VAE", x: ArrayLike, condition: ConditionLike = None) -> Codes:
    """Return the mean codes of images, `(batch, latent_dim)`, or a dict of levels.

    Raises:
      UserError: as `encode`.
      NotApplicable: integer codes.
    """
    check_real(model)
    return model.encode(x, condition)


def check_real(model: "VAE") -> None:
    """Raise NotApplicable unless a model has real-valued codes."""
    if model.latent_kind == "index":
        shapes = ", ".join(f"{name} of shape {spec.shape}, integers" for name, spec in model.latent_spec().items())
        raise NotApplicable(
            f"This task needs real-valued codes. Given: {type(model).__name__}, whose code is {shapes}, with nothing "
            f"in between. Draw samples, or decode codes of your own."
        )


def unflatten(model: "VAE", vectors: np.ndarray) -> Codes:
    """Return vectors, as from `flatten`, as the codes that `decode` takes."""
    specs = model.latent_spec()
    ends = np.cumsum([int(np.prod(spec.shape)) for spec in specs.values()])[:-1]
    levels = {
        name: level.reshape(-1, *spec.shape)
        for (name, spec), level in zip(specs.items(), np.split(vectors, ends, axis=1), strict=True)
    }
    return levels if model.latent_kind == "level" else next(iter(levels.values()))


def on_space(model: "VAE", codes: Codes) -> Codes:
    """Return codes where the model's codes lie: directions on the unit sphere, the nearest point; others as they are.

    The origin, which has no nearest point, becomes the first axis.
    """
    if model.latent_kind != "direction":
        return codes
    vectors = np.asarray(codes)
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.where(
        lengths > 0, vectors / np.where(lengths > 0, lengths, 1.0), np.eye(1, vectors.shape[-1], dtype=vectors.dtype)[0]
    )


def moved(model: "VAE", code: np.ndarray, dimensions: Sequence[int], values: np.ndarray) -> np.ndarray:
    """Return a flat code with some of its numbers set to each row of `values`, `(values, numbers)`.

    A direction stays one: its other numbers shrink or grow together, along a great circle.
    """
    dimensions = list(dimensions)
    codes = np.tile(code.astype("float64"), (len(values), 1))
    if model.latent_kind == "direction":
        codes[:, dimensions] = 0.0
        if not codes.any():  # no circle is nearer than another
            codes[:, [axis for axis in range(len(code)) if axis not in dimensions][:1]] = 1.0
        values = values / np.maximum(np.linalg.norm(values, axis=-1, keepdims=True), 1.0)
        codes = np.asarray(on_space(model, codes)) * np.sqrt(
            np.maximum(1.0 - np.square(values).sum(axis=-1, keepdims=True), 0.0)
        )
    codes[:, dimensions] = values
    return codes


def map_codes(function: Callable[..., np.ndarray], *codes: Codes) -> Codes:
    """Return `function` of the codes, level by level."""
    return cast(Codes, keras.tree.map_structure(function, *codes))


def decode(model: "VAE", codes: Codes, condition: ConditionLike = None) -> np.ndarray:
    """Return `model.decode` of codes that were computed in any precision, put on the space of the model's codes."""
    return model.decode(map_codes(lambda level: level.astype(model.float_dtype), on_space(model, codes)), condition)
