"""Scores of steps: they add up to -log p(x|z), and the step that is wrong has the highest."""

import keras
import numpy as np
import pytest

from keras_vae import tasks
from keras_vae.errors import UserError
from keras_vae.models import VAE, SequenceVAE
from tests.conformance import cases
from tests.core.test_missing import OFFSET, SCALE, WHOLE, linear
from tests.core.test_missing import X as ROWS

STEPS = 12


def waves(count, seed=0):
    """Sine waves of any phase and of 6 to 12 steps, in two channels, and how many steps each has."""
    generator = np.random.default_rng(seed)
    phase, lengths = generator.uniform(0, 2 * np.pi, (count, 1)), generator.integers(6, STEPS + 1, count)
    angle = phase + np.arange(STEPS) / 2
    x = np.stack([np.sin(angle), np.cos(angle)], axis=-1) + 0.05 * generator.normal(size=(count, STEPS, 2))
    return np.where((np.arange(STEPS) < lengths[:, None])[..., None], x, np.nan).astype("float32"), lengths


@pytest.fixture(scope="module")
def model():
    model = VAE(
        x_shape=(STEPS, 2), latent_dim=2, missing="mask", encoder={"name": "causal", "channels": 16},
        decoder={"name": "causal", "channels": 16}, likelihood={"name": "normal", "scale": "channel"},
    )  # fmt: skip
    model.compile(keras.optimizers.Adam(0.005), jit_compile=False)
    model.fit(waves(512)[0], batch_size=64, epochs=15, verbose=0)
    return model


def test_the_step_with_a_spike_has_the_highest_score(model):
    x, lengths = waves(60, seed=1)
    step = np.arange(60) % lengths
    normal = tasks.step_scores(model, x)
    spiked = x.copy()
    spiked[np.arange(60), step, 0] += 3 * np.where(np.arange(60) % 2, 1, -1)
    scores = tasks.step_scores(model, spiked)
    assert scores.shape == (60, STEPS)
    assert (np.isnan(scores) == (np.arange(STEPS) >= lengths[:, None])).all()
    assert (np.nanargmax(scores, axis=1) == step).mean() > 0.9
    assert np.nanmedian(normal) < np.median(scores[np.arange(60), step]) - 5


def test_scores_of_the_steps_add_up_to_log_p(model):
    """Of a code without noise: the mean of -log p(x_t|z) is -log p(x|z)."""
    x, _ = waves(5)
    bias = model.encoder.last.weights[1]
    kept, tight = bias.numpy(), bias.numpy()
    kernel = model.encoder.last.weights[0]
    columns = kernel.numpy()
    still = columns.copy()
    still[:, 2:], tight[2:] = 0, -60
    kernel.assign(still), bias.assign(tight)
    scores = tasks.step_scores(model, x, samples=2)
    log_px = np.asarray(model.likelihood(model.encode(x)).log_prob(x))
    kernel.assign(columns), bias.assign(kept)
    np.testing.assert_allclose(np.nansum(scores, axis=1), -log_px, rtol=1e-3)


def test_the_mean_over_draws_is_the_expectation():
    """Of a linear decoder: E[(x - W z - b)**2] = (x - W m - b)**2 + sum of (W s)**2."""
    model = linear(missing="zero")
    scores = tasks.step_scores(model, np.repeat(ROWS, 6, axis=0), samples=200, seed=1).reshape(40, 6, -1).mean(1)
    assert (np.isnan(scores) == np.isnan(ROWS)).all()
    with cases.eagerly():
        parameters = model.posterior_parameters(ROWS)
    mean, variance = np.asarray(parameters["mean"]), np.exp(np.asarray(parameters["log_var"]))
    kernel = np.asarray(model.decoder.weights[0])
    error = (ROWS - mean @ kernel - OFFSET) ** 2 + variance @ kernel**2
    expected = 0.5 * error / SCALE**2 + np.log(SCALE) + 0.5 * np.log(2 * np.pi)
    seen = ~np.isnan(ROWS)
    np.testing.assert_allclose(scores[seen], expected[seen], rtol=0.15, atol=0.3)


def test_scores_depend_on_the_seed_and_the_series_only(model):
    x, _ = waves(9)
    np.testing.assert_allclose(
        tasks.step_scores(model, x[:3], 2, seed=5), tasks.step_scores(model, x, 2, 5)[:3], rtol=1e-5
    )
    assert not np.allclose(tasks.step_scores(model, x, 2, 6), tasks.step_scores(model, x, 2, 5), equal_nan=True)


def test_the_highest_scores_in_falling_order():
    scores = np.array([[1.0, np.nan, 7.0], [np.nan, np.nan, np.nan], [3.0, 3.0, -1.0]])
    assert tasks.highest(scores, 3) == [(0, 2, 7.0), (2, 0, 3.0), (2, 1, 3.0)]
    assert len(tasks.highest(scores)) == 5 and tasks.highest(scores, 0) == []


def test_what_is_refused(model):
    with pytest.raises(UserError, match="samples must be a whole number"):
        tasks.step_scores(model, waves(2)[0], samples=0)
    with pytest.raises(UserError, match=r"must have shape \(batch, 12, 2\)"):
        tasks.step_scores(model, WHOLE)
    with pytest.raises(UserError, match="Steps are scored by independent numbers"):
        tasks.step_scores(SequenceVAE(length=3, vocabulary_size=3, latent_dim=2), np.zeros((2, 3), "int32"))
