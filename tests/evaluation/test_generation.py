"""The classifier that ships with the package, and what is measured with it; reconstructions."""

# The optional fields of an estimate are there in these cases.
# pyright: reportTypedDictNotRequiredAccess=false, reportOptionalOperand=false

import json
import shutil

import numpy as np
import pytest
import scipy.special

from keras_vae import data
from keras_vae.errors import CorruptFileError, UserError
from keras_vae.evaluation import mnist_classifier
from keras_vae.evaluation.evaluation import Evaluation
from keras_vae.evaluation.generation import condition_accuracy, mnist_fd, mnist_fd_of, reconstruction
from keras_vae.models import AE, CVAE, VAE
from tests.digits import digits, trained
from tests.toys import binary, toy


@pytest.fixture(scope="module")
def real():
    """Grey test digits."""
    return data.load_arrays("mnist", "test[:600]")


# --- The classifier ---


def test_the_classifier_is_what_was_measured(real):
    results = json.loads(mnist_classifier.RESULTS.read_text())
    assert results["test"]["accuracy"] > 0.985 and results["test"]["examples"] == 10_000
    assert results["weights"]["bytes"] == mnist_classifier.WEIGHTS.stat().st_size < 2**20
    labels = np.concatenate([batch["y"] for batch in data.load("mnist", "test[:600]").as_numpy_iterator()])
    accuracy = (mnist_classifier.classify(real) == labels).mean()
    error = np.sqrt(results["test"]["accuracy"] * (1 - results["test"]["accuracy"]) / 600)
    assert abs(accuracy - results["test"]["accuracy"]) < 4 * error
    features = mnist_classifier.features(real)
    assert features.shape == (600, mnist_classifier.FEATURES) and features.dtype == "float64" and features.min() >= 0
    np.testing.assert_allclose(features[7:9], mnist_classifier.features(real[7:9]), rtol=1e-4, atol=1e-5)


def test_changed_weights_are_not_loaded(tmp_path, monkeypatch):
    changed = tmp_path / "classifier.safetensors"
    shutil.copy(mnist_classifier.WEIGHTS, changed)
    with open(changed, "ab") as file:
        file.write(b"x")
    monkeypatch.setattr(mnist_classifier, "WEIGHTS", changed)
    mnist_classifier.load.cache_clear()
    try:
        with pytest.raises(CorruptFileError, match=r"not those that were measured: expected sha256"):
            mnist_classifier.load()
    finally:
        mnist_classifier.load.cache_clear()


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (binary(3), r"images of shape \(28, 28, 1\). Given: \(4, 4, 1\)"),
        (np.zeros((0, 28, 28, 1)), "one image or more"),
        (np.full((2, 28, 28, 1), 2.0), r"must lie in \[0, 1\]"),
        (np.full((2, 28, 28, 1), np.nan), "must be finite"),
    ],
)
def test_what_the_classifier_refuses(x, message):
    with pytest.raises(UserError, match=message):
        mnist_classifier.features(x)


# --- Draws ---


class Draws:
    """A model that draws the images it is given, in turn, or for a label those of that label."""

    conditional = True
    condition_classes = 10

    def __init__(self, images, labels=None):
        self.images, self.labels, self.asked = images, labels, []

    def sample(self, count, seed=0, condition=None, prior=None):
        self.asked.append((count, seed))
        if condition is None:
            return self.images[np.random.default_rng(seed).integers(len(self.images), size=count)]
        return np.stack([self.images[self.labels == each][place % 5] for place, each in enumerate(condition)])


def test_confidence_is_the_largest_probability(real):
    logits = mnist_classifier.load()(real[:20], training=False)[1]
    expected = scipy.special.softmax(np.asarray(logits, "float64"), axis=1).max(axis=1)
    np.testing.assert_allclose(mnist_classifier.confidence(real[:20]), expected, rtol=1e-5)
    grey = mnist_classifier.confidence(np.full((1, 28, 28, 1), 0.5, "float32"))
    assert 0.1 < grey[0] < expected.mean()


