"""What does a deployed decoder cost beside its runtime, and how soon does it answer?

Three tables. `runtimes.open(...).decode` at batch 1 beside the runtime's own call on the same file; OpenVINO's settings
beside ONNX Runtime; and fresh processes up to the first decode. Whatever is compared takes turns in one process, 20
calls a turn, so that ratios hold on a machine that is not quiet; times do not. In turns of one call each would find the
cache full of the others' weights.

    keras-vae export NAME BUNDLE --format all
    python benchmarks/deployment.py BUNDLE [--output benchmarks/deployment]
"""

import argparse
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import openvino
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from keras_vae import files, runtimes
from keras_vae.benchmarking import machine, tables
from keras_vae.runtimes.bundle import Bundle, example_shape, read_bundle
from keras_vae.runtimes.onnx_runtime import session_options

TURNS, TURN, WARM_UP, STARTS = 100, 20, 5, 9
LATENCY = {"INFERENCE_PRECISION_HINT": "f32", "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY"}
SETTINGS: dict[str, dict[str, Any]] = {
    "as `open` sets them": LATENCY,
    "one thread": LATENCY | {"INFERENCE_NUM_THREADS": 1},
    "threads not pinned": LATENCY | {"ENABLE_CPU_PINNING": False},
    "TBB's automatic partitions": LATENCY | {"TBB_PARTITIONER": "AUTO"},
    "hint THROUGHPUT": {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "THROUGHPUT"},
    "no setting but float32": {"INFERENCE_PRECISION_HINT": "f32"},
    "no setting at all": {},
}
PEAK = "; print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"
STEPS = {
    "the interpreter": "pass",
    "and numpy": "import numpy",
    "and onnxruntime": "import numpy, onnxruntime",
    "and a session's first decode": "import numpy as np, onnxruntime; s = onnxruntime.InferenceSession({file!r}); "
    "s.run([{result!r}], {{{name!r}: np.zeros({shape}, 'float32')}})",
    "`open(...).decode`": "import numpy as np; from keras_vae import runtimes; "
    "runtimes.open({folder!r}, 'onnxruntime').decode(np.zeros({shape}, 'float32'))",
}
Calls = Mapping[str, Callable[[], Any]]


def in_turn(calls: Calls, turns: int = TURNS) -> dict[str, dict[str, float]]:
    """Median and p99 of each call in microseconds, all timed in turn."""
    durations: dict[str, list[int]] = {name: [] for name in calls}
    for _ in range(turns):
        for name, call in calls.items():
            for number in range(WARM_UP + TURN):
                started = time.perf_counter_ns()
                call()
                durations[name] += [time.perf_counter_ns() - started] if number >= WARM_UP else []
    rows = {name: (np.percentile(of_call, (50, 99)) / 1e3).round(1).tolist() for name, of_call in durations.items()}
    return {name: dict(zip(("p50_us", "p99_us"), row, strict=True)) for name, row in rows.items()}


def own_calls(bundle: Bundle, graph: str, x: np.ndarray) -> dict[str, Callable[[], Any]]:
    """The call of each runtime as its own documentation has it, from the array to the result in numpy."""
    (name,), result = bundle.graphs[graph]["inputs"], bundle.graphs[graph]["result"]
    path = {kind: str(bundle.path / entry["files"][graph]) for kind, entry in bundle.formats.items()}
    session = onnxruntime.InferenceSession(path["onnx"], session_options(len(os.sched_getaffinity(0))))
    compiled = openvino.Core().compile_model(path["openvino"], "CPU", LATENCY)
    litert = Interpreter(path["litert"], num_threads=len(os.sched_getaffinity(0)))
    signature, saved = bundle.graphs[graph]["signature"], tf.saved_model.load(path["saved_model"])
    runner, served = litert.get_signature_runner(signature), saved.signatures[signature]
    return {
        "saved_model": lambda: served(**{name: tf.constant(x)})[result].numpy(),
        "onnxruntime": lambda: session.run([result], {name: x})[0],
        "openvino": lambda: compiled({name: x})[result],
        "litert": lambda: runner(**{name: x})[result],
    }


