"""What do plain convolutions, a hierarchy and progressive growing reach on large colour images in equal CPU time?

The images are sprites: the outlines, sizes and angles of `keras_vae.data.sprites`, drawn at 128x128 and at 256x256 with
smooth edges, a colour each for shape and background. Every model trains for the same CPU seconds, on one thread, in a
process of its own, with the same convolutions and batches; a growing one gives shares of them to its smaller stages.
The numbers are those of the ELBO of held-out images, in bits per dimension, dequantised: lower is better.

    python benchmarks/large_images.py [--seconds 600] [--seeds 1] [--output benchmarks/large_images.json]
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

from keras_vae import data, models
from keras_vae.benchmarking import machine
from keras_vae.core import VAE
from keras_vae.data import sprites
from keras_vae.files import write_json
from keras_vae.models.parts.growing import grow
from keras_vae.zoo.results import PACKAGES

FILTERS = {128: (16, 32, 64), 256: (16, 32, 64, 64)}  # by size; each halves the image, first that of the images
KINDS = {"plain": "plain convolutions", "hierarchy": "hierarchy of two levels", "growing": "progressive growing"}
TRAINING, TEST, BATCH, DENSE, RATE = 2048, 256, 16, 128, 1e-3
FADE = 100  # steps in which a stage fades in
LIKELIHOOD = {"name": "gaussian", "scale": 0.05}  # a learned one would need most of the steps to become small


def drawn(size: int, count: int, seed: int) -> np.ndarray:
    """Coloured sprites at random factors: uint8 `(count, size, size, 3)`."""
    generator, scale = np.random.default_rng(seed), size / sprites.IMAGE_SHAPE[0]
    factors = np.stack([generator.integers(0, values, count) for values in sprites.FACTORS.values()], axis=-1)
    line = (np.arange(2 * size) + 0.5) / 2 / scale  # two points a pixel and side, in pixels of 64x64
    images = np.empty((count, size, size, 3), "uint8")
    for image, (shape, large, angle, x, y) in zip(images, factors, strict=True):
        turn, factor = 2 * np.pi * angle / sprites.FACTORS["orientation"], 0.5 + 0.1 * large
        column, row = (line[None, :] - x - 16.5) / factor, (line[:, None] - y - 16.5) / factor
        u, v = column * np.cos(turn) + row * np.sin(turn), row * np.cos(turn) - column * np.sin(turn)
        inside = sprites.outline(sprites.SHAPES[shape], u, v) < 0
        share = inside.reshape(size, 2, size, 2).mean((1, 3))[..., None]
        back, front = generator.uniform(0.0, 0.4, 3), generator.uniform(0.5, 1.0, 3)
        image[...] = np.rint(255 * (back + share * (front - back)))
    return images


def halved(images: np.ndarray, times: int) -> np.ndarray:
    """The images at half the size, as often as asked for: means over pixels, uint8."""
    factor, (count, size, _, channels) = 2**times, images.shape
    means = images.reshape(count, size // factor, factor, size // factor, factor, channels).mean((2, 4))
    return np.rint(means).astype("uint8")


class UntilSpent(keras.callbacks.Callback):
    """Stops a fit when the process has used some CPU seconds in all."""

    def __init__(self, end: float) -> None:
        super().__init__()
        self.end = end

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        if time.process_time() > self.end:
            self.model.stop_training = True


def train(model: VAE, images: np.ndarray, end: float) -> None:
    """Train a model until the process has used some CPU seconds."""
    model.compile(keras.optimizers.Adam(RATE), steps_per_execution=8)
    batches = data.batches(images, batch_size=BATCH, training=True, dequantize=True, seed=model.seed)
    model.fit(batches, epochs=100_000, verbose=0, callbacks=[UntilSpent(end)])


def trained(kind: str, size: int, seconds: float, seed: int, images: np.ndarray) -> tuple[VAE, int]:
    """A trained model of a kind, and its training steps, those of its smaller stages among them."""
    filters, shared, start = FILTERS[size], {"likelihood": LIKELIHOOD, "seed": seed}, time.process_time()
    conv = {"name": "conv", "filters": filters, "dense": DENSE}
    if kind != "growing":
        arguments: dict[str, Any] = {"image_shape": (size, size, 3), "encoder": conv, "decoder": conv, **shared}
        model = (
            models.VAE(latent_dim=48, **arguments)
            if kind == "plain"
            else models.HierarchicalVAE(latent_dims=(32, 16), hidden=DENSE, **arguments)
        )
        train(model, images, start + seconds)
        return model, int(model.step)
    halvings = len(filters) - 1
    shares = np.array([0.5**place for place in range(halvings, 0, -1)])  # each stage half the time of the next
    ends = start + seconds * np.cumsum([*shares, 1.0]) / (shares.sum() + 1.0)
    small = size // 2**halvings
    first = {"name": "growing", "filters": filters[-1:], "dense": DENSE}
    model = models.VAE((small, small, 3), latent_dim=48, encoder=first, decoder=first, **shared)
    for place, end in enumerate(ends):
        model = grow(model, filters[halvings - place], FADE) if place else model
        train(model, halved(images, halvings - place), end)
    return model, int(model.step)  # which a model that has grown goes on counting


def measure(kind: str, size: int, seconds: float, seed: int) -> dict[str, Any]:
    """Train one model, and return the bits per dimension of held-out images."""
    images, test = drawn(size, TRAINING, 0), drawn(size, TEST, 1)
    start = time.process_time()
    model, steps = trained(kind, size, seconds, seed, images)
    spent = time.process_time() - start
    x = ((test + np.random.default_rng(2).random(test.shape)) / 256.0).astype("float32")
    bits = 8.0 - model.elbo(x) / (np.prod(x.shape[1:]) * np.log(2.0))
    return {
        "kind": kind,
        "size": size,
        "seed": seed,
        "bits_per_dim": float(bits.mean()),
        "standard_error": float(bits.std(ddof=1) / np.sqrt(len(bits))),
        "steps": steps,
        "parameters": int(sum(np.prod(weight.shape) for weight in model.trainable_variables)),
        "cpu_seconds": spent,
    }


def markdown(result: Mapping[str, Any]) -> str:
    """The results as a table, for the documentation."""
    runs, sizes = result["runs"], sorted({run["size"] for run in result["runs"]})
    lines = [
        f"| | {' | '.join(f'{size}x{size}, bits/dim | steps' for size in sizes)} |",
        "| --- |" + " ---: | ---: |" * len(sizes),
    ]
    for kind, title in KINDS.items():
        cells = []
        for size in sizes:
            of_kind = [run for run in runs if (run["kind"], run["size"]) == (kind, size)]
            numbers = [run["bits_per_dim"] for run in of_kind]
            error = of_kind[0]["standard_error"]
            if len(numbers) > 1:
                error = np.std(numbers, ddof=1) / np.sqrt(len(numbers))
            steps = np.mean([run["steps"] for run in of_kind])
            cells.append(f"{np.mean(numbers):.3f} ± {error:.3f} | {steps:,.0f}")
        lines.append(f"| {title} | {' | '.join(cells)} |")
    over = f"{result['seeds']} seeds" if result["seeds"] > 1 else "images"
    lines += [
        "",
        f"The ELBO of {TEST} held-out images after {result['seconds']:,.0f} CPU seconds of training on {TRAINING:,}, "
        f"in bits per dimension, ± its standard error over {over}; steps of {BATCH} images, those of smaller stages "
        f"among them. One thread each, {result['machine']['processor']}.",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600.0, help="CPU seconds of each training")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--only", choices=tuple(KINDS), help="train this kind, and keep what the output has of others")
    parser.add_argument("--one", nargs=3, metavar=("KIND", "SIZE", "SEED"), help="one training; prints its JSON")
    parser.add_argument("--output", type=Path, default=None, help="write the result here, as JSON")
    arguments = parser.parse_args()
    if arguments.one:
        kind, size, seed = arguments.one
        print(json.dumps(measure(kind, int(size), arguments.seconds, int(seed))))
        return

    def run(case: tuple[str, int, int]) -> dict[str, Any]:
        command = [sys.executable, __file__, "--seconds", str(arguments.seconds), "--one", *map(str, case)]
        threads = {name: "1" for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS")}
        done = subprocess.run(command, env=os.environ | threads, stdout=subprocess.PIPE, text=True, check=True)
        measured = json.loads(done.stdout.splitlines()[-1])
        print(measured, file=sys.stderr, flush=True)
        return measured

    kinds = [arguments.only] if arguments.only else list(KINDS)
    cases = [(kind, size, seed) for size in FILTERS for kind in kinds for seed in range(arguments.seeds)]
    kept = []
    if arguments.only and arguments.output and arguments.output.exists():
        before = json.loads(arguments.output.read_text(encoding="utf-8"))
        kept = [run for run in before["runs"] if run["kind"] != arguments.only]
        if (before["seconds"], before["seeds"]) != (arguments.seconds, arguments.seeds):
            sys.exit(f"{arguments.output} has other seconds or seeds. Leave --only out.")
    described = machine.describe()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        runs = [*kept, *pool.map(run, cases)]
    result = {
        "machine": described,
        "versions": {name: version(name) for name in PACKAGES},
        "seconds": arguments.seconds,
        "seeds": arguments.seeds,
        "runs": runs,
    }
    print(markdown(result))
    if arguments.output is not None:
        write_json(arguments.output, result)


if __name__ == "__main__":
    main()
