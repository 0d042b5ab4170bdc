"""Images of other things: of the model's size, the same each time, and what their names say."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from keras_vae import data
from keras_vae.data import sprites
from keras_vae.data.others import OTHERS
from keras_vae.errors import UserError


@pytest.mark.parametrize("name", OTHERS)
def test_any_size_and_the_same_again(name):
    images = data.other_images(name, (20, 12, 3), 5, seed=2)
    assert images.shape == (5, 20, 12, 3) and images.dtype == "float32"
    assert 0 <= images.min() < images.max() <= 1
    np.testing.assert_array_equal(images[..., 0], images[..., 2])
    np.testing.assert_array_equal(images, data.other_images(name, (20, 12, 3), 5, seed=2))
    assert not np.array_equal(images, data.other_images(name, (20, 12, 3), 5, seed=3))
    binary = data.other_images(name, (28, 28, 1), 5, binary=True)
    assert set(np.unique(binary)) <= {0.0, 1.0} and not np.array_equal(binary[0], binary[1])


def test_sprites_are_those_of_the_test_split_by_areas():
    """Halved, a pixel is the mean of four."""
    images = data.other_images("sprites", (32, 32, 1), 3, seed=0)
    wholes = sprites.render(sprites.split_factors("test")[np.random.default_rng(0).permutation(10_000)[:3]])
    np.testing.assert_allclose(images, wholes.reshape(3, 32, 2, 32, 2, 1).mean(axis=(2, 4)), atol=1e-6)


def test_small_digits_are_scikit_learns():
    found = data.other_images("small_digits", (8, 8, 1), 4, seed=1)
    chosen = np.random.default_rng(1).permutation(1797)[:4]
    np.testing.assert_allclose(found[..., 0], load_digits().images[chosen] / 16, atol=1e-6)
    assert len(data.other_images("small_digits", (8, 8, 1), 5000)) == 1797, "there are no more"


def test_binary_pixels_have_the_probability_of_their_grey():
    """Of 400 patches of noise, whose mean grey is 1/2: 313,600 pixels, five deviations of 0.0009."""
    assert abs(data.other_images("noise", (28, 28, 1), 400, binary=True).mean() - 0.5) < 0.0045


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("cats", (28, 28, 1)), "Unknown other images 'cats'"),
        (("sprite", (28, 28, 1)), "Did you mean 'sprites'"),
        (("noise", (28, 28, 1), 0), "count must be a whole number, 1 or more"),
        (("noise", (16,)), r"Other images are \(height, width, channels\)"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(UserError, match=message):
        data.other_images(*arguments)
