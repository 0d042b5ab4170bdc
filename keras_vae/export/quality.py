"""What a reduced precision costs, in the model's own units: nats of test ELBO, and reconstruction error."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_vae import randomness
from keras_vae.errors import ExportError
from keras_vae.export.graphs import TracedGraph, is_gaussian

ELBO_BOUND = 1.0  # nats that a reduced precision may lose
RECONSTRUCTION_BOUND = 0.02  # share by which the reconstruction error may grow


def measure_quality(
    model: Any, graphs: Sequence[TracedGraph], runtime: Any, inputs: Mapping[str, np.ndarray]
) -> dict[str, Any]:
    """A runtime's encoder and decoder against Keras's, on the same images with the same noise.

    Args:
      model: whose likelihood and prior measure.
      graphs: its traced graphs, which are Keras's side.
      runtime: an opened `Runtime`.
      inputs: "x" and, of a conditional model, "condition".

    Returns:
      `examples`; `reconstruction_error`, squared error an image, summed over pixels, of Keras; `reconstruction_change`,
      the runtime's less Keras's as a share of it, None for a decoder without images; `elbo`, nats, one sample, of
      Keras; `elbo_change`, the runtime's less Keras's. The last two are None unless x is an image and the posterior the
      Gaussian that the encoder's outputs describe.
    """
    traced = {each.name: each.run for each in graphs}
    mine = _measured(model, lambda graph, given: traced[graph](given), inputs)
    theirs = _measured(model, runtime.run, inputs)
    error, elbo = mine.get("reconstruction_error"), mine.get("elbo")
    return {
        "examples": len(inputs["x"]),
        "reconstruction_error": error,
        "reconstruction_change": theirs["reconstruction_error"] / error - 1.0 if error else None,
        "elbo": elbo,
        "elbo_change": None if elbo is None else theirs["elbo"] - elbo,
    }


def require_quality(measured: Mapping[str, Any], what: str) -> None:
    """Raise ExportError if a reduced precision loses more than the bounds, or if nothing says what it loses."""
    change, grown = measured["elbo_change"], measured["reconstruction_change"]
    said = [] if change is None else [f"{-change:.2f} nats of test ELBO"]
    said += [] if grown is None else [f"{grown:.1%} of reconstruction error"]
    within = (change is None or -change <= ELBO_BOUND) and (grown is None or grown <= RECONSTRUCTION_BOUND)
    if not (said and within):
        raise ExportError(
            f"A reduced precision may lose {ELBO_BOUND:g} nat of ELBO and {RECONSTRUCTION_BOUND:.0%} of reconstruction "
            f"error. Given: {what}, which loses {' and '.join(said) or 'what cannot be measured'} on "
            f"{measured['examples']} examples. Keep float32 or float16, or export it all the same with force=True "
            f"(--force)."
        )


def _measured(model: Any, run: Any, inputs: Mapping[str, np.ndarray]) -> dict[str, float]:
    x, given = inputs["x"], {name: array for name, array in inputs.items() if name != "x"}
    outputs = run("encoder", dict(inputs))
    code = model.code(outputs)
    codes = code if isinstance(code, Mapping) else {next(iter(model.code_spec())): code}
    images = run("decoder", {**codes, **given}).get("mean")
    found = {}
    if images is not None and images.shape == x.shape:
        found["reconstruction_error"] = float(np.square(images - x, dtype="float64").sum() / len(x))
    if model.x_spec()["kind"] == "image" and is_gaussian(model):
        mean, scale = outputs["mean"], np.exp(0.5 * outputs["log_var"])
        z = mean + scale * _noise(mean.shape)
        likelihood = model.likelihood_family.distribution(_tensors(run("decoder", {"z": z, **given})))
        prior = model.prior(keras.ops.convert_to_tensor(given["condition"])) if given else model.prior()
        log_q = -0.5 * np.square((z - mean) / scale) - np.log(scale) - 0.5 * np.log(2 * np.pi)
        log_weight = np.asarray(likelihood.log_prob(x)) + np.asarray(prior.log_prob(z)) - log_q.sum(axis=-1)
        found["elbo"] = float(log_weight.mean(dtype="float64"))
    return found


def _noise(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(randomness.EVALUATION).normal(size=shape).astype("float32")


def _tensors(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    return {name: keras.ops.convert_to_tensor(array) for name, array in arrays.items()}
