"""What a model's codes say of themselves: dimensions in use, entries in use. Numpy only."""

from collections.abc import Mapping
from typing import Any

import numpy as np

ACTIVE = 0.01  # Burda et al. 2016, section 5.1: a unit is active if the variance of its mean over images is above it


def active_units(codes: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """How many dimensions of `codes`, `{name: (images, dimensions)}`, vary over images by more than `ACTIVE`.

    Section 5.1 of Burda et al. 2016, https://arxiv.org/abs/1509.00519. `parts` are the variances, one a dimension.
    """
    variances = [float(each) for array in codes.values() for each in np.var(array, axis=0, dtype="float64").ravel()]
    return {
        "value": sum(each > ACTIVE for each in variances),
        "parts": variances,
        "unit": f"of {len(variances)} dimensions",
        "tolerance": 1,  # rounding may carry a variance over the threshold
    }


def code_usage(codes: Mapping[str, np.ndarray], classes: int) -> dict[str, dict[str, Any]]:
    """How much of its `classes` entries integer `codes`, `{name: (images, ...)}`, use over all images and positions.

    `codes_used` counts entries that were chosen at all; `code_perplexity` is exp of the entropy of their shares: the
    number of entries that would be in use if all were chosen alike.
    """
    chosen = np.concatenate([array.ravel() for array in codes.values()])
    shares = np.bincount(chosen, minlength=classes) / len(chosen)
    entropy = -float(np.sum(shares[shares > 0] * np.log(shares[shares > 0])))
    unit = f"of {classes} entries"
    return {
        "codes_used": {"value": int(np.count_nonzero(shares)), "unit": unit, "tolerance": 1},
        "code_perplexity": {"value": float(np.exp(entropy)), "unit": unit, "tolerance": 0.01},
    }


def rows(spec: Mapping[str, Mapping[str, Any]], codes: Any) -> dict[str, dict[str, Any]]:
    """The numbers that codes of this `spec`, which is `model.code_spec()`, allow.

    Args:
      codes: of many images, as `model.encode` gives them: one array, or a dict of arrays.
    """
    levels: Mapping[str, Any] = codes if isinstance(codes, Mapping) else {name: codes for name in spec}
    indices = {name: levels[name] for name in spec if spec[name]["kind"] == "index"}
    numbers = {name: levels[name] for name in spec if name not in indices}
    found = {"active_units": active_units(numbers)} if numbers else {}
    if indices:
        found |= code_usage(indices, max(spec[name]["classes"] for name in indices))
    return found
