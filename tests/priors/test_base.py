"""Fitted priors: what each of them does for the models it fits, and what is refused."""

import json

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from keras_vae import priors, randomness
from keras_vae.errors import CorruptFileError, UserError
from keras_vae.models import AE, CVAE, RAE, VAE, VQVAE, HierarchicalVAE, HypersphericalVAE
from keras_vae.priors import FlowPrior, MixturePrior
from tests.export.bundles import stirred
from tests.toys import SHAPE, binary, mlp, toy

X = binary(300)


def standard(model, components=1):
    """A mixture that is N(0, I)."""
    prior = MixturePrior(components).fit(model, X)
    size = model.latent_dim
    prior.weights, prior.means = np.full(components, 1 / components), np.zeros((components, size))
    prior.factors = np.repeat(np.eye(size)[None], components, axis=0)
    return prior


class TestUse:
    @pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("float64", 1e-12)])
    def test_a_standard_prior_gives_what_the_models_own_gives(self, dtype, tolerance):
        """In the model's own precision."""
        model = stirred(toy(VAE, dtype=dtype))
        prior = standard(model, components=2).distribution_for(model)
        given = model.log_weights(tf.constant(X[:5], dtype), 7, 0, prior=prior)
        np.testing.assert_allclose(given, model.log_weights(tf.constant(X[:5], dtype), 7, 0), rtol=tolerance)

    def test_log_prob_is_the_mean_weight(self):
        model = stirred(toy(VAE))
        prior = MixturePrior(2).fit(model, X)
        bounds = [model.log_prob(X[:20], samples=count, prior=prior).mean() for count in (1, 200)]
        assert bounds[0] == pytest.approx(model.elbo(X[:20], prior=prior).mean()) and bounds[1] > bounds[0]

    def test_the_elbo_by_hand(self):
        model = stirred(toy(VAE))
        prior = MixturePrior(3).fit(model, X)
        found = model.elbo(X[:4], seed=3, prior=prior)
        seed = randomness.fold(randomness.seed_of(3, randomness.EVALUATION), 0, 0)
        block = np.concatenate([X[:4], np.repeat(X[:1], 252, axis=0)])  # noise is that of a block of 256
        posterior = model.posterior(block)
        z = posterior.sample(1, seed=seed)[0]
        expected = model.likelihood(z).log_prob(block) + prior.distribution().log_prob(z) - posterior.log_prob(z)
        np.testing.assert_allclose(found, expected[:4], rtol=1e-5)

    @pytest.mark.parametrize("cls", [AE, RAE, VAE])
    def test_samples_are_decoded_draws_of_the_prior(self, cls):
        model = stirred(toy(cls))
        prior = MixturePrior(2, seed=4).fit(model, X)
        images = model.sample(5, seed=1, prior=prior)
        np.testing.assert_array_equal(images, model.sample(5, seed=1, prior=prior))
        assert not np.array_equal(images, model.sample(5, seed=2, prior=prior))
        assert model.sample(0, prior=prior).shape == (0, *SHAPE)
        z = prior.distribution().sample(5, seed=tf.constant([1, 3]))  # (seed, randomness.SAMPLING)
        np.testing.assert_allclose(images, model.decode(z.numpy()), rtol=1e-6)

    def test_a_conditional_model(self):
        model, y = stirred(toy(CVAE, num_classes=2)), np.arange(300) % 2
        prior = MixturePrior(2).fit(model, X, condition=y)
        assert model.sample(2, condition=y[:2], prior=prior).shape == (2, *SHAPE)
        assert model.elbo(X[:2], condition=y[:2], prior=prior).shape == (2,)


class TestCodes:
    def test_they_are_draws_of_the_posterior(self):
        """300 draws at once: each standardised by its own posterior, all are N(0, 1) within 5 standard errors."""
        model = stirred(toy(VAE))
        codes, q = priors.codes_of(model, X), model.posterior(X)
        noise = (codes - q.mean().numpy()) / q.stddev().numpy()
        assert abs(noise.mean()) < 5 / np.sqrt(600) and abs((noise**2).mean() - 1) < 5 * np.sqrt(2 / 600)
        np.testing.assert_array_equal(codes, priors.codes_of(model, X))
        assert not np.array_equal(codes, priors.codes_of(model, X, seed=1))

    def test_of_a_model_without_noise_they_are_its_codes(self):
        model = stirred(toy(AE))
        np.testing.assert_allclose(priors.codes_of(model, X), model.encode(X), rtol=1e-6)


