"""Numbers about the latent space: which of its dimensions say something about the image."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from keras_vae import randomness
from keras_vae.checks import check_indices, check_number, check_whole_number, in_blocks
from keras_vae.core.estimators import elbo_terms
from keras_vae.core.inference import checked_inputs
from keras_vae.errors import NotApplicable, UserError
from keras_vae.evaluation.estimates import mean_of
from keras_vae.types import ConditionLike

if TYPE_CHECKING:
    from keras_vae.core import VAE

ACTIVE_ABOVE = 0.01  # the variance, over images, of an active unit's mean code


def kl_per_dimension(model: "VAE", x: ArrayLike, condition: ConditionLike = None) -> np.ndarray:
    """The mean over images of KL(q(z_j|x) || p(z_j)) for each group j of `Terms.kl`: `(groups,)`, nats.

    In closed form, or from one draw for each image where the variant's KL has none.

    Raises:
      NotApplicable: the model has no KL.
      UserError: `x` is not a batch of images in [0, 1] of the model's shape, or of none.
    """
    inputs, base = _with_kl(model, x, condition), randomness.seed_of(0, randomness.EVALUATION)
    return in_blocks(lambda block, part: model.functions.kl(part, randomness.fold(base, block)), inputs).mean(axis=0)


def kl_by_group(
    model: "VAE", x: ArrayLike, condition: ConditionLike = None, seed: int = 0
) -> dict[str, dict[str, Any]]:
    """The KL of each group of `Terms.kl` with its standard error over images: name -> `value`, `standard_error`.

    Names: z0, z1, ... of dimensions; those of `latent_spec` where a group is a level; "total" where there is but one.

    Raises:
      NotApplicable, UserError: as `kl_per_dimension`; fewer than two images.
    """
    inputs = _with_kl(model, x, condition)
    groups, levels = elbo_terms(model, inputs, seed)["kl_groups"].T, list(model.latent_spec())
    if len(groups) == len(levels) > 1:
        names = levels
    else:
        names = ["total"] if len(groups) == 1 != model.latent_dim else [f"z{place}" for place in range(len(groups))]
    return {name: mean_of(group, examples=len(group)) for name, group in zip(names, groups, strict=True)}


def _with_kl(model: "VAE", x: ArrayLike, condition: ConditionLike) -> dict[str, np.ndarray]:
    if not model.stochastic:
        raise NotApplicable(f"{type(model).__name__} has no distribution over codes, and so no KL. Train a VAE.")
    inputs = checked_inputs(model, x, condition)
    if not len(inputs["x"]):
        raise UserError("A mean over images needs one or more. Given: none.")
    return inputs


def active_units(
    model: "VAE", x: ArrayLike, threshold: float = ACTIVE_ABOVE, condition: ConditionLike = None
) -> dict[str, Any]:
    """How many latent dimensions move with the image: Var_x(E[z_j|x]) above a threshold.

    Section 5.2 of Burda et al. 2016, https://arxiv.org/abs/1509.00519, whose threshold is 0.01, a tenth of a standard
    deviation of N(0, 1). E[z|x] is the code that `encode` gives; of a flow, which has no mean, the variant's code.

    Returns:
      `value`, the count; `of`, the number of dimensions; `threshold`; `variances`, one for each dimension, a list; for
      a hierarchy, of all levels one after the other, and `levels`: name -> count.

    Raises:
      NotApplicable: integer codes, which have `codebook_usage`.
      UserError: fewer than two images.
    """
    if _index(model):
        raise NotApplicable(f"Active units are of real codes. Given: a {type(model).__name__}. Use codebook_usage.")
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


def collapse(
    model: "VAE", x: ArrayLike, threshold: float = ACTIVE_ABOVE, condition: ConditionLike = None
) -> dict[str, Any]:
    """Whether the posterior has collapsed to the prior, in which dimensions, and what helps this model.

    A dimension has collapsed where its mean code does not move with the image (see `active_units`): the decoder cannot
    learn anything from it.

    Returns:
      `verdict`: "none", "partial" or "full"; `dimensions`: the collapsed ones, numbered from 0; `summary`: a sentence;
      `remedies`: sentences, those of `remedies`; empty where nothing has collapsed.

    Raises:
      NotApplicable, UserError: as `active_units`.
    """
    units = active_units(model, x, threshold, condition)
    dead = [place for place, variance in enumerate(units["variances"]) if not variance > threshold]
    if not dead:
        return {"verdict": "none", "dimensions": [], "summary": f"All {units['of']} dimensions are in use.",
                "remedies": []}  # fmt: skip
    if len(dead) == units["of"]:
        verdict = "full"
        what = "Posterior collapse" if model.stochastic else "A constant code"
        summary = f"{what}: none of the {units['of']} dimensions moves with the image; the code says nothing."
    else:
        verdict = "partial"
        summary = (
            f"{len(dead)} of {units['of']} dimensions do not move with the image: the model uses {units['value']}."
        )
    return {"verdict": verdict, "dimensions": dead, "summary": summary, "remedies": list(remedies(model, verdict))}


def remedies(model: "VAE", verdict: str) -> dict[str, dict[str, Any]]:
    """What helps against a collapsed code and the model does not use yet: a sentence -> arguments of its constructor.

    What a variant refuses (`VAE.rejects`) is not suggested; no arguments: it is a change of the networks or the size.

    Args:
      verdict: "partial" or "full", as `collapse` gives it.
    """
    known: dict[str, dict[str, Any]] = {}
    schedule = model.beta.get_config()
    final = float(schedule.get("final", schedule.get("value", 1.0)))
    if model.stochastic and "beta" not in model.rejects:
        if "final" not in schedule:
            known[f"KL annealing: a beta that climbs to its {final:g}, beta={{'name': 'linear', 'final': {final:g}, "
                  "'steps': 10000}"] = {"beta": {"name": "linear", "final": final, "steps": 10_000}}  # fmt: skip
        if final > 1:
            known[f"a smaller beta: beta=1.0, the ELBO's; it is {final:g} in the end"] = {"beta": 1.0}
    if model.stochastic and not model.free_bits and "free_bits" not in model.rejects:
        known["free bits: free_bits=0.1, nats that each part of the KL costs nothing below"] = {"free_bits": 0.1}
    if model.stochastic:
        known["a weaker decoder: fewer or narrower layers, which must ask the code"] = {}
    elif verdict == "full":
        known["a smaller learning rate, or less weight on the codes' own penalty: units have died"] = {}
    if verdict == "partial":
        known["or fewer latent dimensions: the rest is not needed"] = {}
    return known


def codebook_usage(
    model: "VAE", x: ArrayLike, condition: ConditionLike = None, repetitions: int = 50, seed: int = 0
) -> dict[str, Any]:
    """How much of its codebook a model with integer codes uses, over all the images.

    Returns:
      `used`: entries chosen at least once; `entries`; `perplexity`: exp(entropy, nats) of how often each entry is
      chosen, from 1 to `entries`, and its `standard_error` over `repetitions` resamplings of the images; `dead`: the
      share never chosen; `counts`: one for each entry, a list.

    Raises:
      NotApplicable: codes that are not integers.
      UserError: no images.
    """
    if not _index(model):
        raise NotApplicable(f"Codebook usage is of integer codes. Given: a {type(model).__name__}. Use active_units.")
    ((_, spec),) = model.latent_spec().items()
    codes = check_indices(model.encode(x, condition), spec.shape, spec.classes)
    counts = np.bincount(codes.ravel(), minlength=spec.classes)
    if not counts.sum():
        raise UserError("A codebook's usage needs one image or more. Given: none.")
    generator, flat, count = np.random.default_rng(seed), codes.reshape(len(codes), -1), len(codes)
    again = [
        _perplexity(np.bincount(flat[generator.integers(count, size=count)].ravel(), minlength=spec.classes))
        for _ in range(check_whole_number(repetitions, "repetitions", 2))
    ]
    used = int((counts > 0).sum())
    return {
        "used": used,
        "entries": spec.classes,
        "perplexity": _perplexity(counts),
        "standard_error": float(np.std(again, ddof=1)),
        "dead": 1.0 - used / spec.classes,
        "examples": len(codes),
        "counts": counts.tolist(),
    }


def _perplexity(counts: np.ndarray) -> float:
    shares = counts[counts > 0] / counts.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


def _index(model: "VAE") -> bool:
    return model.latent_kind == "index"
