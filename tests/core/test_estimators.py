"""Numbers about a trained model: their terms belong together, and bounds are bounds."""

import itertools

import numpy as np
import pytest

from keras_vae.core.estimators import elbo_terms, importance_weighted
from keras_vae.core.inference import checked_inputs
from keras_vae.evaluation.latent import kl_per_dimension
from tests.toys import LATENT, binary, toy

X = binary(300)


@pytest.fixture(scope="module")
def model():
    return toy()


def test_the_elbo_is_log_px_minus_kl(model):
    terms = elbo_terms(model, checked_inputs(model, X, likelihood=True), seed=0)
    shapes = {"elbo": (300,), "log_px": (300,), "kl": (300,), "kl_groups": (300, LATENT)}
    assert {name: value.shape for name, value in terms.items()} == shapes
    np.testing.assert_allclose(terms["kl_groups"].sum(axis=1), terms["kl"], rtol=1e-5)
    np.testing.assert_allclose(terms["elbo"], terms["log_px"] - terms["kl"], rtol=1e-6)
    np.testing.assert_array_equal(terms["elbo"], model.elbo(X))


def test_the_kl_has_no_noise_and_sums_over_dimensions(model):
    inputs = checked_inputs(model, X)
    first, second = (elbo_terms(model, inputs, seed)["kl"] for seed in (0, 1))
    np.testing.assert_array_equal(first, second)
    dimensions = kl_per_dimension(model, X)
    assert dimensions.shape == (LATENT,)
    assert dimensions.sum() == pytest.approx(first.mean(), rel=1e-5)
    parameters = {name: value.numpy().astype("float64") for name, value in model.posterior_parameters(X).items()}
    by_hand = 0.5 * (parameters["mean"] ** 2 + np.exp(parameters["log_var"]) - parameters["log_var"] - 1)
    np.testing.assert_allclose(dimensions, by_hand.mean(0), rtol=1e-4)


def test_importance_weights_climb_with_the_samples(model):
    """The mean bound over 300 images, K = 1, 10, 100, of differences within their standard errors."""
    inputs = checked_inputs(model, X, likelihood=True)
    bounds = [importance_weighted(model, inputs, samples, seed=3) for samples in (1, 10, 100)]
    for fewer, more in itertools.pairwise(bounds):
        gain = more - fewer
        assert gain.mean() > -3 * gain.std() / np.sqrt(300)
    assert (bounds[2] - bounds[0]).mean() > 0


def test_seeds_choose_the_noise(model):
    inputs = checked_inputs(model, X[:5], likelihood=True)
    first, again, other = (importance_weighted(model, inputs, 4, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_two_closures_of_one_name_are_two_graphs(model):
    def scaled_by(factor):
        def scaled(x):
            return factor * x

        return scaled

    twice, thrice = scaled_by(2.0), scaled_by(3.0)
    assert twice.__qualname__ == thrice.__qualname__
    assert [float(model.functions.of(each)(np.float32(1.0))) for each in (twice, thrice)] == [2.0, 3.0]


def test_a_method_of_the_model_is_one_graph(model):
    """A bound method is a new object each time it is read: equal ones are one graph."""
    assert model.functions.of(model.code) is model.functions.of(model.code)
