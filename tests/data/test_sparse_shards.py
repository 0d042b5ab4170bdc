"""Shards of sparse rows: what scipy saved, and no more bytes; read as the matrix is, checked, and trained on."""

import json

import numpy as np
import pytest
from scipy import sparse

from keras_vae import data
from keras_vae.data import readers
from keras_vae.data.shard_building import build_shards
from keras_vae.data.shard_files import read_manifest, read_shards
from keras_vae.data.sparse_files import Matrices
from keras_vae.errors import CorruptFileError, UserError
from keras_vae.models import VAE
from tests.toys import PLAIN, mlp

COUNTS = np.random.default_rng(0).poisson(0.2, (60, 12)).astype("uint16")
COUNTS[[3, 30]] = 0  # rows without an entry


@pytest.fixture
def source(tmp_path):
    """A folder of matrices of three formats, whose rows follow one another."""
    folder = tmp_path / "matrices"
    folder.mkdir()
    for name, format, rows in (("a", "csr", slice(20)), ("b", "csc", slice(20, 25)), ("c", "coo", slice(25, 60))):
        sparse.save_npz(folder / f"{name}.npz", sparse.csr_matrix(COUNTS[rows]).asformat(format))
    return folder


@pytest.fixture
def built(source, tmp_path):
    build_shards(source, tmp_path / "shards", shard_rows=22)
    return tmp_path / "shards"


def rows_of(images):
    return images.images[np.arange(len(images.images))]


def test_they_hold_the_matrices_in_their_splits_and_only_what_is_not_0(source, built, tmp_path):
    manifest = read_manifest(built)
    assert manifest.get("sparse") and manifest["levels"] is None and manifest["shape"] == [12]
    assert [part["rows"] for part in manifest["parts"]] == [22, 22, 16] and manifest["dtype"] == "uint16"
    entries = np.concatenate([np.load(path) for path in sorted(built.glob("*.npy"))])
    assert entries.itemsize == 6 and len(entries) == (COUNTS != 0).sum()
    np.testing.assert_array_equal(entries["column"], np.nonzero(COUNTS)[1])
    np.testing.assert_array_equal(entries["value"], COUNTS[COUNTS != 0])
    np.save(tmp_path / "dense.npy", COUNTS)
    for split in (None, "train", "validation", "test", "train+validation", "train[3:9]"):
        expected = rows_of(readers.array(tmp_path / "dense.npy", split))
        np.testing.assert_array_equal(rows_of(read_shards(built, split)), expected)
    one = source / "a.npz"
    build_shards(one, tmp_path / "one")
    np.testing.assert_array_equal(rows_of(read_shards(tmp_path / "one")), COUNTS[:20])


def test_rows_are_read_in_any_order(built, source):
    numbers = np.random.default_rng(1).permutation(60)[:31]
    shards = read_shards(built)
    np.testing.assert_array_equal(shards.images[numbers], COUNTS[numbers])
    matrices = Matrices(sorted(source.glob("*.npz")))
    np.testing.assert_array_equal(matrices[numbers], COUNTS[numbers])
    assert matrices.shape == COUNTS.shape and matrices[numbers].dtype == "uint16"


def test_training_is_that_of_the_array(built, tmp_path):
    def fitted(x):
        model = VAE(x_shape=(12,), latent_dim=2, encoder=mlp(), decoder=mlp(), likelihood="negative_binomial", seed=3)
        model.compile(**PLAIN)
        model.fit(x, epochs=2, verbose=0)
        return model.get_weights()

    rows = rows_of(read_shards(built, "train"))
    streamed = fitted(data.shards(built, batch_size=8, seed=3))
    memory = fitted(data.batches(rows, batch_size=8, training=True, seed=3, kind="numbers"))
    for one, other in zip(streamed, memory, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("place", [-1, 140])
def test_a_changed_byte_is_found(built, place):
    path = built / "part-00000.npy"
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    with pytest.raises(CorruptFileError, match=r"part-00000\.npy is damaged: its row \d+ is not as written"):
        rows_of(read_shards(built))


@pytest.mark.parametrize("change", [lambda content: content[:-6], lambda content: content + b"12"])
def test_a_file_of_another_length_is_found(built, change):
    path = built / "part-00001.npy"
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(CorruptFileError, match=r"part-00001\.npy is no array of entries: it is cut off, or longer"):
        read_shards(built)


def test_a_build_goes_on(built, source):
    before = (built / "part-00002.npy").read_bytes()
    (built / "part-00002.npz").unlink()
    manifest = read_manifest(built)
    (built / "shards.json").write_text(json.dumps({**manifest, "parts": []}))
    build_shards(source, built, shard_rows=22, resume=True)
    assert (built / "part-00002.npy").read_bytes() == before and read_manifest(built) == manifest


def test_matrices_that_do_not_fit(source, tmp_path):
    with pytest.raises(UserError, match=r"A sparse matrix has numbers alone\. Given: label\. Leave it out\."):
        build_shards(source, tmp_path / "out", label="y")
    sparse.save_npz(source / "d.npz", sparse.csr_matrix(COUNTS[:5, :7]))
    with pytest.raises(UserError, match=r"d\.npz is no sparse matrix of the others' kind: it has 7 columns, not 12"):
        build_shards(source, tmp_path / "other")
    sparse.save_npz(source / "d.npz", sparse.csr_matrix(COUNTS[:5].astype("float32")))
    with pytest.raises(UserError, match=r"its numbers are float32"):
        build_shards(source, tmp_path / "third")
    broken = sparse.csr_matrix(COUNTS[:5])
    broken.indices[0] = 99
    sparse.save_npz(source / "d.npz", broken)
    with pytest.raises(UserError, match=r"d\.npz is no sparse matrix"):
        build_shards(source, tmp_path / "fourth")


@pytest.mark.parametrize("change", [{"shape": []}, {"shape": [3, 4]}, {"dtype": "O"}])
def test_a_manifest_of_other_rows_is_none(built, change):
    manifest = json.loads((built / "shards.json").read_text())
    (built / "shards.json").write_text(json.dumps({**manifest, **change}))
    with pytest.raises(CorruptFileError, match=r"is no manifest of shards: sparse rows are not of"):
        read_shards(built)
