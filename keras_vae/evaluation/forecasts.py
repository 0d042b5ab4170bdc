"""Metrics and draws of series: the second half forecast from the first, and bands of reconstructions."""

from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from keras_vae import randomness
from keras_vae.core.filling import Filled
from keras_vae.core.inference import checked_inputs
from keras_vae.errors import NotApplicable
from keras_vae.evaluation.annealing import annealed_codes
from keras_vae.evaluation.estimates import Estimate, by_column
from keras_vae.evaluation.evaluation import Evaluation
from keras_vae.evaluation.tables import check_holes, errors_by_column
from keras_vae.types import ConditionLike

if TYPE_CHECKING:
    from keras_vae.core import VAE

BAND = (0.05, 0.95)  # the quantiles between which a band lies
DRAWS = 200
_FIRST, _CHAINS, _TEMPERATURES = 100, 16, 200  # series that are forecast, by annealing, which takes long


def forecast_of(evaluation: Evaluation) -> dict[str, Estimate]:
    """Return the errors of the second half of each series, forecast from the first: `rmse`, and `coverage`.

    As `forecasts`, of the first 100 series. Errors are in standard deviations of the channel, as of
    `tables.column_errors_of`, beside those of two forecasts without a model, `rmse_of_last`, the last observed value,
    and `rmse_of_mean`, the mean of the first half: Hyndman and Athanasopoulos,
    https://otexts.com/fpp3/simple-methods.html. `coverage`: the share of values between the quantiles of 5 and 95 % of
    200 draws.

    Raises:
      NotApplicable: as `forecasts`; a model of anything but series; or no second half is observed.
    """
    spec = evaluation.model.x_spec()
    if not spec.is_series:
        raise NotApplicable(
            f"Forecasts are of series, x of steps and channels. Given: a {type(evaluation.model).__name__} of "
            f"{spec.kind} of shape {spec.shape}."
        )
    check_holes(evaluation)
    part = evaluation.first(_FIRST)
    x, starts = part.x, starts_of(part.x)
    later = np.arange(x.shape[1])[:, None] >= starts[:, None, None]
    past = np.where(later, np.nan, x).astype("float64")
    last, mean = _last(past), np.ma.masked_invalid(past).mean(axis=1, keepdims=True).filled(np.nan)
    scored = later & ~np.isnan(x) & ~np.isnan(last)
    if not scored.any():
        raise NotApplicable("Forecasts are of series of which some of both halves is observed. Given: none.")
    filled = forecasts(part.model, x, part.seed, part.condition)
    estimates = errors_by_column(part, x, filled.mean, scored)
    for name, guess in (("rmse_of_last", last), ("rmse_of_mean", mean)):
        estimates[name] = errors_by_column(part, x, np.broadcast_to(guess, x.shape), scored)["rmse"]
    low, high = np.quantile(filled.draws, BAND, axis=0)
    inside, counts = ((values & scored).sum(axis=1) for values in ((x >= low) & (x <= high), scored))
    channels = np.flatnonzero(counts.any(axis=0))
    names = [part.columns[channel] for channel in channels]
    estimates["coverage"] = by_column(
        inside[:, channels], counts[:, channels], names, examples=len(x), samples=DRAWS, unit="share"
    )
    rmse = estimates["rmse"]
    rmse["chains"], rmse["temperatures"], rmse["seed"] = _CHAINS, _TEMPERATURES, part.seed
    return estimates


def forecasts(model: "VAE", x: np.ndarray, seed: int = 0, condition: ConditionLike = None) -> Filled:
    """Return a few series with the second half of each estimated from the first, and 200 draws of it.

    By annealing from the prior to p(z|first half): the encoder may not have learned to read half a series, and then
    few of the importance samples of `fill_in` would be effective. `effective_samples` are of 16 chains.

    Raises:
      NotApplicable: as `annealed_importance`.
      UserError: as `annealed_importance`, or a model that takes no holes.
    """
    later = np.arange(x.shape[1])[:, None] >= starts_of(x)[:, None, None]
    evaluation = Evaluation(model, np.where(later, np.nan, x), condition=condition, seed=seed)
    annealed = annealed_codes(evaluation, _TEMPERATURES, _CHAINS)
    weights, family, y = annealed.weights, model.likelihood_family, evaluation.condition

    def codes_of(chains: np.ndarray) -> Any:  # the chain of each series
        codes = keras.tree.map_structure(lambda code: code[chains, np.arange(len(x))], annealed.codes)
        return keras.tree.map_structure(ops.convert_to_tensor, codes)

    moments = [
        np.asarray(family.moments(model.likelihood_parameters(codes_of(np.full(len(x), chain)), y)), "float64")
        for chain in range(_CHAINS)
    ]
    mean = family.expected(np.einsum("cn,cn...->n...", weights, np.stack(moments)))
    generator = np.random.default_rng(seed)
    picked = (generator.random((DRAWS, 1, len(x))) > weights.cumsum(axis=0)[:-1]).sum(axis=1)
    draws = [
        np.asarray(model.likelihood(codes_of(chains), y).sample(seed=randomness.fold(evaluation.noise, 4, draw)))
        for draw, chains in enumerate(picked)
    ]
    filled = [np.where(later, values, x).astype("float32") for values in (mean, np.stack(draws))]
    return Filled(filled[0], filled[1], 1.0 / np.square(weights).sum(axis=0))


def starts_of(x: np.ndarray) -> np.ndarray:
    """Return the first step of the second half of each series, up to its last step with an observed number: `(n,)`."""
    seen = np.asarray(np.isfinite(x).any(axis=2))
    return np.where(seen.any(axis=1), x.shape[1] - seen[:, ::-1].argmax(axis=1), 0) // 2


def reconstruction_draws(
    model: "VAE", x: ArrayLike, draws: int = DRAWS, seed: int = 0, condition: ConditionLike = None
) -> np.ndarray:
    """Return draws from p(x|z), z from q(z|x), for each of a few examples: `(draws, n, *x_shape)`.

    Raises:
      UserError: examples that do not fit the model.
    """
    inputs = checked_inputs(model, x, condition)
    count, noise = len(inputs["x"]), randomness.seed_of(seed, randomness.EVALUATION)
    tensors = {name: ops.convert_to_tensor(np.repeat(array, draws, axis=0)) for name, array in inputs.items()}
    y = model.draw_condition(tensors["x"], model.condition_in(tensors), randomness.fold(noise, 2))
    z = model.draws.sample(model.posterior(tensors["x"], y), seed=randomness.fold(noise, 0))
    drawn = np.asarray(model.likelihood(z, y).sample(seed=randomness.fold(noise, 1)))
    return np.moveaxis(drawn.reshape(count, draws, *drawn.shape[1:]), 1, 0)


def _last(past: np.ndarray) -> np.ndarray:
    """Return the last value of each channel that is not NaN, `(n, 1, channels)`; NaN where there is none."""
    seen = ~np.isnan(past)
    step = past.shape[1] - 1 - seen[:, ::-1].argmax(axis=1)
    return np.take_along_axis(past, step[:, None], axis=1)
