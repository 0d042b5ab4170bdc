"""AutoregressivePrior: all probabilities by brute force, frequencies of samples, nats on real codes."""

import functools
import itertools
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from keras_vae import priors
from keras_vae.core.estimators import bits_per_dim
from keras_vae.errors import UserError
from keras_vae.models import FSQVAE, VAE, VQVAE
from keras_vae.priors import AutoregressivePrior
from tests.digits import digits, trained
from tests.export.bundles import stirred
from tests.toys import SHAPE, binary, grey, mlp, toy

SMALL: dict[str, Any] = {"filters": 4, "blocks": 1, "kernel_size": 3, "epochs": 1, "batch_size": 32}
ALL = np.array(list(itertools.product(range(3), repeat=4)), "int32")  # of 2x2 codes of 3 entries, and (4,)


def random_codes(count=64, shape=(2, 2), classes=3, seed=0):
    return np.random.default_rng(seed).integers(0, classes, (count, *shape))


@functools.cache
def stirred_prior(shape=(2, 2)):
    """A prior whose probabilities are far from uniform, without a training."""
    prior: Any = AutoregressivePrior(**{**SMALL, "blocks": 2, "filters": 8})
    prior.shape, prior.classes, generator = shape, 3, np.random.default_rng(1)
    weights = [generator.normal(size=w.shape, scale=0.7) for w in prior._network().get_weights()]
    prior.restore({f"weight_{place}": array for place, array in enumerate(weights)})
    prior.fitted = True
    return prior


def correlated(count, seed=0):
    """Each place of (3, 4) is the one before it in raster order, or, once in five times, any of 5."""
    generator = np.random.default_rng(seed)
    codes = generator.integers(0, 5, (count, 12))
    keep = generator.random((count, 12)) < 0.8
    for place in range(1, 12):
        if place % 4:  # each row starts anew
            codes[:, place] = np.where(keep[:, place], codes[:, place - 1], codes[:, place])
    return codes.reshape(count, 3, 4)


# Of a place after the first of its row: the same with probability 0.8 + 0.2 / 5, each other one 0.2 / 5.
ENTROPY = 3 * np.log(5) - 9 * (0.84 * np.log(0.84) + 4 * 0.04 * np.log(0.04))


class TestProbabilities:
    @pytest.mark.parametrize("shape", [(2, 2), (4,), (2, 1, 2)])
    def test_they_sum_to_1(self, shape):
        prior = stirred_prior(shape)
        probabilities = np.exp(prior.log_prob(ALL.reshape(-1, *shape)).astype("float64"))
        assert probabilities.sum() == pytest.approx(1, rel=1e-5)
        assert probabilities.max() > 5 * probabilities.min(), "the sum means something"

    def test_samples_have_them(self):
        """50,000 draws of 81 codes: the chi-square statistic is within 5 deviations of its mean, 80."""
        prior = stirred_prior()
        expected = 50_000 * np.exp(prior.log_prob(ALL.reshape(-1, 2, 2)).astype("float64"))
        drawn = prior.distribution().sample(50_000, seed=(0, 1)).numpy().reshape(-1, 4)
        found = np.bincount(drawn @ [27, 9, 3, 1], minlength=81)
        statistic = ((found - expected) ** 2 / expected).sum()
        assert abs(statistic - 80) < 5 * np.sqrt(2 * 80), statistic

    def test_several_batch_axes_and_one_code(self):
        distribution, codes = stirred_prior().distribution(), tf.constant(ALL[:6].reshape(2, 3, 2, 2))
        np.testing.assert_allclose(
            tf.reshape(distribution.log_prob(codes), (6,)), distribution.log_prob(ALL[:6].reshape(6, 2, 2)), rtol=1e-5
        )
        assert distribution.log_prob(codes[0, 0]).shape == () and distribution.sample(seed=(0, 1)).shape == (2, 2)
        assert distribution.event_shape == (2, 2) and distribution.batch_shape == ()

    def test_the_first_place_has_one_distribution_and_the_last_depends_on_all(self):
        prior = stirred_prior((2, 2))
        probabilities = np.exp(prior.log_prob(ALL.reshape(-1, 2, 2)).astype("float64")).reshape(3, 3, 3, 3)
        last = probabilities / probabilities.sum(-1, keepdims=True)
        for axis in range(3):
            assert np.abs(np.diff(last, axis=axis)).max() > 1e-3


class TestTraining:
    @pytest.mark.slow
    def test_it_finds_the_entropy_of_a_chain(self):
        """Held-out nats per code: within 5 % of the entropy, below which no prior can be on average, and far below
        the uniform prior's 12 log 5 = 19.3."""
        prior = AutoregressivePrior(16, 2, 3, epochs=6, batch_size=50, learning_rate=1e-2)
        prior.fit_codes(correlated(2000), 5)
        cost = -prior.log_prob(correlated(2000, seed=1)).mean()
        assert ENTROPY * 0.99 < cost < ENTROPY * 1.05 < 12 * np.log(5) - 5, (cost, ENTROPY)
        assert prior.history["loss"][-1] < prior.history["loss"][0]

    @pytest.mark.slow
    def test_it_beats_the_uniform_prior(self):
        """A short training: held-out codes of a chain cost less than 12 log 5 nats, by 3 or more."""
        prior = AutoregressivePrior(16, 1, 3, epochs=5, batch_size=50, learning_rate=2e-2)
        cost = -prior.fit_codes(correlated(1000), 5).log_prob(correlated(500, seed=1)).mean()
        assert ENTROPY < cost < 12 * np.log(5) - 3, (cost, ENTROPY)

    @pytest.mark.slow
    def test_it_is_a_function_of_the_seed(self):
        one, again, other = (
            AutoregressivePrior(**SMALL, seed=seed).fit_codes(random_codes(), 3).network.get_weights()
            for seed in (0, 0, 1)
        )
        assert all(np.array_equal(a, b) for a, b in zip(one, again, strict=True))
        assert not np.array_equal(one[0], other[0])


