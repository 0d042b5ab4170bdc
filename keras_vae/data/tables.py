"""Tables of numbers, from files and data frames: rows of float32, and the names of their columns in a known order."""

import csv
import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from keras_vae.errors import UserError, reading


class Table(NamedTuple):
    """The rows of a table, and what its columns are called."""

    x: np.ndarray  # float32 (rows, columns)
    columns: tuple[str, ...]


def table(source: Any, columns: Sequence[str] | None = None, missing: bool = False) -> Table:
    """Return the columns of numbers of a file or a data frame: `x` for `fit` of a model with `x_shape`.

    Args:
      source: the path of a CSV file, whose first row names the columns, or of a `.parquet`; or a frame of pandas, or of
        another library with its `columns` and `to_numpy`.
      columns: the names of those to take, in this order, as `Table.columns` of the training data has them; None: all.
      missing: an empty cell is NaN, a number that is missing, for a model with the argument `missing`; and so is NaN,
        or a frame's NA. False refuses both.

    Raises:
      UserError: a file that cannot be read; columns that are missing, named twice, or no numbers; an empty cell, unless
        `missing`.
    """
    names, rows = cells_of(source)
    return numbers_of(names, rows, names if columns is None else columns, missing)


def cells_of(source: Any) -> tuple[list[str], np.ndarray]:
    """Return the names of the columns of a table, and its cells, `(rows, columns)`, whatever they are.

    Args and errors: as `table`.
    """
    if isinstance(source, str | Path) and Path(source).suffix.lower() == ".parquet":
        from pyarrow import parquet

        with reading(source, "is no table", "Save it as Parquet, or as CSV in UTF-8.", UserError):
            read = parquet.read_table(source)
            names = [str(name) for name in read.column_names]
            rows = np.empty((read.num_rows, len(names)), object)
            for index, column in enumerate(read.columns):
                rows[:, index] = column.to_pylist()
    elif isinstance(source, str | Path):
        rule = "is no table", "Save it as CSV in UTF-8, its first row the names."
        with reading(source, *rule, UserError), open(source, encoding="utf-8-sig", newline="") as file:
            names, rows = _parsed(csv.reader(file, strict=True), str(source))
    elif hasattr(source, "columns") and hasattr(source, "to_numpy"):
        names, rows = [str(name) for name in source.columns], np.asarray(source.to_numpy(), object)
    else:
        raise UserError(
            f"A table is the path of a CSV or Parquet file, or a data frame. Given: {type(source).__name__}. An array "
            f"is given to fit as it is."
        )
    twice = [name for name, same in itertools.groupby(sorted(names)) if len(list(same)) > 1]
    if twice:
        raise UserError(f"The columns of a table have different names. Given: {twice[0]!r} twice. Rename one.")
    return names, rows


def numbers_of(names: Sequence[str], rows: np.ndarray, columns: Sequence[str], missing: bool = False) -> Table:
    """Return the columns of numbers among cells, in the order of `columns`: errors as `table`."""
    names, order = list(names), list(columns)
    for name in order:
        if name not in names:
            raise UserError(f"The table must have the column {name!r}. Given: {', '.join(names)}.")
    x = np.empty((len(rows), len(order)), "float32")
    for index, name in enumerate(order):
        x[:, index] = list(_numbers(rows[:, names.index(name)], name, missing))
    return Table(x, tuple(order))


def _parsed(reader: Iterable[list[str]], path: str) -> tuple[list[str], np.ndarray]:
    rows = [row for row in reader if row]
    if len(rows) < 2:
        raise UserError(f"A table has a row of names, and rows of numbers. Given: {path}, of {len(rows)} rows.")
    names = [name.strip() for name in rows[0]]
    if any(number_of(name) is not None for name in names):
        raise UserError(
            f"The first row of a CSV file names its columns. Given: {path}, which begins with {rows[0][0]!r}. Add a "
            f"row of names."
        )
    for number, row in enumerate(rows[1:], 1):
        if len(row) != len(names):
            raise UserError(
                f"Each row of a table has a cell for each column, {len(names)}. Given: {path}, row {number} with "
                f"{len(row)}. Fill it up, or remove it."
            )
    return names, np.array(rows[1:], object)


def _numbers(cells: np.ndarray, column: str, missing: bool) -> Iterator[float]:
    for row, cell in enumerate(cells, 1):
        if missing and (cell is None or str(cell).strip() in ("", "nan", "<NA>")):
            yield float("nan")
            continue
        number = number_of(cell)
        if number is None or not abs(number) <= float(np.finfo("float32").max):
            text = number is None and str(cell).strip()
            empty = "Fill the cell, remove the row, or read it as missing: table(..., missing=True)"
            remedy = "Number its values, or leave the column out" if text else empty
            raise UserError(f"A table holds finite numbers. Given: {cell!r} in row {row} of {column!r}. {remedy}.")
        yield number


def number_of(cell: object) -> float | None:
    try:
        return float(cell)  # pyright: ignore[reportArgumentType]
    except (TypeError, ValueError):
        return None
