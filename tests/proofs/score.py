"""Scoring at scale: `python -m tests.proofs.score`, about ten minutes; with --images N, another number of images.

The same images by threads of this process, and by Ray on two nodes of a local cluster of which an actor and then a node
are killed in the middle: the same files, byte for byte. The throughput beside that of bare calls of ONNX Runtime on the
same cores, for the convolutional encoder and for a dense one, which takes so little that reading, checking and writing
count; and the memory that the process takes as it goes on.
"""

import argparse
import hashlib
import json
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from keras_vae import files, scoring, zoo
from keras_vae.benchmarking import machine
from keras_vae.export import export
from keras_vae.models import VAE
from keras_vae.runtimes.base import available_processors
from keras_vae.runtimes.bundle import Bundle

RECORD = Path(__file__).parents[2] / "benchmarks/score.json"
SHARE = 0.9  # of the throughput of bare calls, that the convolutional encoder must have
_FEW = 200_000  # images of the dense encoder
_PIECE = 50_000  # images that are drawn at once


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=1_000_000)
    count = parser.parse_args().images
    rows = max(1000, count // 60)  # of a shard
    with tempfile.TemporaryDirectory(prefix="score-") as scratch:
        folder, shares = Path(scratch), dict[str, dict[str, float]]()
        images = drawn(folder / "images.npy", count)
        few = drawn(folder / "few.npy", min(count, _FEW))
        models = {
            "convolutions, 28x28, 32-64-256": VAE(encoder="conv", decoder="conv"),
            "dense, 784-400-400": zoo.load("beta_vae_mnist"),
        }
        bundles = {
            name: export(model, folder / f"bundle-{number}", ("onnx",))
            for number, (name, model) in enumerate(models.items())
        }
        memory = Memory()
        for (name, bundle), path in zip(bundles.items(), (images, few), strict=True):
            shares[name] = throughput(bundle, path, folder / f"local-{path.stem}", rows, memory)
            print(name, shares[name], flush=True)
        bundle, local = next(iter(bundles.values())).path, folder / f"local-{images.stem}"
        print(f"Memory beside the mapped input: {memory.first:.0f} MB after a fifth of it, {memory.last:.0f} at most.")
        killed, seconds = on_ray(bundle, images, folder / "ray", rows)
        print(f"Ray, less {' and '.join(killed)}: {seconds:.0f} s.", flush=True)
        same = digests(local) == digests(folder / "ray")
        record = {
            "machine": machine.describe(),
            "images": count,
            "throughput": shares,
            "megabytes": {"after_a_fifth": round(memory.first), "at_most": round(memory.last)},
            "ray": {"killed": killed, "seconds": round(seconds), "same_files": same},
        }
    if count >= 1_000_000:
        files.write_text(RECORD, json.dumps(record, indent=1) + "\n")
    flat = memory.last < 1.2 * memory.first + 50
    print(f"Files of both runs: {'the same' if same else 'DIFFERENT'}. Memory: {'flat' if flat else 'GROWS'}.")
    fast = next(iter(shares.values()))["share"] >= SHARE
    return 0 if same and flat and len(killed) == 2 and fast else 1


def throughput(bundle: Bundle, images: Path, folder: Path, rows: int, memory: "Memory") -> dict[str, float]:
    """Score all images by threads; return images a second, those of bare calls, and the share."""
    count = len(np.load(images, mmap_mode="r"))
    scoring.score(bundle, drawn(folder.with_suffix(".npy"), 1000), folder.with_suffix(".warm"))  # imports, opens
    bare = bare_rate(bundle, images)
    start = time.perf_counter()
    scoring.score(bundle, images, folder, shard_rows=rows, progress=memory.note)
    rate = count / (time.perf_counter() - start)
    bare = (bare + bare_rate(bundle, images)) / 2  # before and after
    return {"images": count, "bare": round(bare), "scored": round(rate), "share": round(rate / bare, 3)}


def markdown(record: Mapping[str, Any]) -> str:
    """Return a table of the throughput, the memory, and the run that lost processes."""
    memory, ray = record["megabytes"], record["ray"]
    rows = {
        **{
            f"`keras-vae score`, {name}, {rates['images']:,} images: a second, of bare calls of ONNX Runtime": (
                f"{rates['scored']:,} of {rates['bare']:,}, {rates['share']:.0%}"
            )
            for name, rates in record["throughput"].items()
        },
        "memory after a fifth of the images, MB": f"{memory['after_a_fifth']:,}",
        "memory at most, MB": f"{memory['at_most']:,}",
        f"all on a cluster of two nodes, less {' and '.join(ray['killed'])}, s": f"{ray['seconds']:,}",
        "its files": "the same, byte for byte" if ray["same_files"] else "DIFFERENT",
    }
    return "\n".join(["| | |", "| --- | ---: |", *(f"| {name} | {value} |" for name, value in rows.items())])


def drawn(path: Path, count: int) -> Path:
    """Random binary images of strokes' density, uint8, written piece by piece."""
    array = np.lib.format.open_memmap(path, "w+", "uint8", (count, 28, 28, 1))
    for start in range(0, count, _PIECE):
        part = array[start : start + _PIECE]
        part[:] = (np.random.default_rng(start).random(part.shape, "float32") < 0.13) * np.uint8(255)
    array.flush()
    os.sync()  # or the first files of scores wait for these pages
    return path


def bare_rate(bundle: Bundle, images: Path) -> float:
    """Images a second of `session.run` alone, a thread for each core, on arrays that are ready."""
    import onnxruntime

    from keras_vae.runtimes.onnx_runtime import session_options

    x = np.load(images, mmap_mode="r")[:20_000].astype("float32") / np.float32(255)
    session = onnxruntime.InferenceSession(bundle.path / "encoder.onnx", session_options(1))
    output = bundle.graphs["encoder"]["result"]
    threads, seconds, done = available_processors(), 2.0, list[int]()

    def work(_: int) -> None:
        end, calls = time.perf_counter() + seconds, 0
        while time.perf_counter() < end:
            start = 256 * calls % (len(x) - 256)
            session.run([output], {"x": x[start : start + 256]})
            calls += 1
        done.append(256 * calls)

    start = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, range(threads)))
    return sum(done) / (time.perf_counter() - start)


