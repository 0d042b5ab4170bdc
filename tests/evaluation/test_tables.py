"""Errors of columns, what is filled in, and correlations: against a linear Gaussian model, where each is known."""

import numpy as np
import pytest

from keras_vae.errors import UserError
from keras_vae.evaluation import evaluate, forecasts, tables
from keras_vae.evaluation.evaluation import Evaluation
from keras_vae.models import AE, VAE, SemiSupervisedVAE
from tests.core.test_missing import COLUMNS, DECODER, LATENT, OFFSET, SCALE, linear
from tests.likelihoods.test_mixed import KINDS, NAMES
from tests.likelihoods.test_mixed import rows as mixed_rows
from tests.toys import binary, mlp, toy

COVARIANCE = DECODER @ DECODER.T + SCALE**2 * np.eye(COLUMNS)
POSTERIOR = DECODER.T @ np.linalg.inv(COVARIANCE)  # of z - its mean given x is POSTERIOR (x - OFFSET)


def drawn(count, seed=0):
    generator = np.random.default_rng(seed)
    z, noise = generator.normal(size=(count, LATENT)), generator.normal(size=(count, COLUMNS))
    return z @ DECODER.T + OFFSET + SCALE * noise


def metrics(model, x, *names, **options):
    return evaluate(model, x, metrics=[f"generation.{name}" for name in names], **options)


def test_the_error_of_each_column_is_that_of_the_linear_model():
    """x - mean = (I - W K)(x - b), of the encoder K of `linear`, half the posterior mean's."""
    x, names = drawn(4000), ["a", "b", "c", "d", "e"]
    rest = np.eye(COLUMNS) - DECODER @ (0.5 * POSTERIOR)
    exact = np.sqrt(np.diag(rest @ COVARIANCE @ rest.T) / np.diag(COVARIANCE))
    rmse = metrics(linear(), x, "columns", columns=names)["generation"]["columns"]["rmse"]
    assert rmse["names"] == names and rmse["examples"] == 4000
    assert (np.abs(rmse["parts"] - exact) < 4 * np.array(rmse["errors"])).all()
    assert abs(rmse["value"] - np.sqrt(np.mean(exact**2))) < 4 * rmse["standard_error"] < 0.05
    model = linear()
    x[::3, 1], x[:, 4] = np.nan, 7.0
    again = metrics(model, x, "columns")["generation"]["columns"]["rmse"]
    assert again["names"] == ["x0", "x1", "x2", "x3"], "a constant column has no unit"
    squares = np.square(x - model.reconstruct(x))[:, :4]
    np.testing.assert_allclose(again["parts"], np.sqrt(np.nanmean(squares, axis=0) / np.nanvar(x[:, :4], axis=0)))


def test_what_is_filled_in_has_the_error_of_the_conditional_mean():
    x = drawn(300, seed=1)
    result = metrics(linear(missing="mask"), x, "imputation", seed=3)["generation"]["imputation"]["rmse"]
    hidden = np.random.default_rng(3).random(x.shape) < tables.HIDDEN
    mean = np.zeros(x.shape)
    for row, hole in enumerate(hidden):
        seen, gone = np.flatnonzero(~hole), np.flatnonzero(hole)
        gain = COVARIANCE[np.ix_(gone, seen)] @ np.linalg.inv(COVARIANCE[np.ix_(seen, seen)])
        mean[row, gone] = OFFSET[gone] + gain @ (x[row, seen] - OFFSET[seen])
    square, of_means = (np.where(hidden, np.square(x - guess), 0).sum(axis=0) for guess in (mean, x.mean(axis=0)))
    np.testing.assert_allclose(result["parts"], np.sqrt(square / of_means), rtol=0.02)
    assert result["samples"] == tables.SAMPLES and result["value"] < 0.9
    without = metrics(toy(x_shape=(3,), image_shape=None, likelihood="normal"), drawn(60)[:, :3], "imputation")
    assert "missing='mask'" in without["without"]["generation.imputation"]


def test_correlations_of_draws_of_the_true_model_are_at_the_floor_and_of_independent_columns_far_above():
    x = drawn(1000, seed=2)
    result = metrics(linear(), x, "correlations")["generation"]["correlations"]
    error = np.hypot(result["difference"]["standard_error"], result["floor"]["standard_error"])
    assert abs(result["difference"]["value"] - result["floor"]["value"]) < 4 * error < 0.1
    assert result["floor"]["value"] < 2 / np.sqrt(500), "correlations of 500 rows differ by sqrt(2 / 500) or less"
    independent = linear()
    independent.decoder.set_weights([0 * DECODER.T, OFFSET])
    far = metrics(independent, x, "correlations")["generation"]["correlations"]["difference"]
    truth = np.corrcoef(x.T)[np.triu_indices(COLUMNS, 1)]
    assert abs(far["value"] - np.sqrt(np.mean(truth**2))) < 5 * far["standard_error"]
    assert far["value"] > result["floor"]["value"] + 5 * far["standard_error"]


