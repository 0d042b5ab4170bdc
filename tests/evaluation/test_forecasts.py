"""Forecasts of series against the exact conditional distribution of a linear Gaussian model."""

import numpy as np
import pytest

from keras_vae.evaluation import evaluate, forecasts
from keras_vae.models import IWAE, VAE
from tests.core.test_missing import X as ROWS
from tests.core.test_missing import linear as linear_rows
from tests.toys import binary, toy

STEPS, CHANNELS, LATENT, SCALE = 6, 2, 2, 0.8
SIZE = STEPS * CHANNELS
GENERATOR = np.random.default_rng(0)
DECODER, OFFSET = GENERATOR.normal(size=(SIZE, LATENT)), GENERATOR.normal(size=SIZE) * 2
COVARIANCE = DECODER @ DECODER.T + SCALE**2 * np.eye(SIZE)


def linear(cls=IWAE, missing="mask", **arguments):
    """The truth's decoder, with an encoder that is near its posterior given the first half, and wider."""
    network = {"name": "mlp", "hidden": ()}
    arguments = {"importance_samples": 2, **arguments} if cls is IWAE else arguments
    model = cls(x_shape=(STEPS, CHANNELS), latent_dim=LATENT, encoder=network, decoder=network, missing=missing,
                likelihood={"name": "normal", "scale": SCALE}, dtype="float64", **arguments)  # fmt: skip
    model.decoder.set_weights([DECODER.T, OFFSET])
    if missing:
        kernel = np.zeros((STEPS * CHANNELS * 2, 2 * LATENT))
        model.encoder.set_weights([kernel, np.zeros(2 * LATENT)])  # the prior
    return model


def series(count, seed=1):
    """Series of 4 to 6 steps, NaN beyond their ends."""
    generator = np.random.default_rng(seed)
    z, noise = generator.normal(size=(count, LATENT)), generator.normal(size=(count, SIZE))
    x = (z @ DECODER.T + OFFSET + SCALE * noise).reshape(count, STEPS, CHANNELS)
    lengths = generator.integers(4, STEPS + 1, count)
    return np.where(np.arange(STEPS)[:, None] < lengths[:, None, None], x, np.nan), lengths


def forecast(model, x, **options):
    return evaluate(model, x, metrics=["generation.forecast"], **options)["generation"]["forecast"]


def test_the_forecast_has_the_error_and_the_band_of_the_conditional_distribution():
    x, lengths = series(100)
    result, starts = forecast(linear(), x, seed=2), lengths // 2
    np.testing.assert_array_equal(forecasts.starts_of(x), starts)
    guesses = {name: np.full(x.shape, np.nan) for name in ("rmse", "rmse_of_last", "rmse_of_mean")}
    for row, start in enumerate(starts):
        seen, gone = np.arange(start * CHANNELS), np.arange(start * CHANNELS, lengths[row] * CHANNELS)
        gain = COVARIANCE[np.ix_(gone, seen)] @ np.linalg.inv(COVARIANCE[np.ix_(seen, seen)])
        mean = OFFSET[gone] + gain @ (x[row].ravel()[seen] - OFFSET[seen])
        guesses["rmse"][row, start : lengths[row]] = mean.reshape(-1, CHANNELS)
        guesses["rmse_of_last"][row, start : lengths[row]] = x[row, start - 1]
        guesses["rmse_of_mean"][row, start : lengths[row]] = x[row, :start].mean(axis=0)
    scored = ~np.isnan(guesses["rmse"])
    of_channel = np.where(scored, np.square(x - np.nanmean(x, axis=(0, 1))), 0).sum(axis=(0, 1))
    for name, guess in guesses.items():
        squares = np.where(scored, np.square(x - guess), 0).sum(axis=(0, 1)) / of_channel
        np.testing.assert_allclose(result[name]["parts"], np.sqrt(squares), rtol=0.05 if name == "rmse" else 1e-9)
        assert result[name]["value"] == pytest.approx(np.sqrt(squares.mean()), rel=0.05)
    assert result["rmse"]["value"] < 0.8 * min(result[f"rmse_of_{name}"]["value"] for name in ("last", "mean"))
    assert abs(result["coverage"]["value"] - 0.9) < 4 * result["coverage"]["standard_error"] < 0.1


def test_a_channel_without_a_past_is_not_scored():
    x, lengths = series(60)
    for row, length in enumerate(lengths):
        x[row, : length // 2, 1] = np.nan
    result = forecast(linear(), x)
    assert result["rmse"]["names"] == result["coverage"]["names"] == ["x0"]


def test_draws_of_reconstructions_have_the_moments_of_the_model():
    """q(z|x) is N(0, I) here, so that the draws are of p(x)."""
    x, _ = series(3)
    drawn = forecasts.reconstruction_draws(linear(), x, draws=20_000, seed=4)
    assert drawn.shape == (20_000, 3, STEPS, CHANNELS)
    for row in range(3):
        flat = drawn[:, row].reshape(-1, SIZE)
        deviation = np.sqrt(np.diag(COVARIANCE))
        assert (np.abs(flat.mean(axis=0) - OFFSET) < 5 * deviation / np.sqrt(20_000)).all()
        np.testing.assert_allclose(flat.std(axis=0), deviation, rtol=0.03)
    again = forecasts.reconstruction_draws(linear(), x, draws=5, seed=4)
    assert not np.allclose(again, forecasts.reconstruction_draws(linear(), x, draws=5, seed=5))


def test_what_is_no_series_or_is_read_whole_has_no_forecast():
    metric = "generation.forecast"

    def reason(model, x):
        return evaluate(model, x, metrics=[metric])["without"][metric]

    assert "Given: a VAE of image of shape (4, 4, 1)" in reason(toy(VAE), binary(5))
    assert "Given: a VAE of numbers of shape (5,)" in reason(linear_rows(missing="mask"), ROWS)
    whole = np.nan_to_num(series(5)[0])
    assert "missing='mask'" in reason(linear(VAE, None), whole)
    first_only = np.where(np.arange(STEPS)[:, None] < 1, whole, np.nan)
    assert "some of both halves is observed" in reason(linear(), first_only)
