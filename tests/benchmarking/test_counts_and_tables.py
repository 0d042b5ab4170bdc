"""The arithmetic of the benchmarks of counts and of tables, and what their tables say of numbers typed here."""

import json

import numpy as np
import pytest
import scipy.optimize
import scipy.sparse
import scipy.stats

from keras_vae.data.generated import drawn_cells
from tests.benchmarking.programs import program
from tests.proofs import cells

counts, tables = program("counts"), program("tables")


def test_the_most_likely_dispersion_is_that_of_scipy_and_near_the_truth():
    truth = counts.parameters(12)
    x, _, mean = drawn_cells(truth, 3000, 5)
    estimated = counts.most_likely(x.astype("float64"), mean)

    def best(gene):
        def loss(log_dispersion):
            theta = np.exp(log_dispersion)
            return -scipy.stats.nbinom(theta, theta / (theta + mean[:, gene])).logpmf(x[:, gene]).sum()

        return scipy.optimize.minimize_scalar(loss, bounds=(-4, 8), method="bounded").x

    often = np.flatnonzero(mean.mean(axis=0) > 0.3)
    assert len(often) > 2
    np.testing.assert_allclose(estimated[often], [best(gene) for gene in often], atol=2e-3)
    np.testing.assert_allclose(estimated[often], np.log(truth.dispersion[often]), atol=0.7)


def test_pieces_of_cells_are_those_of_the_generator():
    truth = counts.parameters(20)
    x, kinds, means = counts.drawn(truth, counts.PIECE + 7)
    assert x.shape == (counts.PIECE + 7, 20) and x.dtype == "uint16" and len(kinds) == len(means) == x.shape[0]
    again, kind, _ = drawn_cells(truth, 7, 11 + counts.PIECE)
    np.testing.assert_array_equal(x[counts.PIECE :].toarray(), again)
    np.testing.assert_array_equal(kinds[counts.PIECE :], kind)


def test_recovery_is_a_correlation_and_a_factor():
    truth = counts.parameters(30)
    expressed = np.arange(30) < 20
    exact = counts.recovery(np.log(2 * truth.dispersion), truth, expressed)
    assert exact == pytest.approx({"correlation": 1, "correlation_of_expressed": 1, "factor_of_expressed": 2})


def test_clusters_apart_agree_whatever_their_names():
    kinds = np.arange(400) % counts.TYPES
    codes = 50.0 * np.eye(counts.TYPES)[(kinds + 3) % counts.TYPES]
    codes += np.random.default_rng(0).normal(size=codes.shape)
    assert counts.agreement(codes, kinds) == 1.0


def test_within_a_standard_error_is_that_of_the_best():
    runs = [{"mean": 1.0, "IterativeImputer": 0.5 + step, "IWAE": 0.55 + step} for step in (-0.1, 0.1)]
    cells_of_row = tables.summary(runs)
    assert cells_of_row["IterativeImputer"] == pytest.approx((0.5, 0.1))
    assert tables.near_best(cells_of_row, 1)
    assert not tables.near_best({"a": (0.5, 0.04), "IWAE": (0.55, 9.0)}, 1)
    assert tables.near_best({"a": (0.9, 0.04), "IWAE": (0.87, 0.0)}, -1)
    assert not tables.near_best({"a": (0.9, 0.04), "IWAE": (0.85, 0.0)}, -1)


def test_a_table_names_the_best_and_who_is_near():
    rmse = [{"mean": 1.0, "IWAE": 0.5 + step} for step in (0.0, 0.2)]
    auroc = [{"VAE": 0.9 + step, "IWAE": 0.5} for step in (0.0, 0.02)]
    wine = {
        "rows": 1178, "columns": 13, "source": tables.TABLES["wine"]._asdict(), "versions": {"pyod": "3"},
        "imputation": {"rmse": rmse, "coverage": [0.9, 0.8]}, "anomalies": {"auroc": auroc},
    }  # fmt: skip
    text = tables.markdown(
        {
            "tables": {"wine": wine},
            "seeds": 2,
            "steps": 400,
            "seconds": 61,
            "processor": "P",
            "versions": {"keras": "3"},
        }
    )
    assert "| wine, 1,178 × 13 | 1.000 ± 0.000 | **0.600 ± 0.100** | 85% |" in text
    assert "| wine, 1,178 × 13 | **0.910 ± 0.010** | 0.500 ± 0.000 | the third cultivar |" in text
    assert "best: 1 of 1 (wine)." in text and "best: 0 of 1." in text and "keras 3, pyod 3." in text


def test_an_iwae_starts_anew_for_each_seed_as_if_it_were_made_again():
    trainer, x = tables.Trainer(3, (2, 4, 0), 8), np.random.default_rng(0).normal(size=(40, 3))
    first = []
    for seed in (1, 2, 1):
        trainer.restart(seed)
        trainer.train(x)
        first.append(trainer.model.get_weights())
    same = [all(np.array_equal(a, b) for a, b in zip(one, first[2], strict=True)) for one in first[:2]]
    assert same == [True, False]


def test_cells_are_drawn_in_files(tmp_path, monkeypatch):
    monkeypatch.setattr(cells, "_AT_ONCE", 10)
    nonzero = cells.drawn(tmp_path, 40, 25)
    matrix = scipy.sparse.load_npz(tmp_path / "000000040.npz")
    assert matrix.shape == (25, cells.GENES) and matrix.nnz == nonzero and matrix.dtype == "uint16"
    truth = counts.parameters(cells.GENES)
    np.testing.assert_array_equal(matrix[20:].toarray(), drawn_cells(truth, 5, 11 + 60)[0])


def test_the_record_of_cells_is_a_table():
    record = {
        "cells": 10, "genes": 4, "zeros": 0.5, "megabytes": {"shards": 1, "dense": 2}, "seconds": {"drawing": 3.2},
        "network": [4, 3, 2], "cells_per_second": 5000, "cells_read_per_second": 7, "bound_before": -2.0, "bound": -1.0,
        "peak_megabytes": {"training": 1234}, "machine": {"processor": "P", "processors": 2},
    }  # fmt: skip
    text = cells.markdown(json.loads(json.dumps(record)))
    assert (
        "| trained on, cells/s, one epoch, 4-3-2 | 5,000 |" in text
        and "| memory while training, MB, at most | 1,234 |" in text
    )
