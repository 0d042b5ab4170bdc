"""Numbers about the latent space: which of its dimensions say something about the image."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_vae import randomness
from keras_vae.arrays import check_indices, check_number, in_blocks
from keras_vae.errors import UserError
from keras_vae.inference import checked_inputs

ACTIVE_ABOVE = 0.01  # the variance, over images, of an active unit's mean code


def kl_per_dimension(model: Any, x: Any, condition: Any = None) -> np.ndarray:
    """The mean over images of KL(q(z_j|x) || p(z_j)) for each group j of `Terms.kl`: `(groups,)`, nats.

    In closed form, or from one draw for each image where the variant's KL has none.

    Raises:
      UserError: `x` is not a batch of images in [0, 1] of the model's shape, or the model has no KL.
    """
    if not model.stochastic:
        raise UserError(f"{type(model).__name__} has no distribution over codes, and so no KL. Train a VAE.")
    inputs = checked_inputs(model, x, condition)
    base = randomness.seed_of(0, randomness.EVALUATION)
    return in_blocks(lambda block, part: model.functions.kl(part, randomness.fold(base, block)), inputs).mean(axis=0)


def active_units(model: Any, x: Any, threshold: float = ACTIVE_ABOVE, condition: Any = None) -> dict[str, Any]:
    """How many latent dimensions move with the image: Var_x(E[z_j|x]) above a threshold.

    Section 5.2 of Burda et al. 2016, https://arxiv.org/abs/1509.00519, whose threshold is 0.01, a tenth of a standard
    deviation of N(0, 1). E[z|x] is the code that `encode` gives; of a flow, which has no mean, the variant's code.

    Returns:
      `value`, the count; `of`, the number of dimensions; `threshold`; `variances`, one for each dimension, a list; for
      a hierarchy, of all levels one after the other, and `levels`: name -> count.

    Raises:
      UserError: integer codes, which have `codebook_usage`, or fewer than two images.
    """
    if _index(model):
        raise UserError(f"Active units are of real codes. Given: a {type(model).__name__}. Use codebook_usage.")
    threshold = check_number(threshold, "threshold")
    codes = model.encode(x, condition)
    levels = {name: np.asarray(code, "float64") for name, code in (
        codes if isinstance(codes, Mapping) else {"z": codes}).items()}  # fmt: skip
    count = len(next(iter(levels.values())))
    if count < 2:
        raise UserError(f"A variance over images needs two or more. Given: {count}.")
    variances = {name: code.reshape(count, -1).var(axis=0, ddof=1) for name, code in levels.items()}
    active = {name: int((each > threshold).sum()) for name, each in variances.items()}
    joined = np.concatenate(list(variances.values()))
    result = {"value": sum(active.values()), "of": len(joined), "threshold": threshold, "examples": count}
    if isinstance(codes, Mapping):
        result["levels"] = active
    return {**result, "variances": joined.tolist()}


def collapse(model: Any, x: Any, threshold: float = ACTIVE_ABOVE, condition: Any = None) -> dict[str, Any]:
    """Whether the posterior has collapsed to the prior, in which dimensions, and what helps this model.

    A dimension has collapsed where its mean code does not move with the image (see `active_units`): the decoder cannot
    learn anything from it.

    Returns:
      `verdict`: "none", "partial" or "full"; `dimensions`: the collapsed ones, numbered from 0; `summary`: a sentence;
      `remedies`: those that the model does not use already, a list; empty where nothing has collapsed.

    Raises:
      UserError: as `active_units`.
    """
    units = active_units(model, x, threshold, condition)
    dead = [place for place, variance in enumerate(units["variances"]) if not variance > threshold]
    if not dead:
        return {"verdict": "none", "dimensions": [], "summary": f"All {units['of']} dimensions are in use.",
                "remedies": []}  # fmt: skip
    if len(dead) == units["of"]:
        verdict = "full"
        summary = (
            f"Posterior collapse: none of the {units['of']} dimensions moves with the image; the code says nothing."
        )
    else:
        verdict = "partial"
        summary = (
            f"{len(dead)} of {units['of']} dimensions do not move with the image: the model uses {units['value']}."
        )
    return {"verdict": verdict, "dimensions": dead, "summary": summary, "remedies": _remedies(model, verdict)}


def _remedies(model: Any, verdict: str) -> list[str]:
    schedule = model.beta.get_config()
    final, constant = float(schedule.get("final", schedule.get("value", 1.0))), "final" not in schedule
    known = []
    if model.stochastic and constant:
        known.append("KL annealing: beta={'name': 'linear', 'final': 1.0, 'steps': 10000}")
    if model.stochastic and not model.free_bits:
        each = {"dimension": "a dimension", "group": "a level", "total": "in total"}
        known.append(f"free bits: free_bits=0.1 nats {each[model.kl_of]}")
    if model.stochastic and final > 1:
        known.append(f"a smaller beta: it ends at {final:g}, and 1 is the ELBO's")
    known.append("a weaker decoder: fewer or narrower layers, which must ask the code")
    if verdict == "partial":
        known.append("or fewer latent dimensions: the rest is not needed")
    return known


def codebook_usage(model: Any, x: Any, condition: Any = None) -> dict[str, Any]:
    """How much of its codebook a model with integer codes uses, over all the images.

    Returns:
      `used`: entries chosen at least once; `entries`; `perplexity`: exp(entropy, nats) of how often each entry is
      chosen, from 1 to `entries`; `dead`: the share never chosen; `counts`: one for each entry, a list.

    Raises:
      UserError: codes that are not integers.
    """
    if not _index(model):
        raise UserError(f"A codebook's usage is of integer codes. Given: a {type(model).__name__}. Use active_units.")
    ((_, spec),) = model.code_spec().items()
    codes = check_indices(model.encode(x, condition), spec["shape"], spec["classes"])
    counts = np.bincount(codes.ravel(), minlength=spec["classes"])
    if not counts.sum():
        raise UserError("A codebook's usage needs one image or more. Given: none.")
    shares = counts[counts > 0] / counts.sum()
    return {
        "used": len(shares),
        "entries": spec["classes"],
        "perplexity": float(np.exp(-(shares * np.log(shares)).sum())),
        "dead": 1.0 - len(shares) / spec["classes"],
        "examples": len(codes),
        "counts": counts.tolist(),
    }


def _index(model: Any) -> bool:
    return any(spec["kind"] == "index" for spec in model.code_spec().values())
