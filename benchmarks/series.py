"""How well do VAEs reconstruct series, and tell a class that they never saw, beside PCA and a linear autoregression?

On sets that the package aeon bundles (`pip install --no-deps aeon`): electric power of a day, movements of a hand, of
one channel and of six, and vowels, series of different lengths. One class after the other, of three at most, is left
out of the training, as the anomalies; the rest of the test set is normal. A code of a VAE has as many numbers as PCA
has components.

    python benchmarks/series.py [--steps 400] [--seeds 1] [--output benchmarks/series.json]
"""

import argparse
import importlib.util
import json
import os
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from sklearn.decomposition import PCA
from sklearn.metrics import roc_auc_score

from keras_vae import data
from keras_vae.files import write_json
from keras_vae.models import VAE
from keras_vae.zoo.results import PACKAGES, processor

SETS = ("ItalyPowerDemand", "GunPoint", "JapaneseVowels", "BasicMotions")
NETWORKS: dict[str, dict] = {
    "causal": {"name": "causal", "channels": 32},
    "gru": {"name": "gru", "units": 32},
    "mlp": {"name": "mlp", "hidden": (128,)},
}
LATENT, LAGS, CLASSES, DRAWS = 8, 3, 3, 4
BATCH, EPOCH = 32, 50
Scores = dict[str, tuple[float, np.ndarray]]  # detector -> error of reconstruction of normal series, score of each


def read(name: str, part: str) -> tuple[list[np.ndarray], np.ndarray]:
    """The series of a `.ts` file of aeon, each `(its steps, channels)`, and their classes."""
    spec = importlib.util.find_spec("aeon")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("The sets come with aeon: pip install --no-deps aeon")
    path = Path(spec.submodule_search_locations[0]) / f"datasets/data/{name}/{name}_{part}.ts"
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line and line[0] not in "#@"]
    rows = [line.split(":") for line in lines]
    series = [np.array([channel.split(",") for channel in channels], float).T for *channels, _ in rows]
    return series, np.array([label for *_, label in rows])


