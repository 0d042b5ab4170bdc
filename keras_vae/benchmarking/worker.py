"""One runtime in a separate process: `python -m keras_vae.benchmarking.worker`, JSON lines in and out.

Requests: `{"do": "open", "bundle", "inputs", "runtime", "threads", "format_name", "mode", "batch"}`,
`{"do": "compare"}`, `{"do": "time", "signature", "batch", "calls", "seconds"}`, `{"do": "memory"}`. Each is answered by
one line, `{"ok": true, ...}` or `{"ok": false, "error"}`. The process ends with its input, so it outlives no benchmark.
"""

import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

WARM_UP_CALLS, WARM_UP_SECONDS = 3, 0.02


class Worker:
    """Answers the requests; each is a method."""

    def __init__(self) -> None:
        self.runtime: Any = None
        self.folder = ""
        self.inputs: dict[tuple[str, int], dict[str, Any]] = {}

    def open(
        self, bundle: str, inputs: str, runtime: str, threads: int, format_name: str, mode: str | None, batch: int
    ) -> dict[str, Any]:
        """Import and open the runtime, and call encode and decode once; return its settings, and seconds to open."""
        from keras_vae import runtimes

        self.folder, started = inputs, time.perf_counter()
        self.runtime = runtimes.open(bundle, runtime, threads, format_name, mode)
        seconds = time.perf_counter() - started
        for signature in ("encode", "decode"):
            graph, first, _ = self.runtime.signatures[signature]
            others = dict(self._inputs(graph, batch))
            getattr(self.runtime, signature)(others.pop(first), **others)
        return {"settings": self.runtime.settings, "open_seconds": round(seconds, 3)}

    def compare(self) -> dict[str, Any]:
        """Compare with `golden.json`; return the largest difference of each output."""
        from keras_vae.export.parity import golden_cases, measure, require, statistics

        cases, precision = golden_cases(self.runtime.bundle), self.runtime.settings["precision"]
        rows = measure(self.runtime, cases, (16,))
        require(rows, "It was not timed, because its outputs are wrong", "keras-vae check compares every runtime.")
        errors = {}
        for graph in self.runtime.graphs:  # reported for int8 too, which is limited in other statistics
            for case in cases.get(graph, ()):
                outputs = self.runtime.run(graph, case.inputs)
                for name, expected in case.outputs.items():
                    errors[f"{graph}.{name}"] = statistics(outputs[name], expected, precision)["max"]
        return {"errors": errors}

    def time(self, signature: str, batch: int, calls: int, seconds: float) -> dict[str, Any]:
        """Return the nanoseconds of single calls, at least `calls` of them and for at least `seconds`.

        A timed call is the user's, `decode(z)`, from numpy arrays made before to an array in numpy. `bare_nanoseconds`
        are of the runtime's call alone, without checks of the input, in turn with it.
        """
        name, first, result = self.runtime.signatures[signature]
        method, bare, graph = getattr(self.runtime, signature), self.runtime.call, self.runtime.graphs[name]
        inputs, clock = self._inputs(name, batch), time.perf_counter_ns
        others = dict(inputs)
        x = others.pop(first)

        def turn() -> tuple[int, int]:
            started = clock()
            method(x, **others)
            between = clock()
            bare(graph, inputs, (result,))
            return between - started, clock() - between

        started, warm = clock(), 0
        while warm < WARM_UP_CALLS or clock() - started < WARM_UP_SECONDS * 1e9:
            turn()
            warm += 1
        turns: list[tuple[int, int]] = []
        started = clock()
        while len(turns) < calls or clock() - started < seconds * 1e9:
            turns.append(turn())
        durations, bare_durations = zip(*turns, strict=True)
        return {"nanoseconds": durations, "bare_nanoseconds": bare_durations}

    def memory(self) -> dict[str, Any]:
        """Return the peak memory of this process, in MB."""
        return {"peak_memory_mb": peak_memory()}

    def _inputs(self, graph: str, batch: int) -> dict[str, Any]:
        import numpy as np

        if (graph, batch) not in self.inputs:
            first = {
                name: np.load(os.path.join(self.folder, f"{graph}.{name}.npy"))
                for name in self.runtime.bundle.graphs[graph]["inputs"]
            }
            self.inputs[graph, batch] = {
                name: np.ascontiguousarray(np.resize(array, (batch, *array.shape[1:]))) for name, array in first.items()
            }
        return self.inputs[graph, batch]


def peak_memory() -> float | None:
    """Return the largest resident set of this process in MB, or None if the system does not report it.

    Not `getrusage`: on Linux a new process begins with its parent's maximum.
    """
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    kilobytes = next((int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), None)
    return None if kilobytes is None else round(kilobytes / 1000, 1)


def pin(threads: int) -> list[int] | None:
    """Pin this process to its first `threads` processors, if the system can; return them."""
    if not hasattr(os, "sched_setaffinity"):
        return None
    processors = sorted(os.sched_getaffinity(0))[:threads]
    os.sched_setaffinity(0, processors)
    return processors


def main() -> None:
    """Answer requests from stdin until it ends."""
    # Runtimes may print: their output goes to stderr, and the answers to the original stdout.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    pinned = pin(int(os.environ.get("KERAS_VAE_WORKER_THREADS", "0")) or os.cpu_count() or 1)
    worker = Worker()
    for line in sys.stdin:
        request: Mapping[str, Any] = json.loads(line)
        arguments = {key: value for key, value in request.items() if key != "do"}
        try:
            answer = {"ok": True, "processors": pinned, **getattr(worker, request["do"])(**arguments)}
        except Exception as error:
            answer = {"ok": False, "error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers)


if __name__ == "__main__":
    main()
