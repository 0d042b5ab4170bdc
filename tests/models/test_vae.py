"""VAE learns: on images with one factor of variation, it finds it."""

import keras
import numpy as np
import pytest

from keras_vae.models import VAE
from tests.digits import assert_learned, digits, plain
from tests.toys import PLAIN, SHAPE, binary, same, toy, weights


@pytest.mark.slow
def test_training_reaches_what_the_data_allow():
    """Pixels that are all equal: the evidence can reach -log 2 for each image, where a code of 0 gives -16 log 2.

    The evidence is the mean of p(x|z) over 20,000 prior draws, good to 0.01. The ELBO stays 0.7 below: the true
    posterior is half a Gaussian, the encoder's a whole one.
    """
    bright = np.repeat(np.random.default_rng(0).integers(0, 2, (512, 1, 1, 1)), 16, axis=1)
    x = bright.reshape(-1, *SHAPE).astype("float32")
    model = toy()
    model.compile(keras.optimizers.Adam(0.02), **PLAIN)
    model.fit(np.tile(x, (60, 1, 1, 1)), batch_size=64, verbose=0)  # 480 steps; an epoch more costs time to start
    logs = model.evaluate(x, batch_size=512, verbose=0, return_dict=True)
    p = model.sample(20_000).astype("float64").reshape(20_000, -1)
    evidence = np.where(x[:, 0, 0, 0] == 1, np.log(p.prod(1).mean()), np.log((1 - p).prod(1).mean()))
    entropy = np.log(2)
    assert -entropy - 0.25 < evidence.mean() < -entropy + 0.01
    assert evidence.mean() - 1.0 < logs["elbo"] < evidence.mean()
    assert 0.5 < logs["kl"] < 2.0, "one bit, 0.69 nats, is what a code must carry"
    np.testing.assert_array_equal(model.reconstruct(x).round(), x)
    assert logs["elbo"] < model.log_prob(x[:64], samples=200).mean() < evidence[:64].mean() + 0.05


def test_it_learns_digits():
    """And the two parts of its bound are what they say: log p(x) by importance lies above it."""
    model = plain(VAE)
    assert_learned(model)
    x = digits().held_out_x
    assert model.log_prob(x[:100], samples=100).mean() > model.elbo(x[:100]).mean() + 1.0


def test_defaults_are_the_seed_architecture():
    model = toy(image_shape=(28, 28, 1), latent_dim=20, encoder="mlp", decoder="mlp")
    assert [tuple(w.shape) for w in model.encoder.weights[::2]] == [(784, 400), (400, 400), (400, 40)]
    assert [tuple(w.shape) for w in model.decoder.weights[::2]] == [(20, 400), (400, 400), (400, 784)]
    x = binary(4, (28, 28, 1))
    assert model.elbo(x).shape == (4,)
    assert abs(model.elbo(x).mean() + 784 * np.log(2)) < 60, "an untrained model says about 1 bit a pixel"


def test_a_model_that_is_not_compiled_is_saved_and_comes_back(tmp_path):
    model = toy()
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert not again.compiled and same(weights(again), weights(model))
