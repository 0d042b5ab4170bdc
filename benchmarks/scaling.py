"""How does training scale with workers? 1, 2 and 3 processes of this machine; and, by a model of the cost, GPUs.

Every worker has one thread. Numbers of workers take turns in rounds, each with the whole batch of one ("strong": the
batch is shared) and with a batch for each ("weak"). What is read is the ratio of the medians of one run; three workers
on two processors cannot be three times as fast.

    python benchmarks/scaling.py [--rounds 5] [--steps 100] [--output benchmarks/scaling.json]

The model of a step on N workers is

    compute + 2 (N - 1) / N * gradient bytes / bandwidth + reductions * 2 (N - 1) * latency,

a ring that sums gradients after the backward pass, with nothing hidden behind it. Compute is 6 FLOPs for each weight
and example of a dense network. Of GPUs nothing was measured: what `CARDS` says is assumed, and so is what follows.
"""

import argparse
import contextlib
import itertools
import json
import os
import statistics
import sys
import time
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for the processes it starts, and tests.workers

from keras_vae.benchmarking import machine
from keras_vae.files import write_json
from keras_vae.zoo.results import PACKAGES
from tests import workers

SCHEMA = "keras_vae.scaling/1"
COUNTS, BATCH = (1, 2, 3), 384
REDUCTIONS = 3  # of a step: gradients, losses, and the watch over the data
HIDDEN = {"dense, 784-400-400-20": (400, 400), "dense, 784-4096-4096-4096-20": (4096, 4096, 4096)}


class Cards(NamedTuple):
    """What is assumed of GPUs: FLOP/s that a step reaches, the link in bytes a second, the latency of one hop."""

    flops: float
    bandwidth: float
    latency: float


# N -> the assumption: 8 cards of one machine on its own links, 64 in machines of a 200 Gb/s network
CARDS = {1: Cards(50e12, 1.0, 0.0), 8: Cards(50e12, 200e9, 5e-6), 64: Cards(50e12, 25e9, 10e-6)}


def weights_of(hidden: tuple[int, ...], pixels: int = 784, latent: int = 20) -> int:
    """The number of weights of a dense VAE."""
    sizes = [[pixels, *hidden, 2 * latent], [latent, *reversed(hidden), pixels]]
    return sum((first + 1) * second for path in sizes for first, second in itertools.pairwise(path))


def step_seconds(weights: int, batch: float, count: int, cards: Cards) -> float:
    """The seconds of a step on `count` workers, each with `batch` examples."""
    compute = 6 * weights * batch / cards.flops
    return compute + 2 * (count - 1) * (4 * weights / cards.bandwidth / count + REDUCTIONS * cards.latency)


def predicted() -> list[dict[str, Any]]:
    """Speedup over one card, by model, cards and examples on each: more examples hide what is sent."""
    rows = []
    for name, hidden in HIDDEN.items():
        weights = weights_of(hidden)
        for count in sorted(CARDS)[1:]:
            for batch in (128, 1024, 8192):
                one = step_seconds(weights, batch, 1, CARDS[1])
                speedup = count * one / step_seconds(weights, batch, count, CARDS[count])
                rows.append({"model": name, "weights": weights, "cards": count, "batch": batch, "speedup": speedup})
    return rows


def work(batch: int, steps: int) -> None:
    """Print the seconds of a step with batches of `batch` for all workers, as one of them."""
    import keras
    import numpy as np

    from keras_vae import data, models
    from keras_vae.backend import workers as ours

    strategy = ours.join()
    with contextlib.nullcontext() if strategy is None else strategy.scope():
        network = {"name": "mlp", "hidden": HIDDEN["dense, 784-400-400-20"]}
        model = models.VAE(latent_dim=20, encoder=network, decoder=network)
        model.compile(keras.optimizers.Adam(), jit_compile=False, steps_per_execution=10)
    x = (np.random.default_rng(0).random((batch * 10, 28, 28, 1)) < 0.15).astype("float32")
    batches = data.batches(x, batch_size=batch, training=True)
    model.fit(batches, epochs=1, verbose=0)
    start = time.perf_counter()
    model.fit(batches, epochs=max(1, steps // 10), verbose=0)
    print(json.dumps((time.perf_counter() - start) / (10 * max(1, steps // 10))))


def seconds(count: int, batch: int, steps: int) -> float:
    """The seconds of a step of `count` workers, in new processes."""
    with workers.started([__file__, "--work", str(batch), "--steps", str(steps)], count) as processes:
        outputs = [process.communicate(timeout=900) for process in processes]
    if any(process.returncode for process in processes):
        raise RuntimeError(outputs[0][1][-3000:])
    return max(float(output) for output, _ in outputs)


def markdown(result: Mapping[str, Any]) -> str:
    """The measured ratios, and the predicted ones."""
    lines = [
        "| workers on this machine | batch of all | ms a step | examples a second, of one worker's |",
        "| ---: | ---: | ---: | ---: |",
    ]
    for row in result["measured"]:
        lines.append(f"| {row['workers']} | {row['batch']} | {1e3 * row['seconds']:.1f} | {row['speedup']:.2f} |")
    lines += [
        "",
        f"Medians of {result['rounds']} rounds, one thread a worker; {result['machine']['processor']}, "
        f"{result['machine']['processors']} processors.",
        "",
        "| predicted, not measured | weights, million | cards | batch of each | speedup over one | efficiency |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in result["predicted"]:
        lines.append(
            f"| {row['model']} | {row['weights'] / 1e6:.1f} | {row['cards']} | {row['batch']} | {row['speedup']:.1f} | "
            f"{row['speedup'] / row['cards']:.2f} |"
        )
    assumed = "; ".join(
        f"{count}: {cards.flops / 1e12:g} TFLOP/s each, {cards.bandwidth / 1e9:g} GB/s, {cards.latency * 1e6:g} µs"
        for count, cards in CARDS.items()
        if count > 1
    )
    return "\n".join([*lines, "", f"Assumed of {assumed} a hop."])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--work", type=int, metavar="BATCH", help=argparse.SUPPRESS)
    parser.add_argument("--output", type=Path, help="write the result here, as JSON")
    arguments = parser.parse_args()
    if arguments.work:
        work(arguments.work, arguments.steps)
        return
    os.environ |= {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1", "OMP_NUM_THREADS": "1"}
    described = machine.describe()
    points = sorted({(count, batch) for count in COUNTS for batch in (BATCH, BATCH * count)})
    times: dict[tuple[int, int], list[float]] = {point: [] for point in points}
    for turn in range(arguments.rounds):
        for point in points[:: 1 if turn % 2 else -1]:
            times[point].append(seconds(*point, arguments.steps))
            print(f"round {turn + 1}, {point[0]} workers, batch {point[1]}", file=sys.stderr, flush=True)
    medians = {point: statistics.median(values) for point, values in times.items()}
    rate = BATCH / medians[1, BATCH]
    result = {
        "schema": SCHEMA,
        "machine": described,
        "warnings": machine.warnings(described),
        "versions": {name: version(name) for name in PACKAGES},
        "rounds": arguments.rounds,
        "measured": [
            {
                "workers": count,
                "batch": batch,
                "seconds": value,
                "spread": [min(times[count, batch]), max(times[count, batch])],
                "speedup": batch / value / rate,
            }
            for (count, batch), value in medians.items()
        ],
        "cards": {count: cards._asdict() for count, cards in CARDS.items()},
        "predicted": predicted(),
    }
    print(markdown(result))
    if arguments.output:
        write_json(arguments.output, result)


if __name__ == "__main__":
    main()
