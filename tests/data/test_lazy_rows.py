"""Memory maps and sparse matrices are read a batch at a time, and give what arrays do."""

import numpy as np
import pytest
import scipy.sparse

from keras_vae import data
from keras_vae.errors import UserError
from keras_vae.models import VAE
from tests.toys import PLAIN, grey, mlp, same, toy, weights

ROWS = np.random.default_rng(0).poisson(0.3, (40, 5)).astype("float32")


def mapped(path, array):
    np.save(path, array)
    return np.load(path, mmap_mode="r")


def batches_of(rows, **options):
    return list(data.batches(rows, batch_size=16, training=True, seed=3, **options).as_numpy_iterator())


@pytest.mark.parametrize("kind", ["memmap", "csr", "csc", "array"])
def test_the_batches_are_those_of_the_array(tmp_path, kind):
    rows = {
        "memmap": lambda: mapped(tmp_path / "x.npy", ROWS),
        "csr": lambda: scipy.sparse.csr_matrix(ROWS),
        "csc": lambda: scipy.sparse.csc_matrix(ROWS),
        "array": lambda: scipy.sparse.coo_array(ROWS),
    }[kind]()
    labels = np.arange(40)
    for one, other in zip(
        batches_of(rows, labels=labels, kind="numbers"), batches_of(ROWS, labels=labels, kind="numbers"), strict=True
    ):
        np.testing.assert_array_equal(one["x"], other["x"])
        np.testing.assert_array_equal(one["y"], other["y"])
        assert one["x"].dtype == np.float32


@pytest.mark.parametrize("options", [{}, {"binarize": "dynamic"}, {"binarize": "static"}, {"dequantize": True}])
def test_levels_of_a_memory_map_are_scaled_and_binarised_as_those_of_an_array(tmp_path, options):
    levels = np.round(grey(40) * 255).astype("uint8")
    for one, other in zip(
        batches_of(mapped(tmp_path / "x.npy", levels), **options), batches_of(levels, **options), strict=True
    ):
        np.testing.assert_array_equal(one["x"], other["x"])


def test_a_batch_at_a_time_is_read(monkeypatch):
    """Counted in the calls that make rows dense."""
    rows, made = scipy.sparse.csr_matrix(ROWS), []
    whole = scipy.sparse.csr_matrix.toarray
    monkeypatch.setattr(
        scipy.sparse.csr_matrix, "toarray", lambda self, *a, **k: made.append(self.shape[0]) or whole(self, *a, **k)
    )
    batches_of(rows)
    assert made == [16, 16]


def test_fit_takes_them(tmp_path):
    after = []
    for x in (ROWS, scipy.sparse.csr_matrix(ROWS), mapped(tmp_path / "x.npy", ROWS)):
        model = VAE(x_shape=(5,), latent_dim=2, encoder=mlp(), decoder=mlp(), likelihood="poisson")
        model.compile(**PLAIN)
        model.fit(x, batch_size=16, verbose=0)
        after.append(weights(model))
    assert same(after[0], after[1]) and same(after[0], after[2])
    negative = scipy.sparse.csr_matrix(ROWS - 2 * (ROWS == 1))
    with pytest.raises(UserError, match=r"must be counts, whole numbers from 0"):
        model.fit(negative, batch_size=16, verbose=0)
    with pytest.raises(UserError, match=r"must be finite"):
        model.fit(scipy.sparse.csr_matrix(np.where(ROWS == 1, np.nan, ROWS)), batch_size=16, verbose=0)
    with pytest.raises(UserError, match=r"sparse matrix are numbers"):
        data.batches(negative, training=False, binarize="static")


@pytest.mark.slow
def test_validation_split_is_the_last_examples():
    """As Keras has it: before any shuffling. The curves are those of splitting by hand."""
    x, histories = (grey(40) > 0.5).astype("float32"), []
    for arguments in ({"x": x, "validation_split": 0.25}, {"x": x[:30], "validation_data": x[30:]}):
        model = toy()
        model.compile(**PLAIN)
        histories.append(model.fit(**arguments, batch_size=10, epochs=2, verbose=0).history)
    assert histories[0] == histories[1]
    for arguments in (
        {"x": x, "validation_split": 0.25, "validation_data": x},
        {"x": iter([x]), "validation_split": 0.25},
        {"x": x, "validation_split": 1},
        {"x": x, "validation_split": True},
    ):
        with pytest.raises(UserError, match=r"validation_split is a share of arrays, between 0 and 1"):
            model.fit(**arguments, verbose=0)
    with pytest.raises(UserError, match=r"leaves examples on both sides\. Given: 0\.01 of 1 examples"):
        model.fit(x[:1], validation_split=0.01, verbose=0)
