"""How fast does this library train, against other ways to train the same model?

Each contender is a file of benchmarks/contenders and runs in a process of its own. They take turns on the same
once-binarised MNIST digits, one at a time, in an order that rotates from round to round, so that whatever else the
machine does hits all. The first epoch, with its compilation, is not counted. The products are those of the step's
matrices alone, as TensorFlow computes them.

    python benchmarks/training.py [--cases mlp iwae] [--rounds 5] [--output benchmarks/training.json]

PyTorch, JAX and pythae are the extra `peers`; they may be in another environment, whose interpreter is `--peers`. The
training queue is paused meanwhile. A machine with other work is refused without `--busy`, and the result says how busy
it was.
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from keras_vae import data
from keras_vae.benchmarking import machine
from keras_vae.files import write_json
from keras_vae.zoo import pauses

OURS, PRODUCTS = "keras_vae_fit", "products"
PEERS = (  # of the extra `peers`
    *("torch_loop", "jax_loop", "pythae_trainer", "torch_likelihood", "pythae_likelihood"),
    *("torch_decoder", "torchscript_decoder", "jax_decoder", "pythae_decoder"),
)
TITLES = {
    OURS: "keras_vae, `fit`",
    "plain_keras": "Keras, as its tutorial",
    "bare_tensorflow": "TensorFlow by hand",
    "keras_vae_step": "keras_vae's step in that loop",
    "torch_loop": "PyTorch by hand",
    "jax_loop": "JAX by hand",
    "pythae_trainer": "pythae",
    PRODUCTS: "matrix products alone",
}
_CONV = {"network": "conv", "filters": [32, 64], "dense": 256, "samples": 1, "batch_size": 128, "examples": 12800}
_MLP = {"network": "mlp", "batch_size": 128}
CASES: dict[str, tuple[str, dict[str, Any], tuple[str, ...]]] = {
    "mlp": (
        "VAE, dense 784-400-400-20",
        {**_MLP, "hidden": [400, 400], "latent_dim": 20, "samples": 1, "examples": 60000},
        tuple(TITLES),
    ),
    "iwae": (
        "IWAE, K = 50, dense 784-200-200-50",
        {**_MLP, "hidden": [200, 200], "latent_dim": 50, "samples": 50, "examples": 12800},
        (OURS, "bare_tensorflow", "keras_vae_step", "torch_loop", "jax_loop", PRODUCTS),
    ),
    "conv": ("VAE, convolutions 32-64", {**_CONV, "latent_dim": 20}, (OURS, "torch_loop")),
    "vq": ("VQ-VAE, convolutions 32-64, 49 codes", {**_CONV, "latent_dim": 16, "entries": 128}, (OURS, "torch_loop")),
}


class Worker:
    """The process of one contender: `first` is what it said when its first epoch was over."""

    def __init__(self, python: str, name: str, case: dict[str, Any], path: str) -> None:
        program = Path(__file__).parent / "contenders" / "worker.py"
        command, self.name = [python, str(program), name, json.dumps(case), path], name
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.first = self._answer()

    def ask(self, what: str, count: int = 0) -> dict[str, Any]:
        """Return the answer to one line."""
        assert self.process.stdin is not None
        print(what, count, file=self.process.stdin, flush=True)
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        return json.loads(line) if line else sys.exit(f"{self.name} ended with {self.process.wait()}; see above.")


@contextlib.contextmanager
def workers(python: str, peers: str, case: dict[str, Any], names: tuple[str, ...]) -> Iterator[dict[str, Worker]]:
    """The processes of the contenders of one case, each past its first epoch, with the data in a file."""
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "digits.npz")
        digits: dict[str, Any] = {
            name: data.load_arrays("mnist", split, "static").astype("uint8") for name, split in SPLITS.items()
        }
        np.savez(path, **digits)
        started = {name: Worker(peers if name in PEERS else python, name, case, path) for name in names}
        try:
            yield started
        finally:
            for worker in started.values():
                worker.process.kill()


SPLITS = {"train": "train+validation", "test": "test"}


def in_turns(
    contenders: Mapping[str, Worker], rounds: int, epochs: int, load: list[float]
) -> dict[str, list[dict[str, float]]]:
    """The answers of each contender, one a round, in an order that rotates; the load before each goes into `load`."""
    names = tuple(contenders)
    times: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for index in range(rounds):
        load.append(os.getloadavg()[0])
        place = index % len(names)
        for contender in (*names[place:], *names[:place]):
            times[contender].append(contenders[contender].ask("epochs", epochs))
    return times


def measure(name: str, rounds: int, epochs: int, peers: str) -> dict[str, Any]:
    """Rows of one case: images a second of wall time and of CPU time in each round, and the test bound."""
    title, case, names = CASES[name]
    steps = case["examples"] // case["batch_size"]
    images, load = epochs * steps * case["batch_size"], []
    rows: dict[str, Any] = {}
    with workers(sys.executable, peers, case, names) as contenders:
        times = in_turns(contenders, rounds, epochs, load)
        for contender, worker in contenders.items():
            rates = [images / answer["seconds"] for answer in times[contender]]
            by_cpu = [images / answer["cpu_seconds"] for answer in times[contender]]
            rows[contender] = {
                "images_per_second": statistics.median(rates),
                "rounds": rates,
                "images_per_cpu_second": statistics.median(by_cpu),
                "test_bound": worker.ask("bound")["bound"],
                **worker.first,
            }
    for row in rows.values():  # of the same round: what slowed the machine slowed both
        row["ours_over_this"] = statistics.median(
            ours / theirs for ours, theirs in zip(rows[OURS]["rounds"], row["rounds"], strict=True)
        )
        if PRODUCTS in rows:
            row["share_of_products"] = statistics.median(
                rate / products for rate, products in zip(row["rounds"], rows[PRODUCTS]["rounds"], strict=True)
            )
    return {"title": title, "case": case, "epochs": 1 + rounds * epochs, "rows": rows, "load_average": load}


def markdown(result: dict[str, Any]) -> str:
    """The results as tables, one for each case."""
    lines = []
    for measured in result["cases"].values():
        measure = r"log p(x\|z)" if "entries" in measured["case"] else "bound"
        lines += [
            f"**{measured['title']}**, batch {measured['case']['batch_size']}, {measured['epochs']} epochs of "
            f"{measured['case']['examples']:,} digits each:",
            "",
            f"| | images/s | from–to | a CPU second | share of the products | ours over this | test {measure}, nats |",
            "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
        ]
        for name, row in measured["rows"].items():
            share, bound = row.get("share_of_products"), row["test_bound"]
            cells = (
                TITLES[name],
                f"{row['images_per_second']:,.0f}",
                f"{min(row['rounds']):,.0f}–{max(row['rounds']):,.0f}",
                f"{row['images_per_cpu_second']:,.0f}",
                "" if share is None else f"{share:.0%}",
                f"{row['ours_over_this']:.2f}",
                "" if bound is None else f"{bound:.2f}",
            )
            lines.append(f"| {' | '.join(cells)} |")
        lines.append("")
    facts = result["machine"]
    versions = {
        package: number
        for measured in result["cases"].values()
        for row in measured["rows"].values()
        for package, number in row["versions"].items()
    }
    lines.append(
        f"Medians of {result['rounds']} rounds in turns, on {facts['processor']}, {facts['processors']} "
        f"processors, load {facts['load']} before the start; "
        f"{', '.join(f'{package} {number}' for package, number in versions.items())}."
    )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", choices=tuple(CASES), default=tuple(CASES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=1, help="in each round")
    parser.add_argument("--peers", default=sys.executable, help="the interpreter of the extra `peers`")
    parser.add_argument("--busy", action="store_true", help="measure although the machine has other work")
    parser.add_argument("--output", default=None, help="write the result here, as JSON")
    arguments = parser.parse_args()
    with pauses.paused():
        facts = machine.describe()
        warnings = machine.warnings(facts)
        if warnings and not arguments.busy:
            sys.exit("\n".join([*warnings, "Wait, or say --busy."]))
        result: dict[str, Any] = {
            "machine": facts,
            "warnings": warnings,
            "rounds": arguments.rounds,
            "cases": {
                name: measure(name, arguments.rounds, arguments.epochs, arguments.peers) for name in arguments.cases
            },
        }
    print(markdown(result))
    if arguments.output:
        write_json(arguments.output, result)


if __name__ == "__main__":
    main()
