"""Small models with weights that are not at their initial values, and their bundles, made once a session."""

import functools
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_vae import data
from keras_vae.export import Bundle, Examples, export
from keras_vae.models import VAE, BetaVAE
from keras_vae.runtimes.bundle import digest, fingerprints, manifest_text

DENSE = {"name": "mlp", "hidden": (16,), "batch_norm": True}
CONVOLUTIONS = {"name": "conv", "filters": (4, 8), "dense": 16, "batch_norm": True}
ALL = ("saved_model", "onnx", "litert", "openvino", "keras")
REDUCED = ("onnx_fp16", "onnx_int8")
# kind -> the model's class and arguments, and the formats of its bundle
KINDS: dict[str, Any] = {
    "mlp": (BetaVAE, {"latent_dim": 3, "encoder": DENSE, "decoder": DENSE}, ALL),
    "conv": (
        VAE,
        {
            "latent_dim": 4,
            "encoder": CONVOLUTIONS,
            "decoder": CONVOLUTIONS,
            "likelihood": {"name": "gaussian", "scale": "pixel"},
        },
        ALL,
    ),
    "colour": (
        VAE,
        {"image_shape": (8, 8, 3), "latent_dim": 2, "encoder": DENSE, "decoder": DENSE, "likelihood": "gaussian"},
        ("onnx",),
    ),
}


def stirred(model: Any, seed: int = 0) -> Any:
    """The model with random weights of a trained model's size; biases, and BatchNorm's moving averages, among them."""
    generator = np.random.default_rng(seed)
    for weight in model.weights:
        if weight.dtype != "float32":
            continue
        fan_in = int(np.prod(weight.shape[:-1])) or 1
        noise = generator.normal(size=weight.shape).astype("float32")
        centre = 1.0 if weight.name in ("gamma", "moving_variance") else 0.0
        weight.assign(np.clip(centre + noise * (0.2 if centre else 1 / np.sqrt(fan_in)), 0.3 if centre else -9, 9))
    return model


@functools.cache
def model_of(kind: str) -> Any:
    cls, arguments, _ = KINDS[kind]
    keras.utils.set_random_seed(0)
    return stirred(cls(**arguments))


@functools.cache
def digits(kind: str, count: int = 2048) -> Examples | None:
    """Test digits of MNIST for the models that take them, binary for the Bernoulli; None for the one of colour."""
    if kind == "colour":
        return None
    binarize = "static" if kind == "mlp" else None
    batch = next(iter(data.load("mnist", f"test[:{count}]", binarize, batch_size=count).as_numpy_iterator()))
    return Examples(batch["x"], origin=f"the first {count} test digits", licence="CC-BY-SA-3.0", labels=batch["y"])


@functools.cache
def bundle_of(kind: str) -> Bundle:
    """Do not change its files: `copied` is for that."""
    return export(model_of(kind), Path(_folder()) / kind, KINDS[kind][2], digits(kind))


def copied(kind: str, folder: Path) -> Path:
    """A copy of a bundle in `folder`."""
    return Path(shutil.copytree(bundle_of(kind).path, folder / kind))


def sealed(folder: Path, **changes: Any) -> Path:
    """The folder of a bundle with every digest made to fit its files, as a careful forger leaves it."""
    manifest = json.loads((folder / "bundle.json").read_text()) | changes
    listed = {name: entry for name, entry in fingerprints(folder).items() if name != "bundle.json"}
    manifest = {**manifest, "files": listed, **changes}
    manifest["digest"] = digest(manifest)
    (folder / "bundle.json").write_text(manifest_text(manifest))
    return folder


@functools.cache
def _folder() -> str:
    import atexit

    folder = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
