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
from keras_vae.scoring import tables, tfrecord
from keras_vae.scoring.layouts import Layout, scaled

_LOOKED_AT = 100  # records, at most, until one says which features there are
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
      layout: of the examples that are read of it.
    """

    rows: int  # their number

    def __init__(self, path: Path, layout: Layout) -> None:
        self.path, self.layout = path, layout

    @abc.abstractmethod
    def read(self, start: int, stop: int) -> Rows:
        """Return the rows from `start` until `stop`."""

    def select(self, feature: str | None) -> None:
        """Read this feature of each record; None for the only one."""
        if feature is not None:
            raise UserError(f"Only TFRecord files have features. Given: {feature!r}, for {self.path}. Leave it out.")


class ArrayFile(Input):
    """A `.npy` of examples, mapped into memory: only the rows that are read are."""

    def __init__(self, path: Path, layout: Layout) -> None:
        super().__init__(path, layout)
        with reading(path, "is no array of numbers", REMEDY):
            self.array = np.load(path, mmap_mode="r", allow_pickle=False)
            if not isinstance(self.array, np.ndarray) or not self.array.ndim:
                raise ValueError("not one array with a row for each example")
            scaled(self.array[:0], layout)
        self.rows = len(self.array)

    def read(self, start: int, stop: int) -> Rows:
        return Rows(scaled(self.array[start:stop], self.layout), np.arange(start, stop), {})


class Table(Input):
    """A `.parquet`: one column of lists, an example each; or one for each number, by the names of the layout."""

    def __init__(self, path: Path, layout: Layout) -> None:
        super().__init__(path, layout)
        parquet = required("pyarrow.parquet", "pyarrow")
        self.file: Any = parquet.ParquetFile(path, page_checksum_verification=True)
        sizes = [self.file.metadata.row_group(i).num_rows for i in range(self.file.num_row_groups)]
        self.starts = np.concatenate([[0], np.cumsum(sizes, dtype="int64")])
        self.rows = int(self.starts[-1])
        self.names = tables.names_of(self.file.schema_arrow, layout.columns, path)  # None: all

    def read(self, start: int, stop: int) -> Rows:
        first, last = np.searchsorted(self.starts, [start, stop - 1], side="right") - 1
        groups = list(range(first, last + 1))
        table = self.file.read_row_groups(groups, self.names).slice(start - self.starts[first], stop - start)
        if self.names is None and tables.is_of_lists(table.schema):
            lists, shape = table.column(0).to_pylist(), self.layout.shape
            return _each(range(start, stop), lambda row: _shaped(lists[row - start], shape), self.layout)
        x, bad = tables.numbers_of(table, self.layout.columns, self.path)
        good = [row for row in range(stop - start) if row not in bad]
        return Rows(x[good], start + np.array(good, "int64"), {start + row: reason for row, reason in bad.items()})


class Records(Input):
    """An ArrayRecord file whose records are pictures that Pillow reads, or arrays as `.npy` has them."""

    def __init__(self, path: Path, layout: Layout) -> None:
        super().__init__(path, layout)
        self.reader: Any = required("array_record.python.array_record_module", "array_record").ArrayRecordReader(
            str(path)
        )
        self.rows = self.reader.num_records()

    def read(self, start: int, stop: int) -> Rows:
        records = self.reader.read(start, stop)
        return _each(range(start, stop), lambda row: _decoded(records[row - start], self.layout), self.layout)


class TFRecords(Input):
    """A TFRecord file of pictures, `.npy` bytes, or Examples, of which a feature is either, or a list of numbers."""

    def __init__(self, path: Path, layout: Layout) -> None:
        super().__init__(path, layout)
        self.offsets, self.feature = tfrecord.offsets(path), None
        self.rows = len(self.offsets) - 1

    def read(self, start: int, stop: int) -> Rows:
        with self.path.open("rb") as file:
            return _each(range(start, stop), lambda row: self._example(self._record(file, row)), self.layout)

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

    def _example(self, record: bytes) -> np.ndarray:
        features = tfrecord.features(record)
        if not features and self.feature is None:
            return _decoded(record, self.layout)
        values = self._values(features)
        if values and isinstance(values[0], bytes):
            if len(values) > 1:
                raise ValueError(f"its feature has {len(values)} values, not one picture or array")
            return _decoded(values[0], self.layout)
        return _shaped(values, self.layout.shape)

    def _values(self, features: Mapping[str, tfrecord.Values]) -> tfrecord.Values:
        name = next(iter(features)) if self.feature is None and len(features) == 1 else self.feature
        if name is None or name not in features:
            raise UserError(
                f"An Example must have one feature, or the one that --feature names. Given: "
                f"{self.feature or 'no name'}, and {self.path} with {', '.join(sorted(features)) or 'none'}."
            )
        return features[name]


class Pictures(Input):
    """A folder of pictures, sorted by name, those of its subfolders too; each is made to fit the model's shape."""

    def __init__(self, path: Path, layout: Layout) -> None:
        super().__init__(path, layout)
        required("PIL.Image", "pillow")
        from keras_vae.data.pictures import names_in

        self.names = names_in(path)
        self.rows = len(self.names)

    def read(self, start: int, stop: int) -> Rows:
        folder, layout = self.path, self.layout
        return _each(range(start, stop), lambda row: _picture((folder / self.names[row]).read_bytes(), layout), layout)


KINDS: dict[str, type[Input]] = {
    ".npy": ArrayFile,
    ".parquet": Table,
    ".array_record": Records,
    ".arrayrecord": Records,
    ".tfrecord": TFRecords,
    ".tfrecords": TFRecords,
}


def opened(path: str | Path, layout: Layout, feature: str | None = None) -> Input:
    """Return the input at a path: by its ending, or a folder of pictures.

    Args:
      path: of the file or folder.
      layout: of the examples that are read of it.
      feature: that is read of a TFRecord file's Examples; by default the only one.

    Raises:
      UserError: nothing is there, another kind of file, or a table without a column of the layout.
    """
    path = Path(path)
    if not path.exists():
        raise UserError(f"The input must be a file, or a folder of pictures. Given: {path}, which is not there.")
    kind = Pictures if path.is_dir() else choose("ending of an input", _ending(path), KINDS)
    with reading(path, f"cannot be read as {_ending(path) or 'a folder'}", REMEDY):
        source = kind(path, layout)
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


def _each(rows: range, read: Callable[[int], np.ndarray], layout: Layout) -> Rows:
    """The rows that can be read and have the model's shape, each scaled by its own type; the reason for the others."""
    examples, bad, shape = {}, {}, layout.shape
    for row in rows:
        try:
            x = scaled(read(row), layout)
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


def _decoded(record: bytes, layout: Layout) -> np.ndarray:
    if record.startswith(b"\x93NUMPY"):
        return np.load(io.BytesIO(record), allow_pickle=False)
    return _picture(record, layout)


def _picture(content: bytes, layout: Layout) -> np.ndarray:
    """The pixels, uint8, as `keras_vae.data.folder` reads them: upright, on white, resized, or cut and resized."""
    height, width, channels = layout.shape
    with required("PIL.Image", "pillow").open(io.BytesIO(content)) as file:
        return files.fitted_pixels(file, (height, width), layout.crop, exact=False, name="it", grey=channels == 1)
