"""How well does a VAE fill in a table with holes, and tell odd rows from others?

Six tables that packages bring, four of scikit-learn and two of plotnine. Imputation: 30 % of all numbers hidden at
random; the root mean square error of what was hidden, in standard deviations of the column, against the column's mean,
k nearest neighbours and IterativeImputer. Anomalies: trained on rows of all classes but one, on four fifths of them;
the area under the ROC curve on the rest and the class left out, against PyOD's detectors with the same rows, networks
to choose from and steps. All that is chosen, k too, is chosen by a tenth of what is observed, hidden in addition, or by
a fifth of the training rows, before the test is looked at.

    python benchmarks/tables.py [--seeds 5] [--steps 4000] [--tables wine ...] [--output benchmarks/tables.json]

PyOD and plotnine are of the extra `peers`; they may be in another environment, whose interpreter is `--peers`. A run
goes on where another of the same settings stopped: tables that the result has are left as they are.
"""

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from sklearn import datasets
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer
from sklearn.metrics import roc_auc_score

from keras_vae import tasks
from keras_vae.files import write_json
from keras_vae.models import IWAE
from keras_vae.zoo.results import PACKAGES, processor

CONTENDERS = Path(__file__).parent / "contenders"
HIDDEN, VALIDATION, SAMPLES = 0.3, 0.1, 500
BATCH, LOOKS, RATE = 64, 4, 5e-3
SAME = 0.99  # of the rows: a column of which as many have one value is left out
FEW = 10_000  # rows that kNN looks for neighbours in, and that are scored; of a longer table
NEIGHBOURS = (3, 5, 10, 20, 40)
# Latent dimensions, at most as many as columns; units of the one hidden layer of the encoder, and of the decoder.
FILLING = ((15, 64, 0), (10, 128, 128))
DETECTING = ((5, 32, 32), (10, 128, 128))
OURS, DETECTORS = "IWAE", ("VAE", "AutoEncoder", "IsolationForest")


class Source(NamedTuple):
    """A table: who brings it, and the class whose rows are odd; None for a table without classes."""

    package: str
    odd: int | None
    named: str = ""


TABLES = {
    "breast_cancer": Source("scikit-learn", 0, "malignant"),
    "wine": Source("scikit-learn", 2, "the third cultivar"),
    "diabetes": Source("scikit-learn", None),
    "digits": Source("scikit-learn", 4, "the digit 4"),
    "diamonds": Source("plotnine", 0, "a fair cut"),
    "penguins": Source("plotnine", 1, "Chinstrap"),
}


def read(name: str, peers: str) -> tuple[np.ndarray, np.ndarray]:
    """The rows of a table, without columns of one value in nearly all of them, and their classes."""
    if TABLES[name].package == "scikit-learn":
        bunch = getattr(datasets, f"load_{name}")()
        rows, classes = np.asarray(bunch.data, "float64"), np.asarray(bunch.target)
    else:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "table.npz"
            subprocess.run([peers, str(CONTENDERS / "plotnine_tables.py"), name, str(path)], check=True)
            with np.load(path) as arrays:
                rows, classes = arrays["rows"], arrays["classes"]
    # Of the digits: pixels that are black but for a few, which may all be among the hidden numbers, have no scale.
    most = np.array([np.unique(column, return_counts=True)[1].max() for column in rows.T])
    return rows[:, most <= SAME * len(rows)], classes


