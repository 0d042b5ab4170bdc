"""The columns of a table, looked at for the draft of its recipe: which belong to x, of what kind, and which do not."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import numpy as np

from keras_vae.data import tables

_CLASSES = 20  # a column of more words than these is not one of classes
HEAVY = 8.0  # the kurtosis above which a Gaussian, with its 3, fits badly

Kind: TypeAlias = str | dict[str, list[str]]


class Columns(NamedTuple):
    """The columns of a table, by name."""

    kinds: dict[str, Kind]  # of x, in the order of the table
    mixed: bool  # whether they need a likelihood each
    label: str | None  # a column of classes
    left_out: dict[str, str]  # the reasons
    empty: float  # the share of the cells of x that are empty


def look_at(names: Sequence[str], cells: np.ndarray) -> Columns:
    """Return the part that each column of a table plays.

    A single column of words is the label; several all belong to x, if each has some rows of every class. Whole numbers
    are counts, unless they vary far less than counts do, as years; numbers above 0 with a long tail are positive.

    Args:
      names: of the columns.
      cells: `(rows, columns)`.
    """
    kinds: dict[str, Kind] = {}
    written: set[str] = set()  # how numbers are written: as counts, or as others
    left_out, empty, words = {}, [], []
    for name, column in zip(names, cells.T, strict=True):
        held = tables.held(list(column))
        if why := _unfit(held):
            left_out[name] = why
            continue
        kind = tables.kind_of(held)
        if isinstance(kind, str):
            written.add(kind)
            kind = _refined(kind, np.array(held, "float64"))
        elif not set(kind["categorical"]) <= {"0", "1"}:
            words.append(name)
        kinds[name] = kind
        empty.append(1 - len(held) / len(column))
    label = words[0] if len(words) == 1 and len(kinds) > 1 else None
    if label is not None:
        empty.pop(list(kinds).index(label))
        del kinds[label]
    same = ({"count", "overdispersed"} if written == {"count"} else {"real", "positive"}) if len(written) == 1 else ()
    mixed = any(not isinstance(kind, str) or kind not in same for kind in kinds.values())
    return Columns(kinds, mixed, label, left_out, float(np.mean(empty)) if empty else 0.0)


def _unfit(cells: Sequence[object]) -> str | None:
    """Return why a column is left out of x, or None if it belongs to it."""
    values = Counter(str(cell).strip() for cell in cells)
    numbers = {value: tables.number_of(value) for value in values}
    if len(values) < 2:
        return "one value" if values else "empty"
    if words := [value for value, number in numbers.items() if number is None or not np.isfinite(number)]:
        if len(words) == 1 and len(values) > 3:
            word = words[0]
            return f"numbers, but {word!r} in {values[word]} of {len(cells)} rows; as empty cells they would be missing"
        if not len(values) <= min(_CLASSES, len(cells) // 2):
            return f"words, {len(values)} different ones"
    elif (np.diff(np.array(cells, "float64")) == 1).all():
        return "the numbers of the rows"
    else:
        with np.errstate(over="ignore"):  # which a reader of the column refuses
            apart = len(np.unique(np.array(list(numbers.values()), "float64").astype("float32")))
        if apart == 1 or 2 * apart < len(values):  # of what is measured, a few numbers may fall together
            return f"of {len(values)} different numbers, float32 tells {apart} apart: subtract its smallest value first"
    return None


def _refined(kind: str, x: np.ndarray) -> str:
    mean, variance = x.mean(), x.var()
    if kind == "count":
        return "real" if variance < mean / 2 else "overdispersed" if variance > 1.5 * mean else kind
    heavy = np.mean((x - mean) ** 4) > HEAVY * variance**2
    return "positive" if heavy and x.min() > 0 else kind
