"""The benchmark: every runtime in a process of its own, compared with Keras, then timed in turns.

Runtimes that share a process slow each other down, and one run after the other meets another state of the machine: so
all are started first, and each round gives each of them, one at a time, a turn at every batch size.
"""

import os
import platform
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from keras_vae import arrays, files
from keras_vae import runtimes as known_runtimes
from keras_vae.errors import UserError
from keras_vae.export.bundle import MANIFEST, Bundle, read_bundle
from keras_vae.runtimes.base import available_processors
from keras_vae.runtimes.workers import WorkerFailed, WorkerProcess

SCHEMA = "keras_vae.benchmark/1"
SIGNATURES = ("encode", "decode")


def benchmark(
    bundle: Bundle | str | Path,
    batch_sizes: Sequence[int] = (1, 32, 256),
    runtimes: Sequence[str] | None = None,
    threads: int | None = None,
    rounds: int = 10,
    calls: int = 1000,
    seconds: float = 0.05,
    timeout: float = 120.0,
    on_progress: Callable[[str, int, int], None] | None = None,
) -> dict[str, Any]:
    """Time encode and decode of a bundle on each runtime.

    Args:
      bundle: its folder, or what `export` returned.
      batch_sizes: images in a call. Latency is read at the smallest, images/s at the others.
      runtimes: names; all by default.
      threads: that each may use; by default, every processor this process may use.
      rounds: turns that each runtime has at each batch size.
      calls: timed calls at the smallest batch size, of each signature, in all rounds together, at least.
      seconds: that a turn lasts, at least.
      timeout: seconds after which a runtime that does not answer is given up.
      on_progress: called with what is done now, how many steps are done, and of how many.

    Returns:
      JSON: `schema`; `bundle`: path, model, zoo_name, sha256 of bundle.json; `machine`: processor, processors (those
      this process may use), system, python, load (of the last minute, before the start); `settings`: batch_sizes,
      threads, rounds, calls, seconds, and what is timed, in words; `seconds`, the whole; `rows`, one a runtime:

      * `runtime`, `status`: `"ok"`, `"unavailable"` (not installed), `"no file"` (in this bundle), or `"failed"`;
      * `reason`: why, where it is not ok;
      * `version`, `format`, `settings`, `processors` (it was kept on), `open_seconds` (with import),
        `errors` (graph.output -> largest difference from golden.json);
      * `encode` and `decode`: batch size, as a string -> `calls`, `p50_us`, `p90_us`, `p99_us` (microseconds a call),
        `images_per_second` (median over rounds).

    Raises:
      UserError: an argument that does not fit, or a folder that is no bundle.
      CorruptFileError: a file of the bundle is not the one that was exported.
    """
    bundle = read_bundle(bundle)
    sizes = sorted({arrays.check_whole_number(size, "batch_sizes") for size in batch_sizes})
    if not sizes:
        raise UserError("benchmark needs at least one batch size. Given: none.")
    rounds, calls = arrays.check_whole_number(rounds, "rounds"), arrays.check_whole_number(calls, "calls")
    threads = available_processors() if threads is None else arrays.check_whole_number(threads, "threads")
    bundle.verify()
    machine, started = _machine(), time.perf_counter()
    rows = _first_rows(bundle, runtimes)
    with ExitStack() as stack:
        bench = _Bench(rows, sizes, rounds, calls, seconds, on_progress or (lambda what, done, total: None))
        bench.start(stack, bundle, threads, timeout)
        bench.run()
    return {
        "schema": SCHEMA,
        "bundle": {
            "path": str(bundle.path),
            "model": bundle.manifest["model"]["class"],
            "zoo_name": bundle.manifest["model"]["zoo_name"],
            "sha256": files.sha256(bundle.path / MANIFEST),
        },
        "machine": machine,
        "settings": {
            "batch_sizes": sizes,
            "threads": threads,
            "rounds": rounds,
            "calls": calls,
            "seconds": seconds,
            "timed": "one call, from float32 numpy arrays to all outputs in numpy; one process a runtime, in turns",
        },
        "seconds": round(time.perf_counter() - started, 1),
        "rows": rows,
    }


