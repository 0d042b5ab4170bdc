"""Series of different lengths as one array, NaN beyond the end of each."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_vae import checks
from keras_vae.errors import UserError


def series(arrays: Sequence[Any], steps: int | None = None) -> np.ndarray:
    """Return series as one array, float32 `(examples, steps, channels)`, filled up with NaN beyond the end of each.

    For a model with `x_shape=(steps, channels)` and the argument `missing`.

    Args:
      arrays: one for each series: `(its steps, channels)`, or of one channel `(its steps,)`. NaN is a missing number.
      steps: of the result; None: of the longest.

    Raises:
      UserError: no series, one that is no such array, several numbers of channels, or one longer than `steps`.
    """
    rows = [checks.numbers(array, f"Series {index}") for index, array in enumerate(arrays)]
    rows = [row[:, None] if row.ndim == 1 else row for row in rows]
    if not rows or {row.ndim for row in rows} != {2} or len({row.shape[1] for row in rows}) > 1:
        shapes = ", ".join(map(str, sorted({row.shape for row in rows}, key=len)[:4]))
        raise UserError(
            f"Series are arrays of (steps, channels), with the same channels in all. Given: {shapes or 'none'}. "
            f"Transpose them, or leave channels out."
        )
    longest = max(map(len, rows))
    steps = longest if steps is None else checks.check_whole_number(steps, "steps")
    if longest > steps:
        raise UserError(f"A series has at most {steps} steps. Given: one of {longest}. Raise steps, or cut it.")
    padded = np.full((len(rows), steps, rows[0].shape[1]), np.nan, "float32")
    for index, row in enumerate(rows):
        padded[index, : len(row)] = row
    return padded
