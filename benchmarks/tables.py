"""How well does a VAE fill in a table with holes, and tell odd rows from others?

The tables that scikit-learn brings, columns standardised by what is observed. Imputation: 30 % of all numbers hidden at
random; the root mean square error of what was hidden, against the column's mean, k nearest neighbours and
IterativeImputer. Anomalies: trained on rows of all classes but one, on four fifths of them; the area under the ROC
curve on the rest and the class left out, against IsolationForest. Whatever is chosen, k too, is chosen by a tenth of
what is observed, hidden in addition, or a fifth of the training rows, before the test is looked at.

    python benchmarks/tables.py [--seeds 5] [--epochs 400] [--tables wine ...] [--output benchmarks/tables.json]
"""

import argparse
import os
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from sklearn import datasets
from sklearn.ensemble import IsolationForest
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer
from sklearn.metrics import roc_auc_score

from keras_vae import tasks
from keras_vae.files import write_json
from keras_vae.models import IWAE
from keras_vae.zoo.results import PACKAGES, processor

HIDDEN, VALIDATION, SAMPLES = 0.3, 0.1, 1000
TABLES = {  # loader, and the class whose rows are odd; diabetes has none
    "breast_cancer": (datasets.load_breast_cancer, 0),
    "wine": (datasets.load_wine, 2),
    "diabetes": (datasets.load_diabetes, None),
    "digits": (datasets.load_digits, 4),
}
NEIGHBOURS = (3, 5, 10, 20, 40)
NETWORKS = ((5, 32), (10, 128))  # latent dimensions, units of the one hidden layer


def iwae(columns: int, latent: int, units: int, seed: int) -> IWAE:
    network = {"name": "mlp", "hidden": (units,), "activation": "tanh"}
    model = IWAE(
        importance_samples=20, x_shape=(columns,), latent_dim=latent, encoder=network, decoder=network,
        likelihood={"name": "normal", "scale": "feature"}, missing="mask", seed=seed,
    )  # fmt: skip
    model.compile(keras.optimizers.Adam(1e-3))
    return model


