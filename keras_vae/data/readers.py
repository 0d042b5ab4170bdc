"""Data of a user's own, which a recipe names by `source` and `path`: functions from a split to its examples.

A source that is registered takes `split`, None for all examples, and as further arguments what its recipes have under
[data]; a relative `path` counts from the recipe's file.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from keras_vae import files
from keras_vae.checks import check_whole_number
from keras_vae.columns import Kinds
from keras_vae.data import tables, words
from keras_vae.data.pictures import read_folder, share_of, unread
from keras_vae.data.row_files import Records
from keras_vae.data.rows import ArrayFile
from keras_vae.data.shard_files import read_shards
from keras_vae.data.sources import Images
from keras_vae.data.splits import FRACTIONS, members
from keras_vae.errors import UserError, reading
from keras_vae.registry import Entries, nearest


def folder(
    path: str | Path,
    split: str | None = None,
    size: int | Sequence[int] | None = None,
    crop: bool = False,
    grey: bool = False,
    fractions: Sequence[float] = FRACTIONS,
    stream: bool = False,
) -> Images:
    """Return the pictures of a folder; subfolders are their labels: as `keras_vae.data.folder`."""
    read = unread if stream else read_folder
    images, labels, classes, _ = read(path, size, crop, split, grey, fractions)
    return Images(images, labels, classes=classes)


def table(
    path: str | Path,
    split: str | None = None,
    columns: Sequence[str] | None = None,
    label: str | None = None,
    fractions: Sequence[float] = FRACTIONS,
    missing: bool = False,
    kinds: Kinds | None = None,
) -> Images:
    """Return the rows of a `.csv` or `.parquet`, as `keras_vae.data.table` reads it.

    A row stays in its split when others are added at the end.

    Args:
      path: of the file.
      split: of `keras_vae.data.splits.SPLITS`, or a slice of one.
      columns: the names of those to take, in this order; None: all but the label.
      label: the column of the classes, which may be words; an empty cell is a missing label.
      fractions: of the rows in train, validation and test.
      missing: an empty cell is a missing number, NaN, for a model with the argument `missing`.
      kinds: of columns that differ, in place of columns, as `keras_vae.data.table` takes them: then the model's
        likelihood is `"mixed"`.
    """
    if columns is not None and kinds is not None:
        raise UserError(f"kinds names the columns, in order. Given: columns = {columns} too. Leave it out.")
    if columns is not None and (isinstance(columns, str) or not all(isinstance(name, str) for name in columns)):
        raise UserError(f"columns is a list of names. Given: {columns!r}. Write them in brackets.")
    names, cells = tables.cells_of(path)
    if label is not None and label not in names:
        raise UserError(f"label is the name of a column. Given: {label!r}.{nearest(label, names)}")
    order = list(columns or kinds or [name for name in names if name != label])
    if not order or label in order:
        raise UserError(f"columns are those of x, one or more, without the label. Given: {order}. Change columns.")
    x = tables.numbers_of(names, cells, order, missing, kinds).x
    labels, classes = (None, ()) if label is None else numbered(cells[:, names.index(label)])
    rows = Images(x, labels, columns=tuple(order), classes=classes, missing=missing)
    return _split(rows, split, fractions)


def array(
    path: str | Path,
    split: str | None = None,
    x: str = "x",
    label: str | None = None,
    fractions: Sequence[float] = FRACTIONS,
    stream: bool = False,
    missing: bool = False,
) -> Images:
    """Return the examples of a `.npy`, or of a `.npz`, along the first axis.

    Args:
      path: of the file.
      split: as of `table`.
      x: of a `.npz`, the name of the array.
      label: of a `.npz`, the name of the array of classes, whole numbers from 0, -1 for a missing one.
      fractions: as of `table`.
      stream: of a `.npy`: rows are read when they are asked for.
      missing: NaN is a missing number, for a model with the argument `missing`.
    """
    if stream:
        if Path(path).suffix.lower() != ".npy":
            raise UserError(f"stream reads the rows of a .npy one by one. Given: {path}. Save x with numpy.save.")
        return _split(Images(ArrayFile(Path(path)), None, missing=missing), split, fractions)
    if Path(path).suffix.lower() != ".npz":
        if label is not None:
            raise UserError(f"label is the name of an array in a .npz. Given: {label!r}, for {path}. Leave it out.")
        arrays: Mapping[str, np.ndarray] = {x: files.read_array(path)}
    else:
        with opened_npz(path) as archive:
            names = [x] if label is None else [x, label]
            for name in names:
                if name not in archive.files:
                    raise UserError(f"{path} has no array {name!r}. It has: {', '.join(archive.files)}.")
            arrays = {name: archive[name] for name in names}
    rows, labels = arrays[x], None if label is None else arrays[label]
    if rows.dtype.kind not in "fiub" or rows.ndim < 2:
        raise UserError(
            f"x is an array of numbers, one example along the first axis. Given: {rows.dtype} of shape {rows.shape}."
        )
    if labels is not None and (labels.dtype.kind not in "iu" or labels.shape != rows.shape[:1]):
        raise UserError(
            f"Labels are whole numbers, one for each of {len(rows)} examples. Given: {label}, {labels.dtype} of shape "
            f"{labels.shape}."
        )
    return _split(Images(rows, labels, missing=missing), split, fractions)


@contextlib.contextmanager
def opened_npz(path: str | Path) -> Iterator[np.lib.npyio.NpzFile]:
    """Open the arrays of a `.npz` for the block; whatever reading them raises becomes UserError."""
    with (
        reading(path, "is no .npz", "Save it with numpy.savez.", UserError),
        open(path, "rb") as file,  # which np.load of a path leaves open if it is broken
        np.load(file) as archive,
    ):
        yield archive


def text(
    path: str | Path, alphabet: str, length: int, split: str | None = None, fractions: Sequence[float] = FRACTIONS
) -> Images:
    """Return the lines of a text file as tokens, for a `SequenceVAE`: letters, and a 0 for the end.

    Equal lines are in one split, and stay there when others are added.

    Args:
      path: of the file, in UTF-8; empty lines, and spaces around a line, are left out.
      alphabet: the letters that a line may have, spaces among them, of which the first is token 1.
      length: of an example, its end counted.
      split: as of `table`.
      fractions: as of `table`.
    """
    if not isinstance(alphabet, str) or not alphabet or len(set(alphabet)) < len(alphabet):
        raise UserError(f"alphabet is a string of different letters. Given: {alphabet!r}.")
    length = check_whole_number(length, "length", minimum=2)
    lines = lines_of(path)
    indices = members(np.array([share_of(line) for line in lines]), split, fractions)
    return Images(words.to_tokens([lines[index] for index in indices], length, alphabet), None)


def lines_of(path: str | Path) -> list[str]:
    """Return the lines of a text file that are not empty.

    Raises:
      UserError: a file that cannot be read, or has none.
    """
    with reading(path, "is no text", "Save it in UTF-8, an example in each line.", UserError):
        lines = [line for row in Path(path).read_text(encoding="utf-8-sig").split("\n") if (line := row.strip())]
    if not lines:
        raise UserError(f"A text has an example in each line. Given: {path}, of empty lines. Add some.")
    return lines


def records(path: str | Path, split: str | None = None, fractions: Sequence[float] = FRACTIONS) -> Images:
    """Return the records of an ArrayRecord file, pictures or arrays as `.npy` has them, read when they are asked for.

    Args:
      path: of the file.
      split: as of `table`.
      fractions: as of `table`.
    """
    return _split(Images(Records(Path(path)), None), split, fractions)


def _split(images: Images, split: str | None, fractions: Sequence[float]) -> Images:
    return images.only(members(shares_of(len(images.images)), split, fractions))


def shares_of(count: int) -> np.ndarray:
    """Return the shares of rows, as `members` takes them: the first are the same, however many follow."""
    return np.random.default_rng(0).random(count)


def numbered(cells: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return the classes of cells as numbers, -1 for an empty one, and their names: numbers in order, or words."""
    holes = tables.empty_among(list(cells))
    words = ["" if hole else str(cell).strip() for cell, hole in zip(cells, holes, strict=True)]
    by_number = all(word.isdecimal() for word in words if word)
    named = sorted({word for word in words if word}, key=lambda word: (int(word) if by_number else 0, word))
    order = {word: index for index, word in enumerate(named)}
    return np.array([order.get(word, -1) for word in words], "int32"), tuple(named)


SOURCES: Entries[Callable[..., Images]] = Entries(
    "sources",
    {"folder": folder, "table": table, "array": array, "text": text, "records": records, "shards": read_shards},
)
