"""Training on a million cells: `python -m tests.proofs.cells`; with --cells N, another number of them.

Cells of 2,000 genes with known parameters are drawn piece by piece, by as many processes as there are processors, each
piece saved as a sparse matrix of scipy; built into shards, which stay sparse; and trained on for one epoch by a network
of scVI's size. The memory of this process and of those that draw is sampled all the time, and stays below the limit.
"""

import argparse
import json
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from scipy import sparse

from keras_vae import data, files
from keras_vae.benchmarking import machine
from keras_vae.data.generated import drawn_cells, drawn_truth
from keras_vae.data.shard_building import build_shards
from keras_vae.models import VAE
from keras_vae.runtimes.base import available_processors
from tests.proofs.stream import Memory

RECORD = Path(__file__).parents[2] / "benchmarks/cells.json"
GENES, TYPES, HIDDEN, LATENT, BATCH = 2000, 8, 128, 10, 128
LIMIT = 8000  # MB of all processes, imports included
FILE, _AT_ONCE = 20_000, 1000  # cells of a file, and that are drawn at once


class AllMemory(Memory):
    """The resident memory of this process and its children, in MB, pages that they share counted for each."""

    def taken(self) -> float:
        total = self.process.memory_info().rss
        for child in self.process.children(recursive=True):
            try:
                total += child.memory_info().rss
            except psutil.NoSuchProcess:  # it has just ended
                continue
        return total / 1e6


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cells", type=int, default=1_000_000)
    count = parser.parse_args().cells
    memory, seconds = AllMemory(), dict[str, float]()
    with tempfile.TemporaryDirectory(prefix="cells-") as scratch, memory:
        matrices, shards = Path(scratch) / "matrices", Path(scratch) / "shards"
        matrices.mkdir()
        memory.stage("drawing")
        start = time.perf_counter()
        starts = range(0, count, FILE)
        with ProcessPoolExecutor(available_processors(), multiprocessing.get_context("spawn")) as pool:
            entries = sum(pool.map(drawn, [matrices] * len(starts), starts, [min(FILE, count - one) for one in starts]))
        seconds["drawing"] = time.perf_counter() - start
        memory.stage("building")
        start = time.perf_counter()
        build_shards(matrices, shards, fractions=(0.99, 0.005, 0.005))
        seconds["building"] = time.perf_counter() - start
        size = sum(path.stat().st_size for path in shards.iterdir())
        memory.stage("training")
        trained = train(shards)
    peak = memory.baseline + max(memory.peaks.values())
    record = {
        "machine": machine.describe(),
        "cells": count,
        "genes": GENES,
        "zeros": round(1 - entries / (count * GENES), 4),
        "megabytes": {"shards": round(size / 1e6), "dense": round(2 * count * GENES / 1e6)},
        "seconds": {name: round(value, 1) for name, value in seconds.items()},
        **trained,
        "network": [GENES, HIDDEN, LATENT],
        "batch_size": BATCH,
        "peak_megabytes": {name: round(memory.baseline + value) for name, value in memory.peaks.items()},
        "memory_curve": memory.curve(),
    }
    if count >= 1_000_000:
        files.write_text(RECORD, json.dumps(record, indent=1) + "\n")
    print(f"{count:,} cells of {GENES:,} genes, {record['zeros']:.0%} of the counts 0.")
    print(f"Shards: {record['megabytes']['shards']:,} MB, of {record['megabytes']['dense']:,} dense.")
    print(f"Seconds: {record['seconds']}.")
    print(f"One epoch: {trained['cells_per_second']:,} cells/s; read alone, {trained['cells_read_per_second']:,}.")
    print(f"Validation bound: {trained['bound_before']:,.1f} before, {trained['bound']:,.1f} after, nats per cell.")
    print(f"Memory: at most {peak:,.0f} MB, of {LIMIT:,} allowed. By stage: {record['peak_megabytes']}.")
    return 0 if peak < LIMIT and trained["bound"] > trained["bound_before"] else 1


def markdown(record: Mapping[str, Any]) -> str:
    """Return a table of what was trained on, the speed of each stage, and the memory that it took at most."""
    size = record["megabytes"]
    rows = {
        "cells of genes": f"{record['cells']:,} of {record['genes']:,}, {record['zeros']:.0%} of the counts 0",
        "shards, MB; the same cells dense, 2 bytes a count": f"{size['shards']:,}; {size['dense']:,}",
        **{f"{stage}, s": f"{value:,.0f}" for stage, value in record["seconds"].items()},
        f"trained on, cells/s, one epoch, {'-'.join(map(str, record['network']))}": f"{record['cells_per_second']:,}",
        "read alone, cells/s": f"{record['cells_read_per_second']:,}",
        "bound of validation cells before and after, nats": f"{record['bound_before']:,.1f}; {record['bound']:,.1f}",
        **{f"memory while {stage}, MB, at most": f"{peak:,}" for stage, peak in record["peak_megabytes"].items()},
        "processor": f"{record['machine']['processor']}, {record['machine']['processors']}",
    }
    return "\n".join(["| | |", "| --- | ---: |", *(f"| {name} | {value} |" for name, value in rows.items())])


def drawn(folder: Path, first: int, count: int) -> int:
    """Write one file of cells, drawn piece by piece; returns how many of their counts are not 0."""
    truth = drawn_truth(10, GENES, TYPES, log_rate=-2.0, marked=0.1, spread=1.0)
    starts = range(first, first + count, _AT_ONCE)
    pieces = (drawn_cells(truth, min(_AT_ONCE, first + count - start), 11 + start)[0] for start in starts)
    matrix: Any = sparse.vstack([sparse.csr_matrix(piece.astype("uint16")) for piece in pieces], format="csr")
    sparse.save_npz(folder / f"{first:09d}.npz", matrix, compressed=False)
    return int(matrix.nnz)


def train(shards: Path) -> dict[str, Any]:
    """Train for one epoch; and the rate of reading, from some batches that nobody uses."""
    model = VAE(
        x_shape=(GENES,), latent_dim=LATENT, encoder={"name": "mlp", "hidden": (HIDDEN,)},
        decoder={"name": "mlp", "hidden": (HIDDEN,)}, likelihood={"name": "negative_binomial", "dispersion": "feature"},
    )  # fmt: skip
    model.compile("adam")
    training = data.shards(shards, batch_size=BATCH)
    held_out = np.concatenate(
        [batch["x"] for batch in data.shards(shards, "validation[:2000]", batch_size=1000).as_numpy_iterator()]
    )
    before = float(model.elbo(held_out).mean())
    start = time.perf_counter()
    model.fit(training, epochs=1, verbose=0)
    seconds = time.perf_counter() - start
    steps = len(training)
    some = min(steps, 500)
    start = time.perf_counter()
    for _ in training.take(some):
        pass
    reading = time.perf_counter() - start
    return {
        "cells_per_second": round(steps * BATCH / seconds),
        "training_seconds": round(seconds, 1),
        "cells_read_per_second": round(some * BATCH / reading),
        "bound_before": round(before, 2),
        "bound": round(float(model.elbo(held_out).mean()), 2),
    }


if __name__ == "__main__":
    sys.exit(main())
