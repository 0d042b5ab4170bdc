"""Rows of files of other formats: ArrayRecord, whose records are pictures or arrays, and Parquet."""

import io
import threading
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from keras_vae import files
from keras_vae.data.rows import REMEDY, Rows, by_part
from keras_vae.data.tables import INDEX
from keras_vae.errors import UserError, reading, required


class Records(Rows):
    """The records of an ArrayRecord file: pictures that Pillow reads, or arrays as `.npy` has them."""

    def __init__(self, path: Path) -> None:
        module = required("array_record.python.array_record_module", "array_record")
        self.path, self._lock = path, threading.Lock()
        with reading(path, "cannot be read as ArrayRecord", REMEDY):
            self.reader: Any = module.ArrayRecordReader(str(path))
            if not (count := self.reader.num_records()):
                raise ValueError("it has no records")
            first = _decoded(self.reader.read([0])[0])
        super().__init__((count, *first.shape), first.dtype)

    def __getitem__(self, numbers: np.ndarray) -> np.ndarray:
        with reading(self.path, "cannot be read as ArrayRecord", REMEDY):
            with self._lock:
                records = self.reader.read([int(number) for number in numbers])
            rows = [_decoded(record) for record in records]
            for number, row in zip(numbers, rows, strict=True):
                if row.shape != self.shape[1:]:
                    raise ValueError(
                        f"its record {number} has the shape {row.shape}, not {self.shape[1:]} as the first"
                    )
            return np.stack(rows).astype(self.dtype, copy=False)


class ParquetRows(Rows):
    """The rows of a `.parquet`: one column of lists, an example each, or a column for each number of an example.

    A row is read with its whole row group: in turn this is fast, in a random order it is not.

    Args:
      path: of the file.
      label: a column that is none of x.
    """

    def __init__(self, path: Path, label: str | None = None) -> None:
        self.path = path
        parquet = required("pyarrow.parquet", "pyarrow")
        with reading(path, "cannot be read as Parquet", REMEDY):
            self.file: Any = parquet.ParquetFile(path)
            names: list[str] = self.file.schema_arrow.names
            sizes = [self.file.metadata.row_group(i).num_rows for i in range(self.file.num_row_groups)]
        if label is not None and label not in names:
            raise UserError(f"The table must have the column {label!r}. Given: {path}, with {', '.join(names)}.")
        self.columns = tuple(name for name in names if name != label and not INDEX.fullmatch(name))
        self.label, self._starts, self._lock = label, np.cumsum([0, *sizes]), threading.Lock()
        self._held: tuple[int, np.ndarray] | None = None
        if not self.columns or not self._starts[-1]:
            raise UserError(f"A table has rows, and a column of x. Given: {path}. Add some.")
        first = self._group(0)
        super().__init__((self._starts[-1], *first.shape[1:]), first.dtype)

    def __getitem__(self, numbers: np.ndarray) -> np.ndarray:
        rows = np.empty((len(numbers), *self.shape[1:]), self.dtype)
        with self._lock:
            for index, positions, inside in by_part(self._starts, numbers):
                rows[positions] = self._group(index)[inside]
        return rows

    def labels(self) -> np.ndarray | None:
        """Return the column of labels, if there is one."""
        with reading(self.path, "cannot be read as Parquet", REMEDY):
            return None if self.label is None else self.file.read([self.label]).column(0).to_numpy()

    def _group(self, index: int) -> np.ndarray:
        if self._held is None or self._held[0] != index:
            with reading(self.path, "cannot be read as Parquet", REMEDY):
                columns = self.file.read_row_group(index, list(self.columns)).columns
                if len(columns) == 1 and "list" in str(columns[0].type):
                    self._held = index, np.stack([np.asarray(row) for row in columns[0].to_pylist()])
                else:
                    named = zip(self.columns, columns, strict=True)
                    arrays = [self._numbers(name, str(one.type), one.to_numpy()) for name, one in named]
                    self._held = index, np.stack(arrays, axis=-1).astype("float32")
                if self._held[1].dtype.kind not in "fiub":
                    raise ValueError("its columns are no numbers")
        return self._held[1]

    def _numbers(self, name: str, kind: str, cells: np.ndarray) -> np.ndarray:
        """The cells of a column as numbers."""
        try:
            if cells.dtype.kind in "mM":
                raise TypeError("dates and durations are no numbers")
            return cells if cells.dtype.kind in "fiub" else cells.astype("float64")
        except (TypeError, ValueError) as error:
            raise UserError(
                f"x of a Parquet file is made of numbers. Given: {self.path}, with the column {name!r}, {kind}. "
                f"Save it without that column."
            ) from error


def _decoded(record: bytes) -> np.ndarray:
    """The array, or the pixels, that a record holds."""
    if record.startswith(b"\x93NUMPY"):
        return np.load(io.BytesIO(record), allow_pickle=False)
    with Image.open(io.BytesIO(record)) as file:
        return files.fitted_pixels(
            file, (file.height, file.width), False, False, "a record", grey=file.mode in ("1", "L", "LA")
        )
