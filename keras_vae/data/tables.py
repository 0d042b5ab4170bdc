"""Tables of numbers, from files and data frames: rows of float32, and the names of their columns in a known order."""

import csv
import io
import itertools
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from keras_vae import files
from keras_vae.columns import Kinds, columns_of
from keras_vae.errors import UserError, reading

# The words that pandas reads as missing. Of a column of words, they may be classes.
_MISSING = {"NA", "N/A", "n/a", "NaN", "-NaN", "-nan", "null", "NULL", "None", "#N/A", "#NA", "#N/A N/A", "1.#IND",
            "-1.#IND", "1.#QNAN", "-1.#QNAN"}  # fmt: skip
# The columns in which pandas writes an index of rows that has no name.
INDEX = re.compile(r"__index_level_\d+__")
_EMPTY = "Fill the cell, remove the row, or read it as missing: table(..., missing=True)"
_INFINITE = "Change the cell, remove the row, or leave the column out"


class Table(NamedTuple):
    """The rows of a table, and what its columns are called."""

    x: np.ndarray  # float32 (rows, columns)
    columns: tuple[str, ...]


def table(
    source: Any, columns: Sequence[str] | None = None, missing: bool = False, kinds: Kinds | None = None
) -> Table:
    """Return the columns of a file or a data frame as numbers: `x` for `fit` of a model with `x_shape`.

    Args:
      source: the path of a CSV file, whose first row names the columns, or of a `.parquet`; or a frame of pandas, or of
        another library with its `columns` and `to_numpy`.
      columns: the names of those to take, in this order, as `Table.columns` of the training data has them; None: all.
      missing: an empty cell is NaN, a number that is missing, for a model with the argument `missing`; and so is, in a
        column of numbers, NA, NaN, N/A, null, and whatever else pandas reads so. False refuses them all.
      kinds: those of columns that differ, as `kinds_of` returns them or a likelihood `mixed` takes them: in place of
        columns. A cell of a column of classes is the name of one, and becomes its number.

    Raises:
      UserError: a file that cannot be read; columns that are missing, named twice, or no numbers; an empty cell, unless
        `missing`.
    """
    names, rows = cells_of(source)
    if kinds is not None and columns is not None:
        raise UserError(
            f"kinds names the columns of a table, in order. Given: columns={list(columns)} too. Leave it out."
        )
    return numbers_of(names, rows, names if columns is None else columns, missing, kinds)


def kinds_of(source: Any) -> dict[str, str | dict[str, list[str]]]:
    """Return the kinds of the columns of a file or a data frame, for `table` and a likelihood `mixed`: a first guess.

    By these rules, and no others: an ordered column of categories of pandas is `ordinal`, an unordered one
    `categorical`, with their categories in order. Of other columns, by their cells: words, truth values and whole
    numbers that are 0 or 1 are `categorical`, sorted; further whole numbers from 0 that are written without a point
    are a `count`; all other numbers are `real`. None is `positive` or `overdispersed` unless you say so:
    `{**kinds_of(frame), "price": "positive"}`.

    Args and errors: as `table`; or a column without a cell, or of a single class.
    """
    names, rows = cells_of(source)
    kinds: dict[str, str | dict[str, list[str]]] = {}
    for index, name in enumerate(names):
        dtype: Any = getattr(source[name], "dtype", None) if hasattr(source, "columns") else None
        if hasattr(dtype, "categories"):
            kinds[name] = {"ordinal" if dtype.ordered else "categorical": [_word(word) for word in dtype.categories]}
        else:
            kinds[name] = kind_of(held(list(rows[:, index])))
    columns_of(kinds)  # raises where a column is of no kind
    return kinds


