"""Which measures of disentanglement agree, how much is due to the seed, and what would the whole study cost?

The study is `examples/disentanglement/study.toml`: the protocol of Locatello et al. 2019,
https://arxiv.org/abs/1811.12359, in small. Its runs are made, or read where they are finished. Then a step of the
paper's network, batch 64, is timed for each method on an idle machine: the paper trains 1,800 models on each data set,
each for 300,000 steps.

    python benchmarks/disentanglement.py [--jobs 2] [--output benchmarks/disentanglement.json]
"""

import argparse
import itertools
import math
import statistics
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from keras_vae.benchmarking import machine
from keras_vae.files import write_json

SCHEMA = "keras_vae.disentanglement/1"
STUDY = Path(__file__).parents[1] / "examples" / "disentanglement" / "study.toml"
STRENGTHS = {"BetaVAE": "model.beta", "FactorVAE": "model.gamma", "BetaTCVAE": "model.beta"}
RUNS, STEPS, BATCH = 1800, 300_000, 64  # of the paper, for each data set
# The paper's footnote 1: "more than 12,000 models" took "approximately 2.52 GPU years (NVIDIA P100)".
PAPER = {"gpu": "NVIDIA P100", "gpu_years": 2.52, "models": 12_000}
_NETWORK = {"name": "conv", "filters": (32, 32, 64, 64), "dense": 256}
_CRITIC = {"name": "mlp", "hidden": (1000,) * 5, "activation": "leaky_relu"}


def findings(rows: Sequence[Mapping[str, Any]], metrics: Sequence[str]) -> dict[str, Any]:
    """Return scores by configuration, rank correlations and the seed's share of each metric, with intervals."""
    from keras_vae import sweeps

    ends = [list(group) for _, group in itertools.groupby(rows, key=lambda row: row["configuration"])]
    return {
        "metrics": list(metrics),
        "configurations": [
            {
                "class": end[0]["model.class"],
                "strength": end[0][STRENGTHS[end[0]["model.class"]]],
                **{metric: [row[metric] for row in end] for metric in metrics},
                "training_seconds": [row["seconds"] for row in end],
            }
            for end in ends
        ],
        "agreement": [
            {"metrics": pair, **interval._asdict()}
            for pair, interval in sweeps.rank_correlations(rows, metrics).items()
        ],
        "seed_share": {metric: sweeps.seed_share(rows, metric)._asdict() for metric in metrics},
    }


def step_seconds(rounds: int, steps: int) -> dict[str, float]:
    """Return the seconds of a step of the paper's network for each method: the median of rounds that take turns."""
    from keras_vae import models

    images = (np.random.default_rng(0).random((BATCH * steps, 64, 64, 1)) < 0.05).astype("float32")
    options: dict[str, Any] = {"image_shape": (64, 64, 1), "latent_dim": 10, "encoder": _NETWORK, "decoder": _NETWORK}
    made = {
        "BetaVAE": models.BetaVAE(beta=4.0, **options),
        "FactorVAE": models.FactorVAE(gamma=20.0, critic=_CRITIC, **options),
        "BetaTCVAE": models.BetaTCVAE(beta=6.0, dataset_size=len(images), **options),
    }
    times: dict[str, list[float]] = {name: [] for name in made}
    for model in made.values():
        model.compile("adam")
    for index in range(rounds + 1):
        for name, model in made.items():
            start = time.perf_counter()
            model.fit(images, batch_size=BATCH, verbose=0)
            times[name] += [(time.perf_counter() - start) / steps] * bool(index)  # the first compiles
    return {name: statistics.median(values) for name, values in times.items()}


def markdown(result: Mapping[str, Any]) -> str:
    """Three tables: scores, which of them agree, and the seed's share; and a sentence on the cost of the whole."""
    metrics = result["metrics"]
    short = {metric: metric.rsplit(".", 1)[-1] for metric in metrics}
    lines = [
        "| class | strength | " + " | ".join(short[metric] for metric in metrics) + " |",
        "| --- | ---: |" + " ---: |" * len(metrics),
    ]
    for row in result["configurations"]:
        cells = [_mean(row[metric]) for metric in metrics]
        lines.append(f"| {row['class']} | {row['strength']:g} | {' | '.join(cells)} |")
    seeds = len(result["configurations"][0]["training_seconds"])
    lines += ["", f"Means of {seeds} seeds ± their standard deviation.", ""]
    lines += ["| | " + " | ".join(short[metric] for metric in metrics[1:]) + " |"]
    lines += ["| --- |" + " ---: |" * (len(metrics) - 1)]
    by = {tuple(row["metrics"]): row for row in result["agreement"]}
    for index, first in enumerate(metrics[:-1]):
        cells = [_interval(by[first, second]) for second in metrics[index + 1 :]]
        lines.append(f"| {short[first]} | " + " | " * index + " | ".join(cells) + " |")
    lines += ["", "Spearman's correlation over runs, and its 95 % interval.", ""]
    lines += ["| | share of the variance that is due to the seed |", "| --- | ---: |"]
    lines += [f"| {short[metric]} | {_interval(result['seed_share'][metric])} |" for metric in metrics]
    return "\n".join([*lines, "", cost(result)])


def cost(result: Mapping[str, Any]) -> str:
    """A sentence: what this study took, and the paper's 1,800 models of one data set would."""
    trained = [second for row in result["configurations"] for second in row["training_seconds"]]
    step = statistics.mean(result["step_seconds"].values())
    hours = RUNS * STEPS * step / 3600
    card = RUNS * PAPER["gpu_years"] * 365.25 * 24 / PAPER["models"]
    steps = ", ".join(f"{name} {1e3 * value:.0f} ms" for name, value in result["step_seconds"].items())
    return (
        f"These {len(trained)} runs trained for {sum(trained) / 60:.0f} minutes in all, {max(trained):.0f} s at most, "
        f"two at a time on {result['machine']['processors']} processors ({result['machine']['processor']}). A step of "
        f"the paper's network on both of them: {steps}. So {RUNS:,} runs of {STEPS:,} steps are {hours:,.0f} hours of "
        f"this machine, {hours / 24 / 365.25:.1f} years. The authors needed {PAPER['gpu_years']} years of one "
        f"{PAPER['gpu']} for more than {PAPER['models']:,} models, which makes {card:,.0f} hours for {RUNS:,}: about "
        f"{math.ceil(card / 24 / 16)} days of 16 such cards. No card has run it here."
    )


def _mean(values: Sequence[float]) -> str:
    return f"{np.mean(values):.3g} ± {np.std(values, ddof=1):.1g}".replace("-", "−")


def _interval(row: Mapping[str, float]) -> str:
    return f"{row['value']:.2f} ({row['low']:.2f} to {row['high']:.2f})".replace("-", "−")


def main() -> None:
    from keras_vae import sweeps
    from keras_vae.sweeps import studies
    from keras_vae.zoo.results import PACKAGES

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", default="runs/disentanglement", help="of the runs")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--output")
    arguments = parser.parse_args()
    swept = sweeps.sweep(STUDY, arguments.folder, arguments.jobs, report=lambda done: print(done, flush=True))
    described = machine.describe()
    result = {
        "schema": SCHEMA,
        "machine": described,
        "warnings": machine.warnings(described),
        "versions": {name: version(name) for name in PACKAGES},
        **findings(swept.rows, studies.read(STUDY).options.metrics),
        "step_seconds": step_seconds(arguments.rounds, arguments.steps),
    }
    print(markdown(result))
    if arguments.output:
        write_json(arguments.output, result)


if __name__ == "__main__":
    main()