class Trainer:
    """An IWAE that is trained anew for each seed: it is compiled once, which takes longer than a training.

    Its noise is the same for all seeds; data and first weights are not.
    """

    def __init__(self, columns: int, network: tuple[int, int, int], steps: int) -> None:
        self.columns, self.network, self.quarter = columns, network, steps // LOOKS
        self.model = self._made(0)
        self.model.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(RATE, steps)))
        self.optimizer: Any = self.model.optimizer
        self.optimizer.build(self.model.trainable_variables)
        self.before = [variable.numpy() for variable in self.optimizer.variables]

    def _made(self, seed: int) -> IWAE:
        latent, units, decoding = self.network
        return IWAE(
            importance_samples=20, x_shape=(self.columns,), latent_dim=min(latent, self.columns),
            encoder={"name": "mlp", "hidden": (units,), "activation": "tanh"},
            decoder={"name": "mlp", "hidden": (decoding,) if decoding else (), "activation": "tanh"},
            likelihood={"name": "normal", "scale": "feature"}, missing="mask", seed=seed,
        )  # fmt: skip

    def restart(self, seed: int) -> None:
        self.set(self._made(seed).get_weights(), 0)

    def set(self, weights: list[np.ndarray], quarters: int) -> None:
        """Go on from these weights, so far into the schedule of the learning rate."""
        self.model.set_weights(weights)
        for variable, value in zip(self.optimizer.variables, self.before, strict=True):
            variable.assign(value)
        self.optimizer.iterations.assign(quarters * self.quarter)

    def train(self, x: np.ndarray) -> None:
        """Train for a quarter of the steps, as one epoch of repeated rows in an order that is drawn."""
        order = np.random.default_rng(int(self.optimizer.iterations.numpy()))
        passes = -(-self.quarter * BATCH // len(x))
        rows = np.concatenate([order.permutation(len(x)) for _ in range(passes)])[: self.quarter * BATCH]
        self.model.fit(x[rows], batch_size=BATCH, epochs=1, verbose=0)


def trained(
    trainers: list[Trainer], x: np.ndarray, whole: np.ndarray, seed: int, score: Callable[[IWAE], float]
) -> tuple[IWAE, dict[str, int]]:
    """The model and the quarter of the steps with the lowest score; that quarter was repeated on `whole`.

    Args:
      trainers: one for each network.
      x: rows, without what `score` looks at.
      whole: rows, with it.
      seed: of the first weights.
      score: of a model, lower is better.
    """
    best, kept = np.inf, None
    for trainer in trainers:
        trainer.restart(seed)
        for look in range(LOOKS):
            weights = trainer.model.get_weights()
            trainer.train(x)
            if (number := score(trainer.model)) < best:
                best, kept = number, (trainer, look, weights)
    if kept is None:
        raise RuntimeError("No network was better than none: every score was NaN or infinite.")
    trainer, look, weights = kept
    trainer.set(weights, look)
    trainer.train(whole)
    latent, units, decoding = trainer.network
    return trainer.model, {"latent_dim": latent, "units": units, "of_decoder": decoding, "quarters": look + 1}


def rmse(filled: np.ndarray, whole: np.ndarray, hidden: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(filled - whole)[hidden])))