def trained(x: np.ndarray, epochs: int, seed: int, score: Callable[[IWAE], float]) -> tuple[IWAE, object]:
    """The network and the number of epochs of the lowest `score`, among four looks at each of NETWORKS."""
    best, kept, choice, weights = np.inf, None, {}, []
    for latent, units in NETWORKS:
        model = iwae(x.shape[1], latent, units, seed)
        for look in range(1, 5):
            model.fit(x, batch_size=min(64, len(x)), epochs=epochs // 4, verbose=0)
            if (number := score(model)) < best:
                best, kept, weights = number, model, model.get_weights()
                choice = {"latent_dim": latent, "units": units, "epochs": look * (epochs // 4)}
    if kept is None:
        raise RuntimeError("No network was better than none: every score was NaN or infinite.")
    kept.set_weights(weights)
    return kept, choice


def rmse(filled: np.ndarray, whole: np.ndarray, hidden: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(filled - whole)[hidden])))


def imputation(table: np.ndarray, epochs: int, seed: int) -> dict[str, object]:
    """Method -> RMSE of the hidden numbers, in standard deviations of their column; coverage of 90 % intervals."""
    generator = np.random.default_rng(seed)
    hidden = generator.random(table.shape) < HIDDEN
    held_out = ~hidden & (generator.random(table.shape) < VALIDATION)
    seen = np.where(hidden, np.nan, table)
    whole = (table - np.nanmean(seen, axis=0)) / np.maximum(np.nanstd(seen, axis=0), 1e-6)
    x, fewer = np.where(hidden, np.nan, whole), np.where(hidden | held_out, np.nan, whole)

    def of(imputer: Any, rows: np.ndarray) -> np.ndarray:
        return imputer.fit_transform(rows)

    scores = {k: rmse(of(KNNImputer(n_neighbors=k), fewer), whole, held_out) for k in NEIGHBOURS}
    k = min(scores, key=lambda number: scores[number])
    model, choice = trained(
        fewer, epochs, seed, lambda model: rmse(tasks.fill_in(model, fewer, 100).mean, whole, held_out)
    )
    filled = tasks.fill_in(model, x, SAMPLES, draws=100, seed=seed)
    low, high = np.quantile(filled.draws, [0.05, 0.95], axis=0)
    iterative = IterativeImputer(random_state=seed, max_iter=20)
    return {
        "rmse": {
            "mean": rmse(of(SimpleImputer(keep_empty_features=True), x), whole, hidden),
            "k nearest neighbours": rmse(of(KNNImputer(n_neighbors=k), x), whole, hidden),
            "IterativeImputer": rmse(of(iterative, x), whole, hidden),
            "IWAE": rmse(filled.mean, whole, hidden),
        },
        "coverage": float(np.mean(((whole >= low) & (whole <= high))[hidden])),
        "chosen": {"k": k, "IWAE": choice},
    }


def anomalies(table: np.ndarray, classes: np.ndarray, odd: int, epochs: int, seed: int) -> dict[str, object]:
    """Method -> AUROC of the rows of class `odd` against held-out rows of the others."""
    order = np.random.default_rng(seed).permutation(np.flatnonzero(classes != odd))
    test, rest = order[: len(order) // 5], order[len(order) // 5 :]
    validation, training = rest[: len(rest) // 5], rest[len(rest) // 5 :]
    mean, deviation = table[rest].mean(axis=0), table[rest].std(axis=0)
    rows = (table - mean) / np.where(deviation > 1e-6, deviation, 1.0)
    model, choice = trained(
        rows[training], epochs, seed, lambda model: -float(model.log_prob(rows[validation], samples=50).mean())
    )
    forest = IsolationForest(random_state=seed).fit(rows[rest])
    both = rows[np.concatenate([test, np.flatnonzero(classes == odd)])]
    labels = np.arange(len(both)) >= len(test)
    return {
        "auroc": {
            "IsolationForest": float(roc_auc_score(labels, -forest.score_samples(both))),
            "IWAE": float(roc_auc_score(labels, tasks.anomaly_scores(model, both, "log_prob", 200))),
        },
        "chosen": choice,
    }


def summary(runs: list[dict], measure: str) -> dict[str, dict[str, float]]:
    """Method -> mean and standard error of a measure over seeds."""
    numbers = {name: np.array([run[measure][name] for run in runs]) for name in runs[0][measure]}
    return {
        name: {"mean": float(one.mean()), "standard_error": float(one.std(ddof=1) / np.sqrt(len(one)))}
        for name, one in numbers.items()
    }


def markdown(results: dict) -> str:
    """Both tables, for the documentation."""
    lines = []
    for part, measure in (("imputation", "rmse"), ("anomalies", "auroc")):
        parts = {name: table[part][measure] for name, table in results["tables"].items() if part in table}
        methods = next(iter(parts.values()), {})
        lines += ["", f"| {measure.upper()} | {' | '.join(methods)} |", f"| --- |{' ---: |' * len(methods)}"]
        for name, cells in parts.items():
            numbers = [f"{cell['mean']:.3f} ± {cell['standard_error']:.3f}" for cell in cells.values()]
            lines.append(f"| {name} | {' | '.join(numbers)} |")
    return "\n".join(lines).strip()


def main() -> None:
    """Measure, print and write the result."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=400)
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=list(TABLES))
    parser.add_argument("--output", default="benchmarks/tables.json")
    arguments = parser.parse_args()
    start, tables = time.time(), {}
    for name in arguments.tables:
        load, odd = TABLES[name]
        bunch = load()
        rows = np.asarray(bunch.data, "float64")
        rows = rows[:, rows.std(axis=0) > 0]  # of the digits, three pixels are always black
        filled = [imputation(rows, arguments.epochs, seed) for seed in range(arguments.seeds)]
        tables[name] = {
            "rows": len(rows), "columns": rows.shape[1],
            "imputation": {"rmse": summary(filled, "rmse"), "coverage": [run["coverage"] for run in filled],
                           "chosen": [run["chosen"] for run in filled]},
        }  # fmt: skip
        if odd is not None:
            detected = [anomalies(rows, bunch.target, odd, arguments.epochs, seed) for seed in range(arguments.seeds)]
            tables[name]["anomalies"] = {
                "class": odd, "auroc": summary(detected, "auroc"), "chosen": [run["chosen"] for run in detected],
            }  # fmt: skip
        print(name, tables[name], flush=True)
    results = {
        "tables": tables, "seeds": arguments.seeds, "epochs": arguments.epochs, "hidden": HIDDEN, "samples": SAMPLES,
        "seconds": round(time.time() - start), "processor": processor(),
        "versions": {name: version(name) for name in (*PACKAGES, "scikit-learn")},
    }  # fmt: skip
    write_json(arguments.output, results)
    print(markdown(results))


if __name__ == "__main__":
    main()