def test_the_error_of_a_difference_of_correlations_is_the_spread_over_tables():
    """Of 12 tables of 200 rows of the same distribution."""
    results = [metrics(linear(), drawn(200, seed), "correlations", seed=seed) for seed in range(12)]
    floors = [result["generation"]["correlations"]["floor"] for result in results]
    spread, errors = np.std([floor["value"] for floor in floors], ddof=1), [f["standard_error"] for f in floors]
    assert 0.5 < np.sqrt(np.mean(np.square(errors))) / spread < 2


def test_correlations_over_the_rows_that_have_both():
    x = drawn(50)
    np.testing.assert_allclose(tables.correlations(x), np.corrcoef(x.T))
    x[np.random.default_rng(1).random(x.shape) < 0.3] = np.nan
    x[:, 3] = 5.0
    result = tables.correlations(x)
    assert np.isnan(result[3]).all() and np.isnan(result[:, 3]).all()
    for first, second in ((0, 1), (1, 4), (4, 2)):
        both = ~np.isnan(x[:, [first, second]]).any(axis=1)
        pair = np.corrcoef(x[both, first], x[both, second])[0, 1]
        assert result[first, second] == pytest.approx(pair) and result[second, first] == pytest.approx(pair)


def mixed(missing=None):
    return VAE(x_shape=(8,), latent_dim=2, encoder=mlp(), decoder=mlp(), missing=missing,
               likelihood={"name": "mixed", "columns": KINDS})  # fmt: skip


@pytest.mark.parametrize("missing", [None, "mask"])
def test_classes_have_error_rates_and_log_losses(missing):
    model, x = mixed(missing), mixed_rows(200).astype("float32")
    if missing:
        x[np.random.default_rng(0).random(x.shape) < 0.2] = np.nan
    result = metrics(model, x, "columns")["generation"]["columns"]
    classes = ["grade", "colour", "new"]
    assert result["rmse"]["names"] == ["size", "reads", "price", "calls", "age"]
    means, parameters = model.reconstruct(x), Evaluation(model, x).parameters
    log_p = np.split(parameters["log_probabilities"], [3, 5], axis=1)  # the categorical ones first
    for number, (name, of_column) in enumerate(zip(classes, (log_p[2], log_p[0], log_p[1]), strict=True)):
        truth, guess = x[:, NAMES.index(name)], means[:, NAMES.index(name)]
        seen = ~np.isnan(truth)
        assert result["error_rate"]["names"][number] == result["log_loss"]["names"][number] == name
        assert result["error_rate"]["parts"][number] == pytest.approx(np.mean(guess[seen] != truth[seen]))
        codes = truth[seen].astype(int)
        commonest = 1 - np.bincount(codes).max() / len(codes)
        assert result["error_rate_of_commonest"]["parts"][number] == pytest.approx(commonest)
        nats = -np.mean(of_column[seen][np.arange(len(codes)), codes])
        assert result["log_loss"]["parts"][number] == pytest.approx(nats, rel=1e-4)
    source, numbers = tables.indicators(Evaluation(model, x), x)
    assert source.tolist() == [0, 1, 2, 3, 3, 3, 4, 5, 6, 7]
    np.testing.assert_array_equal(numbers[:, 4], np.where(np.isnan(x[:, 3]), np.nan, x[:, 3] == 1))
    assert set(metrics(model, x, "correlations")["generation"]["correlations"]) == {"difference", "floor"}


def test_images_and_few_rows_have_none_of_it():
    without = metrics(toy(VAE), binary(60), "columns", "correlations", "imputation")["without"]
    assert len(without) == 3 and all("of numbers in columns. Given: a VAE of image" in why for why in without.values())
    few = metrics(linear(), drawn(30), "correlations")["without"]["generation.correlations"]
    assert "40 rows or more" in few
    network = mlp()
    nothing_to_draw = AE(x_shape=(5,), latent_dim=2, encoder=network, decoder=network, likelihood="normal")
    assert "generation.correlations" in metrics(nothing_to_draw, drawn(60), "correlations")["without"]
    with pytest.raises(UserError, match=r"a name for each of the 5 columns of x\. Given: 2 names"):
        evaluate(linear(), drawn(60), columns=["a", "b"])


def test_columns_that_do_not_vary_end_no_evaluation():
    x = np.concatenate([drawn(60)[:, :1], np.full((60, 1), 2.0)], axis=1)
    without = metrics(VAE(x_shape=(2,), latent_dim=1, encoder=mlp(), decoder=mlp(), likelihood="normal"), x,
                      "correlations", "columns")["without"]  # fmt: skip
    assert set(without) == {"generation.correlations"} and "no pair of them" in without["generation.correlations"]


@pytest.mark.parametrize("likelihood", ["normal", "poisson"])
def test_a_missing_label_is_inferred_before_x_is_drawn(likelihood):
    arguments = {"x_shape": (4,), "num_classes": 3, "latent_dim": 2, "encoder": mlp(), "decoder": mlp()}
    model = SemiSupervisedVAE(likelihood=likelihood, **arguments)
    x = np.random.default_rng(0).poisson(3.0, (60, 4)).astype("float32")
    result = metrics(model, x, "correlations")["generation"]["correlations"]
    assert np.isfinite([row["value"] for row in result.values()]).all()
    assert np.isfinite(forecasts.reconstruction_draws(model, x[:3], draws=2)).all()
