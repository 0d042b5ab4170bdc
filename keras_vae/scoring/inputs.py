"""Files of examples, read by ranges of rows: arrays, tables, records and folders of pictures."""

import abc
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from keras_vae.errors import UserError, reading, required
from keras_vae.registry import choose

_REMEDY = "Write it again, or take it out of the input."


class Rows(NamedTuple):
    """A range of rows as it was read: arrays of one example each, or the reason why a row is none."""

    x: np.ndarray  # (rows that could be read, *shape)
    numbers: np.ndarray  # int64, the row of each in its file
    bad: dict[int, str]  # row -> the reason


class Input(abc.ABC):
    """A file, or a folder of pictures, with rows that can be read by number.

    Args:
      path: of the file or folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    @abc.abstractmethod
    def rows(self) -> int:
        """The number of rows."""

    @abc.abstractmethod
    def read(self, start: int, stop: int, shape: tuple[int, ...]) -> Rows:
        """Return the rows from `start` until `stop`, for a model of examples of `shape`."""


class ArrayFile(Input):
    """A `.npy` of examples, mapped into memory: only the rows that are read are."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        with reading(path, "is no array of numbers", _REMEDY):
            self.array = np.load(path, mmap_mode="r", allow_pickle=False)
            if not isinstance(self.array, np.ndarray) or not self.array.ndim:
                raise ValueError("not one array with a row for each example")

    @property
    def rows(self) -> int:
        return len(self.array)

    def read(self, start: int, stop: int, shape: tuple[int, ...]) -> Rows:
        return Rows(scaled(self.array[start:stop]), np.arange(start, stop), {})


class Table(Input):
    """A `.parquet`: one column of lists, an example each, or one column for each number of an example."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.file: Any = required("pyarrow.parquet", "pyarrow").ParquetFile(path)
        sizes = [self.file.metadata.row_group(i).num_rows for i in range(self.file.num_row_groups)]
        self.starts = np.concatenate([[0], np.cumsum(sizes, dtype="int64")])

    @property
    def rows(self) -> int:
        return int(self.starts[-1])

    def read(self, start: int, stop: int, shape: tuple[int, ...]) -> Rows:
        first, last = np.searchsorted(self.starts, [start, stop - 1], side="right") - 1
        table = self.file.read_row_groups(list(range(first, last + 1))).slice(start - self.starts[first], stop - start)
        if table.num_columns == 1 and "list" in str(table.schema[0].type):
            examples = [np.asarray(row) for row in table.column(0).to_pylist()]
            return _stacked(examples, range(start, stop), {}, shape)
        # A hole in a column of integers makes floats of it, with NaN: the row is bad by the model's own rule.
        columns = [column.to_numpy(zero_copy_only=False) for column in table.columns]
        if odd := [
            name for name, column in zip(table.column_names, columns, strict=True) if column.dtype.kind not in "iufb"
        ]:
            raise UserError(f"Columns must be numbers. Given: {self.path}, whose {odd[0]!r} is not. Leave it out.")
        return Rows(np.stack(columns, axis=-1).astype("float32"), np.arange(start, stop), {})


class Records(Input):
    """An ArrayRecord file whose records are pictures that Pillow reads, or arrays as `.npy` has them."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.reader: Any = required("array_record.python.array_record_module", "array_record").ArrayRecordReader(
            str(path)
        )

    @property
    def rows(self) -> int:
        return self.reader.num_records()

    def read(self, start: int, stop: int, shape: tuple[int, ...]) -> Rows:
        records = self.reader.read(start, stop)
        return _each(range(start, stop), lambda row: _decoded(records[row - start], shape), shape)


class Pictures(Input):
    """A folder of pictures, sorted by name, those of its subfolders too; each is resized to the model's shape."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        from PIL import Image

        suffixes = {suffix for suffix, kind in Image.registered_extensions().items() if kind in Image.OPEN}
        self.names = sorted(
            file.relative_to(path).as_posix()
            for file in path.rglob("*")
            if file.suffix.lower() in suffixes and file.is_file() and not file.name.startswith(".")
        )

    @property
    def rows(self) -> int:
        return len(self.names)

    def read(self, start: int, stop: int, shape: tuple[int, ...]) -> Rows:
        return _each(range(start, stop), lambda row: _picture((self.path / self.names[row]).read_bytes(), shape), shape)


KINDS: dict[str, type[Input]] = {
    ".npy": ArrayFile,
    ".parquet": Table,
    ".array_record": Records,
    ".arrayrecord": Records,
}


def opened(path: str | Path) -> Input:
    """Return the input at a path: by its ending, or a folder of pictures.

    Raises:
      UserError: nothing is there, or another kind of file.
    """
    path = Path(path)
    if path.is_dir():
        return Pictures(path)
    if not path.is_file():
        raise UserError(f"The input must be a file, or a folder of pictures. Given: {path}, which is not there.")
    kind = choose("ending of an input", path.suffix.lower(), KINDS)
    with reading(path, f"cannot be read as {path.suffix}", _REMEDY):
        return kind(path)


def listed(path: str | Path) -> list[Path]:
    """Return the inputs at a path: itself, or the files of a folder that holds files of `KINDS`, sorted by name."""
    path = Path(path)
    files = sorted(file for file in path.iterdir() if file.suffix.lower() in KINDS) if path.is_dir() else []
    return files or [path]


def scaled(x: np.ndarray) -> np.ndarray:
    """Return float32 numbers: those of uint8, the type of pixels in files, divided by 255."""
    return x.astype("float32") / np.float32(255) if x.dtype == "uint8" else np.asarray(x, "float32")


def _each(rows: range, read: Callable[[int], np.ndarray], shape: tuple[int, ...]) -> Rows:
    examples, bad = [], {}
    for row in rows:
        try:
            examples.append(read(row))
        except Exception as error:  # whatever a decoder raises at bytes that are no picture
            bad[row] = f"{type(error).__name__}: {error}"
    return _stacked(examples, [row for row in rows if row not in bad], bad, shape)


def _stacked(examples: Sequence[np.ndarray], rows: Sequence[int], bad: dict[int, str], shape: tuple[int, ...]) -> Rows:
    """The examples that have the model's shape, and the reason for the others."""
    bad = {
        **bad,
        **{
            row: f"its shape is {x.shape}, not {shape}"
            for row, x in zip(rows, examples, strict=True)
            if x.shape != shape
        },
    }
    kept = [(row, x) for row, x in zip(rows, examples, strict=True) if row not in bad]
    x = np.stack([x for _, x in kept]) if kept else np.empty((0, *shape), "float32")
    return Rows(scaled(x), np.array([row for row, _ in kept], "int64"), bad)


def _decoded(record: bytes, shape: tuple[int, ...]) -> np.ndarray:
    if record.startswith(b"\x93NUMPY"):
        return np.load(io.BytesIO(record), allow_pickle=False)
    return _picture(record, shape)


def _picture(content: bytes, shape: tuple[int, ...]) -> np.ndarray:
    """The pixels, uint8, as `keras_vae.data.folder` reads them: upright, on white, resized."""
    from PIL import Image

    from keras_vae.data.pictures import fitted

    height, width, channels = shape
    with Image.open(io.BytesIO(content)) as file:
        return fitted(file, (height, width), crop=False, exact=False, name="it", grey=channels == 1)


def require_pyarrow() -> None:
    """Raise UnavailableError if parquet files cannot be written here."""
    required("pyarrow.parquet", "pyarrow")
