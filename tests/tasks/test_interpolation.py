"""Interpolation, the latent plane and attributes: codes by hand, images that are what those codes decode to."""

import numpy as np
import pytest
from scipy import stats
from tensorflow_probability import distributions as tfd

from keras_vae import randomness, tasks
from keras_vae.errors import UserError
from keras_vae.models import AE, CVAE, VQVAE
from keras_vae.tasks.interpolation import linear, spherical
from tests.toys import binary, mlp, toy

# One code at a time or all together: float32 sums in another order.
CLOSE = {"rtol": 0, "atol": 2e-6}


@pytest.fixture(scope="module")
def model():
    return toy(latent_dim=3, seed=3)


def test_spherical_against_a_rotation_in_the_plane():
    """From (r, 0) to (r cos w, r sin w) the point at share t lies at angle t w, on the same circle."""
    angle, radius = 2.0, 1.7
    first, second = np.array([[radius, 0.0]]), radius * np.array([[np.cos(angle), np.sin(angle)]])
    for share in (0.0, 0.25, 0.5, 1.0):
        expected = radius * np.array([[np.cos(share * angle), np.sin(share * angle)]])
        np.testing.assert_allclose(spherical(first, second, share), expected, atol=1e-12)


def test_spherical_without_one_great_circle_is_linear():
    a = np.array([[1.0, 2.0], [1.0, 2.0], [0.0, 0.0]])
    b = np.array([[2.0, 4.0], [-1.0, -2.0], [1.0, 0.0]])
    found = spherical(a, b, 0.3)
    np.testing.assert_allclose(found[:2], linear(a, b, 0.3)[:2], atol=1e-12)
    assert np.isfinite(found).all()


@pytest.mark.parametrize("method", ["linear", "spherical"])
def test_images_on_the_way(model, method):
    x = binary(5)
    rows = tasks.interpolate(model, x[:2], x[2:4], steps=4, method=method)
    assert rows.shape == (2, 4, 4, 4, 1)
    codes = model.encode(x[:4]).astype("float64")
    way = {"linear": linear, "spherical": spherical}[method]
    for step, share in enumerate(np.linspace(0, 1, 4)):
        np.testing.assert_allclose(rows[:, step], model.decode(way(codes[:2], codes[2:], share)), **CLOSE)
    np.testing.assert_allclose(rows[:, 0], model.reconstruct(x[:2]), **CLOSE)


def test_through_posteriors_the_noise_is_one_for_a_row_and_scaled_by_each_end(model):
    """The ends are draws of the ends' posteriors: their standardised residuals are the same noise."""
    x = binary(4)
    rows = tasks.interpolate(model, x[:2], x[2:], steps=2, path="posteriors", seed=5)
    again = tasks.interpolate(model, x[:2], x[2:], steps=2, path="posteriors", seed=5)
    np.testing.assert_array_equal(rows, again)
    assert not np.allclose(rows, tasks.interpolate(model, x[:2], x[2:], steps=2, path="posteriors", seed=6))
    noise = np.asarray(tfd.Normal(0.0, 1.0).sample((2, 3), seed=randomness.seed_of(5, randomness.SAMPLING)))
    for end, images in enumerate((x[:2], x[2:])):
        posterior = model.posterior(images)
        codes = np.asarray(posterior.mean()) + noise * np.asarray(posterior.stddev())
        np.testing.assert_allclose(rows[:, end], model.decode(codes), **CLOSE)


def test_a_condition_is_kept_along_the_way():
    model = toy(CVAE, num_classes=3)
    x, y = binary(4), np.array([2, 1])
    rows = tasks.interpolate(model, x[:2], x[2:], steps=2, condition=y)
    np.testing.assert_allclose(rows[:, 1], model.reconstruct(x[2:], y), **CLOSE)


def test_the_plane_has_quantiles_of_the_prior(model):
    x = binary(1)
    plane = tasks.latent_plane(model, x, side=3, dimensions=(2, 0))
    values = stats.norm.ppf([1 / 6, 1 / 2, 5 / 6])
    code = model.encode(x)[0]
    for row in range(3):
        for column in range(3):
            moved = code.copy()
            moved[2], moved[0] = values[column], values[2 - row]
            np.testing.assert_allclose(plane[row, column], model.decode(moved[None])[0], **CLOSE)
    at_rest = tasks.latent_plane(model, side=3)
    np.testing.assert_allclose(at_rest[1, 1], model.decode(np.zeros((1, 3)))[0], **CLOSE)


def test_an_attribute_is_a_difference_of_means(model):
    x = binary(20)
    has = x.mean(axis=(1, 2, 3)) > 0.5
    codes = model.encode(x)
    vector = tasks.attribute_vector(model, x, has)
    np.testing.assert_allclose(vector, codes[has].mean(0) - codes[~has].mean(0), atol=1e-6)
    moved = tasks.with_attribute(model, x[:3], vector, (0.0, 2.0))
    np.testing.assert_allclose(moved[:, 0], model.reconstruct(x[:3]), **CLOSE)
    np.testing.assert_allclose(moved[:, 1], model.decode(codes[:3] + 2 * vector), **CLOSE)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m, x: tasks.interpolate(m, x[:2], x[:3]), r"Images pair one to one\. Given: 2 and 3\."),
        (lambda m, x: tasks.interpolate(m, x, x, steps=1), "steps must be a whole number, 2 or more"),
        (lambda m, x: tasks.interpolate(m, x, x, method="curved"), "method is one of linear, spherical"),
        (lambda m, x: tasks.interpolate(m, x, x, path="pixels"), "path one of codes, posteriors"),
        (lambda m, x: tasks.latent_plane(m, dimensions=(0, 0)), r"two different ones, 0 to 2\. Given: \(0, 0\)"),
        (lambda m, x: tasks.latent_plane(m, dimensions=(0, 3)), "dimensions are two different ones"),
        (lambda m, x: tasks.latent_plane(m, x[:2]), "x is one image, with a batch axis. Given: 2 images"),
        (lambda m, x: tasks.attribute_vector(m, x, np.ones(len(x), bool)), r"not by others\. Given: all of them"),
        (lambda m, x: tasks.attribute_vector(m, x, np.ones(2, bool)), "true or false for each of 6 images"),
        (lambda m, x: tasks.with_attribute(m, x, np.zeros(2)), r"vector must have shape \(3,\)\. Given: \(2,\)"),
    ],
)
def test_bad_arguments(model, call, message):
    with pytest.raises(UserError, match=message):
        call(model, binary(6))


def test_models_without_what_is_needed():
    x = binary(2)
    discrete = VQVAE(image_shape=(4, 4, 1), code_shape=(3,), entries=4, embedding_dim=2, encoder=mlp(), decoder=mlp())
    with pytest.raises(UserError, match=r"one vector\. Given: VQVAE, whose code is codes of shape \(3,\) \(index\)"):
        tasks.interpolate(discrete, x, x)
    with pytest.raises(UserError, match=r"needs a Gaussian posterior\. Given: AE"):
        tasks.interpolate(toy(AE), x, x, path="posteriors")
