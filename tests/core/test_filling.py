"""Missing values filled in, against the exact conditional distribution of a linear Gaussian model."""

import numpy as np
import pytest

from keras_vae import tasks
from keras_vae.errors import UserError
from keras_vae.models import CVAE, IWAE, HierarchicalVAE
from tests.core.test_missing import COLUMNS, DECODER, HOLES, OFFSET, SCALE, WHOLE, X, linear
from tests.toys import SHAPE, binary, mlp, toy


def conditional():
    """The mean and the variance of each missing number given the observed ones of its row."""
    covariance = DECODER @ DECODER.T + SCALE**2 * np.eye(COLUMNS)
    mean, variance = np.where(HOLES, np.nan, X), np.full(X.shape, np.nan)
    for row, hole in enumerate(HOLES):
        seen, gone = np.flatnonzero(~hole), np.flatnonzero(hole)
        gain = covariance[np.ix_(gone, seen)] @ np.linalg.inv(covariance[np.ix_(seen, seen)])
        mean[row, gone] = OFFSET[gone] + gain @ (X[row, seen] - OFFSET[seen])
        variance[row, gone] = np.diag(covariance[np.ix_(gone, gone)] - gain @ covariance[np.ix_(seen, gone)])
    return mean, variance


@pytest.fixture(scope="module")
def filled():
    return tasks.fill_in(linear(IWAE, missing="mask"), X, samples=4000, draws=400, seed=1)


def test_the_mean_is_the_conditional_mean(filled):
    mean, variance = conditional()
    np.testing.assert_array_equal(filled.mean[~HOLES], X[~HOLES].astype("float32"))
    assert filled.mean.shape == X.shape
    assert filled.effective_samples.min() > 20
    assert filled.effective_samples.max() <= 4000
    # The error of the self-normalised mean, by the delta method with the effective number of samples.
    error = np.sqrt(variance / filled.effective_samples[:, None])
    assert (np.abs(filled.mean - mean)[HOLES] < 5 * error[HOLES]).all()
    worse = np.sqrt(np.mean((OFFSET - WHOLE)[HOLES] ** 2))
    assert np.sqrt(np.mean((filled.mean - WHOLE)[HOLES] ** 2)) < 0.8 * worse


def test_the_draws_are_of_the_conditional_distribution(filled):
    mean, variance = conditional()
    assert filled.draws.shape == (400, *X.shape)
    np.testing.assert_array_equal(
        filled.draws[:, ~HOLES], np.broadcast_to(X[~HOLES].astype("float32"), (400, (~HOLES).sum()))
    )
    scores = (filled.draws - mean) / np.sqrt(variance)
    fewest = np.minimum(400, filled.effective_samples)[:, None] * np.ones(COLUMNS)  # resampled codes repeat
    assert (np.abs(scores.mean(0))[HOLES] < 6 / np.sqrt(fewest[HOLES])).all()
    np.testing.assert_allclose(np.mean(scores.var(0)[HOLES]), 1, atol=0.05)
    low, high = np.quantile(filled.draws, [0.05, 0.95], axis=0)
    covered = np.mean(((low < WHOLE) & (high > WHOLE))[HOLES])
    assert abs(covered - 0.9) < 4 * np.sqrt(0.09 / HOLES.sum())


def test_the_result_depends_on_the_seed_and_the_row_only(filled):
    model = linear(IWAE, missing="mask")
    again = tasks.fill_in(model, X[:5], samples=100, draws=3, seed=2)
    more = tasks.fill_in(model, X, samples=100, draws=3, seed=2)
    np.testing.assert_allclose(again.mean, more.mean[:5], rtol=1e-5)
    np.testing.assert_allclose(again.draws, more.draws[:, :5], rtol=1e-5)
    assert not np.allclose(tasks.fill_in(model, X[:5], samples=100, seed=3).mean, again.mean)


@pytest.mark.parametrize("cls", [CVAE, HierarchicalVAE])
def test_models_with_conditions_and_with_levels(cls):
    arguments = {"num_classes": 2} if cls is CVAE else {"latent_dims": (3, 2), "latent_dim": None, "hidden": 6}
    model = toy(cls, missing="mask", **arguments)
    x = np.where(binary(6, seed=2) == 1, np.nan, binary(6))
    filled = tasks.fill_in(model, x, samples=40, draws=2, condition=np.arange(6) % 2 if cls is CVAE else None)
    assert ((filled.mean >= 0) & (filled.mean <= 1)).all()
    assert np.isin(filled.draws, [0, 1]).all()
    assert filled.draws.shape == (2, 6, *SHAPE)


def test_a_model_that_was_not_made_for_it_is_refused():
    with pytest.raises(UserError, match="missing='mask'"):
        tasks.fill_in(toy(encoder=mlp()), binary(2))
