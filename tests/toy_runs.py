"""A recipe small enough to train in seconds on real digits, and one finished run of it that tests share."""

import copy
import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

RECIPE: dict[str, Any] = {
    "summary": "A toy that learns little.",
    "model": {
        "class": "BetaVAE",
        "image_shape": [28, 28, 1],
        "latent_dim": 3,
        "encoder": {"name": "mlp", "hidden": [16]},
        "decoder": {"name": "mlp", "hidden": [16]},
        "beta": {"name": "sigmoid", "final": 4.0, "threshold": 20, "rate": 5},
    },
    "data": {"name": "mnist", "train": "train[:1000]", "validation": "validation[:200]", "binarize": "dynamic"},
    "training": {
        "epochs": 2,
        "batch_size": 100,
        "optimizer": {"name": "adam", "learning_rate": 0.003},
        "jit_compile": False,
        "steps_per_execution": 4,
    },
    "evaluation": {"split": "test[:300]", "samples": 8, "overview": False},
}
REMOVED = object()  # as a change: leave the key out
# What makes a recipe of words of it.
WORDS: dict[str, Any] = {
    "model.class": "SequenceVAE",
    "model.image_shape": REMOVED,
    "model.beta": REMOVED,
    "model.encoder": {"name": "gru", "units": 8, "embedding_dim": 4},
    "model.decoder": {"name": "gru", "units": 8, "embedding_dim": 4},
    "data.name": "words",
    "data.binarize": REMOVED,
}
FILES = ["README.md", "checkpoint.safetensors", "curves.png", "log_prob.npy", "model.safetensors", "recipe.toml",
         "reconstructions.png", "results.json", "samples.png", "traversal.png"]  # fmt: skip


def recipe_text(changes: Mapping[str, Any] | None = None) -> str:
    """The toy recipe as TOML, with `changes`: `{"training.epochs": 3}`; a value of `REMOVED` leaves a key out."""
    table = copy.deepcopy(RECIPE)
    for path, value in (changes or {}).items():
        *sections, key = path.split(".")
        inner = functools.reduce(lambda part, section: part.setdefault(section, {}), sections, table)
        if value is REMOVED:
            del inner[key]
        else:
            inner[key] = value
    top = [f"{key} = {_toml(value)}" for key, value in table.items() if not isinstance(value, dict)]
    for name, section in table.items():
        if isinstance(section, dict):
            top += ["", f"[{name}]", *(f"{key} = {_toml(value)}" for key, value in section.items())]
    return "\n".join(top) + "\n"


def write_recipe(path: Path, changes: Mapping[str, Any] | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(recipe_text(changes), encoding="utf-8")
    return path


@functools.cache
def _trained_once() -> Path:
    from keras_vae import zoo

    folder = Path(tempfile.mkdtemp(prefix="keras_vae-test-"))
    zoo.train(write_recipe(folder / "recipes/toy.toml"), folder / "toy", verbose=0)
    return folder


def forget() -> None:
    """Remove the shared run, if there was one."""
    if _trained_once.cache_info().currsize:
        shutil.rmtree(_trained_once())
        _trained_once.cache_clear()


def trained() -> Path:
    """The folder of the shared finished run. Not to be changed: see `copy_of`."""
    return _trained_once() / "toy"


def copy_of(folder: Path, target: Path) -> Path:
    return Path(shutil.copytree(folder, target))


def edit_results(folder: Path, change: Any) -> dict[str, Any]:
    """Apply `change` to the contents of results.json in place, its digests made to fit."""
    from keras_vae.zoo import store

    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    change(results)
    return store.write_results(store.entry(folder), results)


def arrays_in(path: Path) -> dict[str, np.ndarray]:
    """Every array of a file of weights by its path."""
    from keras_vae import weights

    return weights.read(path, 2**30)[0]


def python(arguments: Sequence[str], folder: Path, **kwargs: Any) -> subprocess.CompletedProcess[str]:
    """Run Python in `folder` with the checkout importable."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        **{"timeout": 300, **kwargs},
    )


def environment() -> dict[str, str]:
    """This process's, with the checkout importable, and TensorFlow's log as a user has it."""
    kept = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    root = str(Path(__file__).resolve().parents[1])
    return {**kept, "PYTHONPATH": os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])}


def cli(words: Sequence[str], folder: Path, **kwargs: Any) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own, in `folder`."""
    return python(["-m", "keras_vae", *words], folder, **kwargs)


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(each)}" for key, each in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return repr(value) if isinstance(value, float) else json.dumps(value)
