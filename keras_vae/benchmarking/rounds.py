"""The benchmark: every runtime in a separate process, compared with Keras, then timed in turns.

Runtimes that share a process slow each other down, and the state of the machine drifts between consecutive runs.
Therefore each is first opened alone, while no other computes, in several fresh processes; then each round times every
row of every bundle, one at a time, at every batch size.
"""

import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from keras_vae import checks, files, progress
from keras_vae.benchmarking.machine import describe, warnings
from keras_vae.benchmarking.results import SCHEMA, SIGNATURES, Results
from keras_vae.benchmarking.rows import first_rows, label, scenarios, sizes_for, summary
from keras_vae.benchmarking.workers import WorkerFailed, WorkerProcess
from keras_vae.runtimes.base import checked_threads
from keras_vae.runtimes.bundle import MANIFEST, Bundle, read_bundle

Progress = Callable[[str, int, int], None]


def benchmark(bundle: Bundle | str | Path, *arguments: Any, **options: Any) -> Results:
    """Time encode and decode of a bundle on each runtime: `benchmark_all` of one bundle, with its arguments."""
    return benchmark_all([bundle], *arguments, **options)[0]


@progress.listening("")
def benchmark_all(
    bundles: Sequence[Bundle | str | Path],
    batch_sizes: Sequence[int] | None = None,
    runtimes: Sequence[str] | None = None,
    threads: int | None = None,
    rounds: int = 10,
    calls: int = 1000,
    seconds: float = 0.05,
    timeout: float = 120.0,
    on_progress: Progress | None = None,
    cold_starts: int = 3,
) -> list[Results]:
    """Time encode and decode of bundles on each runtime, all in the same rounds.

    Args:
      bundles: folders, or results of `export`.
      batch_sizes: images in a call, by default 1, 32 and 256. Latency is read at the smallest, images/s at all.
      runtimes: names; all by default. A runtime with several modes has a row for each, `"keras:eager"` names one; a
        row for each precision that the bundle holds for it. OpenVINO computes in float32, `"openvino:bfloat16"` in
        bfloat16.
      threads: the number for each runtime; by default, every processor this process may use.
      rounds: turns of each runtime at each batch size.
      calls: the least number of timed calls at the smallest batch size, of each signature, in all rounds together.
      seconds: the least duration of a turn.
      timeout: seconds to wait for a runtime's answer.
      on_progress: called with the current step in words, the number of steps done, and their total; by default a
        notebook's cell shows them.
      cold_starts: fresh processes that each row is opened in, one after the other. Outputs are compared in the first,
        and calls timed in the last: with a single one, the peak memory includes the comparison.

    Returns:
      For each bundle, JSON: `schema`; `bundle`: path, model, zoo_name, sha256 of bundle.json; `machine`, see
      `machine.describe`; `warnings`, sentences; `settings`: batch_sizes, threads, rounds, calls, seconds, cold_starts,
      and `timed`, a description of a timed call; `seconds`, of all bundles; `rows`, one a runtime, mode and format:

      * `runtime`, `mode`, `format`, `precision`;
      * `status`: `"ok"`, `"unavailable"` (not installed), `"no file"` (in this bundle), or `"failed"`; `reason`: why;
      * `version`, `settings` (as the runtime reports them, if it does), `processors` (its affinity),
        `file_bytes`, `open_seconds` (with import), `cold_start_seconds` (from the start of its process to the first
        answers of encode and decode, the best of `cold_starts`), `peak_memory_mb` (of the process);
      * `errors` (graph.output -> largest difference from golden.json); `quality` (of a reduced precision: the change
        of test ELBO and of reconstruction error);
      * `encode` and `decode`: batch size, as a string -> `calls`, `p50_us`, `p90_us`, `p99_us` (microseconds a call),
        `bare_p50_us` (of the runtime's call alone, in turn with it), `images_per_second` (median over rounds);
      * `scenarios`: encode and decode -> by MLPerf's names: `single_stream`, `batch` (the smallest), `calls` and the
        percentiles of a call; `offline`: `images_per_second` at the best `batch`.

    Raises:
      UserError: an argument that does not fit, or a folder that is no bundle.
      CorruptFileError: a file of a bundle is not the one that was exported.
    """
    opened = [read_bundle(bundle) for bundle in bundles]
    sizes = [sizes_for(bundle, batch_sizes) for bundle in opened]
    rounds, calls = checks.check_whole_number(rounds, "rounds"), checks.check_whole_number(calls, "calls")
    cold_starts = checks.check_whole_number(cold_starts, "cold_starts")
    threads = checked_threads(threads)
    rows = [first_rows(bundle, runtimes) for bundle in opened]
    for bundle in opened:
        bundle.verify()
    machine, started = describe(), time.perf_counter()
    with ExitStack() as stack:
        entries = []
        for bundle, of_bundle, batches in zip(opened, rows, sizes, strict=True):
            inputs = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            _write_inputs(bundle, inputs)
            entries += [_Entry(bundle, row, batches, inputs, threads, timeout) for row in of_bundle]
        for entry in entries:
            stack.callback(entry.stop)
        bench = _Bench(entries, rounds, calls, seconds, on_progress or _say)
        bench.start(cold_starts)
        bench.run()
    for row in (row for of_bundle in rows for row in of_bundle if row["status"] == "ok"):
        row["scenarios"] = {signature: scenarios(row[signature]) for signature in SIGNATURES}
    settings = {"threads": threads, "rounds": rounds, "calls": calls, "seconds": seconds, "cold_starts": cold_starts}
    settings["timed"] = "one call of encode or decode, from a float32 numpy array to another, checks included"
    return [
        Results(
            schema=SCHEMA,
            bundle={
                "path": str(bundle.path),
                "model": bundle.manifest["model"]["class"],
                "zoo_name": bundle.manifest["model"]["zoo_name"],
                "sha256": files.sha256(bundle.path / MANIFEST),
            },
            machine=machine,
            warnings=warnings(machine),
            settings={"batch_sizes": batches, **settings},
            seconds=round(time.perf_counter() - started, 1),
            rows=of_bundle,
        )
        for bundle, of_bundle, batches in zip(opened, rows, sizes, strict=True)
    ]


