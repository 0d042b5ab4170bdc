"""Cells and waves have the moments that their parameters say; they, and a table of scikit-learn, never change."""

import hashlib

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer

from keras_vae import data
from keras_vae.data import generated, sources

PARTS = ("train", "validation", "test")
SIZES = [458, 52, 59]  # of the 569 rows
DIGEST = "8fd16f1df2f72781b677ffa22de28c8b092c4d30a0334e5bd06a60eed184d5d8"


def test_cells_have_the_moments_of_their_parameters():
    """E[x] and E[x**2] over size and stage in closed form; of 1,200 numbers at most 2 are 4 standard errors away.

    E[exp(a s)] = exp(0.045 a**2) of a size s ~ N(0, 0.3**2), sinh(a t / 2) / (a t / 2) of a stage with the trend t.
    """
    x, kind = generated.cells("train")
    truth, beyond = generated.truth(), 0
    trend = np.where(truth.trend == 0, 1e-9, truth.trend)
    for label in range(generated.TYPES):
        counts = x[kind == label].astype("float64")
        mean = np.exp(truth.log_rates[label] + 0.045) * np.sinh(trend / 2) / (trend / 2)
        square = np.exp(2 * truth.log_rates[label] + 4 * 0.045) * np.sinh(trend) / trend * (1 + 1 / truth.dispersion)
        for power, expected in ((1, mean), (2, mean + square)):
            errors = (counts**power).std(axis=0) / np.sqrt(len(counts))
            beyond += (np.abs((counts**power).mean(axis=0) - expected) > 4 * errors).sum()
    assert beyond <= 2
    assert {part: generated.cells(part)[0].shape for part in PARTS} == {
        part: (size, generated.GENES) for part, size in generated.SIZES.items()
    }


def test_waves_end_and_have_units():
    x, shape = generated.waves("validation")
    ends = np.isnan(x[..., 0])
    assert (ends == np.isnan(x[..., 1])).all() and (np.diff(ends.astype(int), axis=1) >= 0).all()
    lengths = (~ends).sum(1)
    assert lengths.min() == 24 and lengths.max() == 48 and set(shape) == {0, 1, 2}
    first, second = x[..., 0], (x[..., 1] - 20) / 5
    assert abs(np.nanmean(first)) < 0.02 and abs(np.nanmean(second)) < 0.02
    # Sine, square and sawtooth of a height in [0.5, 1.5] differ by their mean square.
    of_shape = [np.nanmean(np.square(first[shape == label])) for label in range(3)]
    square_of_height = 1 + 1 / 12
    expected = [0.5, np.mean(np.tanh(4 * np.sin(np.linspace(0, 2 * np.pi, 10_001))) ** 2), 1 / 3]
    np.testing.assert_allclose(of_shape, square_of_height * (np.array(expected) + 0.01), rtol=0.1)


def test_what_is_generated_never_changes():
    """Numbers of a zoo are measured on it."""
    digest = hashlib.sha256(generated.cells("test")[0].astype("uint16").tobytes()).hexdigest()
    assert digest == DIGEST
    np.testing.assert_allclose(generated.waves("test")[0][0, :2], [[-0.5392971, 22.372723], [-0.54881084, 24.680204]],
                               rtol=1e-5)  # fmt: skip


@pytest.mark.parametrize(("name", "shape"), [("breast_cancer", (30,)), ("cells", (120,)), ("waves", (48, 2))])
def test_splits_are_numbers_with_labels(name, shape):
    read = {part: sources.read(name, part) for part in PARTS}
    both = sources.read(name, "train+validation[2:]")
    assert len(both.images) == len(both.labels) == len(read["train"].images) + len(read["validation"].images) - 2
    np.testing.assert_array_equal(both.images[-3:], read["validation"].images[-3:])
    batch = next(data.load(name, "test[:9]", batch_size=9).as_numpy_iterator())
    assert batch["x"].shape == (9, *shape) and batch["x"].dtype == "float32" and batch["y"].shape == (9,)
    np.testing.assert_array_equal(batch["x"], read["test"].images[:9])


def test_the_table_is_scikit_learns():
    read = [sources.read("breast_cancer", part) for part in PARTS]
    assert [len(part.images) for part in read] == SIZES
    assert read[0].columns[:2] == ("mean radius", "mean texture") and read[0].classes == ("malignant", "benign")
    rows = np.concatenate([np.column_stack([part.images, part.labels]) for part in read])
    table = load_breast_cancer()
    whole = np.column_stack([table.data.astype("float32"), table.target])
    assert (rows[np.lexsort(rows.T)] == whole[np.lexsort(whole.T)]).all()
