"""Does a VAE of counts recover what its cells were drawn from, and how fast does it train beside scvi-tools?

Cells of genes with known dispersions and types (`keras_vae.data.generated`), most counts 0, kept as a sparse matrix.
This library and scvi-tools' SCVI train on them in processes of their own, in turns, with the same layers, batches and
epochs. The dispersions that they learned are compared with those of the generator, beside the estimate of maximum
likelihood that knows the true mean of every count; k-means on their codes with the types, beside k-means on principal
components.

    python benchmarks/counts.py [--cells 20000] [--genes 2000] [--output benchmarks/counts.json]

scvi-tools is of the extra `peers`; it may be in another environment, whose interpreter is `--peers`. A machine with
other work is refused without `--busy`, and the result says how busy it was.
"""

import argparse
import os
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse
from scipy.special import gammaln
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score
from training import Worker

from keras_vae.benchmarking import machine
from keras_vae.data.generated import Truth, drawn_cells, drawn_truth
from keras_vae.files import write_json
from keras_vae.zoo import pauses

OURS, OFFSET, PEER = "keras_vae_counts", "keras_vae_library", "scvi_counts"
TITLES = {
    OURS: "keras_vae, `fit`",
    OFFSET: 'keras_vae, `fit`, `library="observed"`, as scvi-tools',
    PEER: "scvi-tools, `SCVI.train`",
}
BOUND, COMPONENTS = "maximum likelihood, true means given", "principal components of log counts"
TYPES, EXPRESSED = 8, 0.1  # the mean count from which a gene counts as expressed
PIECE = 1000  # cells that are drawn at once
_GOLDEN = (np.sqrt(5) - 1) / 2


def parameters(genes: int) -> Truth:
    """The truth of this benchmark: low rates, and types that differ in a tenth of the genes."""
    return drawn_truth(10, genes, TYPES, log_rate=-2.0, marked=0.1, spread=1.0)


def drawn(truth: Truth, cells: int) -> tuple[sparse.csr_matrix, np.ndarray, np.ndarray]:
    """Counts of cells, piece by piece, the type of each, and the true means."""
    pieces = [drawn_cells(truth, min(PIECE, cells - start), 11 + start) for start in range(0, cells, PIECE)]
    counts: Any = sparse.vstack([sparse.csr_matrix(x.astype("uint16")) for x, _, _ in pieces], format="csr")
    return counts, np.concatenate([kind for _, kind, _ in pieces]), np.concatenate([mean for _, _, mean in pieces])


def most_likely(x: np.ndarray, mean: np.ndarray, low: float = -4.0, high: float = 8.0) -> np.ndarray:
    """The log dispersion of each gene with the highest likelihood, for known means, by golden sections."""
    nonzero = x > 0

    def log_p(log_dispersion: np.ndarray) -> np.ndarray:
        theta = np.exp(log_dispersion)
        of_counts = np.zeros_like(mean)
        of_counts[nonzero] = gammaln(x[nonzero] + np.broadcast_to(theta, x.shape)[nonzero])
        of_counts[nonzero] -= np.broadcast_to(gammaln(theta), x.shape)[nonzero]
        return (of_counts + theta * np.log(theta) - (x + theta) * np.log(theta + mean)).sum(axis=0)

    first, last = np.full(x.shape[1], low), np.full(x.shape[1], high)
    for _ in range(24):
        one, two = last - _GOLDEN * (last - first), first + _GOLDEN * (last - first)
        left = log_p(one) > log_p(two)
        first, last = np.where(left, first, one), np.where(left, two, last)
    return (first + last) / 2


def recovery(log_dispersion: np.ndarray, truth: Truth, expressed: np.ndarray) -> dict[str, float]:
    """How near log dispersions are to the true ones: correlations, and the median factor, for the expressed genes."""
    true = np.log(truth.dispersion)
    return {
        "correlation": float(np.corrcoef(log_dispersion, true)[0, 1]),
        "correlation_of_expressed": float(np.corrcoef(log_dispersion[expressed], true[expressed])[0, 1]),
        "factor_of_expressed": float(np.exp(np.median((log_dispersion - true)[expressed]))),
    }


def agreement(codes: np.ndarray, kinds: np.ndarray) -> float:
    """The adjusted Rand index of k-means on codes with the types."""
    return float(adjusted_rand_score(kinds, KMeans(TYPES, n_init=10, random_state=0).fit_predict(codes)))


def components(counts: sparse.csr_matrix, dimensions: int) -> np.ndarray:
    """Principal components of the logarithm of counts that were scaled to one total."""
    x = counts.toarray().astype("float32")
    totals = x.sum(axis=1, keepdims=True)
    scaled = np.log1p(x / np.maximum(totals, 1.0) * np.median(totals))
    return PCA(dimensions, random_state=0).fit_transform(scaled)


