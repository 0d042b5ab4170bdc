"""Sharpness: pure frequencies, a Gaussian blur of known width, and models that blur."""

import itertools

import numpy as np
import pytest

from keras_vae import evaluation
from keras_vae.errors import NotApplicable, UserError
from keras_vae.evaluation import power_spectrum, sharpness
from keras_vae.evaluation.spectra import high_frequency_shares
from keras_vae.models import AE, VQVAE
from keras_vae.zoo import evaluations
from tests.sequences import VALID, tiny
from tests.toys import SHAPE, binary, grey, mlp, toy

SIZE = 32
ROWS, COLUMNS = np.meshgrid(np.arange(SIZE), np.arange(SIZE), indexing="ij")
FREQUENCIES = np.hypot(np.fft.fftfreq(SIZE)[:, None], np.fft.fftfreq(SIZE))


def waves(*pairs):
    """An image that is a sum of cosines of amplitude a and whole frequencies: `(1, 32, 32, 1)`."""
    image = sum(a * np.cos(2 * np.pi * (row * ROWS + column * COLUMNS) / SIZE) for a, row, column in pairs)
    return (0.5 + image)[None, ..., None]


def blurred(images, width):
    """Images convolved with a Gaussian of standard deviation `width`, by its transform exp(-2 (pi width f)**2)."""
    transfer = np.exp(-2 * (np.pi * width * FREQUENCIES) ** 2)[..., None]
    return np.fft.ifft2(np.fft.fft2(images, axes=(1, 2)) * transfer, axes=(1, 2)).real


@pytest.mark.parametrize(
    ("image", "share"),
    [
        (waves((0.1, 0, 4)), 0.0),
        (waves((0.1, 9, 0)), 1.0),
        (waves((0.1, 6, 6)), 1.0),  # sqrt(72) / 32 = 0.265 cycles a pixel
        (waves((0.1, 8, 0)), 0.0),  # 0.25, which is not above
        (waves((0.1, 0, 12), (0.2, 3, 0)), 0.2),  # powers 1 and 4
        (np.full((1, SIZE, SIZE, 1), 0.7), 0.0),
        (np.concatenate([waves((0.1, 0, 12)), waves((0.3, 2, 2))], axis=-1), 0.1),  # of two channels
    ],
)
def test_pure_frequencies(image, share):
    for picture in (image, 3.0 * image - 1.0):
        np.testing.assert_allclose(high_frequency_shares(picture), [share], atol=1e-12)


def test_the_spectrum_of_waves_stands_at_their_frequencies_and_that_of_points_is_flat():
    images = np.concatenate([waves((0.1, 0, 12), (0.2, 3, 0)), waves((0.3, 3, 4))])
    cycles, power = power_spectrum(images)
    np.testing.assert_allclose(cycles, np.arange(1, 17) / SIZE)
    ring = np.bincount(np.round(FREQUENCIES * SIZE).astype(int).ravel())[1:17]
    np.testing.assert_allclose(
        (power * ring)[[2, 4, 11]], [0.4, 0.5, 0.1], atol=1e-12
    )  # powers 4 and 1, and of the other 5
    assert np.delete(power, [2, 4, 11]).max() < 1e-20
    point = np.zeros((1, 20, 12, 2))
    point[0, 3, 5, 1] = 1.0
    cycles, power = power_spectrum(point)
    np.testing.assert_allclose(power, 1 / (20 * 12 - 1), rtol=1e-12)
    assert len(cycles) == 10 and cycles[-1] == 0.5
    with pytest.raises(UserError, match=r"finite numbers \(batch, height, width, channels\)"):
        power_spectrum(point[0])


@pytest.mark.parametrize("width", [0.3, 0.7, 1.5])
def test_a_gaussian_blur_of_a_point_has_its_closed_form(width):
    """A point has a flat spectrum: the share is the sum of the transfer function's squares above 1/4 over all."""
    point = np.zeros((2, SIZE, SIZE, 1))
    point[0, 3, 5] = point[1, 20, 0] = 1.0
    power = np.exp(-4 * (np.pi * width * FREQUENCIES) ** 2)
    share = power[FREQUENCIES > 0.25].sum() / (power.sum() - 1)
    flat = (FREQUENCIES > 0.25).sum() / (SIZE**2 - 1)
    found = sharpness(blurred(point, width), point)
    assert found["value"] == pytest.approx(share / flat, rel=1e-9)
    assert found["standard_error"] == pytest.approx(0.0, abs=1e-9)