def imputation(table: np.ndarray, trainers: list[Trainer], seed: int) -> dict[str, Any]:
    """Method -> RMSE of the hidden numbers, in standard deviations of their column; coverage of 90 % intervals."""
    generator = np.random.default_rng(seed)
    table = table[generator.permutation(len(table))]
    hidden = generator.random(table.shape) < HIDDEN
    held_out = ~hidden & (generator.random(table.shape) < VALIDATION)
    seen = np.where(hidden, np.nan, table)
    whole = (table - np.nanmean(seen, axis=0)) / np.maximum(np.nanstd(seen, axis=0), 1e-6)
    x, fewer = np.where(hidden, np.nan, whole), np.where(hidden | held_out, np.nan, whole)
    few, some = slice(min(FEW, len(table))), slice(min(FEW // 5, len(table)))

    def error(imputer: Any, rows: np.ndarray, of: np.ndarray, part: slice) -> float:
        return rmse(imputer.fit(rows).transform(rows[part]), whole[part], of[part])

    scores = {k: error(KNNImputer(n_neighbors=k), fewer[some], held_out, some) for k in NEIGHBOURS}
    k = min(scores, key=lambda number: scores[number])
    model, choice = trained(
        trainers, fewer, x, seed,
        lambda model: rmse(tasks.fill_in(model, fewer[some], 100).mean, whole[some], held_out[some]),
    )  # fmt: skip
    filled = tasks.fill_in(model, x[few], SAMPLES, draws=100, seed=seed)
    low, high = np.quantile(filled.draws, [0.05, 0.95], axis=0)
    inside = (whole[few] >= low) & (whole[few] <= high)
    return {
        "rmse": {
            "mean": error(SimpleImputer(keep_empty_features=True), x, hidden, few),
            "k nearest neighbours": error(KNNImputer(n_neighbors=k), x[few], hidden, few),
            "IterativeImputer": error(IterativeImputer(random_state=seed, max_iter=20), x, hidden, few),
            OURS: rmse(filled.mean, whole[few], hidden[few]),
        },
        "coverage": float(np.mean(inside[hidden[few]])),
        "chosen": {"k": k, OURS: choice},
    }


class Peer:
    """The process of PyOD."""

    def __init__(self, python: str) -> None:
        command = [python, str(CONTENDERS / "pyod_detectors.py")]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.folder = tempfile.TemporaryDirectory()
        self.versions: dict[str, str] = {}

    def scores(self, arrays: dict[str, np.ndarray], steps: int, seed: int) -> tuple[dict[str, list[float]], Any]:
        """Detector -> scores of the rows `both`; and what it chose."""
        assert self.process.stdin is not None and self.process.stdout is not None
        path = Path(self.folder.name) / "rows.npz"
        np.savez(path, **arrays)  # pyright: ignore[reportArgumentType]
        networks = [{}, *({"latent_dim": latent, "units": units} for latent, units, _ in DETECTING)]
        task = {"path": str(path), "steps": steps, "shares": [0.5, 1.0], "batch_size": BATCH, "networks": networks,
                "learning_rate": 1e-3, "seed": seed}  # fmt: skip
        print(json.dumps(task), file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        answer = json.loads(line) if line else sys.exit(f"PyOD ended with {self.process.wait()}; see above.")
        self.versions = answer["versions"]
        return answer["scores"], answer["chosen"]

    def close(self) -> None:
        self.process.kill()
        self.folder.cleanup()


def anomalies(
    table: np.ndarray, odd: np.ndarray, trainers: list[Trainer], peer: Peer, steps: int, seed: int
) -> dict[str, Any]:
    """Method -> AUROC of the odd rows against held-out rows of the others."""
    order = np.random.default_rng(seed).permutation(np.flatnonzero(~odd))
    test, rest = order[: len(order) // 5], order[len(order) // 5 :]
    validation, training = rest[: len(rest) // 5], rest[len(rest) // 5 :]
    test = test[:FEW]
    mean, deviation = table[rest].mean(axis=0), table[rest].std(axis=0)
    rows = (table - mean) / np.where(deviation > 1e-6, deviation, 1.0)
    both = rows[np.concatenate([test, np.flatnonzero(odd)])]
    labels = np.arange(len(both)) >= len(test)
    arrays = {"training": rows[training], "validation": rows[validation], "both": both}
    scores, choices = peer.scores(arrays, steps, seed)
    some = rows[validation[:FEW]]
    model, choices[OURS] = trained(
        trainers, rows[training], rows[rest], seed, lambda model: -float(model.log_prob(some, samples=50).mean())
    )
    scores[OURS] = tasks.anomaly_scores(model, both, "log_prob", 200).tolist()
    methods = (*DETECTORS, OURS)
    return {"auroc": {name: float(roc_auc_score(labels, scores[name])) for name in methods}, "chosen": choices}


def measured(name: str, seeds: int, steps: int, peers: str) -> dict[str, Any]:
    """What the result has of one table."""
    start, (rows, classes), odd = time.time(), read(name, peers), TABLES[name].odd
    trainers = [Trainer(rows.shape[1], network, steps) for network in FILLING]
    filled = [imputation(rows, trainers, seed) for seed in range(seeds)]
    result: dict[str, Any] = {
        "rows": len(rows), "columns": rows.shape[1], "source": TABLES[name]._asdict(), "versions": {},
        "imputation": {part: [run[part] for run in filled] for part in ("rmse", "coverage", "chosen")},
    }  # fmt: skip
    if odd is not None:
        trainers, peer = [Trainer(rows.shape[1], network, steps) for network in DETECTING], Peer(peers)
        detected = [anomalies(rows, classes == odd, trainers, peer, steps, seed) for seed in range(seeds)]
        result["anomalies"] = {part: [run[part] for run in detected] for part in ("auroc", "chosen")}
        result["versions"] = peer.versions
        peer.close()
    return {**result, "seconds": round(time.time() - start)}


def summary(runs: list[dict[str, float]]) -> dict[str, tuple[float, float]]:
    """Method -> mean and standard error over seeds."""
    numbers = {name: np.array([run[name] for run in runs]) for name in runs[0]}
    return {name: (float(one.mean()), float(one.std(ddof=1) / np.sqrt(len(one)))) for name, one in numbers.items()}


def near_best(cells: dict[str, tuple[float, float]], sign: int) -> bool:
    """Whether ours is within a standard error, that of the best method, of its mean."""
    best = min(cells, key=lambda name: sign * cells[name][0])
    return sign * (cells[OURS][0] - cells[best][0]) <= cells[best][1]


def markdown(results: dict[str, Any]) -> str:
    """Both tables, for the documentation."""
    tables, lines = {name: results["tables"][name] for name in TABLES if name in results["tables"]}, []
    for part, measure, sign in (("imputation", "rmse", 1), ("anomalies", "auroc", -1)):
        rows = {name: summary(table[part][measure]) for name, table in tables.items() if part in table}
        methods = next(iter(rows.values()), {})
        extra = "in the 90 % interval" if part == "imputation" else "odd"
        titles = [f"{measure.upper()} of {part}", *methods, extra]
        lines += [f"| {' | '.join(titles)} |", f"| --- |{' ---: |' * (len(titles) - 1)}"]
        for name, cells in rows.items():
            best = min(cells, key=lambda method: sign * cells[method][0])
            numbers = [f"{mean:.3f} ± {error:.3f}" for mean, error in cells.values()]
            numbers = [
                f"**{number}**" if method == best else number for method, number in zip(cells, numbers, strict=True)
            ]
            table = tables[name]
            last = f"{np.mean(table[part]['coverage']):.0%}" if part == "imputation" else table["source"]["named"]
            title = f"{name}, {table['rows']:,} × {table['columns']}"
            lines.append(f"| {title} | {' | '.join(numbers)} | {last} |")
        near = [name for name, cells in rows.items() if near_best(cells, sign)]
        lines += ["", f"{OURS} within one standard error of the best: {len(near)} of {len(rows)}"
                  + (f" ({', '.join(near)})." if near else "."), ""]  # fmt: skip
    versions = {**results["versions"], **{k: v for table in tables.values() for k, v in table["versions"].items()}}
    lines.append(
        f"Means and standard errors of {results['seeds']} seeds; the best in bold. {results['steps']:,} steps of "
        f"{BATCH} rows for each network, of ours and of PyOD's. Of a table of more than {FEW:,} rows, as many are "
        f"scored, and kNN looks for neighbours among them. Measured in {results['seconds'] / 60:.0f} minutes on "
        f"{results['processor']}; {', '.join(f'{name} {number}' for name, number in versions.items())}."
    )
    return "\n".join(lines)


def main() -> None:
    """Measure what the result has not, print it, and write it after each table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=list(TABLES))
    parser.add_argument("--peers", default=sys.executable, help="the interpreter of the extra `peers`")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/tables.json"))
    arguments = parser.parse_args()
    results: dict[str, Any] = {
        "tables": {}, "seeds": arguments.seeds, "steps": arguments.steps, "hidden": HIDDEN, "samples": SAMPLES,
        "seconds": 0, "processor": processor(),
        "versions": {name: version(name) for name in (*PACKAGES, "scikit-learn")},
    }  # fmt: skip
    if arguments.output.is_file():
        before = json.loads(arguments.output.read_text(encoding="utf-8"))
        if all(before[key] == results[key] for key in results if key not in ("tables", "seconds")):
            results = before
    # Of the processes below: the tables are small, and two are measured at once.
    os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"), "1"))
    missing = [name for name in arguments.tables if name not in results["tables"]]
    missing.sort(key=list(TABLES)[::-1].index)  # the longest first, nearly
    with ProcessPoolExecutor(arguments.processes, multiprocessing.get_context("spawn")) as pool:
        futures = {
            pool.submit(measured, name, arguments.seeds, arguments.steps, arguments.peers): name for name in missing
        }
        start, before = time.time(), results["seconds"]
        for future in as_completed(futures):
            results["tables"][futures[future]] = future.result()
            results["seconds"] = round(before + time.time() - start)
            write_json(arguments.output, results)
            print(futures[future], future.result()["seconds"], "s", flush=True)
    print(markdown(results))


if __name__ == "__main__":
    main()