def test_draws_of_real_digits_are_at_the_floor_and_of_one_digit_far_from_it(real):
    """Draws of other real digits: 4 joint standard errors from the floor. Of one digit: precise, and recalling none."""
    perfect = Draws(data.load_arrays("mnist", "train[:600]"))
    found = mnist_fd(perfect, real, repetitions=3)
    joint = np.hypot(found["mnist_fd"]["standard_error"], found["floor"]["standard_error"])
    assert abs(found["mnist_fd"]["value"] - found["floor"]["value"]) < 4 * joint
    assert all(row["examples"] == 100 and row["repetitions"] == 3 for row in found.values()), "six disjoint parts"
    joint = np.hypot(found["confidence"]["standard_error"], found["floor_confidence"]["standard_error"])
    assert abs(found["confidence"]["value"] - found["floor_confidence"]["value"]) < 4 * joint
    one = mnist_fd(Draws(real[:1]), real, repetitions=2)
    assert one["confidence"]["value"] == pytest.approx(mnist_classifier.confidence(real[:1])[0], abs=1e-6)
    assert one["mnist_fd"]["value"] > 5 * one["floor"]["value"] and one["recall"]["value"] < 0.05
    assert found == mnist_fd(perfect, real, repetitions=3)
    others = Draws(real)
    mnist_fd(others, real, seed=1)
    assert not {seed for _, seed in others.asked} & {seed for _, seed in perfect.asked}, (
        "no noise in common with seed 0"
    )
    with pytest.raises(UserError, match=r"one condition for each real digit\. Given: 7 for 600"):
        mnist_fd(perfect, real, condition=np.zeros(7, int))


def test_real_digits_are_taken_for_their_label_up_to_the_ceiling():
    batches = list(data.load("mnist", "train[:600]", training=False).as_numpy_iterator())
    images, labels = (np.concatenate([batch[key] for batch in batches]) for key in ("x", "y"))
    found = condition_accuracy(Draws(images, labels), 50)
    ceiling = json.loads(mnist_classifier.RESULTS.read_text())["test"]["accuracy"]
    assert found["ceiling"] == ceiling and found["value"] > 0.9


@pytest.mark.slow
def test_a_trained_model_lies_between_the_floor_and_an_untrained_one(real):
    network = {"name": "mlp", "hidden": (64,)}
    untrained = mnist_fd(VAE(latent_dim=8, encoder=network, decoder=network), real, repetitions=2)
    found = mnist_fd(trained(VAE), real, repetitions=2)
    assert found["floor"] == untrained["floor"], "of the same halves"
    assert found["floor"]["value"] < found["mnist_fd"]["value"] < untrained["mnist_fd"]["value"]
    assert found["floor_precision"]["value"] > 0.6 and found["floor_recall"]["value"] > 0.6
    # An untrained model's draws are alike: whatever they are, they recall nothing.
    assert untrained["recall"]["value"] < 0.05
    assert found["mnist_fd"]["examples"] == 150 and found["mnist_fd"]["repetitions"] == 2


@pytest.mark.slow
def test_digits_drawn_for_a_label_are_taken_for_it():
    """Chance is a tenth: after 8 epochs of 20 steps labels are followed more often, by 5 standard errors of chance."""
    network = {"name": "mlp", "hidden": (64,)}
    chance = condition_accuracy(CVAE(num_classes=10, encoder=network, decoder=network), 300)
    assert chance["value"] < 0.25
    found = condition_accuracy(trained(CVAE, condition=digits().y, num_classes=10), 300)
    assert found["value"] > 0.1 + 5 * np.sqrt(0.1 * 0.9 / 300) and found["examples"] == 300
    assert found["standard_error"] == pytest.approx(np.sqrt(found["value"] * (1 - found["value"]) / 300))


