"""How long does the 5,000-sample log-likelihood of MNIST's 10,000 test digits take, and what do others take for it?

For a 784-200-200-50 VAE, the model of Burda et al. 2016, its weights untrained: speed does not depend on them. All
digits are timed once, after one block that compiles. Then contenders, each a file of benchmarks/contenders in a process
of its own, take turns on the first of these digits: this library, PyTorch by hand, pythae, and the matrix products of
the decoder alone.

    python benchmarks/likelihood.py [--rounds 5] [--peers PYTHON] [--output benchmarks/likelihood.json]

PyTorch and pythae are the extra `peers`; they may be in another environment, whose interpreter is `--peers`. A machine
with other work is refused without `--busy`. TensorFlow takes all cores, or `TF_NUM_INTRAOP_THREADS` of them.
"""

import argparse
import os
import statistics
import sys
import time
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from contenders.keras_vae_likelihood import model_of
from training import in_turns, workers

from keras_vae import data
from keras_vae.benchmarking import machine
from keras_vae.checks import BLOCK
from keras_vae.files import write_json
from keras_vae.zoo import pauses

OURS, PRODUCTS = "keras_vae_likelihood", "decoder_products"
TITLES = {
    OURS: "keras_vae, `log_prob`",
    "torch_likelihood": "PyTorch by hand",
    "pythae_likelihood": "pythae, `get_nll`",
    PRODUCTS: "matrix products of the decoder alone",
}
CASE: dict[str, Any] = {"hidden": [200, 200], "latent_dim": 50, "samples": 5000, "examples": BLOCK}


def whole() -> dict[str, float]:
    """Seconds of all test digits, and of the first block, which compiles."""
    model, x = model_of(CASE), data.load_arrays("mnist", "test", "static")
    start = time.perf_counter()
    model.log_prob(x[:1], samples=CASE["samples"])
    first = time.perf_counter() - start
    start = time.perf_counter()
    model.log_prob(x, samples=CASE["samples"])
    return {
        "digits": len(x),
        "seconds": time.perf_counter() - start,
        "seconds_of_the_first_block_with_compilation": first,
    }


def turns(rounds: int, peers: str) -> dict[str, Any]:
    """Codes a second of each contender, of wall time in each round and of CPU time."""
    codes, load = CASE["examples"] * CASE["samples"], []
    rows: dict[str, Any] = {}
    with workers(sys.executable, peers, CASE, tuple(TITLES)) as contenders:
        times = in_turns(contenders, rounds, 1, load)
        for name, worker in contenders.items():
            rows[name] = {
                "rounds": [codes / answer["seconds"] for answer in times[name]],
                "codes_per_cpu_second": statistics.median(codes / answer["cpu_seconds"] for answer in times[name]),
                **worker.first,
            }
    for row in rows.values():  # of the same round: what slowed the machine slowed both
        row["codes_per_second"] = statistics.median(row["rounds"])
        row["ours_over_this"], row["share_of_products"] = (
            statistics.median(a / b for a, b in zip(*pair, strict=True))
            for pair in ((rows[OURS]["rounds"], row["rounds"]), (row["rounds"], rows[PRODUCTS]["rounds"]))
        )
    return {"rows": rows, "load_average": load}


def markdown(result: dict[str, Any]) -> str:
    """The result as a table, for the documentation."""
    facts, network = result["machine"], f"784-{'-'.join(map(str, CASE['hidden']))}-{CASE['latent_dim']}"
    lines = [
        "| | codes/s | from–to | a CPU second | share of the products | ours over this |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, row in result["rows"].items():
        lines.append(
            f"| {TITLES[name]} | {row['codes_per_second']:,.0f} | {min(row['rounds']):,.0f}–{max(row['rounds']):,.0f} "
            f"| {row['codes_per_cpu_second']:,.0f} | {row['share_of_products']:.0%} | {row['ours_over_this']:.2f} |"
        )
    versions = {key: value for row in result["rows"].values() for key, value in row["versions"].items()}
    lines += [
        "",
        f"log p(x) by {CASE['samples']:,} importance samples each, of a {network} model; a code is one sample of one "
        f"digit. MNIST's {result['digits']:,} test digits take {result['seconds'] / 60:.1f} minutes. The rows are of "
        f"{CASE['examples']} of them, medians of {result['rounds']} rounds in turns, on {facts['processor']}, "
        f"{facts['processors']} processors, load {facts['load']} before the start; "
        f"{', '.join(f'{package} {number}' for package, number in versions.items())}.",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peers", default=sys.executable, help="the interpreter of the extra `peers`")
    parser.add_argument("--busy", action="store_true", help="measure although the machine has other work")
    parser.add_argument("--output", default=None, help="write the result here, as JSON")
    arguments = parser.parse_args()
    with pauses.paused():
        facts = machine.describe()
        warnings = machine.warnings(facts)
        if warnings and not arguments.busy:
            sys.exit("\n".join([*warnings, "Wait, or say --busy."]))
        result: dict[str, Any] = {"machine": facts, "warnings": warnings, "rounds": arguments.rounds, **whole()}
        result |= turns(arguments.rounds, arguments.peers)
    print(markdown(result))
    if arguments.output:
        write_json(arguments.output, result)


if __name__ == "__main__":
    main()
