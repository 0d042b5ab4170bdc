"""FlowPrior: a density that integrates to 1, whose maps invert, and that fits what a Gaussian cannot."""

import functools
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from keras_vae import priors
from keras_vae.errors import UserError
from keras_vae.models import AE, VAE
from keras_vae.priors import FlowPrior, MixturePrior
from tests.digits import digits, trained
from tests.export.bundles import stirred
from tests.toys import SHAPE, binary, toy

SMALL: dict[str, Any] = {"depth": 2, "hidden": (8,), "epochs": 1, "batch_size": 50}


def banana(count=2000, seed=0):
    """z1 from N(0, 1), z2 from N(z1**2, 0.3**2), moved and scaled."""
    noise = np.random.default_rng(seed).normal(size=(count, 2))
    return np.stack([noise[:, 0], noise[:, 0] ** 2 + 0.3 * noise[:, 1]], axis=1) * [2.0, 0.5] + [3.0, -1.0]


# Nats: the entropy of both normals, and of the scaling by 2 and 0.5, whose product is 1.
ENTROPY = np.log(2 * np.pi * np.e) + np.log(0.3)


@functools.cache
def bent(flow, dimensions=2):
    """A flow whose maps are far from the identity, without a training."""
    prior: Any = FlowPrior(flow, **SMALL)
    generator = np.random.default_rng(1)
    prior.shape, prior.centre, prior.scale = (dimensions,), np.full(dimensions, 0.5), np.full(dimensions, 1.5)
    prior.networks = prior._networks()
    for network in prior.networks:
        network.set_weights([generator.normal(size=w.shape, scale=0.5) for w in network.get_weights()])
    prior.fitted = True
    return prior


@pytest.mark.parametrize("flow", ["maf", "realnvp"])
class TestDensity:
    def test_it_integrates_to_1(self, flow):
        """On a grid of 400 x 400 over the square of side 40, whose steps are far below the bends."""
        density = bent(flow).distribution()
        axis = (np.arange(400, dtype="float32") - 199.5) * 0.1
        grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
        assert np.exp(density.log_prob(grid).numpy().astype("float64")).sum() * 0.01 == pytest.approx(1, abs=2e-3)

    def test_the_log_determinant_is_the_jacobians(self, flow):
        density, z = bent(flow, 3).distribution(), tf.constant(np.random.default_rng(0).normal(size=(6, 3)), "float32")
        to_noise = density.bijector.bijector
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(z)
            noise = to_noise.forward(z)
        jacobian = tape.batch_jacobian(noise, z, experimental_use_pfor=False)
        expected = np.linalg.slogdet(jacobian.numpy().astype("float64"))[1]
        np.testing.assert_allclose(to_noise.forward_log_det_jacobian(z, 1), expected, rtol=1e-4, atol=1e-4)
        normal = -0.5 * (noise.numpy() ** 2).sum(1) - 1.5 * np.log(2 * np.pi)
        np.testing.assert_allclose(density.log_prob(z), normal + expected, rtol=1e-4, atol=1e-4)

    def test_its_maps_invert(self, flow):
        to_noise = bent(flow, 4).distribution().bijector.bijector
        z = np.random.default_rng(0).normal(size=(20, 4)).astype("float32")
        noise = tf.identity(to_noise.forward(z))  # without TFP's memory of where it came from
        assert np.abs(noise - z).max() > 0.5
        np.testing.assert_allclose(to_noise.inverse(noise), z, rtol=1e-3, atol=1e-3)

    @pytest.mark.slow
    def test_it_fits_a_banana(self, flow):
        """Held-out nats: closer to the entropy than the best Gaussian by far; its draws have the bend's moments."""
        prior = FlowPrior(flow, depth=4, hidden=(32,), epochs=25, batch_size=100, learning_rate=5e-3)
        prior.fit_codes(banana())
        held_out = banana(seed=1)
        excess = -prior.log_prob(held_out).mean() - ENTROPY
        gaussian = -MixturePrior(1).fit_codes(banana()).log_prob(held_out).mean() - ENTROPY
        assert excess < 0.2 < 1 < gaussian, (excess, gaussian)
        drawn = prior.distribution().sample(4000, seed=(0, 1)).numpy()
        np.testing.assert_allclose(drawn.mean(0), held_out.mean(0), atol=0.2)
        bend = np.corrcoef((drawn[:, 0] - 3) ** 2, drawn[:, 1])[0, 1]
        assert bend > 0.8


@pytest.mark.parametrize("cls", [pytest.param(AE, marks=pytest.mark.slow), VAE])
def test_use_and_files(cls, tmp_path):
    model, x = stirred(toy(cls)), binary(100)
    prior = FlowPrior("maf", **SMALL).fit(model, x)
    prior.save(tmp_path / "prior.npz")
    again = priors.load(tmp_path / "prior.npz")
    images = model.sample(5, seed=1, prior=prior)
    assert images.shape == (5, *SHAPE)
    np.testing.assert_array_equal(images, model.sample(5, seed=1, prior=again))
    np.testing.assert_array_equal(prior.log_prob(model.encode(x)), again.log_prob(model.encode(x)))
    if model.stochastic:
        np.testing.assert_array_equal(model.elbo(x[:3], prior=prior), model.elbo(x[:3], prior=again))


@pytest.mark.slow
def test_it_bends():
    """A short training, held out: half a nat and more better than the best Gaussian."""
    prior = FlowPrior("realnvp", depth=2, hidden=(32,), epochs=10, batch_size=100, learning_rate=1e-2)
    z = banana(seed=1)
    gaussian = MixturePrior(1).fit_codes(banana()).log_prob(z).mean()
    assert prior.fit_codes(banana()).log_prob(z).mean() > gaussian + 0.5


@pytest.mark.slow
def test_one_dimension_and_the_seed():
    z = np.random.default_rng(0).normal(size=(100, 1)) * 2 + 5
    one, again, other = (FlowPrior(**SMALL, seed=seed).fit_codes(z).log_prob(z) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other) and np.isfinite(one).all()


def test_what_does_not_fit_is_refused():
    for arguments, message in (
        ({"flow": "planar"}, r"flow is one of maf, realnvp\. Given: 'planar'"),
        ({"depth": 0}, r"depth must be a whole number, 1 or more\. Given: 0"),
        ({"hidden": ()}, r"hidden needs the size of one layer or more"),
        ({"learning_rate": float("nan")}, "learning_rate must be a finite number"),
    ):
        with pytest.raises(UserError, match=message):
            FlowPrior(**arguments)
    with pytest.raises(UserError, match=r"at least one full batch: 128 codes\. Given: 100\. Lower batch_size"):
        FlowPrior().fit_codes(banana(100))


@pytest.mark.slow
def test_it_describes_the_codes_of_digits_better_than_the_models_prior():
    model = trained(VAE)
    prior = FlowPrior(epochs=40, batch_size=100).fit(model, digits().x)
    x = digits().held_out_x
    assert model.log_prob(x[:100], samples=100, prior=prior).mean() > model.log_prob(x[:100], samples=100).mean()
