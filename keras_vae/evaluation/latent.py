"""Metrics of the latent space: which of its dimensions depend on the image."""

from typing import TYPE_CHECKING, Any, Required, TypedDict

import numpy as np
from numpy.typing import ArrayLike

from keras_vae import randomness
from keras_vae.checks import check_indices, check_number, check_whole_number, in_blocks
from keras_vae.errors import NotApplicable, UserError
from keras_vae.evaluation.estimates import Estimate, mean_of
from keras_vae.evaluation.evaluation import Evaluation, dimension_names
from keras_vae.types import ConditionLike

if TYPE_CHECKING:
    from keras_vae.core import VAE

ACTIVE_ABOVE = 0.01  # the variance, over images, of an active unit's mean code


class ActiveUnits(TypedDict, total=False):
    """The number of active units."""

    value: Required[int]
    of: Required[int]  # dimensions
    threshold: Required[float]
    examples: Required[int]
    levels: dict[str, int]  # the number in each level of a hierarchy
    variances: Required[list[float]]  # of each dimension; of a hierarchy, of one level after the other


class Collapse(TypedDict):
    """The collapsed dimensions of a code."""

    verdict: str  # "none", "partial" or "full"
    dimensions: list[int]  # counted from 0
    names: list[str]  # of those: z0, z1, ...
    summary: str
    remedies: list[str]


class CodebookUsage(TypedDict):
    """The entries of a codebook that are in use."""

    used: int  # entries chosen at least once
    entries: int
    perplexity: float  # exp(entropy, nats) of how often each entry is chosen, from 1 to `entries`
    standard_error: float  # of the perplexity
    dead: float  # the share of entries never chosen
    examples: int
    counts: list[int]  # of each entry


def kl_per_dimension(model: "VAE", x: ArrayLike, condition: ConditionLike = None) -> np.ndarray:
    """Return the mean over images of KL(q(z_j|x) || p(z_j)) for each dimension j of the code: `(dimensions,)`, nats.

    In closed form, or from one draw for each image where the variant's KL has none. One number, of the whole code, if
    the KL is not a sum over dimensions, as of a hierarchy; `kl_by_group` has those of its levels, and that of a label
    that the model infers. Here the likeliest class stands for a missing one.

    Raises:
      NotApplicable: the model has no KL.
      UserError: `x` is not a batch of images in [0, 1] of the model's shape, or of none.
    """
    evaluation = Evaluation(model, x, condition=condition)
    _require_kl(evaluation)
    return in_blocks(
        lambda block, part: model.functions.kl(part, randomness.fold(evaluation.noise, block)), evaluation.inputs
    ).mean(axis=0)


def kl_by_group(model: "VAE", x: ArrayLike, condition: ConditionLike = None, seed: int = 0) -> dict[str, Estimate]:
    """Return the KL of each group of `Terms.kl` by name, as `kl_names` gives them, with its standard error over images.

    Raises:
      NotApplicable, UserError: as `kl_per_dimension`; fewer than two images.
    """
    return kl_by_group_of(Evaluation(model, x, condition=condition, seed=seed))


def kl_by_group_of(evaluation: Evaluation) -> dict[str, Estimate]:
    """As `kl_by_group`."""
    _require_kl(evaluation)
    groups = evaluation.terms["kl_groups"].T
    names = kl_names(evaluation.model, len(groups))
    return {name: mean_of(group, examples=len(group)) for name, group in zip(names, groups, strict=True)}


def kl_names(model: "VAE", groups: int) -> list[str]:
    """Return the names of the groups of `Terms.kl`: of dimensions, z0, z1, ...; of levels; or "total", one for all.

    Groups after those of the code are of the condition: "label", where it is a label that the model infers.
    """
    levels, dimensions = list(model.latent_spec()), dimension_names(model)
    if len(levels) > 1 and groups == len(levels):
        return levels
    if groups == 1 and len(dimensions) > 1:
        return ["total"]
    if groups == len(dimensions):
        return dimensions
    conditions = [spec.kind if name == "condition" else name for name, spec in model.condition_spec().items()]
    if groups == len(dimensions) + len(conditions):
        return dimensions + conditions
    return [f"group{index}" for index in range(groups)]


