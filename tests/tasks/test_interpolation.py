"""Interpolation, the latent plane and attributes: codes by hand, images that are what those codes decode to."""

import keras
import numpy as np
import pytest
from scipy import stats

from keras_vae import randomness, tasks
from keras_vae.checks import BLOCK
from keras_vae.errors import UserError
from keras_vae.models import AE, CVAE, VQVAE, FlowVAE, HierarchicalVAE, HypersphericalVAE, VampVAE
from keras_vae.models.flow_vae import FLOWS
from keras_vae.tasks.interpolation import linear, spherical
from tests.export.bundles import stirred
from tests.toys import SHAPE, binary, mlp, toy

# One code at a time or all together: float32 sums in another order.
CLOSE = {"rtol": 0, "atol": 2e-6}


@pytest.fixture(scope="module")
def model():
    return toy(latent_dim=3, seed=3)


def toy_flow(flow):
    return toy(FlowVAE, latent_dim=3, seed=3, flow=flow, depth=2, flow_hidden=(8,))


def hierarchy():
    pixels = {"image_shape": SHAPE, "encoder": mlp(), "decoder": mlp()}
    return HierarchicalVAE(latent_dims=(3, 2), hidden=6, seed=3, **pixels)


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


def noise_of(seed):
    """That of a task's first block."""
    return randomness.fold(randomness.seed_of(seed, randomness.SAMPLING), 0)


def whole_block(x):
    """Filled up with the first image, as a block of a task is."""
    return np.concatenate([x, np.repeat(x[:1], BLOCK - len(x), axis=0)])


@pytest.mark.parametrize("kind", ["gaussian", "hierarchy", *FLOWS])
def test_through_posteriors_the_ends_are_draws_of_the_ends_posteriors(kind):
    """Draws of the posterior itself, whatever it is; one noise for both ends of a pair."""
    model = {"gaussian": lambda: toy(latent_dim=3, seed=3), "hierarchy": hierarchy}.get(kind, lambda: toy_flow(kind))()
    x = binary(4)
    rows = tasks.interpolate(model, x[:2], x[2:], steps=2, path="posteriors", seed=5)
    for end, images in enumerate((x[:2], x[2:])):
        draws = model.posterior(whole_block(images)).sample(seed=noise_of(5))
        codes = keras.tree.map_structure(lambda each: np.asarray(each)[:2], draws)
        np.testing.assert_allclose(rows[:, end], model.decode(codes), rtol=0, atol=1e-5)
    again, other = (tasks.interpolate(model, x[:2], x[2:], 2, path="posteriors", seed=seed) for seed in (5, 6))
    np.testing.assert_array_equal(rows, again)
    assert not np.allclose(rows, other)


def test_the_codes_of_a_flow_are_as_likely_as_its_draws():
    """log q(z|x) of the codes that are decoded, against draws of TFP: the means of 256 within four standard errors.

    Maps of a flow that does much: its weights are five times those it begins with."""
    model = toy_flow("realnvp")
    for network in model.flow_networks:
        network.set_weights([5 * each for each in network.get_weights()])
    x, kept = np.repeat(binary(1), 256, axis=0), []
    decode, model.decode = model.decode, lambda z, condition=None: kept.append(z) or decode(z, condition)
    tasks.interpolate(model, x, x, steps=2, path="posteriors", seed=1)
    posterior = model.posterior(x)
    ours, theirs = (np.asarray(posterior.log_prob(z)) for z in (kept[0], posterior.sample(seed=7)))
    error = np.sqrt((ours.var() + theirs.var()) / 256)
    assert abs(ours.mean() - theirs.mean()) < 4 * error
    parameters = model.posterior_parameters(x)  # what a Gaussian about the code would draw
    spread = np.exp(0.5 * np.asarray(parameters["log_var"]))
    wrong = np.asarray(parameters["mean"]) + spread * np.random.default_rng(0).normal(size=spread.shape)
    assert np.asarray(posterior.log_prob(wrong.astype("float32"))).mean() < theirs.mean() - 4 * error


