"""Traversals: rows ordered by the KL of their dimension, images that are what the codes decode to."""

import numpy as np
import pytest

from keras_vae.errors import UserError
from keras_vae.evaluation.latent import kl_per_dimension
from keras_vae.models import AE, CVAE, VQVAE, FlowPriorVAE, HierarchicalVAE, HypersphericalVAE
from keras_vae.tasks import codes as codes_of_tasks
from keras_vae.tasks.traversal import traverse
from tests.toys import SHAPE, binary, mlp, toy

PIXELS = {"image_shape": SHAPE, "encoder": mlp(), "decoder": mlp(), "seed": 3}  # without a latent_dim


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
    np.testing.assert_allclose(walk.importance, np.sort(kl)[::-1], rtol=1e-4)
    assert walk.labels[0] == f"z{walk.dimensions[0]}  {walk.importance[0]:.2f} nats"


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
        ({"start": 0.5}, r"start must be the number of an image, 0 to 2\. Given: 0\.5\."),
        ({"span": "3"}, r"span must be a positive number\. Given: '3'\."),
        ({"start": -1}, r"start must be the number of an image, 0 to 2\. Given: -1\."),
    ],
)
def test_arguments_out_of_range(model, arguments, message):
    with pytest.raises(UserError, match=message):
        traverse(model, binary(3), **arguments)


def test_without_a_kl_for_each_dimension_the_codes_give_order_and_scale():
    """A deterministic autoencoder: each dimension moves about its mean over the images, by its standard deviation."""
    model, x = toy(AE, latent_dim=3, seed=3), binary(50)
    codes = model.encode(x).astype("float64")
    walk = traverse(model, x, start=2, steps=3, span=2.0)
    np.testing.assert_array_equal(walk.dimensions, np.argsort(-codes.var(0)))
    np.testing.assert_allclose(walk.importance, np.sort(codes.var(0))[::-1])
    for row, dimension in enumerate(walk.dimensions):
        for column, value in enumerate((-2, 0, 2)):
            moved = codes[2].copy()
            moved[dimension] = codes[:, dimension].mean() + value * codes[:, dimension].std()
            np.testing.assert_allclose(walk.images[row, column], model.decode(moved[None])[0], atol=1e-6)
    assert walk.labels[0].endswith(" variance")
    with pytest.raises(UserError, match=r"the variance of its codes, and so two images or more\. Given: 1\."):
        traverse(model, x[:1])


def test_levels_are_moved_one_dimension_at_a_time():
    model, x = HierarchicalVAE(latent_dims=(3, 2), hidden=6, **PIXELS), binary(50)
    codes = model.encode(x)
    walk = traverse(model, x, start=4, steps=3, span=1.0)
    assert walk.images.shape == (5, 3, 4, 4, 1) and sorted(walk.dimensions) == [0, 1, 2, 3, 4]
    row = list(walk.dimensions).index(4)  # after three of z1: the second of z2
    assert walk.labels[row].startswith("z2[1]  ")
    second = codes["z2"].astype("float64")[:, 1]
    moved = {"z1": codes["z1"][4:5], "z2": codes["z2"][4:5].copy()}
    moved["z2"][0, 1] = second.mean() + second.std()
    np.testing.assert_allclose(walk.images[row, 2], model.decode(moved)[0], atol=1e-6)


