"""Does rewriting the ONNX files of an export pay?

Converts the graphs of the zoo, and of a network of each kind, as tf2onnx writes them and after each pass of
`keras_vae.export.formats.slimming`, and counts nodes, bytes, the nodes that ONNX Runtime keeps after its own
optimisation, and microseconds a call on ONNX Runtime and OpenVINO, one thread. Variants take turns in each round; a
figure is the median over rounds of a round's median call, and a share the median over rounds of a round's quotient.

benchmarks/slimming.json names the commit that it was measured at, which also merged reshapes and transposes: no graph
had any, or ONNX Runtime and OpenVINO were as fast without, so that those passes went; "after" is of the networks since.

    python benchmarks/slimming.py [--models GLOB] [--rounds N] [--output FILE]
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import onnxruntime
import openvino

from keras_vae import files, zoo
from keras_vae.benchmarking import machine
from keras_vae.core.graphs import graphs_of
from keras_vae.export.cases import cases_for
from keras_vae.export.formats import onnx_file, slimming
from keras_vae.export.formats.canonical import canonicalise
from keras_vae.export.formats.onnx_graph import nodes_in
from keras_vae.export.graphs import TracedGraph, trace
from keras_vae.export.work import Work
from keras_vae.models import VAE, VQVAE, SequenceVAE
from keras_vae.priors import AutoregressivePrior
from keras_vae.priors.base import FittedPrior
from keras_vae.runtimes.onnx_runtime import session_options

BATCHES = (1, 32)
SECONDS = 0.005  # of one turn, or three calls
THREADS = 1  # what else runs on the machine disturbs one thread less than all
# The passes that can be left out one by one, by the name of their function.
PASSES = {
    "constant shapes": "_constant_shape",
    "group normalisation": "group_normalisation",
    "layer normalisation": "layer_normalisation",
}
Call = Callable[[], object]


def networks() -> dict[str, tuple[VAE, FittedPrior | None]]:
    """A model with each kind of network, and a prior that is exported with it: (model, prior)."""
    made: dict[str, tuple[VAE, FittedPrior | None]] = {
        name: (VAE(image_shape=(32, 32, 1), latent_dim=16, encoder=name, decoder=name), None)
        for name in ("mlp", "conv", "residual", "growing")
    }
    # What a user may write; no network of the package has one.
    encoder = keras.Sequential(
        [layer for _ in range(2) for layer in (keras.layers.Dense(256, "relu"), keras.layers.LayerNormalization())]
    )
    encoder = keras.Sequential([keras.layers.Flatten(), encoder, keras.layers.Dense(32)])
    own = VAE(image_shape=(32, 32, 1), latent_dim=16, encoder=encoder, decoder="mlp")
    made["a user's, with layer normalisation"] = (own, None)
    gru = {"name": "gru", "units": 128}
    made["gru"] = (SequenceVAE(length=16, vocabulary_size=27, latent_dim=16, encoder=gru, decoder=gru), None)
    quantised = VQVAE(image_shape=(32, 32, 1), code_shape=(4, 4), entries=64, embedding_dim=16)
    prior = AutoregressivePrior(filters=32, blocks=3, kernel_size=5, epochs=1, batch_size=16)
    prior.fit_codes(np.random.default_rng(0).integers(0, 64, (16, 4, 4)), 64)
    made["pixelcnn prior"] = (quantised, prior)
    generator = np.random.default_rng(0)
    for model, _ in made.values():  # a scale of 1 and a shift of 0, as of an untrained normalisation, are left out
        for weight in model.trainable_variables:
            weight.assign_add(generator.normal(size=weight.shape, scale=0.02).astype("float32"))
    return made


@contextmanager
def without(function: str | None) -> Iterator[None]:
    """Leave one pass of the slimming out; None: leave none out."""
    held = getattr(slimming, function) if function else None
    if function:
        setattr(slimming, function, lambda graph, node: None)
    try:
        yield
    finally:
        if function:
            setattr(slimming, function, held)


def variants_of(traced: TracedGraph) -> dict[str, onnx.ModelProto]:
    """The graph as tf2onnx writes it, "plain"; "slim"; and where the two differ, slim without each of the passes."""
    raw: list[onnx.ModelProto] = []
    slim = onnx_file.slim
    onnx_file.slim = lambda proto: raw.append(_copy(proto))
    try:
        onnx_file.convert(traced, Work([traced], None, {}))  # pyright: ignore[reportArgumentType]
    finally:
        onnx_file.slim = slim
    variants = {"plain": _named(_copy(raw[0]), traced)}
    for name, function in {"slim": None, **{f"slim without {name}": each for name, each in PASSES.items()}}.items():
        proto = _copy(raw[0])
        with without(function):
            slim(proto)
        proto = _named(proto, traced)
        if name == "slim" or _types(proto) != _types(variants["slim"]):
            variants[name] = proto
    if _types(variants["slim"]) == _types(variants["plain"]):
        return {"plain": variants["plain"]}
    return variants


def _copy(proto: onnx.ModelProto) -> onnx.ModelProto:
    return onnx.ModelProto.FromString(proto.SerializeToString())


def _named(proto: onnx.ModelProto, traced: TracedGraph) -> onnx.ModelProto:
    canonicalise(proto, traced.name, traced.batch)
    return proto


def _types(proto: onnx.ModelProto) -> list[str]:
    return sorted(node.op_type for node in nodes_in(proto.graph.node))


def on_onnxruntime(content: bytes, inputs: Mapping[str, np.ndarray], threads: int) -> Call:
    session = onnxruntime.InferenceSession(content, session_options(threads), providers=["CPUExecutionProvider"])
    return lambda: session.run(None, dict(inputs))


def on_openvino(content: bytes, inputs: Mapping[str, np.ndarray], threads: int) -> Call:
    hints = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
    core = openvino.Core()
    request = core.compile_model(core.read_model(model=content), "CPU", hints).create_infer_request()
    return lambda: request.infer(dict(inputs), share_inputs=True)


RUNTIMES = {"onnxruntime": on_onnxruntime, "openvino": on_openvino}


def kept_nodes(content: bytes) -> int:
    """The nodes that ONNX Runtime has left after its own optimisation."""
    with tempfile.TemporaryDirectory() as folder:
        options = session_options(1)
        options.optimized_model_filepath = f"{folder}/optimised.onnx"
        options.log_severity_level = 3
        onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        return sum(1 for _ in nodes_in(onnx.load(options.optimized_model_filepath).graph.node))


def microseconds(calls: Mapping[str, Call], rounds: int) -> dict[str, tuple[float, float]]:
    """Name -> median microseconds of a call, and as a share of the first name's; the calls take turns."""
    medians: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        for _ in range(3):
            call()
    for _ in range(rounds):
        for name, call in calls.items():
            durations, started = [], time.perf_counter()
            while time.perf_counter() - started < SECONDS or len(durations) < 3:
                before = time.perf_counter_ns()
                call()
                durations.append((time.perf_counter_ns() - before) / 1e3)
            medians[name].append(statistics.median(durations))
    first = next(iter(medians.values()))
    return {
        name: (
            round(statistics.median(each), 2),
            round(statistics.median(a / b for a, b in zip(each, first, strict=True)), 3),
        )
        for name, each in medians.items()
    }


