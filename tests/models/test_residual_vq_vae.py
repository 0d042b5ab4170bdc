"""ResidualVQVAE: depth 1 is VQVAE bit for bit; deeper codes by brute force."""

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from keras_vae.errors import UserError
from keras_vae.models import VQVAE
from keras_vae.models.residual_vq_vae import ResidualVQVAE
from tests.digits import assert_learned, assert_likelier, digits, log_px_by_digit, trained
from tests.export.bundles import stirred
from tests.toys import PLAIN, binary, mlp, same, weights

X = binary(32)
TOY: dict[str, Any] = {
    "image_shape": (4, 4, 1), "code_shape": (3,), "entries": 7, "embedding_dim": 2, "encoder": mlp(), "decoder": mlp(),
}  # fmt: skip


def residual(**arguments) -> Any:
    return ResidualVQVAE(**{**TOY, "depth": 3, **arguments})


def moved(model):
    """Random weights; entries around the encoder's outputs, and for each later codebook half as far from 0."""
    stirred(model)
    outputs = model.apply_network(model.encoder, X, False).numpy().reshape(-1, model.embedding_dim)
    entries = np.random.default_rng(3).normal(size=model.codebook.shape) * outputs.std(0)
    entries[0] += outputs.mean(0)  # what is left after it is around 0
    model.codebook.assign(entries * 0.5 ** np.arange(model.depth)[:, None, None])
    for state in (model.counts, model.weight, *([model.sums] if model.codebook_kind == "ema" else [])):
        state.assign(np.zeros(state.shape))
    return model


def terms_of(model, x=X, training=True):
    with model.draws.using((0, 1)):
        return model.terms({"x": tf.constant(x, model.float_dtype)}, training=training)


def brute(model, x=X):
    """For each codebook: what is left before it, its code and its entry; float64."""
    left, levels = model.apply_network(model.encoder, x, False).numpy().astype("float64"), []
    for entries in np.asarray(model.codebook, "float64"):
        codes = ((left[..., None, :] - entries) ** 2).sum(-1).argmin(-1)
        levels.append((left, codes, entries[codes]))
        left = left - entries[codes]
    return levels


@pytest.mark.parametrize("kind", ["ema", pytest.param("gradient", marks=pytest.mark.slow)])
def test_depth_1_is_vq_vae_bit_for_bit(kind):
    """Terms, and every weight and average after a training with restarts; codes have one more axis, of size 1."""
    one, plain = residual(depth=1, codebook=kind, seed=5), VQVAE(**TOY, codebook=kind, seed=5)
    mine, theirs = terms_of(one), terms_of(plain)
    for name in ("log_px", "kl", "penalty"):
        np.testing.assert_array_equal(getattr(mine, name), getattr(theirs, name))
    for model in (one, plain):
        model.compile("adam", **PLAIN)
        model.fit(X, batch_size=8, epochs=2, verbose=0)
    assert same([w.reshape(np.shape(v)) for w, v in zip(weights(one), weights(plain), strict=True)], weights(plain))
    np.testing.assert_array_equal(one.encode(X)[..., 0], plain.encode(X))
    np.testing.assert_array_equal(one.elbo(X), plain.elbo(X))
    np.testing.assert_array_equal(one.decode(one.encode(X)), plain.reconstruct(X))


@pytest.mark.parametrize(("kind", "weight"), [("ema", 0.25), ("gradient", 1.25)])
def test_codes_and_penalty_by_brute_force(kind, weight):
    model = moved(residual(codebook=kind))
    levels, terms = brute(model), terms_of(model)
    codes = np.stack([codes for _, codes, _ in levels], axis=-1)
    np.testing.assert_array_equal(model.encode(X), codes)
    assert model.code_shape == (3,) and model.index_shape == (3, 3), "the argument, and the shape of what encode gives"
    assert codes.shape == (32, 3, 3) and all(len(np.unique(codes[..., level])) > 2 for level in range(3))
    distance = sum(((left - entry) ** 2).sum((1, 2)) for left, _, entry in levels)
    np.testing.assert_allclose(terms.logs["commitment"], distance, rtol=1e-4)
    np.testing.assert_allclose(terms.penalty, weight * distance, rtol=1e-4)
    total = tf.constant(sum(entry for _, _, entry in levels), "float32")
    np.testing.assert_allclose(terms.log_px, model.likelihood(total).log_prob(X), rtol=1e-4)
    np.testing.assert_allclose(terms.kl, np.full((32, 1), 9 * np.log(7)), rtol=1e-6)
    np.testing.assert_allclose(model.elbo(X), terms.log_px - 9 * np.log(7), rtol=1e-5)
    np.testing.assert_allclose(model.decode(codes), model.likelihood_parameters(total)["mean"], atol=1e-5)


