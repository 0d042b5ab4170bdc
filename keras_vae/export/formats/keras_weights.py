"""The model itself, as data: a registered class and its arguments in JSON, and float32 weights. No code, no pickle."""

import json
from pathlib import Path

from keras_vae import weights
from keras_vae.errors import ExportError
from keras_vae.export.graphs import config_of
from keras_vae.export.work import Work
from keras_vae.models import MODELS
from keras_vae.runtimes.bundle import FormatEntry
from keras_vae.runtimes.keras_bundle import CONFIG, FOLDER, PRIOR, WEIGHTS, objects_in


def write(work: Work, folder: Path) -> FormatEntry:
    """Write `keras/config.json` and `keras/model.safetensors`; and `keras/prior.npz`, where there is a fitted prior.

    Raises:
      ExportError: the class is not registered, or a network is a layer, which data cannot describe.
    """
    model = work.model
    name = MODELS.name_of(type(model))
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
    # A new model from the written text, as a reader will build it, without the optimizer's state.
    single = MODELS[name].from_config(json.loads(text)["config"])
    single.set_weights(model.get_weights())
    weights.save(folder / FOLDER / WEIGHTS, weights.numpy_arrays(weights.named_variables(single)))
    if work.prior is not None:
        work.prior.save(folder / FOLDER / PRIOR)
    return {"files": {traced.name: FOLDER for traced in work.graphs}}