class TestRefusals:
    def test_not_fitted(self, tmp_path):
        model, prior = toy(VAE), MixturePrior()
        for call in (
            lambda: model.sample(2, prior=prior),
            lambda: model.elbo(X[:2], prior=prior),
            lambda: prior.log_prob(np.zeros((1, 2))),
            lambda: prior.save(tmp_path / "a"),
        ):
            with pytest.raises(UserError, match=r"This MixturePrior was not fitted\. Call prior\.fit\(model, train"):
                call()
        assert not list(tmp_path.iterdir())

    def test_another_models(self):
        prior = MixturePrior(2).fit(toy(VAE), X)
        with pytest.raises(
            UserError, match=r"codes of shape \(2,\), and a model of codes of shape \(3,\)\. Call prior"
        ):
            toy(VAE, latent_dim=3).sample(2, prior=prior)

    @pytest.mark.parametrize(
        ("model", "given"),
        [
            (
                lambda: HierarchicalVAE(image_shape=SHAPE, encoder=mlp(), decoder=mlp(), latent_dims=(3, 2), hidden=6),
                "level and level",
            ),
            (lambda: toy(HypersphericalVAE, latent_dim=3), "a HypersphericalVAE, whose code is direction"),
            (lambda: VQVAE(image_shape=SHAPE, code_shape=(3,), encoder=mlp(), decoder=mlp()), "whose code is index"),
        ],
        ids=["levels", "directions", "integers"],
    )
    def test_codes_of_another_kind(self, model, given):
        with pytest.raises(UserError, match=rf"A MixturePrior is a distribution over codes that are one vec.*{given}"):
            MixturePrior(2).fit(model(), X)

    def test_what_is_no_prior(self):
        for wrong in ("mixture", tfd.Normal(0.0, 1.0)):
            with pytest.raises(UserError, match=r"prior is a fitted prior of keras_vae\.priors, or None\. Given: "):
                toy(VAE).sample(2, prior=wrong)
        with pytest.raises(UserError, match="AE has no distribution over codes, and so no ELBO"):
            toy(AE).elbo(X, prior=MixturePrior(2).fit(toy(AE), X))


