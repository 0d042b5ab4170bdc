"""The names of splits, of slices of them, and the share of a user's examples that is in each."""

import re
from collections.abc import Sequence

import numpy as np

from keras_vae.checks import is_number
from keras_vae.errors import UserError

SPLITS = ("train", "validation", "train+validation", "test")
FRACTIONS = (0.8, 0.1, 0.1)  # of a user's examples in train, validation and test


def parsed(split: str) -> tuple[str, int, int | None]:
    """Parse a split into its name, one of `SPLITS`, and the start and stop of its slice.

    Raises:
      UserError: an unknown split.
    """
    if (match := _match(split)) is None:
        raise UserError(
            f"split is one of {', '.join(SPLITS)}, or a slice of one such as 'train[:1000]'. Given: {split!r}."
        )
    return match[1], int(match[2] or 0), int(match[3]) if match[3] else None


def _match(word: str) -> re.Match[str] | None:
    match = re.fullmatch(r"([a-z+]+)(?:\[(\d*):(\d*)\])?", word)
    return match if match and match[1] in SPLITS else None


def is_split(word: str) -> bool:
    """Return whether a word is the name of a split, or of a slice of one."""
    return _match(word) is not None


def members(shares: np.ndarray, split: str | None, fractions: Sequence[float] = FRACTIONS) -> np.ndarray:
    """Return the indices of the examples in a split, in their order.

    Args:
      shares: a number in [0, 1) for each example, always the same: test begins at 0, then validation, then train.
      split: as of `parsed`; None: all examples.
      fractions: of train, validation and test.

    Raises:
      UserError: an unknown split, fractions that are no three shares, or a split without examples.
    """
    numbers = isinstance(fractions, Sequence) and all(is_number(part) and 0 <= part <= 1 for part in fractions)
    if not numbers or len(fractions) != 3 or not fractions[0] or abs(sum(fractions) - 1) > 1e-6:
        raise UserError(
            f"fractions are the shares of train, validation and test, which sum to 1, such as [0.8, 0.1, 0.1]. Given: "
            f"{fractions!r}."
        )
    indices = np.arange(len(shares)) if split is None else _members(shares, split, fractions)
    if split is not None and not len(indices):
        raise UserError(
            f"The split {split!r} holds no examples: there are {len(shares)} in all, and the fractions of train, "
            f"validation and test are {list(fractions)}. Add some, or change fractions."
        )
    return indices


def count(shares: np.ndarray, split: str) -> int:
    """Return how many examples a split has, by the fractions that nobody changed."""
    return len(_members(shares, split, FRACTIONS))


def _members(shares: np.ndarray, split: str, fractions: Sequence[float]) -> np.ndarray:
    part, start, stop = parsed(split)
    _, validation, test = fractions
    ends = {"test": (0.0, test), "validation": (test, test + validation), "train": (test + validation, 1.0)}
    inside = [(low <= shares) & (shares < high) for low, high in (ends[name] for name in part.split("+"))]
    return np.flatnonzero(np.any(inside, axis=0))[start:stop]