def test_conditions_are_of_the_digits_that_draws_are_compared_with(real):
    """The reference may be the first of the evaluated images alone."""
    network, labels = {"name": "mlp", "hidden": (4,)}, np.arange(600) % 10
    model = CVAE(num_classes=10, encoder=network, decoder=network)
    part = Evaluation(model, np.round(real), labels, reference=real[:300])
    expected = mnist_fd(model, real[:300], condition=labels[:300])
    assert mnist_fd_of(part) == expected


def test_what_draws_are_refused(real):
    with pytest.raises(UserError, match=r"260 real digits or more\. Given: 100"):
        mnist_fd(toy(), real[:100])
    with pytest.raises(UserError, match=r"An AE has no prior to sample from"):
        mnist_fd(AE(encoder={"name": "mlp", "hidden": (4,)}, decoder={"name": "mlp", "hidden": (4,)}), real[:260])
    with pytest.raises(UserError, match=r"conditional on the ten digits. Given: a VAE"):
        condition_accuracy(toy())
    with pytest.raises(UserError, match=r"conditional on the ten digits. Given: a CVAE"):
        condition_accuracy(toy(CVAE, num_classes=2))


# --- Reconstructions ---


def test_errors_of_a_decoder_that_says_one_half_by_hand():
    model = toy()
    for weight in model.decoder.weights:
        weight.assign(np.zeros(weight.shape))
    levels = np.array([0.1, 0.4, 0.9])
    found = reconstruction(model, np.ones((3, 4, 4, 1)) * levels[:, None, None, None])
    errors = (levels - 0.5) ** 2
    assert set(found) == {"mse", "psnr"}, "4 x 4 pixels are too few for SSIM"
    assert found["mse"]["value"] == pytest.approx(errors.mean(), rel=1e-5)
    assert found["mse"]["standard_error"] == pytest.approx(errors.std(ddof=1) / np.sqrt(3), rel=1e-5)
    assert found["psnr"]["value"] == pytest.approx((10 * np.log10(1 / errors)).mean(), rel=1e-5)


@pytest.mark.slow  # SSIM is compiled
def test_reconstruction_of_constant_images_by_hand():
    """The decoder gives 1/2 everywhere. Of two constant images, SSIM = (2 a b + c) / (a**2 + b**2 + c), c = 0.01**2."""
    model = toy(image_shape=(12, 12, 1))
    for weight in model.decoder.weights:
        weight.assign(np.zeros(weight.shape))
    levels = np.array([0.1, 0.4, 0.9])
    found = reconstruction(model, np.ones((3, 12, 12, 1)) * levels[:, None, None, None])
    errors = (levels - 0.5) ** 2
    assert found["mse"]["value"] == pytest.approx(errors.mean(), rel=1e-5)
    assert found["mse"]["standard_error"] == pytest.approx(errors.std(ddof=1) / np.sqrt(3), rel=1e-5)
    assert found["psnr"]["value"] == pytest.approx((10 * np.log10(1 / errors)).mean(), rel=1e-5)
    ssim = (levels + 1e-4) / (levels**2 + 0.25 + 1e-4)
    # Its variances are differences of squares in float32, off by some 1e-7 of a constant of 0.03**2.
    assert found["ssim"]["value"] == pytest.approx(ssim.mean(), rel=1e-3)


@pytest.mark.slow
def test_a_perfect_reconstruction_has_100_decibels():
    model = toy(image_shape=(12, 12, 1))
    for weight in model.decoder.weights:
        weight.assign(np.zeros(weight.shape))
    found = reconstruction(model, np.full((2, 12, 12, 1), 0.5))
    assert found["mse"]["value"] == 0 and found["psnr"]["value"] == 100
    assert found["ssim"]["value"] == pytest.approx(1)
    with pytest.raises(UserError, match=r"two values or more. Given: 1"):
        reconstruction(model, np.full((1, 12, 12, 1), 0.5))