class TestFiles:
    def test_round_trip(self, tmp_path):
        model = stirred(toy(VAE))
        prior = MixturePrior(3, regularisation=1e-4, seed=5).fit(model, X)
        prior.save(tmp_path / "prior.npz")
        for again in (priors.load(tmp_path / "prior.npz"), MixturePrior.load(tmp_path / "prior.npz")):
            assert again.get_config() == prior.get_config() and again.shape == (2,)
            np.testing.assert_array_equal(model.sample(4, prior=again), model.sample(4, prior=prior))
        assert [path.name for path in tmp_path.iterdir()] == ["prior.npz"]

    def test_half_precision(self, tmp_path):
        """Matrices take half the bytes or less, and come back rounded; vectors stay as they are."""
        model = stirred(toy(VAE))
        flow, mixture = FlowPrior(depth=2, hidden=[16], epochs=1, batch_size=64).fit(model, X), standard(model)
        flow.save(tmp_path / "whole.npz")
        for prior in (flow, mixture):
            prior.save(tmp_path / "half.npz", storage="float16")
            again = priors.load(tmp_path / "half.npz").arrays()
            for name, array in prior.arrays().items():
                rounded = array.astype(np.float16) if array.ndim > 1 else array
                np.testing.assert_array_equal(again[name], rounded.astype(again[name].dtype))
                assert again[name].dtype == (np.float32 if array.ndim > 1 else array.dtype)
            for name, array in np.load(tmp_path / "half.npz").items():
                assert name == "head" or (array.dtype == np.float16) == (array.ndim > 1)
        again = priors.load(tmp_path / "whole.npz")
        np.testing.assert_array_equal(again.log_prob(model.encode(X)), flow.log_prob(model.encode(X)))
        flow.networks[0].set_weights([np.full_like(array, 7e4) for array in flow.networks[0].get_weights()])
        with pytest.raises(UserError, match=r"stored as float16, up to 65504\. Given: 70000 in map_0/weight_0"):
            flow.save(tmp_path / "half.npz", storage="float16")

    def test_eight_bits(self, tmp_path):
        """Matrices that pay come back within a step of their block, and the same when they are stored once more."""
        model = stirred(toy(VAE))
        flow = FlowPrior(depth=2, hidden=[128, 128], epochs=1, batch_size=64).fit(model, X)
        flow.save(tmp_path / "a.npz", storage="int8")
        again = priors.load(tmp_path / "a.npz")
        for name, array in flow.arrays().items():
            error = np.abs(again.arrays()[name] - array).max()
            assert error <= np.abs(array).max() / 127 * 0.6 if array.ndim > 1 else error == 0
        again.save(tmp_path / "b.npz", storage="int8")
        with np.load(tmp_path / "a.npz") as first, np.load(tmp_path / "b.npz") as second:
            types = {first[name].dtype.name for name in first.files if "weight" in name}
            assert {"int8", "float16"} <= types
            assert all(first[name].tobytes() == second[name].tobytes() for name in first.files)

    def test_a_mixture_keeps_the_smallest_scale_of_its_factors(self, tmp_path):
        """Eight bits for a block of the factors would round it away: the spreads of codes differ by orders."""
        generator = np.random.default_rng(0)
        common = generator.normal(size=(2000, 1))
        codes = (generator.normal(size=(2000, 64)) + common) * np.geomspace(1e-3, 1, 64)
        prior = MixturePrior(1, regularisation=1e-9)
        prior.shape = (64,)
        prior.fit_codes(codes)
        prior.fitted = True
        prior.save(tmp_path / "prior.npz", storage="int8")
        again = priors.load(tmp_path / "prior.npz")
        with np.load(tmp_path / "prior.npz") as held:
            assert held["array/factors"].dtype == np.float16
        difference = again.log_prob(codes[:200]) - prior.log_prob(codes[:200])
        assert np.abs(difference).max() < 0.1 and abs(difference.mean()) < 0.01

    def test_a_singular_mixture_is_no_prior(self, tmp_path):
        prior = MixturePrior(2).fit(toy(VAE), X)
        prior.factors[1, 0, 0] = 0.0
        prior.save(tmp_path / "prior.npz")
        with pytest.raises(CorruptFileError, match="factors with a number on the diagonal that is not positive"):
            priors.load(tmp_path / "prior.npz")

    def test_files_that_are_none(self, tmp_path):
        path = tmp_path / "prior.npz"
        MixturePrior(2).fit(toy(VAE), X).save(path)
        whole = path.read_bytes()
        for name, content in (("half", whole[: len(whole) // 2]), ("empty", b""), ("text", b"hello")):
            (tmp_path / name).write_bytes(content)
            with pytest.raises(CorruptFileError, match="is not the file of a fitted prior"):
                priors.load(tmp_path / name)
        with pytest.raises(CorruptFileError, match="is not the file of a fitted prior"):
            priors.load(tmp_path / "absent")
        with np.load(path) as held:
            arrays, head = dict(held), json.loads(str(held["head"]))
        for change, message in (
            ({"prior": "MixturPrior"}, r"Unknown prior 'MixturPrior'\. Did you mean 'MixturePrior'"),
            ({"arguments": {"components": 7}}, r"is not a whole MixturePrior: factors of shape \(2, 2, 2\)"),
            ({"format": 2}, "not the file of a fitted prior: its format is 2, and this version reads 1"),
        ):
            np.savez(path, **{**arrays, "head": np.array(json.dumps({**head, **change}))})
            with pytest.raises(UserError, match=message):
                priors.load(path)
        objects = np.array([{"a": 1}], dtype=object)
        np.savez(path, **{**arrays, "head": objects}, allow_pickle=True)
        with pytest.raises(CorruptFileError, match="is not the file of a fitted prior"):
            priors.load(path)