def test_gradients_reach_the_encoder_as_from_the_sum_and_each_codebook_from_its_own_term():
    """By z_e: log p(x|sum)'s gradient by the sum, and 2 commitment times the sum of what is left after each level."""
    model = moved(residual(codebook="gradient", commitment=0.7, dtype="float64"))
    levels = brute(model)
    total = tf.constant(sum(entry for _, _, entry in levels))
    with tf.GradientTape() as tape:
        tape.watch(total)
        value = tf.reduce_sum(model.likelihood(total).log_prob(tf.constant(X, "float64")))
    by_total = np.asarray(tape.gradient(value, total))
    last = model.encoder.trainable_variables[-1].value  # the bias of the encoder's outputs: (3 * 2,)
    with tf.GradientTape() as tape:
        terms = terms_of(model)
        loss = tf.reduce_sum(-terms.log_px + terms.penalty)
    by_bias, by_entries = tape.gradient(loss, [last, model.codebook.value])
    after = sum(left - entry for left, _, entry in levels)
    np.testing.assert_allclose(by_bias, (-by_total + 2 * 0.7 * after).sum(0).ravel(), rtol=1e-9)
    expected = np.zeros((3, 7, 2))
    for level, (left, codes, entry) in enumerate(levels):
        np.add.at(expected[level], codes.ravel(), -2 * (left - entry).reshape(-1, 2))
    np.testing.assert_allclose(tf.convert_to_tensor(by_entries), expected, rtol=1e-9, atol=1e-12)


def test_moving_averages_after_one_step_are_the_means_of_what_chose_an_entry():
    """Free of bias; each codebook of its own residuals. Laplace smoothing moves them by 1e-4 at most."""
    model = moved(residual(restart_below=0.0))
    levels, before = brute(model), np.array(model.codebook)
    model.after_step(terms_of(model))
    for level, (left, codes, _) in enumerate(levels):
        for entry in range(7):
            chosen = left[codes == entry]
            expected = chosen.mean(0) if len(chosen) else before[level, entry]
            np.testing.assert_allclose(np.asarray(model.codebook)[level, entry], expected, rtol=1e-3, atol=1e-5)


def test_dead_entries_become_residuals_of_their_own_level():
    model = moved(residual())
    books = np.array(model.codebook)
    books[1, 3:] = 1e3
    model.codebook.assign(books)
    levels = brute(model)
    model.after_step(terms_of(model))
    left = levels[1][0].reshape(-1, 2)
    distances = np.abs(np.asarray(model.codebook)[1, 3:, None] - left).max(-1).min(1)
    assert distances.max() < 1e-6


def test_each_level_adds_detail():
    """On vectors that the first codebook cannot hold, the distance falls with each level."""
    model = moved(residual(restart_below=0.01))
    for _ in range(30):
        model.after_step(terms_of(model))
    levels = brute(model)
    left = [((left - entry) ** 2).sum() for left, _, entry in levels]
    assert left[0] > 1.5 * left[1] > 2.25 * left[2]


def test_frozen_outside_training():
    model = moved(residual())
    model.compile("sgd", **PLAIN)
    before = weights(model)
    model.evaluate(X, verbose=0)
    model.sample(3)
    assert same(before, weights(model))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"depth": 0}, r"depth must be a whole number, 1 or more\. Given: 0"),
        ({"codebook": "kmeans"}, r"codebook is one of ema, gradient\. Given: 'kmeans'"),
        ({"decay": 1.0}, r"decay is a number from 0, below 1\. Given: 1\.0"),
        ({"free_bits": 2.0}, r"ResidualVQVAE does not take free_bits"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        residual(**arguments)
    codes = np.full((2, 3, 3), 7)
    with pytest.raises(UserError, match="codes must lie from 0 to 6"):
        residual().decode(codes)


@pytest.mark.slow
def test_learns_digits():
    """And the second codebook says what the first leaves: without it held-out digits are less likely."""
    model = trained(ResidualVQVAE, latent_dim=None, code_shape=(16,), depth=2, entries=32, embedding_dim=8)
    assert_learned(model)
    x = digits().held_out_x
    first = np.asarray(model.codebook)[0][model.encode(x)[..., 0]]
    assert_likelier(log_px_by_digit(model)[0], model.likelihood(tf.constant(first)).log_prob(x), "one codebook")