@functools.cache
def fitted():
    return vq(), AutoregressivePrior(**SMALL).fit(vq(), binary(64))


def vq(cls=VQVAE, **arguments):
    given = {"image_shape": SHAPE, "code_shape": (3,), "encoder": mlp(), "decoder": mlp()}
    more = {"entries": 5, "embedding_dim": 2} if cls is VQVAE else {"levels": (3, 2)}
    return stirred(cls(**given, **more, **arguments))


class TestUse:
    @pytest.mark.parametrize("cls", [VQVAE, pytest.param(FSQVAE, marks=pytest.mark.slow)])
    def test_the_elbo_counts_its_cost(self, cls):
        """log p(x|e) + log p(code), exactly: the posterior has all its mass on one code."""
        model, x = vq(cls), binary(64)
        prior = AutoregressivePrior(**SMALL).fit(model, x)
        codes = model.encode(x)
        expected = model.likelihood(codes).log_prob(x) + prior.log_prob(codes)
        np.testing.assert_allclose(model.elbo(x, prior=prior), expected, rtol=1e-5)
        np.testing.assert_allclose(model.log_prob(x, samples=3, prior=prior), expected, rtol=1e-5)

    def test_bits_count_its_cost(self):
        """The same noise under both priors: they differ by what the codes cost, in bits a pixel."""
        model, x = vq(likelihood="gaussian"), np.round(grey(40) * 255) / np.float32(255)
        _, prior = fitted()
        noisy = (np.rint(255.0 * x) + np.random.default_rng(0).random(x.shape)) / 256.0
        cost = -prior.log_prob(model.encode(noisy)) - 3 * np.log(5)
        difference = bits_per_dim(model, x, samples=1, prior=prior) - bits_per_dim(model, x, samples=1)
        np.testing.assert_allclose(difference, cost / 16 / np.log(2), rtol=1e-3, atol=1e-5)

    def test_samples_and_files(self, tmp_path):
        model, prior = fitted()
        prior.save(tmp_path / "prior.npz")
        again = priors.load(tmp_path / "prior.npz")
        images = model.sample(6, seed=2, prior=prior)
        assert images.shape == (6, *SHAPE) and model.sample(0, prior=prior).shape == (0, *SHAPE)
        np.testing.assert_array_equal(images, model.sample(6, seed=2, prior=again))
        codes = prior.distribution().sample(6, seed=tf.constant([2, 3])).numpy()
        np.testing.assert_allclose(images, model.decode(codes), rtol=1e-6)

    def test_what_does_not_fit_is_refused(self):
        _, prior = fitted()
        with pytest.raises(UserError, match=r"\(3,\) of 5 entries, and a model of codes of shape \(3,\) of 6 entries"):
            vq(FSQVAE).sample(2, prior=prior)
        with pytest.raises(UserError, match=r"an array of integers\. Given: a VAE, whose code is code"):
            AutoregressivePrior(**SMALL).fit(toy(VAE), binary(64))
        with pytest.raises(UserError, match=r"at least one full batch: 32 codes\. Given: 20\. Lower batch_size"):
            AutoregressivePrior(**SMALL).fit(vq(), binary(20))
        with pytest.raises(UserError, match="codes must lie from 0 to 2"):
            AutoregressivePrior(**SMALL).fit_codes(random_codes(classes=4), 3)
        with pytest.raises(UserError, match=r"kernel_size must be odd"):
            AutoregressivePrior(kernel_size=4)
        with pytest.raises(UserError, match="codes must be whole numbers of shape"):
            prior.log_prob(np.zeros((2, 4), "int32"))


@pytest.mark.slow
def test_the_codes_of_digits_cost_less_than_under_the_uniform_prior():
    """Held-out digits: 16 codes of 32 entries cost 55.5 nats under the uniform prior."""
    model = trained(VQVAE, latent_dim=None, code_shape=(4, 4), entries=32, embedding_dim=8)
    prior = AutoregressivePrior(32, 3, 3, epochs=15, batch_size=100, learning_rate=3e-3).fit(model, digits().x)
    x = digits().held_out_x
    cost = -prior.log_prob(model.encode(x)).mean()
    assert cost < 16 * np.log(32) - 10, cost
    gain = model.elbo(x, prior=prior).mean() - model.elbo(x).mean()
    assert gain == pytest.approx(16 * np.log(32) - cost, rel=1e-3)
    assert model.sample(8, prior=prior).shape == (8, 28, 28, 1)