def test_between_gaussians_mean_and_deviation_are_on_their_way(model):
    """A third of the way: the codes are (2 m1 + m2) / 3 + (2 s1 + s2) / 3 times one noise, N(0, 1)."""
    x, kept = binary(4), []
    rows = tasks.interpolate(model, x[:2], x[2:], steps=4, path="posteriors", seed=5)
    ends = [model.posterior(whole_block(each)) for each in (x[:2], x[2:])]
    noise = [np.asarray((each.sample(seed=noise_of(5)) - each.mean()) / each.stddev())[:2] for each in ends]
    np.testing.assert_allclose(noise[0], noise[1], atol=1e-4)
    for statistic in ("mean", "stddev"):
        first, second = (np.asarray(getattr(each, statistic)())[:2] for each in ends)
        kept.append((2 * first + second) / 3)
    np.testing.assert_allclose(rows[:, 1], model.decode(kept[0] + kept[1] * noise[0]), rtol=0, atol=1e-5)


def test_more_images_than_a_block_through_posteriors(model):
    x = binary(BLOCK + 2)
    rows = tasks.interpolate(model, x, x, steps=2, path="posteriors")
    np.testing.assert_allclose(rows[:3], tasks.interpolate(model, x[:3], x[:3], steps=2, path="posteriors"), **CLOSE)
    assert rows.shape == (BLOCK + 2, 2, 4, 4, 1)


def test_each_end_is_encoded_under_its_own_label():
    model = toy(CVAE, num_classes=3)
    x, y = binary(4), (np.array([2, 1]), np.array([0, 2]))
    for path in ("codes", "posteriors"):
        rows = tasks.interpolate(model, x[:2], x[2:], steps=4, condition=y, path=path)
        codes = [encoded_ends(model, x[2 * end : 2 * end + 2], y[end], path) for end in range(2)]
        for step, label in enumerate((0, 0, 1, 1)):
            expected = model.decode(linear(*codes, step / 3), y[label])
            np.testing.assert_allclose(rows[:, step], expected, rtol=0, atol=1e-5)
    np.testing.assert_allclose(
        tasks.interpolate(model, x[:2], x[2:], steps=2, condition=y)[:, 1], model.reconstruct(x[2:], y[1]), **CLOSE
    )
    all_along = tasks.interpolate(model, x[:2], x[2:], steps=3, condition=y, decoded_with="first")
    np.testing.assert_allclose(all_along[:, 2], model.decode(model.encode(x[2:], y[1]), y[0]), **CLOSE)


def encoded_ends(model, x, y, path):
    if path == "codes":
        return model.encode(x, y)
    labels = np.concatenate([y, np.repeat(y[:1], BLOCK - len(y))])
    return np.asarray(model.posterior(whole_block(x), labels).sample(seed=noise_of(0)))[: len(x)]


@pytest.mark.parametrize("method", ["linear", "spherical"])
def test_every_level_goes_its_own_way(method):
    model, x = hierarchy(), binary(4)
    rows = tasks.interpolate(model, x[:2], x[2:], steps=3, method=method)
    first, second = model.encode(x[:2]), model.encode(x[2:])
    way = {"linear": linear, "spherical": spherical}[method]
    middle = {name: way(first[name], second[name], 0.5) for name in first}
    np.testing.assert_allclose(rows[:, 1], model.decode(middle), **CLOSE)


def test_directions_stay_on_their_sphere():
    model, x, kept = toy(HypersphericalVAE, latent_dim=3), binary(2), []
    decode, model.decode = model.decode, lambda z, condition=None: kept.append(z) or decode(z, condition)
    tasks.interpolate(model, x[:1], x[1:], steps=3)
    tasks.with_attribute(model, x, np.array([0.5, -2.0, 1.0]), (-1.0, 0.3))
    tasks.latent_plane(model, side=4)
    tasks.latent_plane(model, x[:1], side=3, dimensions=(2, 0))
    tasks.latent_plane(toy(HypersphericalVAE), side=3)
    for codes in kept:
        np.testing.assert_allclose(np.linalg.norm(codes, axis=-1), 1.0, atol=1e-6)


