"""What does the watch over every batch cost a training step?

Two copies of a model, one with its watch taken off, train in turns within one process; compared is CPU time, which
other processes disturb less than wall time.

    python benchmarks/watch.py [--rounds 9] [--steps 128]
"""

import argparse
import os
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from keras_vae import data, models

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


def seconds(model, dataset, steps: int) -> float:
    """CPU seconds of a step."""
    start = time.process_time()
    model.fit(dataset, epochs=1, verbose=0)
    return (time.process_time() - start) / steps


def measure(name: str, rounds: int, steps: int) -> str:
    """A row of the table: medians of the rounds."""
    make, arguments, options = MODELS[name]
    dataset = data.load("mnist", f"train[:{128 * steps}]", binarize="static")
    pair = []
    for watched in (True, False):
        model = make(**arguments)
        if not watched:
            model.watch.note = lambda batch, hull=False: batch
        model.compile("adam", **options)
        seconds(model, dataset, steps)  # with its compilation
        pair.append(model)
    times = np.array([[seconds(model, dataset, steps) for model in pair] for _ in range(rounds)])
    share = statistics.median(times[:, 0] / times[:, 1]) - 1
    spread = np.percentile(times[:, 0] / times[:, 1] - 1, [25, 75])
    medians = np.median(times, axis=0) * 1e3
    return f"| {name} | {medians[1]:.2f} | {medians[0]:.2f} | {share:+.1%} ({spread[0]:+.1%} to {spread[1]:+.1%}) |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--steps", type=int, default=128, help="in each round")
    parser.add_argument("--only", default="", help="models whose name holds this")
    parsed = parser.parse_args()
    print("| model, batch 128 | CPU ms a step without | with | cost (quartiles) |\n| --- | ---: | ---: | ---: |")
    for name in MODELS:
        if parsed.only in name:
            print(measure(name, parsed.rounds, parsed.steps), flush=True)


if __name__ == "__main__":
    main()
