"""The model itself, as data: a registered class and its arguments in JSON, and float32 weights. No code, no pickle."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from keras_vae import priors
from keras_vae.errors import CorruptFileError, ExportError
from keras_vae.export.graphs import config_of
from keras_vae.export.work import Work
from keras_vae.files import require_room
from keras_vae.models import MODELS
from keras_vae.registry import nearest

FOLDER, CONFIG, WEIGHTS, PRIOR = "keras", "config.json", "model.weights.h5", "prior.npz"
_OVERHEAD = 4096  # bytes that HDF5 needs for each array and its groups, at most


def write(work: Work, folder: Path) -> dict[str, Any]:
    """Write `keras/config.json` and `keras/model.weights.h5`; and `keras/prior.npz`, where there is a fitted prior.

    Raises:
      ExportError: the class is not registered, or a network was given as a layer, which data cannot name.
    """
    model = work.model
    name = next((name for name, known in MODELS.items() if known is type(model)), None)
    if name is None:
        raise ExportError(
            f"The format 'keras' holds models of keras_vae.models.MODELS: {', '.join(MODELS)}. Given: "
            f"{type(model).__name__}. Leave 'keras' out of formats."
        )
    config = config_of(model)
    layers = objects_in(config)
    if layers:
        raise ExportError(
            f"The format 'keras' is data, and cannot hold a network that was given as a layer. Given: "
            f"{', '.join(layers)}. Choose networks by name, or leave 'keras' out of formats."
        )
    (folder / FOLDER).mkdir()
    text = json.dumps({"class": name, "config": config}, indent=2, sort_keys=True)
    (folder / FOLDER / CONFIG).write_text(text + "\n", encoding="utf-8")
    # A new model from the text that was written: what a reader will build, and free of the optimizer's state.
    single = MODELS[name].from_config(json.loads(text)["config"])
    single.set_weights(model.get_weights())
    require_room(folder / FOLDER / WEIGHTS, sum(array.nbytes + _OVERHEAD for array in single.get_weights()))
    single.save_weights(folder / FOLDER / WEIGHTS)
    if work.prior is not None:
        work.prior.save(folder / FOLDER / PRIOR)
    return {"files": {traced.name: FOLDER for traced in work.graphs}}


def read(folder: Path) -> Any:
    """The model in `folder/keras`, whose files the caller has verified.

    Raises:
      CorruptFileError: the configuration names no registered class, or would make Keras build objects by name.
    """
    stored = json.loads((folder / FOLDER / CONFIG).read_text(encoding="utf-8"))
    if not isinstance(stored, dict) or stored.get("class") not in MODELS or objects_in(stored.get("config")):
        given = stored.get("class") if isinstance(stored, dict) else stored
        raise CorruptFileError(
            f"{folder / FOLDER / CONFIG} must name a class of keras_vae.models.MODELS, and plain arguments. Given: "
            f"{given!r}.{nearest(str(given), MODELS)} Export the model again."
        )
    model = MODELS[stored["class"]].from_config(stored["config"])
    model.load_weights(folder / FOLDER / WEIGHTS)
    return model


def read_prior(folder: Path) -> Any:
    """The fitted prior in `folder/keras`, whose files the caller has verified, or None."""
    path = folder / FOLDER / PRIOR
    return priors.load(path) if path.exists() else None


def objects_in(config: Any, path: str = "config") -> list[str]:
    """The places in a configuration where Keras would build an object of a class that the data name."""
    if isinstance(config, Mapping) and "class_name" in config:
        return [f"{path}, a {config['class_name']}"]
    items = (
        config.items() if isinstance(config, Mapping) else enumerate(config) if isinstance(config, list | tuple) else ()
    )
    return [found for key, value in items for found in objects_in(value, f"{path}.{key}")]
