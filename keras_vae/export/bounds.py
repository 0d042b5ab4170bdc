"""Bounds on the loss of a reduced precision, as `quality.measure_quality` measures it. Needs no Keras."""

from keras_vae.runtimes.bundle import Quality

ELBO_BOUND = 1.0  # nats that a reduced precision may lose
RECONSTRUCTION_BOUND = 0.02  # share by which the reconstruction error may grow


def losses(quality: Quality) -> list[str]:
    """Return the loss in words: nats of ELBO, and growth of the reconstruction error."""
    change, growth = quality["elbo_change"], quality["reconstruction_change"]
    words = [] if change is None else [f"{round(-change, 2) + 0.0:.2f} nats of ELBO"]  # -0.0 + 0.0 is 0.0
    return words + ([] if growth is None else [f"{round(growth, 3) + 0.0:.1%} of reconstruction error"])


def loses_too_much(quality: Quality) -> bool:
    """Return whether a precision loses more than the bounds, or its loss is unknown."""
    change, growth = quality["elbo_change"], quality["reconstruction_change"]
    within = (change is None or -change <= ELBO_BOUND) and (growth is None or growth <= RECONSTRUCTION_BOUND)
    return (change is None and growth is None) or not within
