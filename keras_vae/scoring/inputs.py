"""Files of examples, read by ranges of rows: arrays, tables, records and folders of pictures."""

import abc
import contextlib
import io
import math
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from keras_vae import files
from keras_vae.errors import UnavailableError, UserError, reading, required
from keras_vae.registry import choose
from keras_vae.scoring import tfrecord

_LOOKED_AT = 100  # records, for one that says which features there are
REMEDY = "Write it again, or take it out of the input."


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

    def select(self, feature: str | None) -> None:
        """Read this feature of each record; None for the only one."""
        if feature is not None:
            raise UserError(f"Only TFRecord files have features. Given: {feature!r}, for {self.path}. Leave it out.")


class ArrayFile(Input):
    """A `.npy` of examples, mapped into memory: only the rows that are read are."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        with reading(path, "is no array of numbers", REMEDY):
            self.array = np.load(path, mmap_mode="r", allow_pickle=False)
            if not isinstance(self.array, np.ndarray) or not self.array.ndim:
                raise ValueError("not one array with a row for each example")
            scaled(self.array[:0])

    @property
    def rows(self) -> int:
        return len(self.array)

    def read(self, start: int, stop: int, shape: tuple[int, ...]) -> Rows:
        return Rows(scaled(self.array[start:stop]), np.arange(start, stop), {})


class Table(Input):
    """A `.parquet`: one column of lists, an example each, or one column for each number of an example."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        parquet = required("pyarrow.parquet", "pyarrow")
        self.file: Any = parquet.ParquetFile(path, page_checksum_verification=True)
        sizes = [self.file.metadata.row_group(i).num_rows for i in range(self.file.num_row_groups)]
        self.starts = np.concatenate([[0], np.cumsum(sizes, dtype="int64")])

    @property
    def rows(self) -> int:
        return int(self.starts[-1])

    def read(self, start: int, stop: int, shape: tuple[int, ...]) -> Rows:
        first, last = np.searchsorted(self.starts, [start, stop - 1], side="right") - 1
        table = self.file.read_row_groups(list(range(first, last + 1))).slice(start - self.starts[first], stop - start)
        if table.num_columns == 1 and "list" in str(table.schema[0].type):
            lists = table.column(0).to_pylist()
            return _each(range(start, stop), lambda row: _shaped(lists[row - start], shape), shape)
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


class TFRecords(Input):
    """A TFRecord file of pictures, `.npy` bytes, or Examples, of which a feature is either, or a list of numbers."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.offsets, self.feature = tfrecord.offsets(path), None

    @property
    def rows(self) -> int:
        return len(self.offsets) - 1

    def read(self, start: int, stop: int, shape: tuple[int, ...]) -> Rows:
        with self.path.open("rb") as file:
            return _each(range(start, stop), lambda row: self._example(self._record(file, row), shape), shape)

    def select(self, feature: str | None) -> None:
        self.feature = feature
        with self.path.open("rb") as file:
            features: Mapping[str, tfrecord.Values] = {}
            for row in range(min(self.rows, _LOOKED_AT)):
                with contextlib.suppress(ValueError):  # a bad row, when it is read
                    features = features or tfrecord.features(self._record(file, row))
        if features or (feature is not None and self.rows):
            self._values(features)

    def _record(self, file: BinaryIO, row: int) -> bytes:
        return tfrecord.record(file, *map(int, self.offsets[row : row + 2]))

    def _example(self, record: bytes, shape: tuple[int, ...]) -> np.ndarray:
        features = tfrecord.features(record)
        if not features and self.feature is None:
            return _decoded(record, shape)
        values = self._values(features)
        if values and isinstance(values[0], bytes):
            if len(values) > 1:
                raise ValueError(f"its feature has {len(values)} values, not one picture or array")
            return _decoded(values[0], shape)
        return _shaped(values, shape)

    def _values(self, features: Mapping[str, tfrecord.Values]) -> tfrecord.Values:
        name = next(iter(features)) if self.feature is None and len(features) == 1 else self.feature
        if name is None or name not in features:
            raise UserError(
                f"An Example must have one feature, or the one that --feature names. Given: "
                f"{self.feature or 'no name'}, and {self.path} with {', '.join(sorted(features)) or 'none'}."
            )
        return features[name]


class Pictures(Input):
    """A folder of pictures, sorted by name, those of its subfolders too; each is resized to the model's shape."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        required("PIL.Image", "pillow")
        from keras_vae.data.pictures import names_in

        self.names = names_in(path)

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
    ".tfrecord": TFRecords,
    ".tfrecords": TFRecords,
}


