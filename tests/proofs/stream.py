"""Training on data larger than memory: `python -m tests.proofs.stream`, 8 GB of pictures; with --megabytes N, others.

Pictures are generated, built into shards, and trained on for two epochs by a network so small that reading counts. The
memory of the process above what it has after its imports is sampled all the time. Then the digits, by the network of
`vae_mnist`, in memory and from shards in turn: examples a second of both.
"""

import argparse
import json
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from keras_vae import data, files, zoo
from keras_vae.data.shard_building import build_shards
from keras_vae.models import VAE
from keras_vae.zoo import loading

RECORD = Path(__file__).parents[2] / "benchmarks/stream.json"
SHAPE = (64, 64, 3)
LIMIT = 1500  # MB above the process after its imports
SHARE = 0.9  # of the throughput in memory
_PIECE = 4096  # pictures that are drawn at once
_ROUNDS = 5


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--megabytes", type=int, default=8000)
    megabytes = parser.parse_args().megabytes
    count = megabytes * 1_000_000 // int(np.prod(SHAPE))
    memory = Memory()
    with tempfile.TemporaryDirectory(prefix="stream-") as scratch, memory:
        folder = Path(scratch)
        memory.stage("drawing")
        pictures = drawn(folder / "pictures.npy", count)
        memory.stage("building")
        start = time.perf_counter()
        build_shards(pictures, folder / "shards", fractions=(0.99, 0.005, 0.005))
        building = time.perf_counter() - start
        pictures.unlink()
        memory.stage("training")
        trained = train(folder / "shards")
        memory.stage("digits")
        memory_rate, shard_rate = rates(folder / "digits")
    share = shard_rate / memory_rate
    record = {
        "megabytes": megabytes,
        "pictures": count,
        "build_megabytes_per_second": round(megabytes / building),
        **trained,
        "baseline_megabytes": round(memory.baseline),
        "peak_megabytes_above_it": {name: round(peak) for name, peak in memory.peaks.items()},
        "digits": {
            "in_memory_per_second": round(memory_rate),
            "shards_per_second": round(shard_rate),
            "share": round(share, 3),
        },
        "memory_curve": memory.curve(),
    }
    if megabytes >= 8000:
        files.write_text(RECORD, json.dumps(record, indent=1) + "\n")
    peak = max(memory.peaks.values())
    print(f"{megabytes:,} MB: {trained['epochs']} epochs at {trained['pictures_per_second']:,} pictures/s.")
    print(f"Memory above {memory.baseline:,.0f} MB: at most {peak:,.0f} MB, of {LIMIT:,} allowed.")
    print(f"By stage: {record['peak_megabytes_above_it']}.")
    print(f"Digits: {memory_rate:,.0f} a second in memory, {shard_rate:,.0f} from shards, {share:.2f} of it.")
    return 0 if peak < LIMIT and share >= SHARE else 1


def markdown(record: Mapping[str, Any]) -> str:
    """Return a table of what was read, its speed, and the memory that each stage took at most."""
    digits, peaks = record["digits"], record["peak_megabytes_above_it"]
    rows = {
        "pictures, 64x64 in three colours": f"{record['pictures']:,}, {record['megabytes']:,} MB",
        "shards built, MB/s": f"{record['build_megabytes_per_second']:,}",
        f"trained on, pictures/s, {record['epochs']} epochs": f"{record['pictures_per_second']:,}",
        "read alone, pictures/s": f"{record['pictures_read_per_second']:,}",
        "memory of the process after its imports, MB": f"{record['baseline_megabytes']:,}",
        **{f"above that while {stage}, MB, at most": f"{peak:,}" for stage, peak in peaks.items()},
        "digits in memory, the MLP of `vae_mnist`, digits/s": f"{digits['in_memory_per_second']:,}",
        "the same from shards": f"{digits['shards_per_second']:,}, {digits['share']:.0%}",
    }
    return "\n".join(["| | |", "| --- | ---: |", *(f"| {name} | {value} |" for name, value in rows.items())])


def drawn(path: Path, count: int) -> Path:
    """Pictures of random colours with noise, uint8, written piece by piece."""
    with open(path, "wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": (count, *SHAPE)}
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, count, _PIECE):
            size = min(_PIECE, count - start)
            generator = np.random.default_rng(start)
            noise = generator.integers(0, 64, (size, *SHAPE), dtype="uint8")
            file.write((noise + generator.integers(0, 192, (size, 1, 1, 3), dtype="uint8")).tobytes())
    return path


def train(shards: Path, epochs: int = 2) -> dict[str, Any]:
    """Train on shards, and measure what reading takes of it: the time of an epoch whose batches nobody uses."""
    small = {"name": "mlp", "hidden": (4,)}
    model = VAE(image_shape=SHAPE, latent_dim=2, encoder=small, decoder=small, likelihood="gaussian")
    model.compile("adam")
    training = data.shards(shards, batch_size=128)
    held_out = data.shards(shards, "validation", batch_size=128)
    start = time.perf_counter()
    history = model.fit(training, epochs=epochs, validation_data=held_out, verbose=0).history
    seconds = time.perf_counter() - start
    start = time.perf_counter()
    steps = sum(1 for _ in training)
    reading = time.perf_counter() - start
    return {
        "epochs": epochs,
        "pictures_per_second": round(epochs * steps * 128 / seconds),
        "pictures_read_per_second": round(steps * 128 / reading),
        "val_loss": [round(value, 2) for value in history["val_loss"]],
    }


def rates(folder: Path) -> tuple[float, float]:
    """Digits a second of `vae_mnist`'s training, in memory and from shards: medians of epochs in turn."""
    build_shards("mnist", folder)
    recipe = zoo.card("vae_mnist").recipe
    model = loading.build(recipe)
    model.compile("adam")
    options: dict[str, Any] = {"binarize": "dynamic", "batch_size": recipe.training.batch_size}
    sources = [data.load("mnist", **options), data.shards(folder, **options)]
    seconds: list[list[float]] = [[], []]
    for _ in range(_ROUNDS + 1):
        for times, source in zip(seconds, sources, strict=True):
            start = time.perf_counter()
            model.fit(source, verbose=0)
            times.append(time.perf_counter() - start)
    count = len(sources[0]) * recipe.training.batch_size
    first, second = (count / statistics.median(times[1:]) for times in seconds)  # the first round compiles
    return first, second


class Memory:
    """The resident memory of this process above that at the beginning, in MB, sampled by a thread."""

    def __init__(self, every: float = 0.1) -> None:
        self.process, self._every, self._done = psutil.Process(), every, threading.Event()
        self.baseline = self.taken()
        self.peaks: dict[str, float] = {}
        self._samples: list[tuple[float, float]] = []
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._name = "beginning"

    def taken(self) -> float:
        """Return what is taken now."""
        return self.process.memory_info().rss / 1e6

    def stage(self, name: str) -> None:
        self._name = name

    def curve(self, points: int = 200) -> list[list[float]]:
        """Return at most so many samples: seconds, and the highest memory since the one before."""
        size = -(-len(self._samples) // points)
        parts = [self._samples[start : start + size] for start in range(0, len(self._samples), size)]
        return [[round(part[-1][0], 1), round(max(value for _, value in part))] for part in parts]

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _sample(self) -> None:
        start = time.perf_counter()
        while not self._done.wait(self._every):
            above = self.taken() - self.baseline
            self._samples.append((time.perf_counter() - start, above))
            self.peaks[self._name] = max(above, self.peaks.get(self._name, 0.0))


if __name__ == "__main__":
    sys.exit(main())
