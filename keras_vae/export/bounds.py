"""How much a reduced precision may lose, by what `quality.measure_quality` found. Needs no Keras."""

from collections.abc import Mapping
from typing import Any

ELBO_BOUND = 1.0  # nats that a reduced precision may lose
RECONSTRUCTION_BOUND = 0.02  # share by which the reconstruction error may grow


def losses(measured: Mapping[str, Any]) -> list[str]:
    """What was measured, in words: nats of test ELBO, and growth of the reconstruction error."""
    change, grown = measured["elbo_change"], measured["reconstruction_change"]
    said = [] if change is None else [f"{round(-change, 2) + 0.0:.2f} nats of test ELBO"]  # -0.0 + 0.0 is 0.0
    return said + ([] if grown is None else [f"{round(grown, 3) + 0.0:.1%} of reconstruction error"])


def loses_too_much(measured: Mapping[str, Any]) -> bool:
    """Whether a precision loses more than the bounds, or nothing says what it loses."""
    change, grown = measured["elbo_change"], measured["reconstruction_change"]
    within = (change is None or -change <= ELBO_BOUND) and (grown is None or grown <= RECONSTRUCTION_BOUND)
    return (change is None and grown is None) or not within