class Memory:
    """The memory of this process that is its own, in MB, after a fifth of the work and at most."""

    def __init__(self) -> None:
        self.first = self.last = 0.0

    def note(self, done: int, of: int) -> None:
        info: Any = psutil.Process().memory_info()
        self.last = max(self.last, (info.rss - info.shared) / 1e6)  # a mapped file is shared
        if not self.first and done >= of / 5:
            self.first = self.last


def on_ray(bundle: Path, images: Path, output: Path, rows: int) -> tuple[list[str], float]:
    """Score on a cluster of two nodes; kill an actor after a third of the shards, and a node after half of them."""
    os.environ.setdefault("RAY_DEDUP_LOGS", "0")
    import ray
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    node = cluster.add_node(num_cpus=1)
    ray.init(address=cluster.address, log_to_driver=False)
    total, killed, start = len(range(0, len(np.load(images, mmap_mode="r")), rows)), [], time.perf_counter()

    def kill_an_actor() -> None:
        for process in psutil.process_iter(["cmdline"]):
            words = " ".join(process.info["cmdline"] or [])
            if words.startswith("ray::") and ("MapWorker" in words or "Worker" in words):
                os.kill(process.pid, signal.SIGKILL)
                killed.append("an actor")
                return

    def kill_a_node() -> None:
        cluster.remove_node(node, allow_graceful=False)
        killed.append("a node")

    def after(share: float, act: Callable[[], None]) -> None:
        while len(list(output.glob("part-*.parquet"))) < share * total:
            time.sleep(0.05)
        act()

    threads = [
        threading.Thread(target=after, args=row, daemon=True) for row in ((1 / 3, kill_an_actor), (0.5, kill_a_node))
    ]
    for thread in threads:
        thread.start()
    try:
        scoring.score(bundle, images, output, engine="ray", shard_rows=rows)
        seconds = time.perf_counter() - start
        for thread in threads:
            thread.join(timeout=10)
        return killed, seconds
    finally:
        ray.shutdown()
        cluster.shutdown()


def digests(folder: Path) -> dict[str, str]:
    """Of every file of a folder of scores: of the numbers, and of the manifest."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


if __name__ == "__main__":
    sys.exit(main())
