"""TwoStagePrior: its bound against the density by quadrature, and its draws."""

import numpy as np
import pytest

from keras_vae import priors
from keras_vae.errors import UserError
from keras_vae.models import VAE
from keras_vae.priors import MixturePrior, TwoStagePrior
from tests.digits import digits, trained
from tests.export.bundles import stirred
from tests.priors.test_flow import ENTROPY, banana
from tests.toys import SHAPE, binary, toy

SMALL = {"hidden": (8,), "epochs": 1, "batch_size": 50}


def quadrature(prior, z):
    """log p(z), (count,): the mean of N(z; mean(u), scale**2) over a grid of u, 2-D, by its own definition."""
    axis = np.linspace(-5, 5, 201)
    u = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    log_weight = -0.5 * (u**2).sum(1) - np.log(2 * np.pi) + 2 * np.log(axis[1] - axis[0])
    parameters = prior.model.likelihood_parameters(u.astype("float32"))
    mean = np.asarray(parameters["mean"]).reshape(-1, 2) * prior.range + prior.low
    scale = np.exp(0.5 * np.asarray(parameters["log_var"]).reshape(-1, 2)[0]) * prior.range
    terms = -0.5 * (((z[:, None] - mean) / scale) ** 2).sum(-1) - np.log(scale).sum() - np.log(2 * np.pi) + log_weight
    return np.logaddexp.reduce(terms, axis=1)


@pytest.fixture(scope="module")
def fitted():
    prior = TwoStagePrior((64, 64), epochs=60, batch_size=100, learning_rate=3e-3, samples=500)
    return prior.fit_codes(banana())


def test_its_density_is_a_second_vaes():
    """5000 samples of a second posterior that is near N(0, I): log p(z) on the grid, within 0.05 nats on average."""
    prior, z = TwoStagePrior(**SMALL, samples=5000).fit_codes(banana(200)), banana(20, seed=1)
    assert prior.log_prob(z).mean() == pytest.approx(quadrature(prior, z).mean(), abs=0.05)


@pytest.mark.slow
def test_it_warns_where_its_bound_is_loose():
    """A fit of one epoch: the estimate is within a quarter of the gap to log p(z); of 2,000 samples none."""
    prior, z = TwoStagePrior(**SMALL, samples=64).fit_codes(banana(200)), banana(300, seed=1)
    with pytest.warns(UserWarning, match=r"is a lower bound, here some \d\.\d nats below log p\(z\)") as warned:
        bound = prior.log_prob(z)
    gap = (quadrature(prior, z) - bound).mean()
    assert float(str(warned[0].message).split("some ")[1].split(" nats")[0]) == pytest.approx(gap, rel=0.25)
    in_graph = prior.distribution().log_prob(z[:256].astype("float32"))  # a block, which shares its noise
    np.testing.assert_allclose(bound[:256], in_graph, rtol=1e-5, atol=1e-5)
    prior.samples, prior.fitted = 2_000, True  # which forgets its graphs
    assert (quadrature(prior, z) - prior.log_prob(z)).mean() < 0.1  # a warning would fail the test


@pytest.mark.slow
def test_its_bound_is_tight_and_below_the_density(fitted):
    """On the grid: the mean over 100 codes within 0.05 nats below log p(z), where 1 sample is far below."""
    z = banana(100, seed=1)
    exact = quadrature(fitted, z).mean()
    bound = fitted.log_prob(z).mean()
    assert exact - 0.05 < bound < exact + 0.01, (bound, exact)
    np.testing.assert_array_equal(fitted.log_prob(z), fitted.log_prob(z))


@pytest.mark.slow
def test_it_fits_a_banana_better_than_a_gaussian(fitted):
    z = banana(seed=1)
    gaussian = MixturePrior(1).fit_codes(banana()).log_prob(z).mean()
    assert gaussian + 0.3 < fitted.log_prob(z).mean() < -ENTROPY + 0.1
    drawn = fitted.distribution().sample(4000, seed=(0, 1)).numpy()
    np.testing.assert_allclose(drawn.mean(0), z.mean(0), atol=0.25)
    assert np.corrcoef((drawn[:, 0] - 3) ** 2, drawn[:, 1])[0, 1] > 0.6


def test_use_and_files(tmp_path):
    model, x = stirred(toy(VAE)), binary(100)
    prior = TwoStagePrior(**SMALL).fit(model, x)
    prior.save(tmp_path / "prior.npz")
    again = priors.load(tmp_path / "prior.npz")
    images = model.sample(5, seed=1, prior=prior)
    assert images.shape == (5, *SHAPE)
    np.testing.assert_array_equal(images, model.sample(5, seed=1, prior=again))
    np.testing.assert_array_equal(model.elbo(x[:3], prior=prior), model.elbo(x[:3], prior=again))
    same = TwoStagePrior(**SMALL).fit(model, x)
    np.testing.assert_array_equal(images, model.sample(5, seed=1, prior=same))


def test_what_does_not_fit_is_refused():
    with pytest.raises(UserError, match=r"samples must be a whole number, 1 or more\. Given: 0"):
        TwoStagePrior(samples=0)
    with pytest.raises(UserError, match=r"at least one full batch: 128 examples\. Given: 100"):
        TwoStagePrior().fit_codes(banana(100))


@pytest.mark.slow
def test_it_describes_the_codes_of_digits_better_than_the_models_prior():
    """log p(x) of each of 100 held-out digits rises, by more than 5 standard errors of the mean."""
    model = trained(VAE)
    prior = TwoStagePrior(batch_size=100).fit(model, digits().x)
    x = digits().held_out_x[:100]
    gain = model.log_prob(x, samples=100, prior=prior) - model.log_prob(x, samples=100)
    assert gain.mean() > 5 * gain.std() / np.sqrt(len(gain)), (gain.mean(), gain.std())