def started(values: Mapping[str, object]) -> dict[str, dict[str, float]]:
    """Fresh processes, in turn: median milliseconds, CPU milliseconds and peak memory of each step."""
    figures: dict[str, list[tuple[float, float, float]]] = {step: [] for step in STEPS}
    for _ in range(STARTS):
        for step, code in STEPS.items():
            before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
            command = [sys.executable, "-c", code.format(**values) + PEAK]
            peak = float(subprocess.run(command, check=True, capture_output=True, text=True).stdout) / 1e3
            after, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - began
            cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            figures[step].append((wall * 1e3, cpu * 1e3, peak))
    medians = {step: np.median(taken, axis=0).round(1).tolist() for step, taken in figures.items()}
    return {step: dict(zip(("ms", "cpu_ms", "peak_mb"), row, strict=True)) for step, row in medians.items()}


def measured(bundle: Bundle) -> dict[str, Any]:
    described, graph = machine.describe(), bundle.graph_of("onnx", "decode")
    assert graph is not None
    ((name, spec),) = bundle.graphs[graph]["inputs"].items()
    x = np.random.default_rng(0).normal(size=(1, *example_shape(spec))).astype(spec["dtype"])
    calls = {}
    for runtime, own in own_calls(bundle, graph, x).items():
        opened = runtimes.open(bundle, runtime)
        calls[runtime] = in_turn({"own": own, "decode": lambda opened=opened: opened.decode(x)})
    file, core = str(bundle.path / bundle.formats["openvino"]["files"][graph]), openvino.Core()
    fixed = core.read_model(file)
    fixed.reshape([1, *x.shape[1:]])
    requests = {said: core.compile_model(file, "CPU", how).create_infer_request() for said, how in SETTINGS.items()}
    requests["a batch of 1 only"] = core.compile_model(fixed, "CPU", LATENCY).create_infer_request()
    settings: dict[str, Callable[[], Any]] = {
        said: lambda request=request: request.infer({name: x}, share_inputs=True) for said, request in requests.items()
    }
    settings["ONNX Runtime"] = own_calls(bundle, graph, x)["onnxruntime"]
    onnx = str(bundle.path / bundle.formats["onnx"]["files"][graph])
    places = {"file": onnx, "folder": str(bundle.path), "name": name, "shape": x.shape}
    return {
        "model": bundle.manifest["model"]["zoo_name"],
        "machine": described,
        "warnings": machine.warnings(described),
        "calls": calls,
        "openvino": in_turn(settings),
        "start": started(places | {"result": bundle.graphs[graph]["result"]}),
    }


def markdown(results: Mapping[str, Any]) -> str:
    """The three tables, and the conditions."""
    calls = [
        [name, *(f"{row[kind]['p50_us']:.0f}" for kind in ("own", "decode"))]
        + [f"{row['decode']['p50_us'] / row['own']['p50_us']:.2f}"]
        + [f"{row[kind]['p99_us'] / row[kind]['p50_us']:.1f}" for kind in ("own", "decode")]
        for name, row in results["calls"].items()
    ]
    base = results["openvino"]["ONNX Runtime"]["p50_us"]
    settings = [
        [said, f"{row['p50_us']:.0f}", f"{row['p50_us'] / base:.1f}"] for said, row in results["openvino"].items()
    ]
    first = results["start"]["the interpreter"]["cpu_ms"]
    starts = [
        [step, f"{row['ms']:.0f}", f"{row['cpu_ms'] - first:.0f}", f"{row['peak_mb']:.0f}"]
        for step, row in results["start"].items()
    ]
    titles = ["runtime", "own call, µs", "`decode`, µs", "ratio", "own p99/p50", "`decode` p99/p50"]
    parts = [
        tables.table(titles, calls),
        tables.table(["OpenVINO", "own call, µs", "of ONNX Runtime's"], settings),
        tables.table(["process", "ms", "CPU ms beside the interpreter", "peak memory, MB"], starts),
        f"{results['model']}, batch 1, on {results['machine']['processor']}, {results['machine']['processors']} "
        f"processors, load {results['machine']['load']} before the start. Medians of {TURNS * TURN} calls, and of "
        f"{STARTS} processes.",
        *results["warnings"],
    ]
    return "\n\n".join(parts) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path, help="exported with every format")
    parser.add_argument("--output", default=None, type=Path, help="write OUTPUT.json and OUTPUT.md")
    arguments = parser.parse_args()
    results = measured(read_bundle(arguments.bundle))
    print(markdown(results))
    if arguments.output:
        files.write_json(arguments.output.with_suffix(".json"), results)
        files.write_text(arguments.output.with_suffix(".md"), markdown(results))


if __name__ == "__main__":
    main()
