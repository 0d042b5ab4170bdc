"""What a reduced precision costs, in the model's own units: nats of test ELBO, and reconstruction error."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_vae import randomness
from keras_vae.errors import ExportError
from keras_vae.export.bounds import ELBO_BOUND, RECONSTRUCTION_BOUND, loses_too_much, losses
from keras_vae.export.graphs import TracedGraph, is_gaussian

if TYPE_CHECKING:
    from keras_vae.core import VAE
    from keras_vae.runtimes.base import Runtime


def measure_quality(
    model: "VAE", graphs: Sequence[TracedGraph], runtime: "Runtime", inputs: Mapping[str, np.ndarray]
) -> dict[str, Any]:
    """A runtime's encoder and decoder against Keras's, on the same images, or sequences, with the same noise.

    The ELBO is log p(x|z) + log p(z) - log q(z|x), z one draw. Of a Gaussian posterior the draw and its density are
    those of the runtime's mean and variance; of integer codes there is nothing to draw; else the draw is that of
    Keras, moved as far as the runtime's code is from Keras's. A sequence's log p(x|z) is summed step by step.

    Args:
      model: whose likelihood and prior measure.
      graphs: its traced graphs, which are Keras's side.
      runtime: an opened `Runtime`.
      inputs: "x" and, of a conditional model, "condition".

    Returns:
      `examples`; `reconstruction_error`, squared error an image, summed over pixels, of Keras; `reconstruction_change`,
      the runtime's less Keras's as a share of it, None for a decoder without images; `elbo`, nats, one sample, of
      Keras; `elbo_change`, the runtime's less Keras's. The last two are None of a model without a bound.
    """
    traced = {each.name: each.run for each in graphs}
    drawn = _draw(model, inputs)
    mine = _measured(model, lambda graph, given: traced[graph](given), inputs, drawn)
    theirs = _measured(model, runtime.run, inputs, drawn)
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
    if loses_too_much(measured):
        raise ExportError(
            f"A reduced precision may lose {ELBO_BOUND:g} nat of ELBO and {RECONSTRUCTION_BOUND:.0%} of reconstruction "
            f"error. Given: {what}, which loses {' and '.join(losses(measured)) or 'what cannot be measured'} on "
            f"{measured['examples']} examples. Keep float32 or float16, or export it all the same with force=True "
            f"(--force)."
        )


def _draw(model: "VAE", inputs: Mapping[str, np.ndarray]) -> Any:
    """Keras's draw of the codes, and log q of it, where neither is a matter of the encoder's outputs alone."""
    if not model.stochastic or is_gaussian(model) or _are_integers(model):
        return None
    tensors = _tensors(inputs)
    posterior = model.posterior(tensors["x"], model.condition_in(tensors))
    z = posterior.sample(seed=randomness.seed_of(0, randomness.EVALUATION))
    return keras.tree.map_structure(np.asarray, z), np.asarray(posterior.log_prob(z))


def _are_integers(model: "VAE") -> bool:
    return model.latent_kind == "index"


def _measured(model: "VAE", run: Any, inputs: Mapping[str, np.ndarray], drawn: Any) -> dict[str, float]:
    x, given = inputs["x"], {name: array for name, array in inputs.items() if name != "x"}
    outputs = run("encoder", dict(inputs))
    code = model.code(outputs)
    codes = {name: np.asarray(array) for name, array in _by_name(model, code).items()}
    images = run("decoder", {**codes, **given}).get("mean")
    found = {}
    if images is not None and images.shape == x.shape:
        found["reconstruction_error"] = float(np.square(images - x, dtype="float64").sum() / len(x))
    if not model.stochastic:
        return found
    if _are_integers(model):
        z, log_q = codes, 0.0
    elif drawn is None:
        mean, scale = outputs["mean"], np.exp(0.5 * outputs["log_var"])
        z = {"z": mean + scale * _noise(mean.shape)}
        log_q = -0.5 * np.square((z["z"] - mean) / scale) - np.log(scale) - 0.5 * np.log(2 * np.pi)
        log_q = log_q.sum(axis=-1)
    else:
        condition: Any = model.condition_in(given)
        own = _by_name(model, model.encode(x, condition))
        z = {name: array + codes[name] - own[name] for name, array in _by_name(model, drawn[0]).items()}
        log_q = drawn[1]
    prior = model.prior(model.condition_in(_tensors(given)))
    tensors = _tensors(z)
    log_pz = prior.log_prob(tensors if len(z) > 1 else next(iter(tensors.values())))
    if model.x_spec().kind == "tokens":
        log_px = _of_sequences(run, x, z)
    else:
        log_px = model.likelihood_family.distribution(_tensors(run("decoder", {**z, **given}))).log_prob(x)
    found["elbo"] = float((np.asarray(log_px) + np.asarray(log_pz) - log_q).mean(dtype="float64"))
    return found


def _of_sequences(run: Any, x: np.ndarray, z: Mapping[str, np.ndarray]) -> np.ndarray:
    """log p(x|z) of sequences up to their end, each step reading the true tokens before it. Nats."""
    state, token, total = run("decoder_start", dict(z))["state"], np.zeros(len(x), "int32"), np.zeros(len(x))
    for place in range(x.shape[1]):
        outputs = run("decoder_step", {"token": token, "state": state, **z})
        logits, state = outputs["logits"].astype("float64"), outputs["next_state"]
        highest = logits.max(axis=-1)
        log_all = highest + np.log(np.exp(logits - highest[:, None]).sum(axis=-1))
        log_p = logits[np.arange(len(x)), x[:, place]] - log_all
        total += np.where((token == 0) & (place > 0), 0.0, log_p)  # after the end nothing is uncertain
        token = x[:, place]
    return total


def _by_name(model: "VAE", code: Any) -> dict[str, Any]:
    return dict(code) if isinstance(code, Mapping) else {next(iter(model.latent_spec())): code}


def _noise(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(randomness.EVALUATION).normal(size=shape).astype("float32")


def _tensors(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    return {name: keras.ops.convert_to_tensor(array) for name, array in arrays.items()}
