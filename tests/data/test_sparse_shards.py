"""Shards of sparse rows: what scipy saved, and no more bytes; read as the matrix is, checked, and trained on."""

import json

import numpy as np
import pytest
from PIL import Image
from scipy import sparse

from keras_vae import data, files
from keras_vae.data import readers
from keras_vae.data.shard_building import build_shards
from keras_vae.data.shard_files import read_manifest, read_shards
from keras_vae.data.sparse_files import Matrices
from keras_vae.errors import CorruptFileError, UserError
from keras_vae.models import VAE, LibraryVAE
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


OFFSET = {"name": "negative_binomial", "library": "observed"}


@pytest.mark.parametrize(
    ("cls", "likelihood"), [(VAE, "negative_binomial"), (VAE, OFFSET), (LibraryVAE, "negative_binomial")]
)
def test_training_is_that_of_the_array(cls, likelihood, built, tmp_path):
    """The totals of the rows, of which a library size is, are read before."""

    def fitted(x):
        model = cls(x_shape=(12,), latent_dim=2, encoder=mlp(), decoder=mlp(), likelihood=likelihood, seed=3)
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
    for content in (b"", b"no archive", (source / "d.npz").read_bytes()[:100]):
        (source / "d.npz").write_bytes(content)
        with pytest.raises(
            UserError, match=r"Every \.npz of a folder of sparse matrices is one\. Given: .*d\.npz, which"
        ):
            build_shards(source, tmp_path / "fifth")
    np.savez(source / "d.npz", x=COUNTS)
    with pytest.raises(UserError, match=r"Given: .*d\.npz, which is not"):
        build_shards(source, tmp_path / "sixth")
    (source / "d.npz").unlink()
    assert build_shards(source, tmp_path / "seventh")


@pytest.mark.parametrize("change", [{"shape": []}, {"shape": [3, 4]}, {"dtype": "O"}])
def test_a_manifest_of_other_rows_is_none(built, change):
    manifest = json.loads((built / "shards.json").read_text())
    (built / "shards.json").write_text(json.dumps({**manifest, **change}))
    with pytest.raises(CorruptFileError, match=r"is no manifest of shards: sparse rows are not of"):
        read_shards(built)


def altered(path, format, **changes):
    """A file of a matrix in a format, some of whose index arrays are changed at a place: name = (place, value)."""
    matrix = sparse.csr_matrix(COUNTS[:6]).asformat(format)
    sparse.save_npz(path, matrix)
    with np.load(path) as archive:
        arrays = {name: archive[name].copy() for name in archive.files}
    for name, (place, value) in changes.items():
        arrays[name][place] = value
    np.savez(path, **arrays)
    return path


@pytest.mark.parametrize(
    ("format", "changes"),
    [
        ("csc", {"indices": (3, 10**8)}), ("csc", {"indices": (3, -5)}), ("csc", {"indptr": (1, 10**9)}),
        ("csr", {"indices": (3, 10**8)}), ("csr", {"indptr": (2, 10**9)}), ("csr", {"indptr": (0, -7)}),
        # Beyond what scipy checks: the last is 0, as in a matrix without entries; and differences that overflow.
        ("csc", {"indptr": (slice(2, None), [10**9] + [0] * 10)}),
        ("csc", {"indptr": (slice(1, 3), [2**31 - 1, -(2**31)])}),
        ("coo", {"row": (3, 10**8)}), ("coo", {"col": (3, 12)}), ("coo", {"col": (3, -1)}),
    ],
)  # fmt: skip
def test_an_index_out_of_its_matrix_is_found_before_it_is_followed(tmp_path, format, changes):
    path = altered(tmp_path / "a.npz", format, **changes)
    with pytest.raises(UserError, match=r"a\.npz is no sparse matrix of the others' kind: .*\. Save it with scipy"):
        build_shards(path, tmp_path / "out")


@pytest.mark.parametrize(("format", "changes"), [("bsr", {"indptr": (1, 10**9)}), ("bsr", {}), ("dia", {})])
def test_other_formats_are_refused(tmp_path, format, changes):
    path = altered(tmp_path / "a.npz", format, **changes)
    with pytest.raises(UserError, match=rf"csr, csc, coo\. Given: {format}, in .*a\.npz\. Save its rows: .*tocsr"):
        build_shards(path, tmp_path / "out")


@pytest.mark.parametrize(
    "change",
    [
        lambda starts: np.append(-(2**40), starts[1:]), lambda starts: np.append(1, starts[1:]),
        lambda starts: starts.astype("float64"), lambda starts: starts.astype("U"), lambda starts: starts[None],
        lambda starts: starts[0], lambda starts: starts[:-1], lambda starts: np.append(starts[:-1], starts[-1] + 1),
        lambda starts: np.concatenate([[0, starts[-1] + 1], starts[2:]]),
        lambda starts: np.concatenate([[0, 2**63 - 1, -(2**63)], starts[3:]]),
        lambda starts: np.append(np.uint64(2**64 - 1), starts[1:].astype("uint64")),
    ],
)  # fmt: skip
def test_starts_that_are_none_are_found(built, change):
    path = built / "part-00000.npz"
    with np.load(path) as archive:
        columns = {name: archive[name] for name in archive.files}
    np.savez(path, **columns | {"starts": change(columns["starts"])})
    manifest = json.loads((built / "shards.json").read_text())
    manifest["parts"][0]["sha256_of_columns"] = files.sha256(path)
    (built / "shards.json").write_text(json.dumps(manifest))
    with pytest.raises(CorruptFileError, match=r"part-00000\.npy is no array of entries"):
        read_shards(built)


def test_a_broken_file_is_left_to_the_other_readers(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(40):
        Image.fromarray(np.full((8, 8), number, "uint8")).save(folder / f"{number}.png")
    (folder / "a.npz").write_bytes(b"PK\x03\x04 cut off")
    build_shards(folder, tmp_path / "shards", size=8)
    assert len(read_shards(tmp_path / "shards").images) == 40
    with pytest.raises(UserError, match=r"a\.npz is no \.npz: .*\. Save it with numpy\.savez\."):
        build_shards(folder / "a.npz", tmp_path / "other")
