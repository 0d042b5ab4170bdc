"""Reading the `keras` format: a registered class and its arguments in JSON, and float32 weights. No code, no pickle."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from keras_vae import priors, weights
from keras_vae.errors import CorruptFileError, reading
from keras_vae.models import MODELS
from keras_vae.registry import nearest

if TYPE_CHECKING:
    from keras_vae.core import VAE
    from keras_vae.priors.base import FittedPrior

FOLDER, CONFIG, WEIGHTS, PRIOR = "keras", "config.json", "model.safetensors", "prior.npz"
OLD_WEIGHTS = "model.weights.h5"  # of bundles of earlier versions
_REPAIR = "Export the model again."


def read(folder: Path) -> "VAE":
    """Build the model in `folder/keras`; the caller has verified its files.

    Raises:
      CorruptFileError: the configuration names no registered class, or would let Keras build objects by name; or the
        weights are of another model.
    """
    with reading(folder / FOLDER / CONFIG, "is not JSON", _REPAIR):
        stored = json.loads((folder / FOLDER / CONFIG).read_text(encoding="utf-8"))
    if not isinstance(stored, dict) or stored.get("class") not in MODELS or objects_in(stored.get("config")):
        name = stored.get("class") if isinstance(stored, dict) else stored
        raise CorruptFileError(
            f"{folder / FOLDER / CONFIG} must name a class of keras_vae.models.MODELS, and plain arguments. Given: "
            f"{name!r}.{nearest(str(name), MODELS)} Export the model again."
        )
    with reading(folder / FOLDER / CONFIG, f"holds no arguments of {stored['class']}", _REPAIR):
        model = MODELS[stored["class"]].from_config(stored["config"])
    path = folder / FOLDER / WEIGHTS
    if not path.exists() and (folder / FOLDER / OLD_WEIGHTS).exists():
        path = folder / FOLDER / OLD_WEIGHTS
    weights.load(model, path, _REPAIR)
    return model


def read_prior(folder: Path) -> "FittedPrior | None":
    """Return the fitted prior in `folder/keras`, or None; the caller has verified its files."""
    path = folder / FOLDER / PRIOR
    return priors.load(path) if path.exists() else None


def objects_in(config: object, path: str = "config") -> list[str]:
    """Return the paths in a configuration where Keras would build an object of a class named there."""
    if isinstance(config, Mapping) and "class_name" in config:
        return [f"{path}, a {config['class_name']}"]
    items = (
        config.items() if isinstance(config, Mapping) else enumerate(config) if isinstance(config, list | tuple) else ()
    )
    return [name for key, value in items for name in objects_in(value, f"{path}.{key}")]
