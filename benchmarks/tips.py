"""How much do the learning rate, the batch and the number of latent dimensions matter, in a small VAE of digits?

One thing is changed at a time, at the same number of examples seen: 8 epochs of 5,000 binarised digits of MNIST, a
784-200-d VAE with Adam, and the ELBO and active units of 2,000 test digits. Nothing is timed, so the machine may
be busy.

    python benchmarks/tips.py [--seeds 2] [--output benchmarks/tips.json]
"""

import argparse
import os
from importlib.metadata import version

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

from keras_vae import data, evaluation
from keras_vae.errors import DivergedError
from keras_vae.files import write_json
from keras_vae.models import VAE
from keras_vae.zoo.results import PACKAGES

RATES, BATCHES, LATENTS = (1e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1), (32, 128, 512), (2, 10, 20, 50, 100)
USUAL = {"learning_rate": 1e-3, "batch": 128, "latent_dim": 20}
EPOCHS, TRAINED, TESTED = 8, 5000, 2000


def settings() -> list[dict]:
    """What is trained: every learning rate with every batch, and every latent dimension with the usual ones."""
    pairs = [USUAL | {"learning_rate": rate, "batch": batch} for batch in BATCHES for rate in RATES]
    return pairs + [USUAL | {"latent_dim": size} for size in LATENTS if size != USUAL["latent_dim"]]


def measured(learning_rate: float, batch: int, latent_dim: int, seed: int) -> dict:
    """The test ELBO, nats, and active units of one training; None where it diverged."""
    network = {"name": "mlp", "hidden": [200]}
    model = VAE(latent_dim=latent_dim, seed=seed, encoder=network, decoder=network)
    model.compile(keras.optimizers.Adam(learning_rate), jit_compile=False)
    train = data.load("mnist", f"train[:{TRAINED}]", binarize="dynamic", batch_size=batch, seed=seed)
    test = data.load_arrays("mnist", f"test[:{TESTED}]", binarize="static")
    try:
        model.fit(train, epochs=EPOCHS, verbose=0)
    except DivergedError:
        return {"elbo": None, "active_units": None}
    return {"elbo": float(model.elbo(test).mean()), "active_units": evaluation.active_units(model, test)["value"]}


def _mean(row: dict, name: str, digits: int) -> str:
    values = [run[name] for run in row["runs"]]
    return "diverged" if None in values else f"{np.mean(values):.{digits}f}".replace("-", "−")


def markdown(result: dict) -> str:
    """Two tables: test ELBO by learning rate and batch; ELBO and active units by latent dimensions."""
    rows = result["rows"]
    by = {(row["learning_rate"], row["batch"]): row for row in rows if row["latent_dim"] == USUAL["latent_dim"]}
    lines = [
        "| learning rate | " + " | ".join(f"batch {batch}" for batch in BATCHES) + " |",
        "| ---: |" + " ---: |" * 3,
    ]
    lines += [
        f"| {rate:g} | " + " | ".join(_mean(by[rate, batch], "elbo", 1) for batch in BATCHES) + " |" for rate in RATES
    ]
    usual = [row for row in rows if (row["learning_rate"], row["batch"]) == (USUAL["learning_rate"], USUAL["batch"])]
    lines += ["", "| latent dimensions | test ELBO | active units |", "| ---: | ---: | ---: |"]
    lines += [
        f"| {row['latent_dim']} | {_mean(row, 'elbo', 1)} | {_mean(row, 'active_units', 1)} |"
        for row in sorted(usual, key=lambda row: row["latent_dim"])
    ]
    seeds = len(rows[0]["runs"])
    lines += [
        "",
        f"Means of {seeds} seeds, in nats a digit; {EPOCHS} epochs of {TRAINED:,} digits, {TESTED:,} test digits.",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--output")
    arguments = parser.parse_args()
    rows = []
    for setting in settings():
        rows.append(setting | {"runs": [measured(**setting, seed=seed) for seed in range(arguments.seeds)]})
        print(rows[-1], flush=True)
    result = {"versions": {name: version(name) for name in PACKAGES}, "rows": rows}
    print(markdown(result))
    if arguments.output:
        write_json(arguments.output, result)


if __name__ == "__main__":
    main()
