"""What does the watch over every batch cost a training step?

Copies of a model, half of them with their watch taken off, train in turns within one process, in CPU time, which other
processes disturb less, and by the clock. Copies, as one of two equal models can be 5 % faster than the other for as
long as they live, by where their weights lie in memory.

    python benchmarks/watch.py [--rounds 7] [--copies 3] [--steps 128] [--output FILE]
"""

import argparse
import os
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from keras_vae import data, files, models
from keras_vae.benchmarking import machine
from keras_vae.zoo.results import PACKAGES

SCHEMA = "keras_vae.watch/1"
_HIDDEN = {"name": "mlp", "hidden": (400, 400)}
# name -> class, arguments, options of `compile`
MODELS = {
    "VAE, 784-400-400-20": (models.VAE, {"encoder": _HIDDEN, "decoder": _HIDDEN}, {}),
    "the same without XLA": (models.VAE, {"encoder": _HIDDEN, "decoder": _HIDDEN}, {"jit_compile": False}),
    "VAE, 784-100-20, a small step": (
        models.VAE,
        {"encoder": {"name": "mlp", "hidden": (100,)}, "decoder": {"name": "mlp", "hidden": (100,)}},
        {},
    ),
    "CVAE, 784-400-400-20": (models.CVAE, {"encoder": _HIDDEN, "decoder": _HIDDEN, "num_classes": 10}, {}),
    "VAE, convolutions": (models.VAE, {"encoder": "conv", "decoder": "conv"}, {}),
    "IWAE, K = 5, 784-200-200-50": (
        models.IWAE,
        {"latent_dim": 50, "encoder": {"name": "mlp", "hidden": (200, 200)},
         "decoder": {"name": "mlp", "hidden": (200, 200)}, "importance_samples": 5},
        {},
    ),
}  # fmt: skip


def seconds(model, dataset, steps: int) -> tuple[float, float]:
    """Seconds of a step, of the processor and of the clock."""
    cpu, clock = time.process_time(), time.perf_counter()
    model.fit(dataset, epochs=1, verbose=0)
    return (time.process_time() - cpu) / steps, (time.perf_counter() - clock) / steps


def measure(name: str, rounds: int, steps: int, copies: int) -> dict[str, Any]:
    """Medians of the rounds, and the quartiles of the cost, of one model."""
    make, arguments, options = MODELS[name]
    # As a user's stream: what `data.load` makes is checked before the first step, and its training is not watched.
    dataset = data.load("mnist", f"train[:{128 * steps}]", binarize="static").map(dict)
    kinds: dict[bool, list[Any]] = {True: [], False: []}
    for _ in range(copies):
        for watched, made in kinds.items():
            model = make(**arguments)
            if not watched:
                model.watch.note = lambda batch, hull=False: batch
            model.compile("adam", **options)
            seconds(model, dataset, steps)  # with its compilation
            made.append(model)
    times = np.zeros((rounds, 2, 2))  # (round, watched or not, unit): means over the copies
    for index in range(rounds):
        for copy in range(copies):
            for watched in (True, False) if index % 2 else (False, True):
                times[index, int(not watched)] += np.array(seconds(kinds[watched][copy], dataset, steps)) / copies
    cost = times[:, 0] / times[:, 1] - 1
    return {
        unit: {
            "without_ms": round(float(np.median(times[:, 1, column])) * 1e3, 3),
            "with_ms": round(float(np.median(times[:, 0, column])) * 1e3, 3),
            "cost": [round(float(share), 4) for share in np.percentile(cost[:, column], [25, 50, 75])],
        }
        for column, unit in enumerate(("cpu", "clock"))
    }


def row(name: str, result: dict[str, Any]) -> str:
    """A row of the table."""
    cells = []
    for unit in ("cpu", "clock"):
        low, median, high = result[unit]["cost"]
        cells += [f"{result[unit]['without_ms']:.2f}", f"{median:+.1%} ({low:+.1%} to {high:+.1%})"]
    return f"| {name} | {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=128, help="in each round")
    parser.add_argument("--copies", type=int, default=3, help="of each model, watched and not")
    parser.add_argument("--only", default="", help="models whose name holds this")
    parser.add_argument("--output", type=Path, help="a JSON file")
    parsed = parser.parse_args()
    print(
        "| model, batch 128 | CPU ms a step without | cost (quartiles) | ms by the clock without | cost (quartiles) |"
    )
    print("| --- | ---: | ---: | ---: | ---: |")
    described, results = machine.describe(), {}
    for name in MODELS:
        if parsed.only in name:
            results[name] = measure(name, parsed.rounds, parsed.steps, parsed.copies)
            print(row(name, results[name]), flush=True)
    if parsed.output:
        versions = {package: version(package) for package in PACKAGES}
        result = {"schema": SCHEMA, "machine": described, "warnings": machine.warnings(described), "versions": versions}
        files.write_json(
            parsed.output,
            result | {"rounds": parsed.rounds, "copies": parsed.copies, "steps": parsed.steps, "models": results},
        )


if __name__ == "__main__":
    main()
