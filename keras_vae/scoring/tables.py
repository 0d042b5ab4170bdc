"""The numbers of a Parquet table: its columns by the names that a model was trained on, and its classes by theirs."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from keras_vae.data import tables
from keras_vae.errors import UserError
from keras_vae.scoring.layouts import Column

if TYPE_CHECKING:
    import pyarrow as pa

_SHOWN = 9  # names in a message


def is_of_lists(schema: "pa.Schema") -> bool:
    """Return whether a table has one column, of lists."""
    return len(schema) == 1 and "list" in str(schema.types[0])


def names_of(schema: "pa.Schema", columns: Sequence[Column], path: Path) -> list[str] | None:
    """Return the names of the columns to read, in order; None for all of them as they are.

    Args:
      schema: of the table.
      columns: of a row, in order; none: not known, so that positions count. A column of lists needs no names.
      path: of the table, for messages.

    Raises:
      UserError: a column that the table does not have, or has twice.
    """
    if not columns or is_of_lists(schema):
        return None
    names = [column.name for column in columns]
    for name in names:
        if (count := schema.names.count(name)) != 1:
            raise UserError(
                f"A table has each column that the model was trained on: {_listed(names)}. Given: {path}, "
                f"{f'with {name!r} twice' if count else f'without {name!r}, of {_listed(schema.names)}'}. Rename its "
                f"columns."
            )
    return names


def numbers_of(table: "pa.Table", columns: Sequence[Column], path: Path) -> tuple[np.ndarray, dict[int, str]]:
    """Return the numbers of a table, float32 `(rows, columns)`, and the reason for each row that has none.

    Args:
      table: of pyarrow.
      columns: to take by name, in this order; none: all, as they are.
      path: of the table, for messages.

    Raises:
      UserError: a column that holds no numbers, and has no classes.
    """
    bad: dict[int, str] = {}
    numbers = [
        _codes(table.column(column.name), column, bad)
        if column.classes
        else _numbers(table.column(column.name), f"{path}, whose {column.name!r} is not. Number its values.")
        for column in columns
    ] or [
        _numbers(column, f"{path}, whose {name!r} is not. Leave it out.")
        for name, column in zip(table.column_names, table.columns, strict=True)
    ]
    return np.stack(numbers, axis=-1).astype("float32"), bad


def _numbers(column: "pa.ChunkedArray", mistake: str) -> np.ndarray:
    # A hole in a column of integers makes floats of it, with NaN: the row is bad by the model's own rule.
    numbers = column.to_numpy(zero_copy_only=False)
    if numbers.dtype.kind not in "iufb":
        raise UserError(f"Columns must be numbers. Given: {mistake}")
    return numbers


def _codes(cells: "pa.ChunkedArray", column: Column, bad: dict[int, str]) -> np.ndarray:
    """The numbers of the classes that cells name, NaN for an empty one; what is no class becomes a reason in `bad`.

    Numbers are codes already, unless there are classes whose names are numbers.
    """
    numbers = cells.to_numpy(zero_copy_only=False)
    if numbers.dtype.kind in "iuf" and not any(tables.number_of(name) is not None for name in column.classes):
        return numbers
    values = cells.to_pylist()
    codes = {value: _code(value, column) for value in set(values)}
    for row, value in enumerate(values):
        if codes[value] is None:
            shown = _listed(map(repr, column.classes))
            bad.setdefault(row, f"its {column.name!r} is {value!r}, none of the classes {shown}")
    return np.array([codes[value] for value in values], "float64")


def _code(value: object, column: Column) -> float | None:
    """The number of a class as the tables of training have it; None for no class."""
    cell = np.empty((1, 1), object)
    cell[0, 0] = value
    kinds = {column.name: {"categorical": column.classes}}
    try:
        return float(tables.numbers_of([column.name], cell, [column.name], missing=True, kinds=kinds).x[0, 0])
    except UserError:
        return None


def _listed(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
