"""MixturePrior: scikit-learn's density as a TFP distribution."""

import numpy as np
import pytest
from sklearn.mixture import GaussianMixture

from keras_vae.errors import UserError
from keras_vae.models import AE
from keras_vae.priors import MixturePrior
from tests.digits import digits, trained


def codes(count=600, seed=0):
    """Three clusters in two dimensions."""
    generator = np.random.default_rng(seed)
    centres = np.array([[0.0, 0.0], [4.0, 1.0], [-3.0, 3.0]])
    return centres[generator.integers(0, 3, count)] + generator.normal(size=(count, 2)) * [0.5, 1.0]


def test_log_prob_is_scikit_learns_score():
    z = codes()
    prior = MixturePrior(3, seed=1).fit_codes(z)
    expected = GaussianMixture(3, random_state=1, max_iter=500).fit(z).score_samples(z)
    np.testing.assert_allclose(prior.distribution("float64").log_prob(z), expected, rtol=1e-9)
    np.testing.assert_allclose(prior.log_prob(z), expected, rtol=1e-4)


def test_samples_have_the_mixtures_moments():
    """100,000 draws: each mean within 5 standard errors of the mixture's own."""
    prior = MixturePrior(3).fit_codes(codes())
    drawn = prior.distribution().sample(100_000, seed=(0, 1)).numpy()
    mean = prior.weights @ prior.means
    assert (np.abs(drawn.mean(0) - mean) < 5 * drawn.std(0) / np.sqrt(100_000)).all()


def test_one_component_is_the_density_of_an_rae():
    z = codes()
    density = MixturePrior(1).fit_codes(z).distribution("float64").components_distribution
    np.testing.assert_allclose(density.mean()[0], z.mean(0), rtol=1e-9)
    np.testing.assert_allclose(density.covariance()[0], np.cov(z.T, bias=True) + 1e-6 * np.eye(2), rtol=1e-9)


def test_more_components_fit_held_out_clusters_better():
    scores = [MixturePrior(k).fit_codes(codes()).log_prob(codes(seed=1)).mean() for k in (1, 3)]
    assert scores[1] > scores[0] + 0.3


def test_what_does_not_fit_is_refused():
    for wrong in (0, 2.5, "3"):
        with pytest.raises(UserError, match=r"components must be a whole number, 1 or more\. Given: "):
            MixturePrior(wrong)
    with pytest.raises(UserError, match=r"regularisation must be a finite number"):
        MixturePrior(regularisation=-1)
    with pytest.raises(UserError, match=r"There must be 10 codes or more for a mixture's components\. Given: 9"):
        MixturePrior().fit_codes(codes(9))
    with pytest.raises(UserError, match=r"Codes must be vectors, \(count, dimensions\)\. Given: shape \(5, 2, 1\)"):
        MixturePrior().fit_codes(np.zeros((5, 2, 1)))
    with pytest.raises(UserError, match="codes must be finite"):
        MixturePrior(2).fit_codes(np.full((5, 2), np.nan))


@pytest.mark.slow
def test_an_autoencoder_of_digits_gets_samples():
    """Ten components describe the codes of held-out digits better than one, in nats."""
    model = trained(AE)
    one, ten = (MixturePrior(k).fit(model, digits().x).log_prob(model.encode(digits().held_out_x)) for k in (1, 10))
    assert ten.mean() > one.mean() + 0.2
    images = model.sample(16, prior=MixturePrior(10).fit(model, digits().x))
    assert images.shape == (16, 28, 28, 1) and images.std(0).mean() > 0.05
