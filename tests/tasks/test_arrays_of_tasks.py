"""Imputation, code lengths, planes of codes, classifiers: against what is known exactly."""

import zlib

import numpy as np
import pytest
from sklearn.decomposition import PCA

from keras_vae import data, priors, randomness, tasks, zoo
from keras_vae.checks import BLOCK
from keras_vae.errors import UserError
from keras_vae.models import AE, CVAE, VQVAE, HierarchicalVAE
from tests.sequences import VALID, tiny
from tests.toys import PLAIN, SHAPE, binary, degenerate, mlp, toy


def discrete():
    return VQVAE(image_shape=SHAPE, code_shape=(3,), entries=4, embedding_dim=2, encoder=mlp(), decoder=mlp())


def test_seen_pixels_come_back_and_the_missing_are_the_likelihoods_mean():
    """With a posterior that ignores the image and draws one code, missing pixels are that code's mean image."""
    model = degenerate(toy(seed=3))
    x = binary(7)
    seen = np.random.default_rng(1).random(x.shape) < 0.5
    torn = np.where(seen, x, np.nan)
    found = tasks.impute(model, torn, seen, steps=3)
    np.testing.assert_array_equal(found[seen], x[seen])
    np.testing.assert_allclose(found[~seen], model.reconstruct(x)[~seen], atol=1e-3)
    one_mask = tasks.impute(model, x, seen[0], steps=1)
    np.testing.assert_array_equal(one_mask[:, seen[0]], x[:, seen[0]])


def test_imputation_follows_what_is_seen():
    """Images that are all white or all black: three columns say what the fourth is."""
    model = toy(seed=1)
    model.compile("adam", **PLAIN)
    model.optimizer.learning_rate = 0.03
    x = np.repeat(np.arange(2), 100).astype("float32")[:, None, None, None] * np.ones(SHAPE, "float32")
    model.fit(x, batch_size=50, epochs=30, verbose=0)
    seen = np.zeros(SHAPE, bool)
    seen[:, :3] = True
    found = tasks.impute(model, x[80:120], seen, steps=20, seed=1)[:, :, 3:].mean(axis=(1, 2, 3))
    # A draw from the tail of a posterior may lie on the other side: now and then, not often.
    assert np.mean(found[:20] < 0.5) > 0.75 and np.mean(found[20:] > 0.5) > 0.75


def test_a_code_length_is_the_negative_elbo_in_bits():
    model, x = toy(seed=3), binary(40)
    found = tasks.code_length(model, x, samples=50, seed=2)
    bits = -model.elbo(x, seed=2).astype("float64") / np.log(2)
    assert found.bits == pytest.approx(bits.mean()) and found.bits_per_dimension == pytest.approx(bits.mean() / 16)
    assert found.standard_error == pytest.approx(bits.std(ddof=1) / np.sqrt(40))
    assert found.least_bits == pytest.approx(-model.log_prob(x, samples=50, seed=2).mean() / np.log(2))
    packed = zlib.compress(np.packbits(x.astype("uint8"), axis=None).tobytes(), 9)
    assert found.deflate_bits == 8 * len(packed) / 40
    assert np.frombuffer(zlib.decompress(packed), "uint8").size == 80, "16 pixels are 2 bytes"


@pytest.mark.parametrize(("levels", "kind"), [(16, "uint8"), (1024, "uint16")])
def test_what_is_deflated_is_every_level(levels, kind):
    rows = np.random.default_rng(0).integers(levels, size=(40, 16)) // 256 * 256 + np.arange(16) % levels
    x = (np.minimum(rows, levels - 1) / (levels - 1)).reshape(40, *SHAPE).astype("float32")
    found = tasks.code_length(toy(likelihood={"name": "categorical", "levels": levels}), x, samples=1)
    pixels = np.minimum(rows, levels - 1).astype(kind)
    assert found.deflate_bits == 8 * len(zlib.compress(pixels.tobytes(), 9)) / 40


def test_a_fitted_prior_is_what_codes_are_coded_with():
    model, x = toy(seed=3), binary(60)
    prior = priors.MixturePrior(components=2).fit(model, x)
    own, fitted = (tasks.code_length(model, x, samples=2, prior=each) for each in (None, prior))
    assert fitted.bits == pytest.approx(-model.elbo(x, prior=prior).astype("float64").mean() / np.log(2), rel=1e-6)
    assert fitted.least_bits == pytest.approx(-model.log_prob(x, 2, prior=prior).mean() / np.log(2), rel=1e-6)
    assert abs(fitted.bits - own.bits) > 0.01 and fitted.deflate_bits == own.deflate_bits