def named_cells(x: np.ndarray, kinds: Kinds) -> np.ndarray:
    """Return the rows of a table, `(rows, columns)`, with the names of classes, and counts rounded; None for NaN.

    Args:
      x: as `table` returned it with these `kinds`, or as a model filled it in.
      kinds: of its columns.
    """
    cells = np.empty(x.shape, object)
    for index, (kind, classes) in enumerate(columns_of(kinds).values()):
        numbers = [None if np.isnan(value) else float(f"{value:.7g}") for value in x[:, index].tolist()]  # of float32
        if kind not in ("real", "positive"):
            numbers = [None if number is None else round(number) for number in numbers]
        cells[:, index] = [classes[int(k)] if classes and k is not None else k for k in numbers]
    return cells


def write(path: str | Path, columns: Sequence[str], cells: np.ndarray, numeric: Collection[str] = ()) -> None:
    """Write the rows of a table as a `.csv` or `.parquet`, a None as an empty cell.

    Args:
      path: of the file.
      columns: their names.
      cells: `(rows, columns)`; of a CSV file they are words, and so they stay in Parquet, "01234" as it is.
      numeric: the columns whose words are numbers in Parquet, float64.

    Raises:
      UserError: another ending.
    """
    if Path(path).suffix.lower() == ".parquet":
        import pyarrow
        from pyarrow import parquet

        arrays = {name: _of_one_type(cells[:, index].tolist(), name in numeric) for index, name in enumerate(columns)}
        frame = pyarrow.table(arrays)
        with files.atomic(path) as temporary:
            parquet.write_table(frame, temporary)
    elif Path(path).suffix.lower() == ".csv":
        text = io.StringIO(newline="")
        csv.writer(text, lineterminator="\n").writerows([list(columns), *cells.tolist()])
        files.write_text(path, text.getvalue())
    else:
        raise UserError(f"A table is written as .csv or .parquet. Given: {path}. Name it so.")


def cells_of(source: Any) -> tuple[list[str], np.ndarray]:
    """Return the names of the columns of a table, and its cells, `(rows, columns)`, whatever they are.

    Args and errors: as `table`.
    """
    if isinstance(source, str | Path) and Path(source).suffix.lower() == ".parquet":
        from pyarrow import parquet

        with reading(source, "is no table", "Save it as Parquet, or as CSV in UTF-8.", UserError):
            read = parquet.read_table(source)
            read = read.drop_columns([name for name in read.column_names if INDEX.fullmatch(name)])
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


def numbers_of(
    names: Sequence[str],
    rows: np.ndarray,
    columns: Sequence[str],
    missing: bool = False,
    kinds: Kinds | None = None,
) -> Table:
    """Return the columns among cells as numbers, in the order of `columns`, or of `kinds`: errors as `table`."""
    held = {} if kinds is None else columns_of(kinds)
    names, order = list(names), list(columns if kinds is None else held)
    for name in order:
        if name not in names:
            raise UserError(f"The table must have the column {name!r}. Given: {', '.join(names)}.")
    x = np.empty((len(rows), len(order)), "float32")
    for index, name in enumerate(order):
        classes = held[name].classes if held else ()
        cells = rows[:, names.index(name)]
        x[:, index] = list(_coded(cells, name, classes, missing) if classes else _numbers(cells, name, missing))
    return Table(x, tuple(order))


def _parsed(reader: Iterable[list[str]], path: str) -> tuple[list[str], np.ndarray]:
    rows = [row for row in reader if row]
    if len(rows) < 2:
        raise UserError(f"A table has a row of names, and rows of numbers. Given: {path}, of {len(rows)} rows.")
    names = [name.strip() for name in rows[0]]
    shared = (mark for mark in ";\t|" if len(names) == 1 and mark in names[0] and any(mark in cell for cell in rows[1]))
    if sign := next(shared, None):
        raise UserError(
            f"The cells of a CSV file are separated by commas. Given: {path}, separated by {sign!r}? Save it with "
            f"commas."
        )
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


def _of_one_type(cells: list[object], numeric: bool) -> list[object]:
    """Cells for a column of Parquet: those of a CSV file are words, whatever was filled in beside them."""
    if not any(isinstance(cell, str) for cell in cells):
        return cells
    if numeric:
        return [number_of(cell) if not hole else None for cell, hole in zip(cells, empty_among(cells), strict=True)]
    return [None if cell is None or cell == "" else str(cell) for cell in cells]