def _require_kl(evaluation: Evaluation) -> None:
    if not evaluation.model.stochastic:
        name = type(evaluation.model).__name__
        raise NotApplicable(f"{name} has no distribution over codes, and so no KL. Train a VAE.")
    if not len(evaluation):
        raise UserError("x is empty; a mean over images needs one or more.")


def active_units(
    model: "VAE", x: ArrayLike, threshold: float = ACTIVE_ABOVE, condition: ConditionLike = None
) -> ActiveUnits:
    """Return the number of latent dimensions that vary with the image: Var_x(E[z_j|x]) above a threshold.

    Section 5.2 of Burda et al. 2016, https://arxiv.org/abs/1509.00519, with their threshold 0.01, a tenth of a standard
    deviation of N(0, 1). E[z|x] is the code that `encode` gives; of a flow, which has no mean, the variant's code.

    Raises:
      NotApplicable: integer codes, which have `codebook_usage`.
      UserError: fewer than two images.
    """
    return active_units_of(Evaluation(model, x, condition=condition), threshold)


def active_units_of(evaluation: Evaluation, threshold: float = ACTIVE_ABOVE) -> ActiveUnits:
    """As `active_units`."""
    model, count = evaluation.model, len(evaluation)
    if model.latent_kind == "index":
        raise NotApplicable(f"Active units are of real codes. Given: a {type(model).__name__}. Use codebook_usage.")
    threshold = check_number(threshold, "threshold")
    if count < 2:
        raise UserError(f"A variance over images needs two or more. Given: {count}.")
    variances = {
        name: np.asarray(code, "float64").reshape(count, -1).var(axis=0, ddof=1)
        for name, code in evaluation.levels.items()
    }
    active = {name: int((level > threshold).sum()) for name, level in variances.items()}
    joined = np.concatenate(list(variances.values()))
    units: ActiveUnits = {
        "value": sum(active.values()),
        "of": len(joined),
        "threshold": threshold,
        "examples": count,
        "variances": joined.tolist(),
    }
    return {**units, "levels": active} if model.latent_kind == "level" else units


def collapse(model: "VAE", x: ArrayLike, threshold: float = ACTIVE_ABOVE, condition: ConditionLike = None) -> Collapse:
    """Return whether the posterior has collapsed to the prior, in which dimensions, and what helps this model.

    A dimension has collapsed where its mean code does not vary with x (see `active_units`): the decoder cannot learn
    anything from it. Remedies are suggested where half of the dimensions or more have collapsed: fewer are those that
    the model does not need, and cost nothing.

    Raises:
      NotApplicable, UserError: as `active_units`.
    """
    return collapse_of(Evaluation(model, x, condition=condition), threshold)


def collapse_of(evaluation: Evaluation, threshold: float = ACTIVE_ABOVE) -> Collapse:
    """As `collapse`."""
    model, units = evaluation.model, active_units_of(evaluation, threshold)
    dead = [index for index, variance in enumerate(units["variances"]) if not variance > threshold]
    return collapsed(model, dead)


def collapsed(model: "VAE", dead: list[int]) -> Collapse:
    """Return the verdict on a model whose dimensions `dead` have collapsed."""
    names = dimension_names(model)
    count, few = len(names), 2 * len(dead) < len(names)
    if not dead:
        verdict, summary = "none", f"All {count} dimensions are in use."
    elif len(dead) == count:
        verdict, fault = "full", "Posterior collapse" if model.stochastic else "A constant code"
        summary = f"{fault}: none of the {count} dimensions varies with the example; the code carries no information."
    else:
        verdict, cost = "partial", ", and the others cost nothing" if few and model.stochastic else ""
        one = len(dead) == 1
        summary = (
            f"{len(dead)} of {count} dimensions {'does' if one else 'do'} not vary with the example: the model uses "
            f"{count - len(dead)}{cost}."
        )
    return {
        "verdict": verdict,
        "dimensions": dead,
        "names": [names[index] for index in dead],
        "summary": summary,
        "remedies": [] if few else list(remedies(model, verdict)),
    }


