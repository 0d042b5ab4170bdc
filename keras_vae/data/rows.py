"""Rows that are read when a batch asks for them: of memory maps, of sparse matrices, of files of arrays."""

import abc
import math
import os
import threading
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_vae import supports
from keras_vae.errors import CorruptFileError, reading

_FIRST = 256  # rows that stand for all, where nothing says more
_PIECE = 4096  # rows that are summed at once
# The static binarisation is one dataset, the same for everybody, whatever the seed of a run.
_STATIC_SEED = 2008
REMEDY = "Copy it again from where it came, or write it again."


class Rows(abc.ABC):
    """Examples along a first axis, like a read-only array that is indexed by the numbers of rows.

    Several threads may read at once. A subclass that cannot read a row raises UserError.

    Args:
      shape: `(examples, ...)`.
      dtype: of a number.
    """

    def __init__(self, shape: Sequence[int], dtype: Any) -> None:
        self.shape = tuple(int(size) for size in shape)
        self.dtype = np.dtype(dtype)

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @abc.abstractmethod
    def __getitem__(self, numbers: np.ndarray) -> np.ndarray:
        """Return the rows of these numbers, in their order."""

    def values(self) -> np.ndarray:
        """Return numbers that stand for all: the grey levels that occur, `(levels,)`, or else some rows."""
        first = self[np.arange(min(len(self), _FIRST))]
        return levels_in(first) if self.dtype == np.uint8 else first