def _coded(cells: np.ndarray, column: str, classes: Sequence[str], missing: bool) -> Iterator[float]:
    codes = {name: float(code) for code, name in enumerate(classes)}
    for row, cell in enumerate(cells, 1):
        if _is_hole(cell) and _word(cell) not in codes:
            if not missing:
                raise UserError(f"A table has no empty cells. Given: {cell!r} in row {row} of {column!r}. {_EMPTY}.")
            yield float("nan")
        elif _word(cell) in codes:
            yield codes[_word(cell)]
        else:
            listed = ", ".join(map(repr, classes[:9])) + (", ..." if len(classes) > 9 else "")
            raise UserError(
                f"A cell of {column!r} is one of its classes: {listed}. Given: {cell!r} in row {row}. Change the cell, "
                f"or add the class to the kinds, and train again."
            )


def _word(cell: object) -> str:
    """The name of a class, of a cell: 1.0 is the class 1, as a column with holes has it."""
    whole = isinstance(cell, float) and cell.is_integer()
    return str(int(cell) if whole else cell).strip()  # pyright: ignore[reportArgumentType]


def kind_of(cells: Sequence[object]) -> str | dict[str, list[str]]:
    """Return the kind of a column, by the rules of `kinds_of` for cells, none of them empty."""
    words = {_word(cell) for cell in cells}
    numbers = [None if isinstance(cell, bool | np.bool_) else number_of(cell) for cell in cells]
    if any(number is None for number in numbers) or words <= {"0", "1"}:
        return {"categorical": sorted(words)}
    whole = all(str(cell).strip().isdecimal() for cell in cells)
    return "count" if whole else "real"


def is_empty(cell: object) -> bool:
    """Return whether a cell is one that may be read as missing, in any column."""
    if cell is None or str(cell).strip() in ("", "nan", "<NA>"):
        return True
    return not isinstance(cell, str) and str(cell) == "NaT"  # of NumPy and pandas; a word may name a class


def _is_hole(cell: object) -> bool:
    """Return whether a cell is empty, or a word such as NA or null, which is missing unless it names a class."""
    return is_empty(cell) or str(cell).strip() in _MISSING


def empty_among(cells: Sequence[object]) -> list[bool]:
    """Return which cells of a column are missing: among numbers, words such as NA and null too."""
    others = [number_of(cell) for cell in cells if not _is_hole(cell)]
    numeric = bool(others) and None not in others
    return [_is_hole(cell) if numeric else is_empty(cell) for cell in cells]


def held(cells: Sequence[object]) -> list[object]:
    """Return the cells of a column that are not missing."""
    return [cell for cell, hole in zip(cells, empty_among(cells), strict=True) if not hole]


def _numbers(cells: np.ndarray, column: str, missing: bool) -> Iterator[float]:
    for row, cell in enumerate(cells, 1):
        number, hole = number_of(cell), _is_hole(cell)
        if missing and hole:
            yield float("nan")
            continue
        if number is None or not abs(number) <= float(np.finfo("float32").max):
            remedy = _EMPTY
            if number is None and not hole:
                remedy = "Number its values, leave the column out, or name its kind in kinds"
            elif number is not None and not hole:
                finite = abs(number) < float("inf")
                remedy = "Rescale the column, or leave it out" if finite else _INFINITE
            raise UserError(f"A table holds finite numbers. Given: {cell!r} in row {row} of {column!r}. {remedy}.")
        yield number


def number_of(cell: object) -> float | None:
    """Return a cell as a number; None for another, such as the word 1_1, which Python alone takes for 11."""
    if isinstance(cell, str) and "_" in cell:
        return None
    try:
        return float(cell)  # pyright: ignore[reportArgumentType]
    except (TypeError, ValueError):
        return None