def remedies(model: "VAE", verdict: str) -> dict[str, dict[str, Any]]:
    """Return suggested remedies for posterior collapse that this model does not use: a sentence -> arguments.

    The arguments are of the model's constructor, empty for a change of the networks or the size. Those that a variant
    rejects (`VAE.rejects`) are not suggested.

    Args:
      verdict: "partial" or "full", as `collapse` gives it.
    """
    advice: dict[str, dict[str, Any]] = {}
    schedule = model.beta.get_config()
    final = float(schedule.get("final", schedule.get("value", 1.0)))
    if model.stochastic and "beta" not in model.rejects:
        if "final" not in schedule:
            advice[f"KL annealing: a beta that increases to {final:g}, beta={{'name': 'linear', 'final': {final:g}, "
                  "'steps': 10000}"] = {"beta": {"name": "linear", "final": final, "steps": 10_000}}  # fmt: skip
        if final > 1:
            advice[f"a smaller beta: beta=1.0, the ELBO's, in place of {final:g}"] = {"beta": 1.0}
    if model.stochastic and not model.free_bits and "free_bits" not in model.rejects:
        advice["free bits: free_bits=0.1, nats of each part of the KL that are not penalised"] = {"free_bits": 0.1}
    if model.stochastic:
        advice["a weaker decoder: fewer or narrower layers, which depend more on the code"] = {}
    elif verdict == "full":
        advice["a smaller learning rate, or a smaller penalty on the codes: units have died"] = {}
    if verdict == "partial":
        advice["or fewer latent dimensions: the others are not needed"] = {}
    return advice


def codebook_usage(
    model: "VAE", x: ArrayLike, condition: ConditionLike = None, repetitions: int = 50, seed: int = 0
) -> CodebookUsage:
    """Return how much of its codebook a model with integer codes uses, over all the images.

    The standard error of the perplexity is over `repetitions` resamplings of the images.

    Raises:
      NotApplicable: codes that are not integers.
      UserError: no images.
    """
    return codebook_usage_of(Evaluation(model, x, condition=condition), repetitions, seed)


def codebook_usage_of(evaluation: Evaluation, repetitions: int = 50, seed: int = 0) -> CodebookUsage:
    """As `codebook_usage`."""
    model = evaluation.model
    if model.latent_kind != "index":
        raise NotApplicable(f"Codebook usage is of integer codes. Given: a {type(model).__name__}. Use active_units.")
    ((_, spec),) = model.latent_spec().items()
    codes = check_indices(evaluation.codes, spec.shape, spec.classes)
    counts = np.bincount(codes.ravel(), minlength=spec.classes)
    if not counts.sum():
        raise UserError("x is empty; the usage of a codebook needs one image or more.")
    generator, flat, count = np.random.default_rng(seed), codes.reshape(len(codes), -1), len(codes)
    resampled = [
        _perplexity(np.bincount(flat[generator.integers(count, size=count)].ravel(), minlength=spec.classes))
        for _ in range(check_whole_number(repetitions, "repetitions", 2))
    ]
    used = int((counts > 0).sum())
    return {
        "used": used,
        "entries": spec.classes,
        "perplexity": _perplexity(counts),
        "standard_error": float(np.std(resampled, ddof=1)),
        "dead": 1.0 - used / spec.classes,
        "examples": len(codes),
        "counts": counts.tolist(),
    }


def _perplexity(counts: np.ndarray) -> float:
    shares = counts[counts > 0] / counts.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))
