"""The kinds of the columns of a table whose columns differ, and the names of their classes."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeAlias

from keras_vae.errors import UserError

NUMBERS = ("real", "positive", "count", "overdispersed")
CLASSES = ("categorical", "ordinal")

# By the name of a column: a kind of numbers; or of classes, with their names in order, or how many there are.
Kinds: TypeAlias = Mapping[str, str | Mapping[str, Sequence[str] | int]]


class Column(NamedTuple):
    """One column: a kind of `NUMBERS`, or one of `CLASSES` and the names of its classes, whose codes are 0, 1, ..."""

    kind: str
    classes: tuple[str, ...] = ()

    @property
    def ordered(self) -> bool:
        """Whether its codes have an order: numbers, ordered classes, and two classes of any kind."""
        return self.kind != "categorical" or len(self.classes) == 2


def columns_of(kinds: Kinds) -> dict[str, Column]:
    """Return the columns of a table by name, in order.

    Raises:
      UserError: no columns, or one of another kind, or of fewer than two classes.
    """
    if not isinstance(kinds, Mapping) or not kinds:
        raise UserError(f"The kinds of columns are a mapping from names. Given: {kinds!r}. Name one column or more.")
    return {str(name): _column(str(name), spec) for name, spec in kinds.items()}


def _column(name: str, spec: object) -> Column:
    if isinstance(spec, str) and spec in NUMBERS:
        return Column(spec)
    kind, classes = next(iter(spec.items())) if isinstance(spec, Mapping) and len(spec) == 1 else (None, ())
    if isinstance(classes, int) and not isinstance(classes, bool):
        classes = tuple(map(str, range(classes)))
    if kind not in CLASSES or isinstance(classes, str) or not isinstance(classes, Sequence):
        raise UserError(
            f"The kind of a column is {', '.join(map(repr, NUMBERS))}, or of classes with their names, as "
            f"{{'categorical': ['no', 'yes']}} or {{'ordinal': ['low', 'high']}}. Given: {spec!r} for {name!r}."
        )
    words = tuple(map(str, classes))
    if len(set(words)) < 2 or len(set(words)) < len(words):
        raise UserError(f"A column has two classes or more, of different names. Given: {spec!r} for {name!r}.")
    return Column(kind, words)
