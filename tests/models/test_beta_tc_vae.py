"""β-TCVAE: parts that add up to the KL sample by sample, each with its weight."""

import numpy as np
import pytest
import scipy.special
import tensorflow as tf

from keras_vae.core import VAE
from keras_vae.divergences import minibatch_log_probs
from keras_vae.errors import UserError
from keras_vae.models import BetaTCVAE
from tests.digits import assert_learned, trained
from tests.models.equations import (
    X,
    assert_comes_back,
    assert_finite_whatever_the_last_batch,
    assert_refused,
    losses_of,
    terms_of,
)
from tests.toys import compiled, toy

PARTS = ("mutual_information", "total_correlation", "dimension_kl")


@pytest.fixture(params=["stratified", "weighted"])
def estimator(request):
    return request.param


def test_parts_add_up_to_the_kl_sample_by_sample(estimator):
    model = toy(BetaTCVAE, dataset_size=1_000, estimator=estimator, dtype="float64")
    terms = terms_of(model)
    z = terms.cache["z"]
    kl = (model.posterior(X).log_prob(z) - model.prior().log_prob(z)).numpy()
    assert np.abs(kl).min() > 1e-3
    for parts in (terms.logs, terms.cache["parts"]):
        np.testing.assert_allclose(sum(parts[part].numpy() for part in PARTS), kl, rtol=0, atol=1e-12)


def test_the_parts_that_are_logged_are_stratified_whatever_the_loss_has():
    """The weighted total correlation is too large: by log(N M) for each dimension but one, less what overlaps."""
    logs, minimised = {}, {}
    for estimator in ("stratified", "weighted"):
        model = toy(BetaTCVAE, dataset_size=1_000_000, estimator=estimator, latent_dim=4, dtype="float64")
        terms = terms_of(model)
        logs[estimator], minimised[estimator] = terms.logs, terms.cache["parts"]
    for part in PARTS:
        np.testing.assert_array_equal(logs["weighted"][part], logs["stratified"][part])
        np.testing.assert_array_equal(minimised["stratified"][part], logs["stratified"][part])
    excess = np.mean(minimised["weighted"]["total_correlation"] - logs["weighted"]["total_correlation"])
    assert excess == pytest.approx(3 * np.log(1_000_000), abs=1)


def test_a_batch_larger_than_the_dataset_is_refused():
    model = compiled(BetaTCVAE, dataset_size=15)
    for data in (X, tf.data.Dataset.from_tensor_slices({"x": X}).batch(16)):
        with pytest.raises(UserError, match=r"those of one batch\. Given: dataset_size=15 and batches of 16"):
            model.fit(data, batch_size=16, verbose=0)


def test_the_parts_by_hand():
    """From a matrix of densities, with loops: log q(z|x) - log q(z), log q(z) - sum log q(z_j), the rest."""
    model = toy(BetaTCVAE, dataset_size=100, dtype="float64")
    terms = terms_of(model)
    z, posterior = terms.cache["z"].numpy(), terms.cache["posterior"]
    mean, scale = posterior.mean().numpy(), posterior.stddev().numpy()
    log_q = -0.5 * ((z[:, None] - mean) / scale) ** 2 - np.log(scale) - 0.5 * np.log(2 * np.pi)
    for i in range(16):
        weight = np.array([1 / 100 if m == i else 99 / (100 * 15) for m in range(16)])
        joint = scipy.special.logsumexp(log_q[i].sum(1), b=weight)
        product = sum(scipy.special.logsumexp(log_q[i, :, j], b=weight) for j in range(2))
        log_prior = -0.5 * (z[i] ** 2).sum() - np.log(2 * np.pi)
        expected = (log_q[i, i].sum() - joint, joint - product, product - log_prior)
        np.testing.assert_allclose([terms.logs[part][i] for part in PARTS], expected, rtol=1e-10, atol=1e-12)