def opened(path: str | Path, feature: str | None = None) -> Input:
    """Return the input at a path: by its ending, or a folder of pictures.

    Args:
      path: of the file or folder.
      feature: that is read of a TFRecord file's Examples; by default the only one.

    Raises:
      UserError: nothing is there, or another kind of file.
    """
    path = Path(path)
    if not path.exists():
        raise UserError(f"The input must be a file, or a folder of pictures. Given: {path}, which is not there.")
    kind = Pictures if path.is_dir() else choose("ending of an input", _ending(path), KINDS)
    with reading(path, f"cannot be read as {_ending(path) or 'a folder'}", REMEDY):
        source = kind(path)
        source.select(feature)
        return source


def listed(path: str | Path) -> list[Path]:
    """Return the inputs at a path: itself, or the files of a folder that holds files of `KINDS`, sorted by name."""
    path = Path(path)
    files = sorted(file for file in path.iterdir() if _ending(file) in KINDS) if path.is_dir() else []
    return files or [path]


def _ending(path: Path) -> str:
    """The ending of a file's name, before the number of a shard: `.tfrecord` of `train.tfrecord-00000-of-00004`."""
    return re.sub(r"-\d+-of-\d+$", "", path.suffix.lower())


def scaled(x: np.ndarray) -> np.ndarray:
    """Return float32 numbers: those of uint8, the type of pixels in files, divided by 255."""
    if x.dtype.kind not in "uifb":
        raise ValueError(f"its type is {x.dtype}, not numbers")
    if x.dtype != "uint8":
        return np.asarray(x, "float32")
    numbers = x.astype("float32")
    numbers /= np.float32(255)
    return numbers


def _each(rows: range, read: Callable[[int], np.ndarray], shape: tuple[int, ...]) -> Rows:
    """The rows that can be read and have the model's shape, each scaled by its own type; the reason for the others."""
    examples, bad = {}, {}
    for row in rows:
        try:
            x = scaled(read(row))
        except UnavailableError:
            raise
        except Exception as error:  # whatever a decoder raises at bytes that are no picture
            bad[row] = f"{type(error).__name__}: {error}"
        else:
            if x.shape == shape:
                examples[row] = x
            else:
                bad[row] = f"its shape is {x.shape}, not {shape}"
    stacked = np.stack(list(examples.values())) if examples else np.empty((0, *shape), "float32")
    return Rows(stacked, np.array(list(examples), "int64"), bad)


def _shaped(values: Sequence[Any], shape: tuple[int, ...]) -> np.ndarray:
    """Numbers as an array, those of a flat list in the model's shape where their count is its."""
    x = np.asarray(values)
    return x.reshape(shape) if x.ndim == 1 and x.size == math.prod(shape) else x


def _decoded(record: bytes, shape: tuple[int, ...]) -> np.ndarray:
    if record.startswith(b"\x93NUMPY"):
        return np.load(io.BytesIO(record), allow_pickle=False)
    return _picture(record, shape)


def _picture(content: bytes, shape: tuple[int, ...]) -> np.ndarray:
    """The pixels, uint8, as `keras_vae.data.folder` reads them: upright, on white, resized."""
    height, width, channels = shape
    with required("PIL.Image", "pillow").open(io.BytesIO(content)) as file:
        return files.fitted_pixels(file, (height, width), crop=False, exact=False, name="it", grey=channels == 1)


def require_pyarrow() -> None:
    """Raise UnavailableError if parquet files cannot be written here."""
    required("pyarrow.parquet", "pyarrow")