def test_the_plane_of_a_sphere_moves_two_numbers_and_keeps_the_proportions_of_the_others():
    """The quantiles are those of one number of a uniform direction, within 5 standard errors of 10,240 draws."""
    model, x, kept = toy(HypersphericalVAE, latent_dim=5), binary(1), []
    decode, model.decode = model.decode, lambda z, condition=None: kept.append(z) or decode(z, condition)
    tasks.latent_plane(model, x, side=3, dimensions=(3, 1))
    codes, code = kept[0].reshape(3, 3, 5), model.encode(x)[0]
    exact = 2 * stats.beta.ppf([1 / 6, 1 / 2, 5 / 6], 2, 2) - 1  # (1 + z_i) / 2 is Beta((d - 1) / 2, (d - 1) / 2)
    error = np.sqrt([5 / 36, 1 / 4, 5 / 36]) / np.sqrt(40 * 256) / (stats.beta.pdf((exact + 1) / 2, 2, 2) / 2)
    assert (np.abs(codes[0, :, 3] - exact) < 5 * error).all() and (np.abs(codes[::-1, 0, 1] - exact) < 5 * error).all()
    others = codes[..., [0, 2, 4]] / np.linalg.norm(codes[..., [0, 2, 4]], axis=-1, keepdims=True)
    own = code[[0, 2, 4]] / np.linalg.norm(code[[0, 2, 4]])
    np.testing.assert_allclose(others, np.broadcast_to(own, (3, 3, 3)), atol=1e-5)


def test_what_is_no_direction_is_not_decoded():
    model = toy(HypersphericalVAE, latent_dim=3)
    codes = model.encode(binary(4))
    np.testing.assert_allclose(model.decode(1.009 * codes), model.decode(codes), atol=0.02)
    for scale, lengths in ((1.02, "1.02"), (0.0, "0"), (2.0, "2")):
        with pytest.raises(
            UserError, match=rf"z must be directions, of length 1 within 0\.01\. Given: .* to {lengths}"
        ):
            model.decode(scale * codes)


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
    np.testing.assert_array_equal(tasks.latent_plane(toy(AE), x, side=2).shape, (2, 2, 4, 4, 1))  # has no prior


def decoded_codes(model, *arguments, **options):
    """The codes that latent_plane decodes."""
    kept, decode = [], model.decode
    model.decode = lambda z, condition=None: kept.append(z) or decode(z, condition)
    tasks.latent_plane(model, *arguments, **options)
    return kept[0]


def test_the_plane_has_the_quantiles_of_a_learned_prior_exactly():
    model = stirred(toy(CVAE, num_classes=2, learned_prior=True))
    prior = model.prior(np.array([1]))
    codes = decoded_codes(model, side=3, condition=np.array([1])).reshape(3, 3, 2)
    mean, deviation = np.asarray(prior.mean())[0], np.asarray(prior.stddev())[0]
    assert np.abs(mean).max() > 0.01
    values = stats.norm.ppf([1 / 6, 1 / 2, 5 / 6])
    np.testing.assert_allclose(codes[0, :, 0], mean[0] + deviation[0] * values, rtol=1e-5)
    np.testing.assert_allclose(codes[::-1, 0, 1], mean[1] + deviation[1] * values, rtol=1e-5)


def test_the_plane_has_the_quantiles_of_a_mixture():
    """Of a VampPrior: its marginal distribution function at each value is the share, within 5 errors of the draws."""
    model = stirred(toy(VampVAE, pseudo_inputs=3))
    for weight in model.encoder.weights[-2:]:
        weight.assign(3 * np.asarray(weight))
    components = model.prior().components_distribution.distribution
    mean, deviation = np.asarray(components.loc), np.asarray(components.scale)
    codes = decoded_codes(model, side=4).reshape(4, 4, 2)
    shares = (np.arange(4) + 0.5) / 4
    for values, dimension in ((codes[0, :, 0], 0), (codes[::-1, 0, 1], 1)):
        below = stats.norm.cdf((values[:, None] - mean[:, dimension]) / deviation[:, dimension]).mean(1)
        assert (np.abs(below - shares) < 5 * np.sqrt(shares * (1 - shares) / (40 * 256))).all()
        assert np.abs(values - stats.norm.ppf(shares)).max() > 0.1


def test_an_attribute_is_a_difference_of_means(model):
    x = binary(20)
    has = x.mean(axis=(1, 2, 3)) > 0.5
    codes = model.encode(x)
    vector = tasks.attribute_vector(model, x, has)
    np.testing.assert_allclose(vector, codes[has].mean(0) - codes[~has].mean(0), atol=1e-6)
    moved = tasks.with_attribute(model, x[:3], vector, (0.0, 2.0))
    np.testing.assert_allclose(moved[:, 0], model.reconstruct(x[:3]), **CLOSE)
    np.testing.assert_allclose(moved[:, 1], model.decode(codes[:3] + 2 * vector), **CLOSE)