def test_each_part_has_its_weight(estimator):
    model = toy(BetaTCVAE, dataset_size=100, alpha=2.0, beta=5.0, gamma=3.0, estimator=estimator, dtype="float64")
    terms = terms_of(model)
    means = [float(np.mean(terms.cache["parts"][part])) for part in PARTS]
    expected = -np.mean(terms.log_px) + 2 * means[0] + 5 * means[1] + 3 * means[2]
    assert losses_of(model)["model"] == pytest.approx(expected, rel=1e-7)  # beta is a float32 schedule


def test_it_is_the_kl_and_beta_minus_one_times_tc(estimator):
    """disentanglement_lib's form, for alpha = gamma = 1."""
    model = toy(BetaTCVAE, dataset_size=100, beta=4.0, estimator=estimator, dtype="float64")
    terms = terms_of(model)
    log_qz, dimensions = minibatch_log_probs(terms.cache["posterior"], terms.cache["z"], 100, estimator)
    kl = model.posterior(X).log_prob(terms.cache["z"]) - model.prior().log_prob(terms.cache["z"])
    correlation = log_qz.numpy() - dimensions.numpy().sum(1)
    expected = np.mean(-terms.log_px + kl + 3 * correlation)
    assert losses_of(model)["model"] == pytest.approx(expected, rel=1e-7)


def test_the_elbo_is_the_closed_form_one():
    model, plain = (toy(cls, dtype="float64", **own) for cls, own in ((BetaTCVAE, {"dataset_size": 100}), (VAE, {})))
    np.testing.assert_array_equal(model.elbo(X), plain.elbo(X))


def test_a_last_batch_of_one_image(estimator):
    assert_finite_whatever_the_last_batch(compiled(BetaTCVAE, dataset_size=100, estimator=estimator))


def test_arguments():
    with pytest.raises(TypeError, match="dataset_size"):
        toy(BetaTCVAE)
    for wrong in (1, 0, 2.5, "all"):
        assert_refused(BetaTCVAE, {"dataset_size": wrong}, r"dataset_size must be a whole number, 2 or more\. Given: ")
    for name in ("alpha", "gamma"):
        for wrong in (-1.0, float("nan"), "1"):
            arguments = {"dataset_size": 10, name: wrong}
            with pytest.raises(
                UserError, match=rf"^{name} must be a finite number, 0 or more|^{name}: Unknown schedule '1'"
            ):
                toy(BetaTCVAE, **arguments)
    assert_refused(BetaTCVAE, {"dataset_size": 10, "estimator": "weigthed"}, "Did you mean 'weighted'")
    assert_refused(BetaTCVAE, {"dataset_size": 10, "free_bits": 1.0}, r"BetaTCVAE does not take free_bits\.")
    with pytest.raises(UserError, match=r"(alpha|beta|gamma) must be a finite number"):
        toy(BetaTCVAE, dataset_size=10, beta=-1.0)
    rising = {"name": "linear", "final": 2.0, "steps": 10, "initial": 0.0}
    model = toy(BetaTCVAE, dataset_size=10, alpha=rising, gamma=3.0, estimator="weighted", beta=5.0)
    constant = {"name": "constant", "value": 3.0}
    assert_comes_back(model, dataset_size=10, alpha=rising, gamma=constant, estimator="weighted")


def test_each_weight_may_be_a_schedule():
    rising = {"name": "linear", "final": 2.0, "steps": 10}
    model = toy(BetaTCVAE, dataset_size=100, alpha=rising, beta=1.0, gamma=rising, dtype="float64")
    terms = terms_of(model)
    information, correlation, dimensions = (float(np.mean(terms.cache["parts"][part])) for part in PARTS)
    for step, weight in ((0, 0.0), (5, 1.0), (20, 2.0)):
        expected = -np.mean(terms.log_px) + weight * (information + dimensions) + correlation
        model.step.assign(step)
        assert float(model.objective(terms)) == pytest.approx(expected, rel=1e-6)


@pytest.mark.slow
def test_it_learns_digits():
    assert_learned(trained(BetaTCVAE, dataset_size=2_000, beta=2.0))