class _Bench:
    """The rows that are still alive, their workers, and the turns."""

    def __init__(
        self, rows: list[dict[str, Any]], sizes: list[int], rounds: int, calls: int, seconds: float, progress: Any
    ) -> None:
        self.rows = {row["runtime"]: row for row in rows}
        self.sizes, self.rounds, self.calls, self.seconds, self.progress = sizes, rounds, calls, seconds, progress
        self.workers: dict[str, WorkerProcess] = {}
        self.turns: dict[tuple[str, str, int], list[list[int]]] = {}

    def start(self, stack: ExitStack, bundle: Bundle, threads: int, timeout: float) -> None:
        for name, row in self.rows.items():
            if row["status"] == "ok":
                self.workers[name] = worker = WorkerProcess(name, threads, timeout)
                stack.callback(worker.stop)
                worker.send("open", bundle=str(bundle.path.resolve()), runtime=name, threads=threads)
        for done, name in enumerate(list(self.workers)):  # they import at the same time
            self.progress(f"starting {name}", done, len(self.workers))
            self._try(name, lambda worker, row: row.update(worker.receive()))
        for name in list(self.workers):  # and compare one after the other
            self._try(name, lambda worker, row: row.update(worker.ask("compare")))

    def run(self) -> None:
        cells = [(signature, size) for signature in SIGNATURES for size in self.sizes]
        total = self.rounds * len(cells)
        for done in range(total):
            signature, size = cells[done % len(cells)]
            for name in list(self.workers):
                self.progress(f"{signature} at batch {size}", done, total)
                self._try(name, lambda worker, row, s=signature, b=size: self._turn(worker, row, s, b))
        for (name, signature, size), turns in self.turns.items():
            if name in self.workers:
                self.rows[name].setdefault(signature, {})[str(size)] = _summary(turns, size)
        self.progress("done", total, total)

    def _turn(self, worker: WorkerProcess, row: dict[str, Any], signature: str, size: int) -> None:
        calls = -(-self.calls // self.rounds) if size == self.sizes[0] else 3
        answer = worker.ask("time", signature=signature, batch=size, calls=calls, seconds=self.seconds)
        self.turns.setdefault((row["runtime"], signature, size), []).append(answer["nanoseconds"])

    def _try(self, name: str, step: Callable[[WorkerProcess, dict[str, Any]], None]) -> None:
        try:
            step(self.workers[name], self.rows[name])
        except WorkerFailed as error:
            self.rows[name] |= {"status": "failed", "reason": str(error)}
            self.workers.pop(name).stop()


def _first_rows(bundle: Bundle, names: Sequence[str] | None) -> list[dict[str, Any]]:
    rows = []
    for name in known_runtimes.names() if names is None else dict.fromkeys(names):
        held = [each for each in known_runtimes.formats_of(name) if each in bundle.formats]
        status = known_runtimes.installed()[name]
        row: dict[str, Any] = {
            "runtime": name,
            "status": "ok",
            "version": status.version,
            "format": held[0] if held else None,
        }
        if status.reason:
            row |= {"status": "unavailable", "reason": status.reason}
        elif not held:
            wanted = known_runtimes.formats_of(name)
            reason = f"the bundle holds no {' or '.join(wanted)}; export it with --format {wanted[0]}"
            row |= {"status": "no file", "reason": reason}
        rows.append(row)
    return rows


def _summary(turns: list[list[int]], size: int) -> dict[str, Any]:
    every = np.concatenate([np.asarray(turn, "float64") for turn in turns])
    rates = [size * len(turn) / (sum(turn) / 1e9) for turn in turns]
    p50, p90, p99 = (round(float(value) / 1e3, 2) for value in np.percentile(every, (50, 90, 99)))
    return {
        "calls": len(every),
        "p50_us": p50,
        "p90_us": p90,
        "p99_us": p99,
        "images_per_second": round(float(np.median(rates)), 1),
    }


def _machine() -> dict[str, Any]:
    return {
        "processor": _processor(),
        "processors": available_processors(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()