class Mapped(Rows):
    """The rows of an array, most often of a memory map, whose every number can be looked at beforehand."""

    def __init__(self, array: np.ndarray) -> None:
        super().__init__(array.shape, array.dtype)
        self.array = array

    def __getitem__(self, numbers: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(self.array[numbers])

    def values(self) -> np.ndarray:
        return levels_in(self.array) if self.dtype == np.uint8 else self.array


Entries = tuple[np.ndarray, np.ndarray, np.ndarray]  # of rows: how many in each, and the column and value of each


class SparseRows(Rows):
    """Rows of numbers that are mostly 0, made dense when they are asked for."""

    @abc.abstractmethod
    def entries(self, numbers: np.ndarray) -> Entries:
        """Return what the rows of these numbers have that is not 0, row by row, each column of a row once."""

    def __getitem__(self, numbers: np.ndarray) -> np.ndarray:
        counts, columns, values = self.entries(numbers)
        rows = np.zeros((len(numbers), *self.shape[1:]), self.dtype)
        rows[np.repeat(np.arange(len(numbers)), counts), columns] = values
        return rows


class Sparse(Rows):
    """A sparse matrix of scipy, whose rows are made dense when they are asked for."""

    def __init__(self, matrix: Any) -> None:
        self.matrix = matrix.tocsr()
        super().__init__(self.matrix.shape, self.matrix.dtype)

    def __getitem__(self, numbers: np.ndarray) -> np.ndarray:
        return self.matrix[numbers].toarray()

    def values(self) -> np.ndarray:
        return np.append(self.matrix.data, 0.0).astype("float32")


class ArrayFile(Rows):
    """The rows of a `.npy`.

    They are read rather than mapped: the memory of the process does not grow with what it has read, and a file that is
    cut off meanwhile raises an error, where a map would kill the process.

    Args:
      path: of the file.
      checksums: CRC-32 of every row, which are then checked at reading.
    """

    def __init__(self, path: Path, checksums: np.ndarray | None = None) -> None:
        with reading(path, "is no array of numbers", REMEDY):
            array = np.load(path, mmap_mode="r", allow_pickle=False)  # its length is checked
            if not isinstance(array, np.memmap) or array.ndim < 2 or array.dtype.kind not in "fiub":
                raise ValueError("not one array of numbers with a row for each example")
            if not array.flags.c_contiguous:
                raise ValueError("its rows are not one after the other; save it after numpy.ascontiguousarray")
        super().__init__(array.shape, array.dtype.newbyteorder("="))
        self.path, self.checksums, self._start, self._stored = path, checksums, int(array.offset), array.dtype
        self._size = array.dtype.itemsize * math.prod(array.shape[1:])

    def __getitem__(self, numbers: np.ndarray) -> np.ndarray:
        memory = np.empty((len(numbers), self._size), "uint8")
        read_rows(self.path, numbers, memory, self._start + numbers.astype("int64") * self._size, self.checksums)
        rows = memory.view(self._stored).reshape(len(numbers), *self.shape[1:])
        return rows.astype(self.dtype, copy=False)


_turn = threading.Lock()  # two threads would wait for the interpreter at every row


def read_rows(
    path: Path, numbers: np.ndarray, memory: Iterable[Any], starts: np.ndarray, checksums: np.ndarray | None
) -> None:
    """Read rows of a file into memory.

    Args:
      path: of the file.
      numbers: of the rows, for messages, and to find their checksums.
      memory: an array of uint8 for each, which is filled.
      starts: the byte at which each begins.
      checksums: CRC-32 of every row of the file; None: they are not checked.

    Raises:
      CorruptFileError: a file that cannot be read, or that ends before a row; or a row with another checksum.
    """
    # Opened for each batch: there may be more files than a process may hold open.
    with _turn, reading(path, "cannot be read", REMEDY), open(path, "rb", buffering=0) as file:
        for number, row, start in zip(numbers.tolist(), memory, starts.tolist(), strict=True):
            if os.preadv(file.fileno(), [row], start) != row.nbytes:
                raise CorruptFileError(f"{path} ends before its row {number}: it is cut off. {REMEDY}")
            if checksums is not None and zlib.crc32(row) != checksums[number]:
                raise CorruptFileError(f"{path} is damaged: its row {number} is not as written. {REMEDY}")


class Selected(Rows):
    """Some rows of others, in an order of their own."""

    def __init__(self, rows: Rows, numbers: np.ndarray) -> None:
        super().__init__((len(numbers), *rows.shape[1:]), rows.dtype)
        self.rows, self.numbers = rows, numbers

    def __getitem__(self, numbers: np.ndarray) -> np.ndarray:
        return self.rows[self.numbers[numbers]]

    def values(self) -> np.ndarray:
        return self.rows.values()


class Chained(Rows):
    """The rows of several, one after the other."""

    def __init__(self, parts: Sequence[Rows]) -> None:
        self.parts, self.starts = list(parts), np.cumsum([0, *map(len, parts)])
        super().__init__((self.starts[-1], *parts[0].shape[1:]), parts[0].dtype)

    def __getitem__(self, numbers: np.ndarray) -> np.ndarray:
        rows = np.empty((len(numbers), *self.shape[1:]), self.dtype)
        for index, positions, inside in by_part(self.starts, numbers):
            rows[positions] = self.parts[index][inside]
        return rows


def by_part(starts: np.ndarray, numbers: np.ndarray) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Divide rows among the parts that they lie in, and yield each of these parts with its rows.

    Args:
      starts: the number of the first row of each part, and of the row after the last.
      numbers: of rows.

    Yields:
      The index of the part, the positions of its rows in `numbers`, and their numbers within the part.
    """
    which = np.searchsorted(starts, numbers, side="right") - 1
    for index in np.unique(which).tolist():
        positions = np.flatnonzero(which == index)
        yield index, positions, numbers[positions] - starts[index]


class StaticallyBinary(Rows):
    """The rows of others, binarised once: those of `binarized_once` of all of them.

    Args:
      rows: of grey levels.
      white: the level of a white pixel.
    """

    def __init__(self, rows: Rows, white: int) -> None:
        super().__init__(rows.shape, "uint8")
        self.rows, self.white = rows, white

    def __getitem__(self, numbers: np.ndarray) -> np.ndarray:
        size = math.prod(self.shape[1:])
        uniform = np.empty((len(numbers), size), "float32")
        for row, number in zip(uniform, numbers, strict=True):
            # Each step of the generator gives two numbers.
            before = int(number) * size
            generator = np.random.Generator(np.random.PCG64(_STATIC_SEED).advance(before // 2))
            row[:] = generator.random(size + before % 2, dtype="float32")[before % 2 :]
        return (uniform.reshape(-1, *self.shape[1:]) * np.float32(self.white) < self.rows[numbers]).astype("uint8")

    def values(self) -> np.ndarray:
        return np.array([0, 1])


def binarized_once(images: np.ndarray, white: int) -> np.ndarray:
    """Return images of 0 and 1, each pixel drawn with the probability of its grey level: always the same."""
    generator = np.random.Generator(np.random.PCG64(_STATIC_SEED))
    uniform = generator.random(images.shape, dtype="float32")
    return (uniform * np.float32(white) < images).astype("float32")


def totals_of(rows: Rows) -> np.ndarray:
    """Return the sum of the numbers of each row, `(rows,)`, float64, some rows at a time."""
    parts = [np.arange(start, min(start + _PIECE, len(rows))) for start in range(0, len(rows), _PIECE)]
    return np.concatenate([rows[part].reshape(len(part), -1).sum(1, dtype="float64") for part in parts])


def is_sparse(array: object) -> bool:
    """Return whether an array is a sparse one of scipy, which is not imported here."""
    return hasattr(array, "tocsr") and hasattr(array, "toarray")


def levels_in(images: np.ndarray) -> np.ndarray:
    """Return the grey levels of 256 that occur."""
    seen = np.zeros(256, bool)
    for piece in supports.pieces(images):
        seen[piece.ravel()] = True
        if seen.all():  # mostly after the first piece
            break
    return np.flatnonzero(seen)
