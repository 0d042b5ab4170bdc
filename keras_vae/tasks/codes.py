"""Real-valued codes: an array or a dict of levels, and as flat vectors."""

from collections.abc import Callable, Mapping
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
            f"in between."
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


def map_codes(function: Callable[..., np.ndarray], *codes: Codes) -> Codes:
    """Return `function` of the codes, level by level."""
    return cast(Codes, keras.tree.map_structure(function, *codes))


def map_condition(function: Callable[[np.ndarray], np.ndarray], condition: ConditionLike) -> ConditionLike:
    """Return `function` of the condition, of each of several named ones, or None for none."""
    if condition is None:
        return None
    if isinstance(condition, Mapping):
        return {name: function(np.asarray(values)) for name, values in condition.items()}
    return function(np.asarray(condition))


def decode(model: "VAE", codes: Codes, condition: ConditionLike = None) -> np.ndarray:
    """Return `model.decode` of codes that were computed in any precision."""
    return model.decode(map_codes(lambda level: level.astype(model.float_dtype), codes), condition)