@pytest.mark.slow
def test_integer_codes_cost_less_under_a_prior_that_was_fitted_to_them():
    """Own prior: positions times log2 of the entries, 6 bits here; the zoo's: less by what the prior has learned."""
    model, x = discrete(), binary(60)
    prior = priors.AutoregressivePrior(filters=4, blocks=1, epochs=20, batch_size=20, learning_rate=0.03).fit(model, x)
    own, fitted = (tasks.code_length(model, x, samples=2, prior=each) for each in (None, prior))
    terms = model.elbo(x).astype("float64").mean() - model.elbo(x, prior=prior).astype("float64").mean()
    assert own.bits - fitted.bits == pytest.approx(-terms / np.log(2), rel=1e-5) and fitted.bits < own.bits


def test_turns_are_one_loop_with_the_draws_of_turns_one_by_one():
    """Two turns by hand: z and pixels with the noise of block 0 and of each turn; the last gives the mean."""
    model, x = toy(seed=3), np.repeat(binary(1), BLOCK, axis=0)
    seen = np.random.default_rng(1).random(SHAPE) < 0.5
    base = randomness.fold(randomness.seed_of(4, randomness.SAMPLING), 7, 0)
    current = np.where(seen, x, 0.0).astype("float32")
    for turn in range(2):
        noise = randomness.fold(base, turn)
        likelihood = model.likelihood(model.posterior(current).sample(seed=randomness.fold(noise, 0)))
        drawn = likelihood.mean() if turn else likelihood.sample(seed=randomness.fold(noise, 1))
        current = np.where(seen, x, np.asarray(drawn))
    np.testing.assert_allclose(tasks.impute(model, x, seen, steps=2, seed=4), current, atol=1e-5)


def test_codes_in_the_plane():
    codes = np.random.default_rng(0).normal(size=(60, 4)) * [5, 3, 1, 1]
    plane = tasks.to_plane(codes)
    centred = codes.astype("float64") - codes.mean(0)
    values = np.linalg.svd(centred, compute_uv=False)
    np.testing.assert_allclose(np.linalg.norm(plane, axis=0), values[:2], rtol=1e-6)
    assert tasks.to_plane(codes, "tsne", seed=1, perplexity=10).shape == (60, 2)
    np.testing.assert_allclose(tasks.to_plane(codes[:, :1]), np.pad(codes[:, :1], ((0, 0), (0, 1))))
    assert PCA(2).fit(codes).explained_variance_ratio_.sum() > 0.9


@pytest.fixture(scope="module")
def labelled():
    """Images whose brightness says the class, and a model that has learned brightness."""
    model = toy(seed=5)
    model.compile("adam", **PLAIN)
    model.optimizer.learning_rate = 0.02
    x = binary(400, seed=5)
    y = (x.mean(axis=(1, 2, 3)) > 0.5).astype(int)
    model.fit(x, batch_size=50, epochs=10, verbose=0)
    return model, x, y


def test_logistic_regression_on_codes_learns_from_few_labels(labelled):
    model, x, y = labelled
    few = np.r_[np.flatnonzero(y == 0)[:10], np.flatnonzero(y == 1)[:10]]
    classifier = tasks.m1_classifier(model, x[few], y[few])
    assert classifier.score(model.encode(x), y) > 0.85


@pytest.mark.parametrize("trainable", [True, False])
def test_fine_tuning_begins_at_the_encoder_and_leaves_the_models_own(labelled, trainable):
    model, x, y = labelled
    before = [each.copy() for each in model.encoder.get_weights()]
    network = tasks.classifier_on(model, 2, seed=1, trainable=trainable)
    loss = network.evaluate(x, y, verbose=0)[0]
    network.fit(x, y, batch_size=50, epochs=10, verbose=0)
    after, accuracy = network.evaluate(x, y, verbose=0)
    assert after < loss and accuracy > (0.8 if trainable else 0.7)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.encoder.get_weights(), strict=True))
    copied = network.layers[1].get_weights()
    assert all(np.array_equal(a, b) for a, b in zip(before, copied, strict=True)) == (not trainable)


def test_classifiers_on_levels_maps_and_conditions():
    """M1 reads all levels, side by side; a classifier goes on from the bottom-up path, flattened where it is a map."""
    hierarchy = HierarchicalVAE(latent_dims=(3, 2), hidden=6, image_shape=SHAPE, encoder=mlp(), decoder=mlp())
    x = binary(60, seed=5)
    y = (x.mean(axis=(1, 2, 3)) > 0.5).astype(int)
    classifier = tasks.m1_classifier(hierarchy, x, y)
    assert classifier[-1].coef_.shape == (1, 5) and classifier.score(hierarchy.encode(x), y) > 0.7
    assert tasks.classifier_on(hierarchy, 3).output_shape == (None, 3)
    assert tasks.classifier_on(discrete(), 3).output_shape == (None, 3)
    conditional, labels = toy(CVAE, num_classes=2), np.arange(60) % 2
    fitted = tasks.m1_classifier(conditional, x, y, condition=labels)
    assert fitted[-1].coef_.shape == (1, 2) and fitted.score(conditional.encode(x, labels), y) > 0.5