def test_directions_stay_on_the_sphere(monkeypatch):
    """Of length 1, the one number as it is set to, the others in the proportions that they had."""
    model, x, decoded = toy(HypersphericalVAE, latent_dim=4, seed=3), binary(50), []
    monkeypatch.setattr(model, "decode", lambda z, *_: decoded.append(z) or np.zeros((len(z), *SHAPE), "float32"))
    codes = model.encode(x)
    walk = traverse(model, x, start=4, steps=5, span=2.0)
    rows = decoded[0].reshape(4, 5, 4)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=-1), 1.0, atol=1e-6)
    for row, dimension in zip(rows, walk.dimensions, strict=True):
        wanted = codes[:, dimension].mean() + codes[:, dimension].std() * walk.values
        np.testing.assert_allclose(row[:, dimension], np.clip(wanted, -1, 1), atol=1e-6)
        others = np.arange(4) != dimension
        inner = np.abs(wanted) < 1
        shares = row[inner][:, others] / np.linalg.norm(row[inner][:, others], axis=-1, keepdims=True)
        own = codes[4, others] / np.linalg.norm(codes[4, others])
        np.testing.assert_allclose(shares, np.tile(own, (inner.sum(), 1)), atol=1e-5)
    pole = codes_of_tasks.moved(model, np.array([0.0, 1.0, 0.0], "float32"), [1], np.array([[0.5], [-3.0]]))
    np.testing.assert_allclose(pole, [[np.sqrt(0.75), 0.5, 0.0], [0.0, -1.0, 0.0]], atol=1e-6)


def test_levels_that_are_maps_are_moved_too():
    network = {"name": "residual", "filters": (4,), "groups": 2, "blocks": 1}
    pixels = {"image_shape": (8, 8, 1), "encoder": network, "decoder": network}
    model = HierarchicalVAE(latent_dims=((4, 4, 1), 2), hidden=4, **pixels)
    walk = traverse(model, binary(3, (8, 8, 1)), steps=2)
    assert walk.images.shape == (18, 2, 8, 8, 1) and {label.split("[")[0] for label in walk.labels} == {"z1", "z2"}


def test_the_condition_of_the_start_is_kept():
    model, x, y = toy(CVAE, num_classes=2, seed=3), binary(10), np.arange(10) % 2
    walk = traverse(model, x, start=3, steps=2, condition=y)
    code = model.encode(x, y)[3]
    code[walk.dimensions[0]] = -3.0
    np.testing.assert_allclose(walk.images[0, 0], model.decode(code[None], np.array([1]))[0], atol=1e-6)


def test_a_learned_prior_gives_centre_and_scale():
    """That of the condition of the start, and not N(0, 1)."""
    model, x, y = toy(CVAE, num_classes=2, learned_prior=True, seed=3), binary(10), np.arange(10) % 2
    for weight in model.prior_network.trainable_variables:
        weight.assign(weight + 0.5)
    prior, dimension = model.prior(y[3:4]), traverse(model, x, start=3, steps=2, condition=y).dimensions[0]
    assert np.abs(prior.stddev().numpy() - 1).min() > 0.1 and np.abs(prior.mean().numpy()).min() > 0.1
    walk = traverse(model, x, start=3, steps=2, span=2.0, condition=y)
    code = model.encode(x, y)[3]
    code[dimension] = prior.mean()[0, dimension] - 2.0 * prior.stddev()[0, dimension]
    np.testing.assert_allclose(walk.images[0, 0], model.decode(code[None], np.array([1]))[0], atol=1e-6)


def test_integer_codes_are_refused():
    model = VQVAE(code_shape=(3,), entries=5, embedding_dim=2, **PIXELS)
    with pytest.raises(UserError, match=r"needs real-valued codes\. Given: a VQVAE, whose codes are integers"):
        traverse(model, binary(3))


def test_images_of_another_shape(model):
    with pytest.raises(UserError, match=r"x must have shape \(batch, 4, 4, 1\)\. Given: \(3, 5, 5, 1\)"):
        traverse(model, np.zeros((3, 5, 5, 1), "float32"))


def test_one_dimension_under_a_prior_that_is_no_gaussian_moves_by_its_codes():
    model, x = toy(FlowPriorVAE, latent_dim=1, flow_hidden=(8,), depth=2, seed=3), binary(10)
    walk, codes = traverse(model, x, steps=2, span=1.0), model.encode(x).astype("float64")
    assert walk.labels == [f"z0  {codes.var():.2f} variance"]
    ends = codes.mean() + codes.std() * np.array([[-1.0], [1.0]])
    np.testing.assert_allclose(walk.images[0], model.decode(ends.astype("float32")), atol=1e-5)