def test_the_plane_of_a_hierarchy_counts_dimensions_over_its_levels():
    model, x = hierarchy(), binary(1)
    codes = decoded_codes(model, x, side=2, dimensions=(4, 0))
    code, quantiles = model.encode(x), stats.norm.ppf([0.25, 0.75])
    error = 5 * np.sqrt(3 / 16 / (40 * 256)) / stats.norm.pdf(quantiles[0])
    np.testing.assert_allclose(codes["z2"][:, 1], np.tile(quantiles, 2), atol=error)  # its prior is N(0, I)
    np.testing.assert_array_equal(codes["z2"][:, 0], np.repeat(code["z2"][:, 0], 4))
    np.testing.assert_array_equal(codes["z1"][:, 1:], np.repeat(code["z1"][:, 1:], 4, axis=0))
    drawn = np.asarray(model.prior().sample(20_000, seed=(0, 5))["z1"])[:, 0]  # of z1, the marginal
    np.testing.assert_allclose(codes["z1"][::-2, 0], np.quantile(drawn, [0.25, 0.75]), atol=2 * error * drawn.std())


def test_an_attribute_of_every_level_and_under_a_condition():
    model, x = hierarchy(), binary(20)
    has, codes = x.mean(axis=(1, 2, 3)) > 0.5, model.encode(x)
    vector = tasks.attribute_vector(model, x, has)
    for name, level in codes.items():
        np.testing.assert_allclose(vector[name], level[has].mean(0) - level[~has].mean(0), atol=1e-6)
    moved = tasks.with_attribute(model, x[:2], vector, [0.5])
    expected = {name: codes[name][:2] + 0.5 * vector[name] for name in codes}
    np.testing.assert_allclose(moved[:, 0], model.decode(expected), **CLOSE)
    with pytest.raises(UserError, match=r"vector must have shape \{'z1': '\(3,\)', 'z2': '\(2,\)'\}. Given: \(3,\)"):
        tasks.with_attribute(model, x[:2], vector["z1"])
    conditional, y = toy(CVAE, num_classes=2), np.arange(20) % 2
    vector, codes = tasks.attribute_vector(conditional, x, has, y), conditional.encode(x, y)
    np.testing.assert_allclose(vector, codes[has].mean(0) - codes[~has].mean(0), atol=1e-6)
    moved = tasks.with_attribute(conditional, x[:2], vector, [1.0], y[:2])
    np.testing.assert_allclose(moved[:, 0], conditional.decode(codes[:2] + vector, y[:2]), **CLOSE)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m, x: tasks.interpolate(m, x[:2], x[:3]), r"Images pair one to one\. Given: 2 and 3\."),
        (lambda m, x: tasks.interpolate(m, x, x, steps=1), "steps must be a whole number, 2 or more"),
        (lambda m, x: tasks.interpolate(m, x, x, method="curved"), "method is one of linear, spherical"),
        (lambda m, x: tasks.interpolate(m, x, x, path="pixels"), "path is one of codes, posteriors"),
        (lambda m, x: tasks.interpolate(m, x, x, decoded_with="both"), "decoded_with is one of nearer, first, second"),
        (lambda m, x: tasks.interpolate(m, x, x, condition=np.zeros(6)), r"condition is a pair.* Given: ndarray"),
        (lambda m, x: tasks.interpolate(m, x, x * np.nan, path="posteriors"), "second must be finite"),
        (lambda m, x: tasks.interpolate(m, x, x + 1, path="posteriors"), r"Pixels of second must lie in \[0, 1\]"),
        (lambda m, x: tasks.with_attribute(m, x, np.zeros(3), 0.5), r"amounts is a list of .* Given: 0\.5\."),
        (lambda m, x: tasks.with_attribute(m, x, np.zeros(3), [np.nan]), r"amounts is a list of one finite number"),
        (lambda m, x: tasks.latent_plane(m, dimensions=(0.5, 1)), r"Given: \(0\.5, 1\)"),
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
    message = r"needs real-valued codes\. Given: VQVAE, whose code is codes of shape \(3,\), integers"
    for path in ("codes", "posteriors"):
        with pytest.raises(UserError, match=message):
            tasks.interpolate(discrete, x, x, path=path)
    with pytest.raises(UserError, match=message):
        tasks.latent_plane(discrete)
    with pytest.raises(UserError, match=r"needs a distribution over codes\. Given: AE"):
        tasks.interpolate(toy(AE), x, x, path="posteriors")
