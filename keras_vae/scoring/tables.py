"""The numbers of a Parquet table: its columns by the names that a model was trained on."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_vae.errors import UserError

_SHOWN = 9  # names in a message


def is_of_lists(schema: Any) -> bool:
    """Return whether a table has one column, of lists."""
    return len(schema) == 1 and "list" in str(schema.types[0])


def names_of(schema: Any, columns: Sequence[str], path: Path) -> list[str] | None:
    """Return the names of the columns to read, in order; None for all of them as they are.

    Args:
      schema: of the table.
      columns: that a row has, in order; none: not known, so that positions count. A column of lists has no names.
      path: of the table, for messages.

    Raises:
      UserError: a column that the table does not have, or has twice.
    """
    if not columns or is_of_lists(schema):
        return None
    for name in columns:
        if (count := schema.names.count(name)) != 1:
            raise UserError(
                f"A table has each column that the model was trained on: {_listed(columns)}. Given: {path}, "
                f"{f'with {name!r} twice' if count else f'without {name!r}, of {_listed(schema.names)}'}. Rename its "
                f"columns."
            )
    return list(columns)


def numbers_of(table: Any, names: Sequence[str] | None, path: Path) -> np.ndarray:
    """Return the numbers of a table's columns, float32 `(rows, columns)`, in the order of `names`, or as they are.

    Raises:
      UserError: a column that holds no numbers.
    """
    table = table if names is None else table.select(list(names))
    # A hole in a column of integers makes floats of it, with NaN: the row is bad by the model's own rule.
    columns = [column.to_numpy(zero_copy_only=False) for column in table.columns]
    for name, column in zip(table.column_names, columns, strict=True):
        if column.dtype.kind not in "iufb":
            remedy = "Leave it out" if names is None else "Number its values"
            raise UserError(f"Columns must be numbers. Given: {path}, whose {name!r} is not. {remedy}.")
    return np.stack(columns, axis=-1).astype("float32")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