def by_vae(network: dict, steps: int, seed: int) -> Callable[..., tuple[float, np.ndarray]]:
    """A VAE: reconstructions, and -ELBO, the mean of a few draws."""

    def detect(train: np.ndarray, test: np.ndarray, normal: np.ndarray) -> tuple[float, np.ndarray]:
        model = VAE(
            x_shape=train.shape[1:], latent_dim=LATENT, encoder=network, decoder=network, missing="mask", seed=seed,
            likelihood={"name": "normal", "scale": "channel", "standardize": "channel"},
        )  # fmt: skip
        model.compile(keras.optimizers.Adam(0.004), jit_compile=False)
        often = train[np.arange(EPOCH * BATCH) % len(train)]  # epochs of one length, for small sets too
        model.fit(often, batch_size=BATCH, epochs=steps // EPOCH, verbose=0)
        scores = -np.mean([model.elbo(test, seed=draw) for draw in range(DRAWS)], axis=0)
        return error_of(model.reconstruct(test), test, train, normal), scores

    return detect


def by_pca(train: np.ndarray, test: np.ndarray, normal: np.ndarray) -> tuple[float, np.ndarray]:
    """PCA of standardised steps, what is missing 0: reconstructions, and their squared error."""
    inside = [np.nan_to_num(standardised(x, train)).reshape(len(x), -1) for x in (train, test)]
    pca = PCA(min(LATENT, len(train) - 1), random_state=0).fit(inside[0])
    again = pca.inverse_transform(pca.transform(inside[1])).reshape(test.shape)
    mean, spread = of_channels(train)
    difference = np.where(np.isnan(test), 0.0, again - standardised(test, train))
    return error_of(again * spread + mean, test, train, normal), np.square(difference).sum(axis=(1, 2))


def by_autoregression(train: np.ndarray, test: np.ndarray, normal: np.ndarray) -> tuple[float, np.ndarray]:
    """Each step from the three before it and its number, by least squares: the mean squared error of the next step."""

    def lagged(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        steps = np.broadcast_to(np.linspace(-1, 1, x.shape[1])[LAGS:, None], (len(x), x.shape[1] - LAGS, 1))
        before = [x[:, LAGS - lag : x.shape[1] - lag] for lag in range(1, LAGS + 1)]
        return np.concatenate([*before, steps, np.ones_like(steps)], axis=-1), x[:, LAGS:]

    inputs, targets = lagged(standardised(train, train))
    whole = ~(np.isnan(inputs).any(-1) | np.isnan(targets).any(-1))
    weights = np.linalg.lstsq(inputs[whole], targets[whole], rcond=None)[0]
    inputs, targets = lagged(standardised(test, train))
    error = np.nanmean(np.square(np.nan_to_num(inputs) @ weights - targets), axis=(1, 2))
    return float(np.mean(error[normal])), error


def of_channels(train: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.nanmean(train, axis=(0, 1)), np.nanstd(train, axis=(0, 1))


def standardised(x: np.ndarray, train: np.ndarray) -> np.ndarray:
    mean, spread = of_channels(train)
    return (x - mean) / spread


def error_of(again: np.ndarray, test: np.ndarray, train: np.ndarray, normal: np.ndarray) -> float:
    """The mean squared error of normal series in units of the channels' variance."""
    return float(np.nanmean(np.square((again - test) / of_channels(train)[1])[normal]))


def measured(name: str, training: int, seeds: int) -> dict:
    """Detector -> the mean over classes and seeds of the error and the AUROC, and the standard error of the latter."""
    (first, classes), (second, others) = read(name, "TRAIN"), read(name, "TEST")
    steps = max(map(len, [*first, *second]))
    train, test = data.series(first, steps).astype(float), data.series(second, steps).astype(float)
    detectors: dict[str, list[Callable]] = {
        **{f"VAE, {key}": [by_vae(spec, training, seed) for seed in range(seeds)] for key, spec in NETWORKS.items()},
        "PCA": [by_pca],
        "autoregression": [by_autoregression],
    }
    rows: dict = {}
    for title, versions in detectors.items():
        errors, areas = [], []
        for label in sorted(set(classes))[:CLASSES]:
            normal = others != label
            for detect in versions:
                error, scores = detect(train[classes != label], test, normal)
                errors.append(error)
                areas.append(roc_auc_score(~normal, scores))
        by_class = np.reshape(areas, (-1, len(versions))).mean(1)
        rows[title] = {
            "squared_error": float(np.mean(errors)),
            "auroc": float(np.mean(areas)),
            "auroc_standard_error": float(np.std(by_class, ddof=1) / np.sqrt(len(by_class))),
        }
        print(name, title, rows[title], flush=True)
    lengths = [len(one) for one in [*first, *second]]
    return {"train": len(train), "test": len(test), "classes": min(CLASSES, len(set(classes))),
            "steps": [min(lengths), steps], "channels": train.shape[-1], "detectors": rows}  # fmt: skip


def markdown(results: dict) -> str:
    """A table of errors and areas for the documentation."""
    titles = list(next(iter(results["sets"].values()))["detectors"])
    lines = [f"| set | {' | '.join(titles)} |", "| --- |" + " ---: |" * len(titles)]
    for name, row in results["sets"].items():
        first, last = row["steps"]
        steps = first if first == last else f"{first} to {last}"
        cells = [
            f"{one['auroc']:.3f} ± {one['auroc_standard_error']:.3f} ({one['squared_error']:.2f})"
            for one in row["detectors"].values()
        ]
        channels = f"{row['channels']} channel{'s' * (row['channels'] > 1)}"
        lines.append(f"| {name}: {row['train']} series, {steps} steps, {channels} | {' | '.join(cells)} |")
    return "\n".join(lines) + (
        f"\n\nAUROC of a class that was left out of the training: its mean over classes, {CLASSES} at most, with the "
        f"standard error over these; in brackets the squared error of normal test series, in units of the channels' "
        f"variance: of the reconstruction from {LATENT} numbers, for the autoregression of the next step from the "
        f"{LAGS} before it. The VAEs were trained for {results['steps']:,} steps of {BATCH} series, with "
        f"{results['seeds']} {'seed' if results['seeds'] == 1 else 'seeds'} each."
    )


def main() -> None:
    """Measure, print and write the result."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--sets", nargs="+", default=SETS)
    parser.add_argument("--output")
    words = parser.parse_args()
    start = time.perf_counter()
    before = json.loads(Path(words.output).read_text("utf-8")) if words.output and Path(words.output).exists() else {}
    kept = before.get("steps") == words.steps and before.get("seeds") == words.seeds
    sets: dict = before["sets"] if kept else {}  # a set that is measured later is added
    for name in words.sets:
        sets[name] = measured(name, words.steps, words.seeds)
        results = {
            "sets": sets,
            "steps": words.steps,
            "seeds": words.seeds,
            "processor": processor(),
            "versions": {name: version(name) for name in PACKAGES},
            "seconds": round(time.perf_counter() - start),
        }
        if words.output:  # after each set: the last ones take longest
            write_json(words.output, results)
        print(markdown(results))


if __name__ == "__main__":
    main()