def measured(traced: TracedGraph, whole: Mapping[str, np.ndarray], rounds: int) -> dict[str, Any]:
    """Variant -> nodes, nodes that ONNX Runtime keeps, bytes, and microseconds by runtime and batch."""
    contents = {name: proto.SerializeToString() for name, proto in variants_of(traced).items()}
    rows: dict[str, Any] = {
        name: {
            "nodes": sum(1 for _ in nodes_in(onnx.ModelProto.FromString(content).graph.node)),
            "onnxruntime_nodes": kept_nodes(content),
            "bytes": len(content),
            "microseconds": {},
        }
        for name, content in contents.items()
    }
    if len(contents) == 1:
        return rows
    for runtime, opened in RUNTIMES.items():
        for batch in BATCHES:
            inputs = {name: np.resize(array, (batch, *array.shape[1:])) for name, array in whole.items()}
            calls = {name: opened(content, inputs, THREADS) for name, content in contents.items()}
            for name, figure in microseconds(calls, rounds).items():
                rows[name]["microseconds"][f"{runtime}, batch {batch}"] = figure
    return rows


def markdown(result: dict[str, Any]) -> str:
    """The graphs that an export rewrites, as a table; the sentence after it says how many it leaves as they are."""
    lines = ["| graph | nodes | KB | time on ONNX Runtime, batch 1 | on OpenVINO, batch 1 |"]
    lines.append("| --- | ---: | ---: | ---: | ---: |")
    graphs = {**result["graphs"], **result["after"]["graphs"]}
    for name, rows in graphs.items():
        if "slim" in rows:
            plain, slim = rows["plain"], rows["slim"]
            times = (slim["microseconds"][f"{runtime}, batch 1"] for runtime in ("onnxruntime", "openvino"))
            sizes = f"{plain['bytes'] / 1e3:,.0f} to {slim['bytes'] / 1e3:,.0f}"
            shares = " | ".join(f"{time[1]:.2f}" for time in times)
            lines.append(f"| {name} | {plain['nodes']} to {slim['nodes']} | {sizes} | {shares} |")
    left = sum("slim" not in rows for rows in graphs.values())
    return "\n".join([*lines, "", f"The other {left} of {len(graphs)} graphs are left as tf2onnx writes them."])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="*", help="zoo models whose names match this glob")
    parser.add_argument("--rounds", default=31, type=int, help="turns of each variant")
    parser.add_argument("--output", default="benchmarks/slimming.json", type=Path, help="the results: JSON")
    arguments = parser.parse_args()
    described = machine.describe()
    results: dict[str, Any] = {
        "machine": described,
        "warnings": machine.warnings(described),
        "versions": {each: version(each) for each in ("onnx", "tf2onnx", "onnxruntime", "openvino", "tensorflow")},
        "settings": {
            "rounds": arguments.rounds,
            "seconds": SECONDS,
            "threads": THREADS,
            "batches": list(BATCHES),
            "microseconds": "a call; and as a share of the plain file's",
        },
        "graphs": {},
    }
    built = networks()
    for name in [*zoo.names(arguments.models), *built]:
        model, prior = built[name] if name in built else (zoo.load(name), None)
        graphs = [trace(graph) for graph in graphs_of(model, prior=prior) if graph.own_file]
        cases = cases_for(graphs, model, None, prior)
        for traced in graphs:
            whole = cases[traced.name][0].inputs
            rows = measured(traced, whole, arguments.rounds)
            results["graphs"][f"{name}, {traced.name}"] = rows
            brief = {variant: [row["nodes"], row["onnxruntime_nodes"], row["bytes"]] for variant, row in rows.items()}
            print(name, traced.name, brief, {v: r["microseconds"] for v, r in rows.items()}, flush=True)
        files.write_json(arguments.output, results)


if __name__ == "__main__":
    main()
