"""Annealed importance sampling: log p(x) with little use of the encoder, as a check on importance weights."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from keras_vae import backend, randomness
from keras_vae.backend import mcmc, tfd
from keras_vae.checks import check_number, check_whole_number
from keras_vae.core.inference import fitted
from keras_vae.distributions.ladder import Ladder
from keras_vae.errors import NotApplicable
from keras_vae.evaluation.evaluation import Evaluation
from keras_vae.evaluation.whitened import Whitened
from keras_vae.types import ConditionLike, Tensor

if TYPE_CHECKING:
    from keras_vae.core import VAE
    from keras_vae.priors.base import FittedPrior

_SCALE_DRAWS = 64  # of q(z|x), for the size of the steps


def annealed_importance(
    model: "VAE",
    x: ArrayLike,
    temperatures: int = 200,
    chains: int = 16,
    leapfrog_steps: int = 5,
    step_size: float = 0.4,
    seed: int = 0,
    condition: ConditionLike = None,
    prior: "FittedPrior | None" = None,
) -> dict[str, np.ndarray]:
    """Return log p(x) of each image by annealing from the prior to the posterior, with Hamiltonian Monte Carlo.

    Neal 2001, equations 3 to 11, https://arxiv.org/abs/physics/9803008, as Wu et al. 2017 measure decoders with it,
    https://arxiv.org/abs/1611.04273. Chains start from p(z) and pass through `p(z) p(x|z)**t`, t from 0 to 1 along
    a sigmoid. exp of the estimate is unbiased for p(x), so it is a lower bound of log p(x) in expectation. The encoder
    only sets the scale of the steps: that of a Gaussian with a precision between the prior's, 1, and that of q(z|x). A
    poor encoder makes it slower, not wrong.

    Args:
      model: a model with codes of real vectors; a hierarchy is sampled in `Whitened` coordinates.
      x: images, all in memory at once with all chains.
      temperatures: the number of steps from 0 to 1.
      chains: for each image, 2 or more.
      leapfrog_steps: gradients of each HMC step.
      step_size: in units of that scale.
      seed: of all draws.
      condition: one for each image, where the model is conditional.
      prior: of `keras_vae.priors`, fitted to the model; None: the model's own.

    Returns:
      `log_prob` `(batch,)`, nats, of the same x and conditions as the model's `log_prob`; its `standard_error` over
      chains `(batch,)`, by the delta method, which is too small where one chain has most of the weight; `acceptance`
      `(batch,)`, the mean probability of the HMC steps: best between 0.6 and 0.9.

    Raises:
      NotApplicable: codes that are no real vectors of full dimension, or a missing label.
      UserError: images outside the likelihood's support, or arguments out of range.
    """
    evaluation = Evaluation(model, x, condition=condition, seed=seed, prior=prior)
    return annealed_importance_of(evaluation, temperatures, chains, leapfrog_steps, step_size)


def annealed_importance_of(
    evaluation: Evaluation,
    temperatures: int = 200,
    chains: int = 16,
    leapfrog_steps: int = 5,
    step_size: float = 0.4,
) -> dict[str, np.ndarray]:
    """As `annealed_importance`."""
    condition = evaluation.condition
    # With log p(y), log p(x|y) becomes log p(x, y).
    log_py = None if condition is None else evaluation.model.log_p_condition(condition)
    annealed = annealed_codes(evaluation, temperatures, chains, leapfrog_steps, step_size)
    highest = annealed.log_weights.max(axis=0)
    weights = np.exp(annealed.log_weights - highest)
    mean = weights.mean(axis=0)
    return {
        "log_prob": highest + np.log(mean) + (0.0 if log_py is None else log_py),
        "standard_error": weights.std(axis=0, ddof=1) / np.sqrt(chains) / mean,
        "acceptance": annealed.acceptance,
    }


class Annealed(NamedTuple):
    """The ends of the chains: weighted draws of p(z|x)."""

    codes: Any  # (chains, n, ...), or a dict of levels of such a shape
    log_weights: np.ndarray  # (chains, n), float64
    acceptance: np.ndarray  # (n,)

    @property
    def weights(self) -> np.ndarray:
        """The weights of the chains of each example, which sum to 1: `(chains, n)`."""
        weights = np.exp(self.log_weights - self.log_weights.max(axis=0))
        return weights / weights.sum(axis=0)


def annealed_codes(
    evaluation: Evaluation,
    temperatures: int = 200,
    chains: int = 16,
    leapfrog_steps: int = 5,
    step_size: float = 0.4,
) -> Annealed:
    """Return draws of p(z|x) with weights, however poor the encoder; arguments and errors as `annealed_importance`."""
    evaluation.require_distribution()
    temperatures = check_whole_number(temperatures, "temperatures", minimum=2)
    chains = check_whole_number(chains, "chains", minimum=2)
    leapfrog_steps = check_whole_number(leapfrog_steps, "leapfrog_steps")
    step_size = check_number(step_size, "step_size")
    with backend.full_precision():  # without it Hamiltonian dynamics would not conserve their energy
        target = _target(evaluation)
        z, log_w, accepted = _anneal(target, evaluation.noise, temperatures, chains, leapfrog_steps, step_size)
        codes = keras.tree.map_structure(np.asarray, target.code(z))
    return Annealed(codes, np.asarray(log_w, "float64"), np.asarray(accepted))


class _Target(NamedTuple):
    """The path from p(z) to p(z) p(x|z), over codes as vectors."""

    prior: tfd.Distribution
    log_px: Callable[[Tensor], Tensor]  # (chains, batch, dimensions) -> (chains, batch)
    code: Callable[[Tensor], Any]  # from a vector to what the model decodes
    precision: Tensor  # of q(z|x) minus that of the prior, (batch, dimensions)
    images: int
    dtype: str


def _target(evaluation: Evaluation) -> _Target:
    """Return the path of the evaluation's images.

    Raises:
      NotApplicable: codes that are no real vectors of full dimension.
    """
    model, condition, images = evaluation.model, evaluation.condition, ops.convert_to_tensor(evaluation.x)
    spec = model.latent_spec()
    prior: Any = model.prior(condition) if evaluation.prior is None else fitted(model, evaluation.prior)
    ladder = Whitened(prior, {name: level.shape for name, level in spec.items()}) if isinstance(prior, Ladder) else None
    if model.latent_kind == "index" or (ladder is None and _on_a_sphere(prior, evaluation.noise)):
        raise NotApplicable(
            f"Annealed importance sampling moves codes through a space of real vectors. Given: a "
            f"{type(model).__name__}, which has other codes. Use log_prob."
        )
    draws = model.posterior(images, condition).sample(_SCALE_DRAWS, seed=randomness.fold(evaluation.noise, 1))
    draws, prior = (draws, prior) if ladder is None else (ladder.vector(draws), ladder)
    scale = ops.std(draws, axis=0)

    def code(vector: Tensor) -> Any:
        return vector if ladder is None else ladder.code(vector)

    def log_px(vector: Tensor) -> Tensor:
        return model.log_px_of(images, code(vector), condition)

    precision = 1.0 / ops.square(ops.maximum(scale, 1e-6)) - 1.0
    return _Target(prior, log_px, code, precision, len(evaluation), model.float_dtype)


def _anneal(
    target: _Target, noise: Tensor, temperatures: int, chains: int, leapfrog_steps: int, step_size: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the last states, the log weights, `(chains, batch)`, and the mean acceptance of the steps, `(batch,)`."""
    prior, log_px = target.prior, target.log_px
    times = 1.0 / (1.0 + np.exp(-np.linspace(-4.0, 4.0, temperatures + 1)))
    times = ops.convert_to_tensor((times - times[0]) / (times[-1] - times[0]), target.dtype)
    shape = (chains,) if prior.batch_shape.rank else (chains, target.images)

    def one_step(index: Tensor, z: Tensor, log_w: Tensor, accepted: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        time = ops.take(times, index)
        log_w += (time - ops.take(times, index - 1)) * log_px(z)
        kernel = mcmc.HamiltonianMonteCarlo(
            lambda state: prior.log_prob(state) + time * log_px(state),
            step_size * ops.rsqrt(1.0 + time * ops.maximum(target.precision, -0.9)),
            leapfrog_steps,
        )
        z, traced = kernel.one_step(z, kernel.bootstrap_results(z), seed=randomness.fold(noise, 3, index))
        chance = ops.exp(ops.minimum(traced.log_accept_ratio, 0.0))
        return index + 1, z, log_w, accepted + ops.mean(chance, axis=0) / temperatures

    @backend.compiled
    def run() -> tuple[Tensor, Tensor, Tensor, Tensor]:
        z = prior.sample(shape, seed=randomness.fold(noise, 2))
        start = ops.zeros((chains, target.images), target.dtype)
        first = ops.convert_to_tensor(1), z, start, ops.zeros_like(start[0])
        return ops.while_loop(lambda index, *_: index <= temperatures, one_step, first)

    _, z, log_w, accepted = run()
    return z, log_w, accepted


def _on_a_sphere(prior: tfd.Distribution, seed: Tensor) -> bool:
    """Return whether all draws have one length: the codes are then not of full dimension."""
    draws = prior.sample(8, seed=seed)
    if isinstance(draws, dict) or not draws.dtype.is_floating or draws.shape[-1] < 2:
        return False
    lengths = np.linalg.norm(np.asarray(draws), axis=-1)
    return bool(lengths.std() < 1e-4 * lengths.mean())
