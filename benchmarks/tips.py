"""How much do the learning rate, the batch and the number of latent dimensions matter, in a small VAE of digits?

The study is `tips/study.toml`: one thing is changed at a time, at the same number of examples seen, 8 epochs of 5,000
binarised digits of MNIST; the ELBO and active units are of 2,000 test digits. Nothing is timed, so the machine may be
busy.

    python benchmarks/tips.py [--jobs 2] [--output benchmarks/tips.json]
"""

import argparse
import itertools
from importlib.metadata import version
from pathlib import Path

import numpy as np

from keras_vae.files import write_json

STUDY = Path(__file__).parent / "tips" / "study.toml"
KEYS = {"learning_rate": "training.optimizer.learning_rate", "batch": "training.batch_size",
        "latent_dim": "model.latent_dim"}  # fmt: skip
USUAL = {"learning_rate": 1e-3, "batch": 128, "latent_dim": 20}


def settings(runs: list[dict]) -> list[dict]:
    """The rows of a sweep by configuration: its settings, and test ELBO, nats, and active units of each seed."""
    groups = itertools.groupby(runs, key=lambda run: run["configuration"])
    return [
        {name: of_seeds[0][key] for name, key in KEYS.items()}
        | {"runs": [{name: run.get(f"metrics.{name}") for name in ("elbo", "active_units")} for run in of_seeds]}
        for of_seeds in (list(group) for _, group in groups)
    ]


def _mean(row: dict, name: str, digits: int) -> str:
    values = [run[name] for run in row["runs"]]
    return "diverged" if None in values else f"{np.mean(values):.{digits}f}".replace("-", "−")


def markdown(result: dict) -> str:
    """Two tables: test ELBO by learning rate and batch; ELBO and active units by latent dimensions."""
    rows = result["rows"]
    by = {(row["learning_rate"], row["batch"]): row for row in rows if row["latent_dim"] == USUAL["latent_dim"]}
    rates, batches = (sorted({pair[part] for pair in by}) for part in (0, 1))
    usual = [row for row in rows if (row["learning_rate"], row["batch"]) == (USUAL["learning_rate"], USUAL["batch"])]
    lines = [
        "| learning rate | " + " | ".join(f"batch {batch}" for batch in batches) + " |",
        "| ---: |" + " ---: |" * len(batches),
        *(
            f"| {rate:g} | " + " | ".join(_mean(by[rate, batch], "elbo", 1) for batch in batches) + " |"
            for rate in rates
        ),
        "",
        "| latent dimensions | test ELBO | active units |",
        "| ---: | ---: | ---: |",
        *(
            f"| {row['latent_dim']} | {_mean(row, 'elbo', 1)} | {_mean(row, 'active_units', 1)} |"
            for row in sorted(usual, key=lambda row: row["latent_dim"])
        ),
        "",
        f"Means of {len(rows[0]['runs'])} seeds, in nats a digit; 8 epochs of 5,000 digits, 2,000 test digits.",
    ]
    return "\n".join(lines)


def main() -> None:
    from keras_vae import sweeps
    from keras_vae.zoo.results import PACKAGES

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--output")
    arguments = parser.parse_args()
    swept = sweeps.sweep(STUDY, "runs/tips", arguments.jobs, report=lambda done: print(done, flush=True))
    result = {"versions": {name: version(name) for name in PACKAGES}, "rows": settings(swept.rows)}
    print(markdown(result))
    if arguments.output:
        write_json(arguments.output, result)


if __name__ == "__main__":
    main()
