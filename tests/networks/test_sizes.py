"""Every named network with images that are not MNIST's, and what those that halve say of sizes that do not divide."""

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from keras_vae.errors import UserError
from keras_vae.models import VAE
from keras_vae.networks import DECODERS, ENCODERS

SHAPES = [(32, 32, 3), (64, 64, 1)]
SERIES = {"causal", "gru"}  # of steps and channels, and no images
NAMES = sorted(ENCODERS.keys() - SERIES)
HALVING = {"conv", "growing", "residual"}


def model_of(name: str, shape: tuple[int, ...]) -> Any:
    return VAE(image_shape=shape, latent_dim=3, encoder=name, decoder=name, likelihood="gaussian")


def test_every_network_is_one_of_a_pair():
    assert set(ENCODERS) == set(DECODERS) >= HALVING | SERIES


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", NAMES)
def test_colour_and_large_images(name, shape):
    """Each example has numbers of its own: shape, range, and dependence on the image and the code."""
    model = model_of(name, shape)
    x = np.random.default_rng(0).random((3, *shape), dtype="float32")
    z = model.encode(x)
    assert z.shape == (3, 3) and np.abs(z - z[0])[1:].max(axis=1).min() > 0
    images = model.decode(10 * z)
    assert images.shape == x.shape and images.min() >= 0 and images.max() <= 1
    assert np.abs(images[1:] - images[0]).max() > 1e-4
    with model.draws.using((0, 1)):
        terms = model.terms({"x": tf.constant(x)}, training=True)
    assert np.isfinite(terms.log_px).all() and np.isfinite(terms.kl).all()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(30, 32, 3), (64, 62, 1), (5, 5, 1)])
def test_sizes_that_do_not_divide(name, shape):
    if name not in HALVING:
        assert model_of(name, shape).decode(np.zeros((1, 3))).shape == (1, *shape)
        return
    with pytest.raises(UserError, match=r"multiples of 4\. Given: an image of shape .*Use fewer layers, or pad"):
        model_of(name, shape)
