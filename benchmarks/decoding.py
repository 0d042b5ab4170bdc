"""How long does a decoder take, deployed from this library, and written in PyTorch, JAX or numpy by hand?

The dense decoder of a bundle, 20-400-400-784 of `beta_vae_mnist`, from codes in numpy to mean images in numpy: one code
a call, and 256. Each contender is a file of benchmarks/contenders and runs in a process of its own, with the threads
that it takes by default; they take turns, in an order that rotates. Peers have networks of the same sizes with
untrained weights: speed does not depend on them.

    keras-vae export beta_vae_mnist BUNDLE --format onnx --format litert
    python benchmarks/decoding.py BUNDLE [--rounds 5] [--peers PYTHON] [--output benchmarks/decoding.json]

PyTorch, JAX and pythae are the extra `peers`; they may be in another environment, whose interpreter is `--peers`. The
training queue is paused meanwhile. A machine with other work is refused without `--busy`.
"""

import argparse
import statistics
import sys
from pathlib import Path
from typing import Any

from training import in_turns, workers

from keras_vae.benchmarking import machine
from keras_vae.files import write_json
from keras_vae.runtimes.bundle import read_bundle
from keras_vae.zoo import pauses

OURS = "onnxruntime_decoder"
TITLES = {
    OURS: "keras_vae, bundle, ONNX Runtime",
    "litert_decoder": "keras_vae, bundle, LiteRT",
    "keras_vae_decoder": "keras_vae, `model.decode`",
    "torch_decoder": "PyTorch by hand, eager",
    "torchscript_decoder": "PyTorch by hand, TorchScript",
    "jax_decoder": "JAX by hand, jitted",
    "pythae_decoder": "pythae",
    "numpy_decoder": "numpy by hand",
}
CALLS = {1: 2000, 256: 100}  # in a turn, by the codes of each
NAME, NETWORK = "beta_vae_mnist", {"hidden": [400, 400], "latent_dim": 20}


def measure(case: dict[str, Any], rounds: int, peers: str) -> dict[str, Any]:
    """Microseconds of a call, by contender: each round's mean, and their median."""
    calls, load = case["calls"], []
    rows: dict[str, Any] = {}
    with workers(sys.executable, peers, case, tuple(TITLES)) as contenders:
        times = in_turns(contenders, rounds, 1, load)
        for name, worker in contenders.items():
            of_rounds = [1e6 * answer["seconds"] / calls for answer in times[name]]
            rows[name] = {"us": statistics.median(of_rounds), "rounds": of_rounds, "versions": worker.first["versions"]}
    for row in rows.values():  # of the same round: what slowed the machine slowed both
        row["this_over_ours"] = statistics.median(
            theirs / ours for theirs, ours in zip(row["rounds"], rows[OURS]["rounds"], strict=True)
        )
    return {"case": {key: value for key, value in case.items() if key != "bundle"}, "rows": rows, "load_average": load}


def markdown(result: dict[str, Any]) -> str:
    """The result as a table, for the documentation."""
    batches, facts = result["batches"], result["machine"]
    lines = [
        "| | " + " | ".join(f"{batch} a call, µs | from–to | of ONNX Runtime's" for batch in batches) + " |",
        "| --- |" + " ---: | ---: | ---: |" * len(batches),
    ]
    for name, title in TITLES.items():
        cells = [
            f"{row['us']:,.0f} | {min(row['rounds']):,.0f}–{max(row['rounds']):,.0f} | {row['this_over_ours']:.2f}"
            for row in (measured["rows"][name] for measured in batches.values())
        ]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    first = next(iter(batches.values()))
    versions = {key: value for row in first["rows"].values() for key, value in row["versions"].items()}
    sizes = "-".join(map(str, (first["case"]["latent_dim"], *reversed(first["case"]["hidden"]), 784)))
    lines += [
        "",
        f"A decoder {sizes}, from codes to mean images in numpy, as called from Python; medians of {result['rounds']} "
        f"rounds in turns, on {facts['processor']}, {facts['processors']} processors, load {facts['load']} before the "
        f"start; {', '.join(f'{package} {number}' for package, number in versions.items())}.",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peers", default=sys.executable, help="the interpreter of the extra `peers`")
    parser.add_argument("--busy", action="store_true", help="measure although the machine has other work")
    parser.add_argument("--output", default=None, help="write the result here, as JSON")
    arguments = parser.parse_args()
    if read_bundle(arguments.bundle).manifest["model"]["zoo_name"] != NAME:
        parser.error(f"The networks of the peers are those of {NAME}: give a bundle of it.")
    with pauses.paused():
        facts = machine.describe()
        warnings = machine.warnings(facts)
        if warnings and not arguments.busy:
            sys.exit("\n".join([*warnings, "Wait, or say --busy."]))
        case = {**NETWORK, "bundle": str(Path(arguments.bundle).resolve())}
        batches = {
            str(batch): measure({**case, "batch": batch, "calls": calls}, arguments.rounds, arguments.peers)
            for batch, calls in CALLS.items()
        }
    result = {"machine": facts, "warnings": warnings, "rounds": arguments.rounds, "batches": batches}
    print(markdown(result))
    if arguments.output:
        write_json(arguments.output, result)


if __name__ == "__main__":
    main()