@pytest.mark.slow
def test_with_few_labels_a_pretrained_encoder_learns_digits_better_than_a_new_one():
    """A hundred labelled digits: what the encoder learned from 60,000 without labels is worth several points."""
    generator = np.random.default_rng(0)
    batches = list(data.load("mnist", "validation", "static", batch_size=5000, training=False).as_numpy_iterator())
    x, y = (np.concatenate([batch[key] for batch in batches]) for key in ("x", "y"))
    few = np.concatenate([generator.permutation(np.flatnonzero(y == digit))[:10] for digit in range(10)])
    others = np.setdiff1d(np.arange(len(x)), few)[:3000]
    accuracy = {}
    for weights in (True, False):
        network = tasks.classifier_on(zoo.load("vae_mnist", weights), 10)
        network.fit(x[few], y[few], batch_size=20, epochs=30, verbose=0)
        accuracy[weights] = network.evaluate(x[others], y[others], verbose=0)[1]
    assert accuracy[True] > accuracy[False] + 0.03 and accuracy[True] > 0.75, accuracy


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m, x: tasks.impute(m, x, np.ones(3, bool)), "observed is true or false for each pixel"),
        (lambda m, x: tasks.impute(m, x, np.ones(x.shape)), r"Given: float64 of shape"),
        (lambda m, x: tasks.impute(m, x * 0.5, np.ones(x.shape, bool)), "A Bernoulli likelihood is a probability"),
        (lambda m, x: tasks.impute(m, x * np.nan, np.ones(x.shape, bool)), "x must be finite"),
        (
            lambda m, x: tasks.impute(tiny(), VALID, VALID > 0),
            r"Imputation needs a model of images\. .*whose x is tokens",
        ),
        (lambda m, x: tasks.code_length(toy(likelihood="gaussian"), x), "Given: Gaussian, a density"),
        (lambda m, x: tasks.code_length(tiny(), VALID), r"a code of images\. Given: a SequenceVAE, whose x is tokens"),
        (lambda m, x: tasks.code_length(m, x * np.nan), "x must be finite"),
        (lambda m, x: tasks.code_length(m, x, prior=m.prior()), "prior is a fitted prior of keras_vae.priors, or None"),
        (lambda m, x: tasks.code_length(m, x[:1]), "A standard error needs two images or more"),
        (lambda m, x: tasks.code_length(toy(AE), x), "AE has no distribution over codes"),
        (lambda m, x: tasks.to_plane(x), "codes must have shape"),
        (lambda m, x: tasks.to_plane(np.ones((9, 3))), "A projection needs codes that differ. Given: 9 equal ones"),
        (lambda m, x: tasks.to_plane(x[:, 0, :, 0], "umap"), "method is one of pca, tsne"),
        (lambda m, x: tasks.to_plane(x[:, 0, :, 0], "tsne"), r"tsne needs 32 codes or more\. Given: 4"),
        (lambda m, x: tasks.to_plane(np.full((9, 3), np.nan)), "codes must be finite"),
        (
            lambda m, x: tasks.to_plane(np.zeros((9, 3)), "tsne", perplexity=np.nan),
            "perplexity must be a finite number",
        ),
        (lambda m, x: tasks.m1_classifier(m, x, [0, 1, 1, np.nan]), r"whole numbers from 0, or names.* Given: float64"),
        (lambda m, x: tasks.m1_classifier(m, x, [0, 1, 1, -1]), r"Given: labels below 0\. Leave unlabelled images out"),
        (lambda m, x: tasks.m1_classifier(m, x, [0, 1, 0, 1], 0.0), r"regularisation is more than 0"),
        (lambda m, x: tasks.m1_classifier(m, x * np.nan, [0, 1, 0, 1]), "x must be finite"),
        (lambda m, x: tasks.m1_classifier(discrete(), x, [0, 1, 0, 1]), r"needs real-valued codes\. Given: VQVAE"),
        (lambda m, x: tasks.m1_classifier(toy(CVAE, num_classes=2), x, [0, 1, 0, 1]), "A CVAE needs a condition"),
        (lambda m, x: tasks.classifier_on(toy(missing="mask"), 2), r"reads which pixels are missing too"),
        (lambda m, x: tasks.classifier_on(toy(CVAE, num_classes=2), 2), r"reads images and nothing else\..* a CVAE"),
        (lambda m, x: tasks.classifier_on(tiny(), 2), r"reads images and nothing else\..* a SequenceVAE"),
        (lambda m, x: tasks.m1_classifier(m, x, [1, 1, 1, 1]), r"two classes or more\. Given: \[1\]"),
        (lambda m, x: tasks.m1_classifier(m, x, [1]), "one label for each image"),
        (lambda m, x: tasks.classifier_on(m, 1), "num_classes must be a whole number, 2 or more"),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(UserError, match=message):
        call(toy(), binary(4))
