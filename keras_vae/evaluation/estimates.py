"""What every estimate comes with: a standard error, and whatever it takes to get it again."""

from typing import Any

import numpy as np

from keras_vae.errors import UserError


def mean_of(values: Any, **further: Any) -> dict[str, Any]:
    """`value`, the mean of independent numbers, and its `standard_error`, in float64; and what `further` says.

    Args:
      values: `(n,)`: one number an example, or one a repetition.
      **further: such as `samples=` and `seed=`.

    Raises:
      UserError: fewer than two numbers, or one that is not finite.
    """
    array = np.asarray(values, "float64")
    if len(array) < 2:
        raise UserError(f"A standard error needs two values or more. Given: {len(array)}. Give more examples.")
    if not np.isfinite(array).all():
        bad = int((~np.isfinite(array)).sum())
        raise UserError(f"A mean needs finite values. Given: {bad} of {len(array)} that are NaN or infinite.")
    error = np.std(array, ddof=1) / np.sqrt(len(array))
    return {"value": float(array.mean()), "standard_error": float(error), **further}


def seed_of_repetition(seed: int, repetition: int) -> int:
    """A seed for a repetition that no other seed's repetitions have: of the pair, not of its sum."""
    return int(np.random.SeedSequence([seed, repetition]).generate_state(1)[0] >> 1)


def share_of(hits: Any, **further: Any) -> dict[str, Any]:
    """`value`, the share of hits among examples, with its binomial `standard_error`."""
    hits = np.asarray(hits, bool)
    if not len(hits):
        raise UserError("A share needs one example or more. Given: none.")
    share = float(hits.mean())
    return {"value": share, "standard_error": float(np.sqrt(share * (1 - share) / len(hits))), **further}
