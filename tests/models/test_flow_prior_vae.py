"""FlowPriorVAE: its density by brute force, draws that follow it, and the reduction to a VAE."""

import numpy as np
import pytest
import scipy.special
import tensorflow as tf

from keras_vae.core import VAE
from keras_vae.models import FlowPriorVAE
from tests.digits import assert_learned, trained
from tests.models.equations import X, assert_comes_back, assert_refused, gradient_of, terms_of
from tests.toys import LATENT, toy


def stirred(depth=3, **arguments):
    """A toy whose flow is far from the identity."""
    model = toy(FlowPriorVAE, depth=depth, flow_hidden=(7, 5), dtype="float64", **arguments)
    generator = np.random.default_rng(1)
    for network in model.flow_networks:
        for weight in network.trainable_weights:
            weight.assign(generator.normal(size=weight.shape) / np.sqrt(weight.shape[0]))
    return model


def noise_of(model, z):
    """f(z), layer by layer: every other dimension is scaled and shifted by what the rest say."""
    z = np.array(z)
    for layer, network in enumerate(model.flow_networks):
        outputs = np.asarray(network(z))
        for dimension in range(z.shape[1]):
            if (dimension + layer) % 2:
                shift, raw = outputs[:, dimension, 0], outputs[:, dimension, 1]
                z[:, dimension] = z[:, dimension] * np.exp(2 * np.tanh(raw / 2)) + shift
    return z


def test_the_density_is_that_of_the_noise_times_the_volume():
    """log N(f(z); 0, I) + log abs det df/dz, the determinant by central differences."""
    model = stirred()
    z, step = np.random.default_rng(0).normal(size=(6, LATENT)), 1e-6
    columns = [
        (noise_of(model, z + step * unit) - noise_of(model, z - step * unit)) / (2 * step) for unit in np.eye(LATENT)
    ]
    volume = np.linalg.slogdet(np.stack(columns, -1))[1]
    noise = noise_of(model, z)
    expected = -0.5 * (noise**2 + np.log(2 * np.pi)).sum(-1) + volume
    assert np.abs(volume).min() > 1e-2
    np.testing.assert_allclose(model.prior().log_prob(z), expected, rtol=1e-7)


def test_the_density_integrates_to_one():
    ticks = np.arange(-15, 15, 0.1)
    points = np.stack(np.meshgrid(ticks, ticks), -1).reshape(-1, 2)
    assert scipy.special.logsumexp(stirred().prior().log_prob(points)) + 2 * np.log(0.1) == pytest.approx(0, abs=1e-4)


def test_draws_are_noise_sent_back():
    model = stirred()
    z = model.prior().sample(1000, seed=(2, 3)).numpy()
    noise = noise_of(model, z)
    assert np.abs(noise.mean(0)).max() < 5 / np.sqrt(1000) and np.abs(noise.std(0) - 1).max() < 5 / np.sqrt(2000)
    assert np.abs(z - noise).max() > 0.5
    images = model.sample(50, seed=1)
    for network in model.flow_networks:
        for weight in network.trainable_weights:
            weight.assign(np.zeros(weight.shape))
    assert np.abs(model.sample(50, seed=1) - images).max() > 1e-3


def test_a_flow_that_is_the_identity_is_a_vae_with_a_sampled_kl():
    class Sampled(VAE):
        analytic_kl = False

    model, plain = stirred(), toy(Sampled, dtype="float64")
    for network in model.flow_networks:
        for weight in network.trainable_weights:
            weight.assign(np.zeros(weight.shape))
    plain.encoder.set_weights(model.encoder.get_weights())
    plain.decoder.set_weights(model.decoder.get_weights())
    np.testing.assert_allclose(model.elbo(X, seed=4), plain.elbo(X, seed=4), rtol=1e-12)
    np.testing.assert_allclose(model.log_prob(X, samples=20), plain.log_prob(X, samples=20), rtol=1e-12)


def test_the_kl_is_sampled_against_it_and_trains_it():
    model = stirred()
    terms = terms_of(model)
    posterior, z = terms.cache["posterior"], terms.cache["z"]
    expected = posterior.log_prob(z) - model.prior().log_prob(z)
    np.testing.assert_allclose(terms.kl[:, 0], expected, rtol=1e-12)
    for network in model.flow_networks:
        parts = [
            np.abs(tf.convert_to_tensor(part)).max() for part in gradient_of(model, 0, network.trainable_variables)
        ]
        assert min(parts[-2:]) > 0, "of the last layer; ReLUs of the others may be off"


def test_comes_back_and_refuses():
    assert_comes_back(toy(FlowPriorVAE, depth=2, flow_hidden=(4,)), depth=2, flow_hidden=(4,))
    assert_refused(FlowPriorVAE, {"depth": -1}, r"depth must be a whole number, 0 or more")
    assert_refused(FlowPriorVAE, {"flow_hidden": ()}, r"flow_hidden needs the size of one hidden layer or more")


@pytest.mark.slow
def test_learns_digits():
    assert_learned(trained(FlowPriorVAE, depth=3, flow_hidden=(16,)))