def measured(case: dict[str, Any], rounds: int, epochs: int, peers: str) -> dict[str, Any]:
    """The result: rates of both in turns, and what each recovered."""
    truth = parameters(case["genes"])
    counts, kinds, means = drawn(truth, case["cells"])
    expressed = means.mean(axis=0) >= EXPRESSED
    cells = epochs * (case["cells"] // case["batch_size"]) * case["batch_size"]
    rows: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "counts.npz")
        sparse.save_npz(path, counts)
        contenders = {name: Worker(peers if name == PEER else sys.executable, name, case, path) for name in TITLES}
        times: dict[str, list[dict[str, float]]] = {name: [] for name in TITLES}
        load = []
        for index in range(rounds):
            load.append(os.getloadavg()[0])
            for name in list(TITLES)[:: 1 if index % 2 else -1]:
                times[name].append(contenders[name].ask("epochs", epochs))
        for name, worker in contenders.items():
            recovered = worker.ask("recovered")["recovered"]
            rates = [cells / answer["seconds"] for answer in times[name]]
            rows[name] = {
                "cells_per_second": statistics.median(rates),
                "rounds": rates,
                "cells_per_cpu_second": statistics.median(cells / answer["cpu_seconds"] for answer in times[name]),
                **recovery(np.array(recovered["log_dispersion"]), truth, expressed),
                "adjusted_rand_index": agreement(np.array(recovered["codes"]), kinds),
                **worker.first,
            }
            worker.process.kill()
    for name in (OFFSET, PEER):
        rows[name]["ours_over_this"] = statistics.median(
            ours / theirs for ours, theirs in zip(rows[OURS]["rounds"], rows[name]["rounds"], strict=True)
        )
    parts = np.array_split(np.arange(case["genes"]), max(1, case["genes"] // 100))
    best = np.concatenate([most_likely(counts[:, part].toarray().astype("float64"), means[:, part]) for part in parts])
    return {
        "case": case, "epochs": 1 + rounds * epochs, "rows": rows, "load_average": load,
        "zeros": 1 - counts.nnz / (case["cells"] * case["genes"]), "expressed": int(expressed.sum()),
        "bound": recovery(best, truth, expressed),
        "components": agreement(components(counts, case["latent_dim"]), kinds),
    }  # fmt: skip


def markdown(result: dict[str, Any]) -> str:
    """Two tables, of speed and of recovery, and the conditions."""
    case, rows, facts = result["case"], result["rows"], result["machine"]
    lines = ["| | cells/s | from–to | a CPU second | ours over this |", "| --- | ---: | ---: | ---: | ---: |"]
    for name, row in rows.items():
        cells = (
            TITLES[name], f"{row['cells_per_second']:,.0f}", f"{min(row['rounds']):,.0f}–{max(row['rounds']):,.0f}",
            f"{row['cells_per_cpu_second']:,.0f}", f"{row.get('ours_over_this', 1.0):.2f}",
        )  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    lines += [
        "",
        f"| | correlation of log dispersion, {result['expressed']:,} genes of a mean of at least {EXPRESSED} "
        f"| all {case['genes']:,} genes | dispersion over the true one, median | ARI of the {TYPES} types |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    named = {**{TITLES[name]: row for name, row in rows.items()}, BOUND: result["bound"]}
    for title, row in named.items():
        index = f"{row['adjusted_rand_index']:.3f}" if "adjusted_rand_index" in row else ""
        lines.append(
            f"| {title} | {row['correlation_of_expressed']:.3f} | {row['correlation']:.3f} | "
            f"{row['factor_of_expressed']:.2f} | {index} |"
        )
    lines.append(f"| {COMPONENTS} | | | | {result['components']:.3f} |")
    versions = {name: number for row in rows.values() for name, number in row["versions"].items()}
    lines += [
        "",
        f"{case['cells']:,} cells of {case['genes']:,} genes, {result['zeros']:.0%} of the counts 0, in a sparse "
        f"matrix; {case['genes']}-{case['hidden']}-{case['latent_dim']}, batch {case['batch_size']}, "
        f"{result['epochs']} epochs of each, medians of {len(result['load_average'])} rounds in turns, on "
        f"{facts['processor']}, {facts['processors']} processors, load {facts['load']} before the start; load averages "
        f"of the rounds "
        f"{', '.join(f'{load:.1f}' for load in result['load_average'])}, those that train among them. "
        f"{', '.join(f'{name} {number}' for name, number in versions.items())}.",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=20_000)
    parser.add_argument("--genes", type=int, default=2_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=4, help="in each round")
    parser.add_argument("--peers", default=sys.executable, help="the interpreter of the extra `peers`")
    parser.add_argument("--busy", action="store_true", help="measure although the machine has other work")
    parser.add_argument("--output", default=None, help="write the result here, as JSON")
    arguments = parser.parse_args()
    case = {"cells": arguments.cells, "genes": arguments.genes, "hidden": 128, "latent_dim": 10, "batch_size": 128}
    with pauses.paused():
        facts = machine.describe()
        warnings = machine.warnings(facts)
        if warnings and not arguments.busy:
            sys.exit("\n".join([*warnings, "Wait, or say --busy."]))
        result = measured(case, arguments.rounds, arguments.epochs, arguments.peers)
    result |= {"machine": facts, "warnings": warnings}
    print(markdown(result))
    if arguments.output:
        write_json(arguments.output, result)


if __name__ == "__main__":
    main()
