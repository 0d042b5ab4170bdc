"""The benchmark: every runtime in a process of its own, compared with Keras, then timed in turns.

Runtimes that share a process slow each other down, and one run after the other meets another state of the machine: so
all are started first, and each round gives each of them, one at a time, a turn at every batch size.
"""

import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from keras_vae import arrays, files
from keras_vae import runtimes as known_runtimes
from keras_vae.errors import UserError
from keras_vae.export.bundle import MANIFEST, Bundle, read_bundle
from keras_vae.export.parity import REDUCED
from keras_vae.naming import choose
from keras_vae.runtimes.base import available_processors
from keras_vae.runtimes.workers import WorkerFailed, WorkerProcess

SCHEMA = "keras_vae.benchmark/2"
SIGNATURES = ("encode", "decode")
BATCH_SIZES = (1, 32, 256)


def benchmark(
    bundle: Bundle | str | Path,
    batch_sizes: Sequence[int] | None = None,
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
      batch_sizes: images in a call, by default 1, 32 and 256. Latency is read at the smallest, images/s at all.
      runtimes: names; all by default. A runtime with several modes has a row for each, `"keras:eager"` names one; a
        row for each precision that the bundle holds for it. OpenVINO computes in float32, `"openvino:bfloat16"` not.
      threads: that each may use; by default, every processor this process may use.
      rounds: turns that each runtime has at each batch size.
      calls: timed calls at the smallest batch size, of each signature, in all rounds together, at least.
      seconds: that a turn lasts, at least.
      timeout: seconds after which a runtime that does not answer is given up.
      on_progress: called with what is done now, how many steps are done, and of how many.

    Returns:
      JSON: `schema`; `bundle`: path, model, zoo_name, sha256 of bundle.json; `machine`: processor, processors (those
      this process may use), system, python, load (of the last minute, before the start); `settings`: batch_sizes,
      threads, rounds, calls, seconds, and what is timed, in words; `seconds`, the whole; `rows`, one a runtime, mode
      and format:

      * `runtime`, `mode`, `format`, `precision`;
      * `status`: `"ok"`, `"unavailable"` (not installed), `"no file"` (in this bundle), or `"failed"`; `reason`: why;
      * `version`, `settings`, `processors` (it was kept on), `file_bytes`, `open_seconds` (with import),
        `cold_start_seconds` (with the first decoded batch too), `peak_memory_mb` (of the process);
      * `errors` (graph.output -> largest difference from golden.json); `quality` (of a reduced precision: the change
        of test ELBO and of reconstruction error);
      * `encode` and `decode`: batch size, as a string -> `calls`, `p50_us`, `p90_us`, `p99_us` (microseconds a call),
        `images_per_second` (median over rounds);
      * `scenarios`: encode and decode -> by MLPerf's names: `single_stream`, `batch` (the smallest) and the
        percentiles of a call; `offline`: `images_per_second` at the best `batch`.

    Raises:
      UserError: an argument that does not fit, or a folder that is no bundle.
      CorruptFileError: a file of the bundle is not the one that was exported.
    """
    bundle = read_bundle(bundle)
    sizes = _sizes(bundle, batch_sizes)
    rounds, calls = arrays.check_whole_number(rounds, "rounds"), arrays.check_whole_number(calls, "calls")
    threads = available_processors() if threads is None else arrays.check_whole_number(threads, "threads")
    bundle.verify()
    machine, started = _machine(), time.perf_counter()
    rows = _first_rows(bundle, runtimes)
    with ExitStack() as stack:
        bench = _Bench(rows, sizes, rounds, calls, seconds, on_progress or (lambda what, done, total: None))
        bench.start(stack, bundle, threads, timeout)
        bench.run()
    for row in rows:
        if row["status"] == "ok":
            row["scenarios"] = {signature: _scenarios(row[signature]) for signature in SIGNATURES}
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
        self.rows = {label(row): row for row in rows}
        self.sizes, self.rounds, self.calls, self.seconds, self.progress = sizes, rounds, calls, seconds, progress
        self.workers: dict[str, WorkerProcess] = {}
        self.turns: dict[tuple[str, str, int], list[list[int]]] = {}

    def start(self, stack: ExitStack, bundle: Bundle, threads: int, timeout: float) -> None:
        for name, row in self.rows.items():
            if row["status"] == "ok":
                self.workers[name] = worker = WorkerProcess(name, threads, timeout)
                stack.callback(worker.stop)
                chosen = {"runtime": row["runtime"], "format_name": row["format"], "mode": row["mode"]}
                worker.send("open", bundle=str(bundle.path.resolve()), threads=threads, batch=self.sizes[0], **chosen)
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
        for name in list(self.workers):
            self._try(name, lambda worker, row: row.update(worker.ask("memory")))
        self.progress("done", total, total)

    def _turn(self, worker: WorkerProcess, row: dict[str, Any], signature: str, size: int) -> None:
        calls = -(-self.calls // self.rounds) if size == self.sizes[0] else 3
        answer = worker.ask("time", signature=signature, batch=size, calls=calls, seconds=self.seconds)
        self.turns.setdefault((label(row), signature, size), []).append(answer["nanoseconds"])

    def _try(self, name: str, step: Callable[[WorkerProcess, dict[str, Any]], None]) -> None:
        try:
            step(self.workers[name], self.rows[name])
        except WorkerFailed as error:
            self.rows[name] |= {"status": "failed", "reason": str(error)}
            self.workers.pop(name).stop()


def label(row: Mapping[str, Any]) -> str:
    """What a row is called: the runtime, its mode, and its precision if that is not float32."""
    precision = row.get("precision", "float32")
    further = [row.get("mode"), None if precision in ("float32", row.get("mode")) else precision]
    return f"{row['runtime']} ({', '.join(filter(None, further))})" if any(further) else row["runtime"]


def _sizes(bundle: Bundle, batch_sizes: Sequence[int] | None) -> list[int]:
    given = batch_sizes if batch_sizes is not None else (bundle.batch,) if bundle.batch else BATCH_SIZES
    sizes = sorted({arrays.check_whole_number(size, "batch_sizes") for size in given})
    if not sizes:
        raise UserError("benchmark needs at least one batch size. Given: none.")
    if bundle.batch and sizes != [bundle.batch]:
        raise UserError(
            f"{bundle.path} takes batches of {bundle.batch} only. Given: {', '.join(map(str, sizes))}. Leave the batch "
            f"sizes out, or export it without a batch."
        )
    return sizes


def _first_rows(bundle: Bundle, names: Sequence[str] | None) -> list[dict[str, Any]]:
    rows: dict[str, dict[str, Any]] = {}
    for given in known_runtimes.names() if names is None else names:
        name, _, mode = given.partition(":")
        known, status = choose("runtime", name, known_runtimes.KNOWN), known_runtimes.installed()[name]
        if mode and mode not in known.modes:
            modes = ", ".join(f"{name}:{each}" for each in known.modes if each) or "none"
            raise UserError(f"The runtime {name!r} has the modes: {modes}. Given: {given!r}.")
        row: dict[str, Any] = {"runtime": name, "mode": None, "status": "ok", "version": status.version}
        formats = known_runtimes.held(bundle, name)
        if status.reason:
            found = [row | {"format": None, "status": "unavailable", "reason": status.reason}]
        elif not formats:
            wanted = known.formats[0]
            reason = f"the bundle holds no {' or '.join(known.formats)}; export it with --format {wanted}"
            found = [row | {"format": None, "status": "no file", "reason": reason}]
        else:
            modes = [mode] if mode else [each for each in known.modes if each not in known.on_request]
            found = [row | {"mode": each} | _file(bundle, held, each) for each in modes for held in formats]
        rows |= {label(each): each for each in found}
    return list(rows.values())


def _file(bundle: Bundle, format_name: str, mode: str | None) -> dict[str, Any]:
    """What a row says of the files that it opens."""
    entry = bundle.formats[format_name]
    return {
        "format": format_name,
        "precision": mode if mode in REDUCED else bundle.precision_of(format_name),
        "file_bytes": bundle.size_of(format_name),
        "quality": entry.get("quality"),
    }


def _scenarios(sizes: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """MLPerf's single_stream and offline, of one signature's figures by batch size."""
    smallest, best = min(sizes, key=int), max(sizes, key=lambda size: sizes[size]["images_per_second"])
    percentiles = {name: sizes[smallest][name] for name in ("p50_us", "p90_us", "p99_us")}
    return {
        "single_stream": {"batch": int(smallest), **percentiles},
        "offline": {"batch": int(best), "images_per_second": sizes[best]["images_per_second"]},
    }


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
