"""The files of keras_vae that one eager training step passes through, and how often it goes from one to another.

    python benchmarks/journey.py            # a table of four models
    python benchmarks/journey.py --json

A file is counted when a function of it is called: what a reader has to open to follow the step.
"""

import argparse
import itertools
import json
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

import keras_vae

PACKAGE = Path(keras_vae.__file__).parent
SHAPE, BATCH = (8, 8, 1), 4
MODELS: dict[str, dict[str, Any]] = {
    "VAE": {"latent_dim": 2},
    "VQVAE": {"code_shape": (4,), "entries": 8, "embedding_dim": 4},
    "SemiSupervisedVAE": {"latent_dim": 2, "num_classes": 3},
    "HierarchicalVAE": {"latent_dims": (4, 2), "hidden": 8},
}


def journey(name: str) -> dict[str, Any]:
    """The journey of a model's step.

    Returns:
      `files`, file -> calls of its functions, in the order of the first call; `calls`, their sum; `changes`, how often
      a call is followed by one of another file.
    """
    from keras_vae import models

    model = getattr(models, name)(image_shape=SHAPE, encoder=_mlp(), decoder=_mlp(), **MODELS[name])
    model.compile(run_eagerly=True)
    generator = np.random.default_rng(0)
    batch = {"x": (generator.random((BATCH, *SHAPE)) < 0.5).astype("float32"), "y": np.arange(BATCH) % 3}
    model.train_step(batch)  # what is made once is made
    path: list[str] = []

    def note(frame: FrameType, event: str, _: object) -> None:
        file = Path(frame.f_code.co_filename)
        if event == "call" and file.is_relative_to(PACKAGE):
            path.append(file.relative_to(PACKAGE).as_posix())

    sys.setprofile(note)
    try:
        model.train_step(batch)
    finally:
        sys.setprofile(None)
    return {
        "files": {file: path.count(file) for file in dict.fromkeys(path)},
        "calls": len(path),
        "changes": sum(first != second for first, second in itertools.pairwise(path)),
    }


def _mlp() -> dict[str, Any]:
    return {"name": "mlp", "hidden": (8,)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=list(MODELS), help=f"of {', '.join(MODELS)}")
    parser.add_argument("--json", action="store_true", help="for machines")
    arguments = parser.parse_args()
    journeys = {name: journey(name) for name in arguments.models}
    if arguments.json:
        print(json.dumps(journeys))
        return
    for name, counts in journeys.items():
        print(f"{name}: {len(counts['files'])} files, {counts['calls']} calls, {counts['changes']} changes of file")
        for file, calls in counts["files"].items():
            print(f"  {calls:4}  {file}")


if __name__ == "__main__":
    main()
