"""Sparse rows in files: matrices as scipy saves them, and shards, which keep column and value of what is not 0."""

import os
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from keras_vae.data.rows import REMEDY, Entries, SparseRows, by_part, read_rows
from keras_vae.errors import CorruptFileError, UserError, reading, required

_ARRAYS = {"format", "shape", "data"}  # of every file of scipy.sparse.save_npz
_FORMATS = ("csr", "csc", "coo")
_SAVE = "Save it with scipy.sparse.save_npz"


def matrices_in(path: Path) -> list[Path]:
    """Return the matrices of scipy at a path: the file, or all `.npz` of a folder by name; empty if none is one.

    Raises:
      UserError: some of a folder are matrices, and others are not, or cannot be read.
    """
    paths = sorted(path.glob("*.npz")) if path.is_dir() else [path] if path.suffix.lower() == ".npz" else []
    others = [one for one in paths if not _names(one) >= _ARRAYS]
    if others and len(others) < len(paths):
        raise UserError(
            f"Every .npz of a folder of sparse matrices is one. Given: {others[0]}, which is not, or cannot be read. "
            f"Write it anew with scipy.sparse.save_npz, or move it to another folder."
        )
    return [] if others else paths


def _names(path: Path) -> set[str]:
    """Return the names of the arrays of a file; none if it cannot be read, which the reader of other files says."""
    with (
        suppress(UserError),
        reading(path, "is no .npz", _SAVE, UserError),
        open(path, "rb") as file,  # which np.load of a path leaves open if it is broken
        np.load(file) as archive,
    ):
        return set(archive.files)
    return set()


def _checked(matrix: Any, path: Path) -> Any:
    """Return a matrix from a file in rows, once its indices are known to be valid: scipy follows them blindly.

    Raises:
      UserError: it is of a format that is not read.
      ValueError: an index lies outside.
    """
    if matrix.format not in _FORMATS:
        raise UserError(f"A sparse matrix is read in the formats {', '.join(_FORMATS)}. Given: {matrix.format}, in "
                        f"{path}. Save its rows: scipy.sparse.save_npz(path, matrix.tocsr()).")  # fmt: skip
    if matrix.format != "coo":  # scipy checks the entries of that one when it makes it
        matrix.check_format(full_check=True)
        # scipy does not look at these if the last is 0, and takes differences, which overflow.
        if (matrix.indptr[1:] < matrix.indptr[:-1]).any():
            raise ValueError("a row or column ends before it starts")
    return matrix.tocsr()


class Matrices(SparseRows):
    """The rows of sparse matrices of scipy in files, one after the other; one file at a time is in memory.

    A row is read with its whole file: in turn this is fast, in a random order it is not.

    Args:
      paths: of files that `scipy.sparse.save_npz` wrote, of as many columns and one type of numbers.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths, self._lock, self._held = list(paths), threading.Lock(), (-1, None)
        counts = []
        for path in self.paths:
            with reading(path, "is no sparse matrix", _SAVE, UserError), np.load(path) as archive:
                rows, _ = archive["shape"].tolist()
                counts.append(rows)
        self._starts = np.cumsum([0, *counts])
        self.dtype, first = np.dtype("float32"), self._matrix(0, None)
        super().__init__((self._starts[-1], first.shape[1]), first.dtype)

    def entries(self, numbers: np.ndarray) -> Entries:
        sparse: Any = required("scipy.sparse", "scipy")
        parts, order = [], []
        with self._lock:
            for index, positions, inside in by_part(self._starts, numbers):
                parts.append(self._matrix(index, self.dtype)[inside])
                order.append(positions)
        rows = sparse.vstack(parts, format="csr")[np.argsort(np.concatenate(order))]
        return np.diff(rows.indptr), rows.indices, rows.data

    def _matrix(self, index: int, dtype: np.dtype | None) -> Any:
        """The matrix of a file, of numbers of a type."""
        if self._held[0] != index:
            path, sparse = self.paths[index], required("scipy.sparse", "scipy")
            with reading(path, "is no sparse matrix of the others' kind", _SAVE, UserError):
                matrix = _checked(sparse.load_npz(path), path)
                matrix.sum_duplicates()
                if matrix.dtype.kind not in "fiub" or (dtype is not None and matrix.dtype != dtype):
                    raise ValueError(f"its numbers are {matrix.dtype}")
                if dtype is not None and matrix.shape[1:] != self.shape[1:]:
                    raise ValueError(f"it has {matrix.shape[1]} columns, not {self.shape[1]}")
            self._held = index, matrix
        return self._held[1]


def record(dtype: np.dtype) -> np.dtype:
    """Return the type of one entry in a shard of sparse rows: its column, and its value."""
    return np.dtype([("column", "<u4"), ("value", dtype.newbyteorder("<"))])


class SparseFile(SparseRows):
    """The rows of a shard of sparse rows: a `.npy` of entries, as `record` has them, row by row.

    Args:
      path: of the file.
      columns: of a row, when it is dense.
      dtype: of a number.
      starts: the entry at which each row starts, and the end of the last.
      checksums: CRC-32 of the entries of each row, which are checked at reading.
    """

    def __init__(self, path: Path, columns: int, dtype: np.dtype, starts: np.ndarray, checksums: np.ndarray) -> None:
        super().__init__((len(checksums), columns), dtype)
        self.path, self.checksums = path, checksums
        self._record = record(self.dtype)
        with reading(path, "is no array of entries", REMEDY), open(path, "rb") as file:
            np.lib.format.read_magic(file)
            shape, _, stored = np.lib.format.read_array_header_1_0(file)
            self._offset = file.tell()
            size = self._offset + shape[0] * stored.itemsize
            if starts.shape != (len(checksums) + 1,) or starts.dtype.kind not in "iu":
                raise ValueError("the starts of its rows are not a whole number for each, and one for the end")
            self.starts = starts.astype("int64")
            if stored != self._record or self.starts[0] != 0 or shape != (int(self.starts[-1]),):
                raise ValueError("not the entries that its columns and the manifest tell of")
            if (self.starts[1:] < self.starts[:-1]).any():  # not by differences, which overflow
                raise ValueError("a row ends before it starts")
            if os.fstat(file.fileno()).st_size != size:
                raise ValueError("it is cut off, or longer than it says")

    def entries(self, numbers: np.ndarray) -> Entries:
        first, end = self.starts[numbers], self.starts[numbers + 1]
        counts, size = end - first, self._record.itemsize
        memory = np.empty(int(counts.sum()), self._record)
        rows = np.split(memory.view("uint8"), np.cumsum(counts) * size)[:-1]
        read_rows(self.path, numbers, rows, self._offset + first * size, self.checksums)
        if len(memory) and int(memory["column"].max()) >= self.shape[1]:
            raise CorruptFileError(f"{self.path} has a column beyond its {self.shape[1]}. {REMEDY}")
        return counts, memory["column"], memory["value"].astype(self.dtype, copy=False)