class _Entry:
    """A row, and the process that is timed for it."""

    def __init__(
        self,
        bundle: Bundle,
        row: dict[str, Any],
        sizes: list[int],
        inputs: Path,
        threads: int,
        timeout: float,
    ) -> None:
        self.bundle, self.row, self.sizes, self.inputs = bundle, row, sizes, inputs
        self.threads, self.timeout = threads, timeout
        self.worker: WorkerProcess | None = None
        self.turns: dict[tuple[str, int], list[dict[str, list[int]]]] = {}

    @property
    def alive(self) -> bool:
        return self.row["status"] == "ok"

    def open(self) -> None:
        """Open the runtime in a new process; record the best cold start so far, and the settings it reports."""
        self.stop()
        began = time.perf_counter()
        self.worker = WorkerProcess(self.threads, self.timeout)
        answer = self.worker.ask(
            "open",
            bundle=str(self.bundle.path.resolve()),
            inputs=str(self.inputs),
            threads=self.threads,
            batch=self.sizes[0],
            runtime=self.row["runtime"],
            format_name=self.row["format"],
            mode=self.row["mode"],
        )
        best = min(time.perf_counter() - began, self.row.get("cold_start_seconds", float("inf")))
        self.row |= answer | {"cold_start_seconds": round(best, 3)}
        if answer["settings"]["precision"] != self.row["precision"]:
            raise WorkerFailed(f"asked for {self.row['precision']}, it computes in {answer['settings']['precision']}")

    def stop(self) -> None:
        """End the process, if there is one."""
        if self.worker is not None:
            self.worker.stop()

    def ask(self, do: str, **arguments: object) -> dict[str, Any]:
        assert self.worker is not None
        return self.worker.ask(do, **arguments)

    def record(self, do: str) -> None:
        """Add a worker's answer to the row."""
        self.row |= self.ask(do)

    def attempt(self, step: Callable[[], None]) -> None:
        """Run a step; if the worker fails, stop it and record the reason in the row."""
        try:
            step()
        except WorkerFailed as error:
            self.row |= {"status": "failed", "reason": str(error)}
            self.stop()


def _say(what: str, done: int, total: int) -> None:
    progress.say(f"{what}, {done} of {total}")


class _Bench:
    """The rows of all bundles, and their turns."""

    def __init__(self, entries: list[_Entry], rounds: int, calls: int, seconds: float, progress: Progress) -> None:
        self.entries, self.rounds, self.calls, self.seconds, self.progress = entries, rounds, calls, seconds, progress

    def start(self, cold_starts: int) -> None:
        for done, entry in enumerate(self.entries):
            for start in range(cold_starts):
                if entry.alive:
                    self.progress(f"starting {label(entry.row)}", done, len(self.entries))
                    entry.attempt(entry.open)
                if entry.alive and start == 0:
                    entry.attempt(partial(entry.record, "compare"))

    def run(self) -> None:
        most = max((len(entry.sizes) for entry in self.entries), default=0)
        cells = [(signature, index) for signature in SIGNATURES for index in range(most)]
        total = self.rounds * len(cells)
        for done in range(total):
            signature, index = cells[done % len(cells)]
            for entry in self.entries:
                if entry.alive and index < len(entry.sizes):
                    self.progress(f"{signature} with {label(entry.row)}", done, total)
                    entry.attempt(partial(self._turn, entry, signature, entry.sizes[index]))
        for entry in self.entries:
            if entry.alive:
                entry.attempt(partial(entry.record, "memory"))
            for (signature, size), turns in entry.turns.items() if entry.alive else ():
                calls, bare = ([turn[kind] for turn in turns] for kind in ("nanoseconds", "bare_nanoseconds"))
                entry.row.setdefault(signature, {})[str(size)] = summary(calls, bare, size)
        self.progress("done", total, total)

    def _turn(self, entry: _Entry, signature: str, size: int) -> None:
        calls = -(-self.calls // self.rounds) if size == entry.sizes[0] else 3
        answer = entry.ask("time", signature=signature, batch=size, calls=calls, seconds=self.seconds)
        entry.turns.setdefault((signature, size), []).append(answer)


def _write_inputs(bundle: Bundle, folder: Path) -> None:
    """Write golden.json's inputs as .npy, so that reading them adds little to a runtime's time and memory."""
    for graph, parts in bundle.golden().items():
        for name, array in parts["inputs"].items():
            np.save(folder / f"{graph}.{name}.npy", array)
