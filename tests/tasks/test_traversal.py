"""Traversals: rows ordered by the KL of their dimension, images that are what the codes decode to."""

import numpy as np
import pytest

from keras_vae.errors import UserError
from keras_vae.evaluation.latent import kl_per_dimension
from keras_vae.tasks.traversal import traverse
from tests.toys import binary, toy


@pytest.fixture(scope="module")
def model():
    return toy(latent_dim=4, seed=3)


def kl_by_hand(model, x):
    """KL(N(m, s**2) || N(0, 1)) = (m**2 + s**2 - 1) / 2 - log s, averaged over images, in float64."""
    posterior = model.posterior(x)
    mean, scale = (np.asarray(each, "float64") for each in (posterior.mean(), posterior.stddev()))
    return (0.5 * (mean**2 + scale**2 - 1) - np.log(scale)).mean(axis=0)


def test_the_kl_of_each_dimension_against_the_closed_form(model):
    x = binary(300)  # more than a block of evaluation
    np.testing.assert_allclose(kl_per_dimension(model, x), kl_by_hand(model, x), rtol=1e-4)


def test_rows_are_in_the_order_of_their_kl(model):
    x = binary(50)
    walk = traverse(model, x)
    kl = kl_by_hand(model, x)
    assert len(set(np.round(kl, 4))) == 4, "no ties, or the order says nothing"
    np.testing.assert_array_equal(walk.dimensions, np.argsort(-kl))
    np.testing.assert_allclose(walk.kl, np.sort(kl)[::-1], rtol=1e-4)


def test_images_are_what_the_codes_decode_to(model):
    x = binary(10)
    walk = traverse(model, x, start=7, steps=5, span=2.0)
    assert walk.images.shape == (4, 5, 4, 4, 1)
    np.testing.assert_allclose(walk.values, [-2, -1, 0, 1, 2])
    code = model.encode(x)[7]
    for row, dimension in enumerate(walk.dimensions):
        for column, value in enumerate(walk.values):
            moved = code.copy()
            moved[dimension] = value
            # One code at a time or all together: float32 sums in another order.
            np.testing.assert_allclose(walk.images[row, column], model.decode(moved[None])[0], atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"steps": 1}, r"steps must be a whole number, 2 or more\. Given: 1\."),
        ({"steps": 2.5}, r"steps must be a whole number, 2 or more\. Given: 2\.5\."),
        ({"span": 0}, r"span must be a positive number\. Given: 0\."),
        ({"span": float("nan")}, r"span must be a positive number\. Given: nan\."),
        ({"span": float("inf")}, r"span must be a positive number\. Given: inf\."),
        ({"start": 3}, r"start must be the number of an image, 0 to 2\. Given: 3\."),
        ({"start": -1}, r"start must be the number of an image, 0 to 2\. Given: -1\."),
    ],
)
def test_arguments_out_of_range(model, arguments, message):
    with pytest.raises(UserError, match=message):
        traverse(model, binary(3), **arguments)


def test_images_of_another_shape(model):
    with pytest.raises(UserError, match=r"x must have shape \(batch, 4, 4, 1\)\. Given: \(3, 5, 5, 1\)"):
        traverse(model, np.zeros((3, 5, 5, 1), "float32"))
