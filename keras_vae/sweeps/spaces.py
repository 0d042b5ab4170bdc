"""Spaces of a study: which values the keys of its recipe take."""

import dataclasses
import itertools
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from keras_vae.errors import UserError
from keras_vae.zoo import recipes, toml_files

Settings: TypeAlias = Mapping[str, Any]  # a value for each key, such as "training.optimizer.learning_rate"


@dataclasses.dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, whole ones if both are."""

    low: float
    high: float
    log: bool = False  # evenly in the logarithm

    @property
    def whole(self) -> bool:
        """Return whether the numbers are whole."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    def at(self, share: float) -> float:
        """Return the number at a share of the way, from 0 to below 1, each whole one for an equal part of it."""
        low, high = self.low, self.high + self.whole
        value = low * (high / low) ** share if self.log else low + (high - low) * share
        return min(math.floor(value) if self.whole else value, self.high)


Space: TypeAlias = Mapping[str, list[Any] | Range]


def read(table: Mapping[str, Any], path: Path) -> Space:
    """Return the space of a table: lists of values, ranges `{ low, high }`, and single values, by dotted keys.

    Raises:
      UserError: no values, an empty range, or a key that a study sets by other means.
    """
    space = dict(_leaves(table, path))
    for key, values in space.items():
        if key == "training.seed" or key.split(".")[0] in ("summary", "published"):
            raise UserError(f"{path}: a space has keys that change a training. Given: {key}. Seeds stand in seeds.")
        texts = [] if isinstance(values, Range) else [toml_files.text_of(value) for value in values]
        if not isinstance(values, Range) and len({*texts}) != max(1, len(texts)):
            raise UserError(
                f"{path}: {key} takes a list of one value or more, all different; one that is a list stands in a list. "
                f"Given: {values}."
            )
    return space


def _leaves(table: Mapping[str, Any], path: Path, prefix: str = "") -> Iterator[tuple[str, list[Any] | Range]]:
    for key, value in table.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict) and {"low", "high"} <= value.keys():
            bounds = recipes.section_of(Range, value, path, f"space.{name}")
            if not bounds.low < bounds.high or (bounds.log and bounds.low <= 0):
                rule = "low, above 0 where log is true, and high, above low"
                raise UserError(f"{path}: {name} must have {rule}. Given: {bounds.low} and {bounds.high}.")
            yield name, bounds
        elif isinstance(value, dict):
            yield from _leaves(value, path, f"{name}.")
        else:
            yield name, value if isinstance(value, list) else [value]


def several(values: list[Any] | Range | None) -> bool:
    """Return whether a key takes more than one value."""
    return isinstance(values, Range) or (values is not None and len(values) > 1)


def size(space: Space) -> int:
    """Return the number of settings of a space of lists."""
    return math.prod(len(values) for values in space.values() if not isinstance(values, Range))


def grid(space: Space) -> Iterator[Settings]:
    """Yield every combination of the values of lists, the last key's changing fastest."""
    lists = [values for values in space.values() if not isinstance(values, Range)]
    for combination in itertools.product(*lists):
        yield dict(zip(space, combination, strict=True))


def drawn(space: Space, noise: np.random.Generator) -> Settings:
    """Return random settings of a space, each value as likely as another."""
    return {
        key: values.at(noise.random()) if isinstance(values, Range) else values[noise.integers(len(values))]
        for key, values in space.items()
    }


def corners(space: Space) -> Iterator[Settings]:
    """Yield settings in which every value of a list and both ends of a range occur, one changed at a time."""
    values = {key: [part.low, part.high] if isinstance(part, Range) else part for key, part in space.items()}
    first = {key: choices[0] for key, choices in values.items()}
    yield first
    for key, choices in values.items():
        for value in choices[1:]:
            yield {**first, key: value}
