"""Missing values filled in by importance sampling: their conditional mean, and draws."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from keras_vae import backend, checks, randomness
from keras_vae.core.estimators import chunk_limit
from keras_vae.core.inference import checked_inputs
from keras_vae.errors import UserError
from keras_vae.types import ConditionLike, Tensor, Tensors

if TYPE_CHECKING:
    from keras_vae.core import VAE


class Filled(NamedTuple):
    """The rows of x with what was missing filled in. What was observed is unchanged."""

    mean: np.ndarray  # (rows, *x_shape): E[x_m|x_o]; of a column of classes, the likeliest
    draws: np.ndarray  # (draws, rows, *x_shape): of p(x_m|x_o)
    effective_samples: np.ndarray  # (rows,): of the weights, from 1 to the number of samples


def fill_in(
    model: "VAE", x: ArrayLike, samples: int = 1000, draws: int = 0, seed: int = 0, condition: ConditionLike = None
) -> Filled:
    """Return x with its missing numbers estimated from the observed ones, by a model with the argument `missing`.

    Mattei and Frellsen 2019, section 4, https://arxiv.org/abs/1812.02633. Single imputation: the mean of E[x_m|z] over
    draws z of q(z|x_o), with the self-normalised weights p(x_o|z) p(z) / q(z|x_o), is the conditional mean E[x_m|x_o]
    as `samples` grow. Multiple imputation: z is resampled by these weights, and x_m drawn from p(x_m|z).

    Args:
      model: trained on x with missing values.
      x: NaN, or masked, where a number is missing.
      samples: of q(z|x_o), for each row.
      draws: of p(x_m|x_o), for each row: a 90 % interval lies between their quantiles of 5 and 95 %.
      seed: of all draws.
      condition: one for each row, where the model is conditional.

    Raises:
      UserError: as `model.log_prob`; or a model without `missing`.
    """
    if model.missing is None:
        raise UserError(
            f"Values are filled in by a model that was trained with some missing. Given: a {type(model).__name__} of "
            f"missing=None. Make it with missing='mask'; for images, tasks.impute takes any model."
        )
    samples = checks.check_whole_number(samples, "samples")
    draws = checks.check_whole_number(draws, "draws", minimum=0)
    base = randomness.fold(
        randomness.seed_of(checks.check_whole_number(seed, "seed", minimum=0), randomness.SAMPLING), 8
    )
    inputs = checked_inputs(model, x, condition, likelihood=True)
    size = min(samples, chunk_limit(model))

    def weighted(part: Tensors, noise: Tensor) -> tuple[Any, Tensor, Tensor]:
        """Codes `(size, batch, ...)`, their log weights `(size, batch)`, and the means of x that they decode to."""
        y = model.condition_in(part)
        q, p = model.proposal(part["x"], y), model.prior(y)
        z = model.draws.sample(q, size, seed=noise)
        parameters = model.likelihood_parameters(keras.tree.map_structure(_flat, z), _repeated(y, size))
        log_px = model.likelihood_family.distribution(parameters).log_prob(_repeated(part["x"], size))
        log_w = ops.reshape(log_px, (size, -1)) + p.log_prob(z) - q.log_prob(z)
        mean = model.likelihood_family.moments(parameters)
        return z, log_w, ops.reshape(mean, (size, -1, *mean.shape[1:]))

    def drawn(z: Any, part: Tensors, noise: Tensor) -> Tensor:
        y, count = model.condition_in(part), keras.tree.flatten(z)[0].shape[0]
        x = model.likelihood(keras.tree.map_structure(_flat, z), _repeated(y, count)).sample(seed=noise)
        return ops.reshape(x, (count, -1, *x.shape[1:]))

    graphs = backend.compiled(weighted, reduce_retracing=True), backend.compiled(drawn, reduce_retracing=True)

    def one_block(block: int, part: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        tensors = {name: ops.convert_to_tensor(array) for name, array in part.items()}
        expected = model.likelihood_family.expected
        return _filled(graphs, expected, tensors, part["x"], samples, draws, randomness.fold(base, block))

    results = checks.in_blocks(one_block, inputs, pad=True, what="fill_in")
    draws_first = np.moveaxis(results["draws"], 1, 0) if draws else np.empty((0, *results["mean"].shape), "float32")
    return Filled(results["mean"], draws_first, results["effective_samples"])


def _filled(
    graphs: tuple[Any, Any],
    expected: Callable[[np.ndarray], np.ndarray],
    tensors: Tensors,
    x: np.ndarray,
    samples: int,
    draws: int,
    seed: Tensor,
) -> dict[str, np.ndarray]:
    """The results of `fill_in` for one block: chunks of weighted codes, of which none but the drawn ones are kept."""
    weighted, drawn = graphs
    generator = np.random.default_rng(np.asarray(seed).view("uint32"))
    rows = np.arange(len(x))
    top, total, squares = np.full(len(x), -np.inf), np.zeros(len(x)), np.zeros(len(x))
    mean, done, chunk = np.zeros((len(x), *(1,) * (x.ndim - 1))), 0, 0
    winners = None
    while done < samples:
        z, log_w, means = keras.tree.map_structure(np.asarray, weighted(tensors, randomness.fold(seed, 0, chunk)))
        log_w = log_w[: samples - done].astype("float64")
        done, chunk = done + len(log_w), chunk + 1
        highest = np.maximum(top, log_w.max(axis=0))
        weights, kept = np.exp(log_w - highest), np.exp(top - highest)
        top, total, squares = highest, kept * total + weights.sum(0), kept**2 * squares + np.square(weights).sum(0)
        mean = mean * _over(kept, mean) + np.einsum("sb,sb...->b...", weights, means[: len(log_w)])
        if draws:
            # One of the chunk with probability w / sum of w, then that or the one before by the sums of their weights.
            sums = weights.cumsum(axis=0)
            aims = generator.random((draws, len(x))) * sums[-1]
            index = np.stack([np.searchsorted(sums[:, row], aims[:, row], side="right") for row in rows], axis=1)
            index = np.minimum(index, len(weights) - 1)
            latest = keras.tree.map_structure(lambda array, index=index: array[index, rows], z)
            taken = generator.random((draws, len(x))) < sums[-1] / total
            before = latest if winners is None else winners
            winners = keras.tree.map_structure(lambda a, b, c=taken: np.where(_over(c, a), a, b), latest, before)
    result = {"mean": np.where(np.isnan(x), expected(mean / _over(total, mean)), x).astype("float32")}
    result["effective_samples"] = np.square(total) / squares
    if draws:
        x_drawn = np.asarray(drawn(keras.tree.map_structure(ops.convert_to_tensor, winners), tensors,
                                   randomness.fold(seed, 1)))  # fmt: skip
        result["draws"] = np.moveaxis(np.where(np.isnan(x), x_drawn, x), 0, 1).astype("float32")
    return result


def _flat(value: Tensor) -> Tensor:
    return ops.reshape(value, (-1, *value.shape[2:]))


def _repeated(value: Any, count: int) -> Any:
    """Each tensor of `(batch, ...)`, `count` times, as one batch; None for None."""
    if value is None:
        return None
    return keras.tree.map_structure(lambda one: _flat(ops.broadcast_to(one, (count, *ops.shape(one)))), value)


def _over(values: np.ndarray, array: np.ndarray) -> np.ndarray:
    """`values` with as many axes as `array`."""
    return values.reshape(*values.shape, *(1,) * (array.ndim - values.ndim))
