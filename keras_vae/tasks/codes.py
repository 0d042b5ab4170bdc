"""Codes as tasks move them: of real numbers, one array or a dict of levels, and as one vector for each image."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from numpy.typing import ArrayLike

from keras_vae.errors import NotApplicable
from keras_vae.types import ConditionLike

if TYPE_CHECKING:
    from keras_vae.core import VAE


def real_codes(model: "VAE", x: ArrayLike, condition: ConditionLike = None) -> Any:
    """The mean codes of images, as `encode` gives them: `(batch, latent_dim)`, or a dict of levels.

    Raises:
      UserError: as `encode`.
      NotApplicable: a model whose codes are integers.
    """
    check_real(model)
    return model.encode(x, condition)


def check_real(model: "VAE") -> None:
    """Raise NotApplicable unless a model's code is made of real numbers."""
    specs = model.latent_spec()
    if any(spec.kind == "index" for spec in specs.values()):
        given = ", ".join(f"{name} of shape {spec.shape}, integers" for name, spec in specs.items())
        raise NotApplicable(
            f"This task moves a code of real numbers. Given: {type(model).__name__}, whose code is {given}, with "
            f"nothing between them."
        )


def side_by_side(codes: np.ndarray) -> np.ndarray:
    """Codes, one array or a dict of levels, as one vector for each image: `(batch, dimensions)`, z1 first."""
    levels = codes.values() if isinstance(codes, Mapping) else [codes]
    return np.concatenate([np.asarray(level).reshape(len(level), -1) for level in levels], axis=1)


def apart(model: "VAE", vectors: np.ndarray) -> Any:
    """What `side_by_side` made one vector of, as `decode` takes it."""
    specs = model.latent_spec()
    ends = np.cumsum([int(np.prod(spec.shape)) for spec in specs.values()])[:-1]
    parts = {
        name: part.reshape(-1, *spec.shape)
        for (name, spec), part in zip(specs.items(), np.split(vectors, ends, axis=1), strict=True)
    }
    return parts if leveled(model) else next(iter(parts.values()))


def leveled(model: "VAE") -> bool:
    """Whether a code is a dict of levels."""
    return model.latent_kind == "level"


def dimension_names(model: "VAE") -> list[str]:
    """The name of each number of `side_by_side`: z0, z1, ...; or z1[0], ... of a hierarchy."""
    shapes = {name: spec.shape for name, spec in model.latent_spec().items()}
    pattern = "{}[{}]" if leveled(model) else "{}{}"
    return [pattern.format(name, place) for name, shape in shapes.items() for place in range(int(np.prod(shape)))]


def decoded(model: "VAE", codes: np.ndarray, condition: ConditionLike = None) -> np.ndarray:
    """`model.decode` of codes computed in any precision."""
    return model.decode(keras.tree.map_structure(lambda each: each.astype(model.float_dtype), codes), condition)