def test_it_falls_with_blur_and_its_error_is_that_of_repetitions():
    """On noise: the closed form within 5 errors, and the spread over 200 repetitions within a quarter of the error."""
    generator = np.random.default_rng(0)
    power = np.exp(-4 * (np.pi * 0.4 * FREQUENCIES) ** 2)
    exact = power[FREQUENCIES > 0.25].sum() / (power.sum() - 1) * (SIZE**2 - 1) / (FREQUENCIES > 0.25).sum()
    found = []
    for _ in range(200):
        real, other = generator.normal(size=(2, 20, SIZE, SIZE, 1))
        found.append(sharpness(blurred(other, 0.4), real))
    values = np.array([row["value"] for row in found])
    error = np.mean([row["standard_error"] for row in found])
    assert abs(values.mean() - exact) < 5 * error / np.sqrt(200)
    assert values.std() == pytest.approx(error, rel=0.25)
    real = generator.normal(size=(20, SIZE, SIZE, 1))
    ladder = [sharpness(blurred(real, width), real)["value"] for width in (0.0, 0.2, 0.5, 1.0)]
    assert ladder[0] == pytest.approx(1.0) and (np.diff(ladder) < 0).all()


def test_of_models():
    """Reconstructions and samples against the reference, or x; without a prior, no samples."""
    model, x, reference = toy(), binary(30), grey(40, seed=1)
    found = evaluation.evaluate(model, x, metrics=["generation.sharpness"], seed=4)["generation"]["sharpness"]
    assert found["reconstructions"] == sharpness(model.reconstruct(x), x)
    assert found["samples"] == {**sharpness(model.sample(30, seed=4), x), "seed": 4}
    against = evaluation.evaluate(model, x, metrics=["generation.sharpness"], reference=reference)["generation"]
    assert against["sharpness"]["reconstructions"] == sharpness(model.reconstruct(x), reference)
    only = evaluation.evaluate(toy(AE), x, metrics=["generation.sharpness"])["generation"]["sharpness"]
    assert set(only) == {"reconstructions"}
    discrete = VQVAE((3,), 5, 2, image_shape=SHAPE, encoder=mlp(), decoder=mlp())
    assert set(evaluation.evaluate(discrete, x, metrics=["generation.sharpness"])["generation"]["sharpness"]) == {
        "reconstructions", "samples",
    }  # fmt: skip
    without = evaluation.evaluate(tiny(), VALID, metrics=["generation.sharpness"])["without"]
    assert "Sharpness is of images. Given: a SequenceVAE" in without["generation.sharpness"]


@pytest.mark.slow
def test_blur_falls_with_beta_and_is_less_for_vq():
    """Digits of beta 4, 1 and of a VQ-VAE, each sharper than the one before by more than 4 standard errors."""
    rows = [
        evaluations.evaluate(name, ["generation.sharpness"], split="test[:1000]")["generation"]["sharpness"]
        for name in ("beta_vae_mnist", "vae_mnist", "vq_vae_mnist")
    ]
    for kind in ("reconstructions", "samples"):
        for blurred_one, sharper in itertools.pairwise(row[kind] for row in rows):
            error = np.hypot(blurred_one["standard_error"], sharper["standard_error"])
            assert blurred_one["value"] + 4 * error < sharper["value"] < 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: sharpness(x, x[:, :3]), r"images of one size\. Given: \(5, 4, 4, 1\) and \(5, 3, 4, 1\)"),
        (lambda x: sharpness(x * np.nan, x), "images must be finite numbers"),
        (lambda x: sharpness(x[0], x[0]), r"finite numbers \(batch, height, width, channels\)"),
        (lambda x: sharpness(x, x, above=0.8), "No frequency of images .* is above 0.8 cycles a pixel"),
        (lambda x: sharpness(x, np.ones_like(x)), "these have no power above 0.25"),
        (lambda x: sharpness(x[:1], x), "A standard error needs two values or more"),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(UserError, match=message):
        call(binary(5))
    assert issubclass(NotApplicable, UserError)
