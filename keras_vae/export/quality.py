"""The cost of a reduced precision, in the model's own units: nats of ELBO, and reconstruction error, on examples."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import keras
import numpy as np

from keras_vae import randomness
from keras_vae.core.graphs import is_gaussian
from keras_vae.errors import ExportError
from keras_vae.export.bounds import ELBO_BOUND, RECONSTRUCTION_BOUND, loses_too_much, losses
from keras_vae.export.cases import Arrays, by_name, condition_of
from keras_vae.export.graphs import TracedGraph
from keras_vae.runtimes.bundle import Quality
from keras_vae.tasks.codes import on_space
from keras_vae.types import Tensor

if TYPE_CHECKING:
    from keras_vae.core import VAE
    from keras_vae.runtimes.base import Runtime

Run = Callable[[str, Mapping[str, np.ndarray]], Mapping[str, np.ndarray]]  # graph, inputs -> outputs


class _Draw(NamedTuple):
    """Keras's draw of the codes, and log q of it, nats."""

    codes: Arrays
    log_q: np.ndarray


def measure_quality(
    model: "VAE", graphs: Sequence[TracedGraph], runtime: "Runtime", inputs: Mapping[str, np.ndarray]
) -> Quality:
    """Compare a runtime's encoder and decoder with Keras's, on the same examples, with the same noise.

    The ELBO is log p(x|z) + log p(z) - log q(z|x), z one draw. For a Gaussian posterior the draw and its density use
    the runtime's mean and variance; integer codes are certain; otherwise the draw is Keras's, shifted by the difference
    of the runtime's code from Keras's. A sequence's log p(x|z) is summed step by step.

    Args:
      model: for its likelihood and prior.
      graphs: its traced graphs, which stand for Keras.
      runtime: an opened `Runtime`.
      inputs: "x" and, of a conditional model, its conditions.

    Returns:
      `examples`; `reconstruction_error`, squared error an image, summed over pixels, of Keras; `reconstruction_change`,
      the runtime's minus Keras's as a share of it, None for a decoder without images; `elbo`, nats, one sample, of
      Keras; `elbo_change`, the runtime's minus Keras's. The last two are None for a model without an ELBO.
    """
    traced = {graph.name: graph.run for graph in graphs}
    draw = _draw(model, inputs)
    keras_error, keras_elbo = _measured(model, lambda graph, arrays: traced[graph](arrays), inputs, draw)
    error, elbo = _measured(model, runtime.run, inputs, draw)
    return {
        "examples": len(inputs["x"]),
        "reconstruction_error": keras_error,
        "reconstruction_change": error / keras_error - 1.0 if error is not None and keras_error else None,
        "elbo": keras_elbo,
        "elbo_change": None if elbo is None or keras_elbo is None else elbo - keras_elbo,
    }


def require_quality(quality: Quality, subject: str) -> None:
    """Raise ExportError if a reduced precision loses more than the bounds, or its loss is unknown."""
    if loses_too_much(quality):
        raise ExportError(
            f"A reduced precision may lose {ELBO_BOUND:g} nat of ELBO and {RECONSTRUCTION_BOUND:.0%} of reconstruction "
            f"error. Given: {subject}, which loses {' and '.join(losses(quality)) or 'what cannot be measured'} on "
            f"{quality['examples']} examples. Keep float32 or float16, or export it all the same with force=True "
            f"(--force)."
        )


def _draw(model: "VAE", inputs: Mapping[str, np.ndarray]) -> _Draw | None:
    """Return Keras's draw, or None where draw and density follow from the encoder's outputs."""
    if not model.stochastic or is_gaussian(model) or model.latent_kind == "index":
        return None
    tensors = _tensors(inputs)
    posterior = model.posterior(tensors["x"], model.condition_in(tensors))
    z = posterior.sample(seed=randomness.seed_of(0, randomness.EVALUATION))
    return _Draw(by_name(model, z), np.asarray(posterior.log_prob(z)))


def _measured(
    model: "VAE", run: Run, inputs: Mapping[str, np.ndarray], draw: _Draw | None
) -> tuple[float | None, float | None]:
    """Return the reconstruction error and the ELBO, nats; None where the model has none."""
    x, conditions = inputs["x"], {name: array for name, array in inputs.items() if name != "x"}
    outputs = run("encoder", inputs)
    codes = by_name(model, model.code(outputs))
    images = run("decoder", {**codes, **conditions}).get("mean")
    error = None
    if images is not None and images.shape == x.shape:
        error = float(np.square(np.where(np.isnan(x), 0.0, images - x), dtype="float64").sum() / len(x))
    if not model.stochastic:
        return error, None
    if model.latent_kind == "index":
        z, log_q = codes, np.zeros(())
    elif draw is None:
        mean, scale = outputs["mean"], np.exp(0.5 * outputs["log_var"])
        z = {"z": mean + scale * _noise(mean.shape)}
        log_q = -0.5 * np.square((z["z"] - mean) / scale) - np.log(scale) - 0.5 * np.log(2 * np.pi)
        log_q = log_q.sum(axis=-1)
    else:
        of_keras = by_name(model, model.encode(x, condition_of(model, inputs)))
        moved = {name: array + codes[name] - of_keras[name] for name, array in draw.codes.items()}
        z = {name: np.asarray(on_space(model, array)) for name, array in moved.items()}
        log_q = draw.log_q
    prior = model.prior(model.condition_in(_tensors(conditions)))
    tensors = _tensors(z)
    log_pz = prior.log_prob(tensors if len(z) > 1 else next(iter(tensors.values())))
    if model.x_spec().kind == "tokens":
        log_px = _of_sequences(run, x, z)
    else:
        log_px = model.likelihood_family.distribution(_tensors(run("decoder", {**z, **conditions}))).log_prob(x)
    return error, float((np.asarray(log_px) + np.asarray(log_pz) - log_q).mean(dtype="float64"))


def _of_sequences(run: Run, x: np.ndarray, z: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return log p(x|z) of sequences up to their end, with teacher forcing: `(batch,)`, nats."""
    state, token, total = run("decoder_start", z)["state"], np.zeros(len(x), "int32"), np.zeros(len(x))
    for position in range(x.shape[1]):
        outputs = run("decoder_step", {"token": token, "state": state, **z})
        logits, state = outputs["logits"].astype("float64"), outputs["next_state"]
        highest = logits.max(axis=-1)
        log_all = highest + np.log(np.exp(logits - highest[:, None]).sum(axis=-1))
        log_p = logits[np.arange(len(x)), x[:, position]] - log_all
        total += np.where((token == 0) & (position > 0), 0.0, log_p)  # after the end nothing is uncertain
        token = x[:, position]
    return total


def _noise(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(randomness.EVALUATION).normal(size=shape).astype("float32")


def _tensors(arrays: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
    return {name: keras.ops.convert_to_tensor(array) for name, array in arrays.items()}
