"""VQVAE: gradients by definition, averages by brute force, codes in and out."""

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_vae.distributions import quantizers
from keras_vae.errors import UserError
from keras_vae.export import export
from keras_vae.models import codebook_vae as codebooks
from keras_vae.models.vq_vae import VQVAE
from tests.digits import assert_learned, digits, trained
from tests.export.bundles import stirred
from tests.toys import PLAIN, binary, mlp, same, weights

X = binary(32)
TOY: dict[str, Any] = {
    "image_shape": (4, 4, 1), "code_shape": (3,), "entries": 7, "embedding_dim": 2, "encoder": mlp(), "decoder": mlp(),
}  # fmt: skip


def vq(**arguments) -> Any:
    return VQVAE(**{**TOY, **arguments})


def moved(model):
    """Random weights and entries; the moving averages still at their start."""
    stirred(model)
    for state in (model.counts, model.weight, *([model.sums] if model.codebook_kind == "ema" else [])):
        state.assign(np.zeros(state.shape))
    return model


def terms_of(model, x=X, training=True):
    with model.draws.using((0, 1)):
        return model.terms({"x": tf.constant(x, model.float_dtype)}, training=training)


def brute(model, x=X):
    """Encoder outputs, and the nearest entries by all distances: of the first of equals."""
    outputs = model.apply_network(model.encoder, x, False).numpy().astype("float64")
    entries = np.asarray(model.codebook, "float64")
    return outputs, ((outputs[..., None, :] - entries) ** 2).sum(-1).argmin(-1), entries


class TestTerms:
    def test_codes_are_the_nearest_entries_and_the_penalty_is_equation_3(self):
        for kind, weight in (("ema", 0.25), ("gradient", 1.25)):
            model = moved(vq(codebook=kind))
            outputs, codes, entries = brute(model)
            np.testing.assert_array_equal(model.encode(X), codes)
            distance = ((outputs - entries[codes]) ** 2).sum((1, 2))
            terms = terms_of(model)
            np.testing.assert_allclose(terms.penalty, weight * distance, rtol=1e-4)
            np.testing.assert_allclose(terms.logs["commitment"], distance, rtol=1e-4)
            np.testing.assert_allclose(terms.kl, np.full((32, 1), 3 * np.log(7)), rtol=1e-6)
            vectors = tf.constant(entries[codes], "float32")
            np.testing.assert_allclose(terms.log_px, model.likelihood(vectors).log_prob(X), rtol=1e-4)
            assert len(np.unique(codes)) > 2, "the comparison means something"

    def test_each_gradient_goes_where_it_should(self):
        """By z_e: log p(x|e)'s gradient by e, and 2 commitment (z_e - e). By e: the codebook's term alone."""
        model = moved(vq(codebook="gradient", commitment=0.7, dtype="float64"))
        for weight in model.trainable_weights:
            weight.assign(np.random.default_rng(1).normal(size=weight.shape))
        outputs, codes, entries = brute(model)
        vectors = tf.constant(entries[codes])
        with tf.GradientTape() as tape:
            tape.watch(vectors)
            value = tf.reduce_sum(model.likelihood(vectors).log_prob(tf.constant(X, "float64")))
        by_vectors: Any = tape.gradient(value, vectors)
        fixed = tf.Variable(tf.constant(outputs))

        class Fixed(keras.layers.Layer):
            def call(self, inputs, training=False):
                return fixed + 0.0

        model.encoder = Fixed(dtype="float64")
        with tf.GradientTape() as tape:
            terms = terms_of(model)
            loss = tf.reduce_sum(-terms.log_px + terms.penalty)
        by_outputs, by_entries = tape.gradient(loss, [fixed, model.codebook.value])
        difference = outputs - entries[codes]
        np.testing.assert_allclose(by_outputs, -np.asarray(by_vectors) + 2 * 0.7 * difference, rtol=1e-9, atol=1e-12)
        expected = np.zeros_like(entries)
        np.add.at(expected, codes.ravel(), -2 * difference.reshape(-1, 2))
        np.testing.assert_allclose(np.asarray(tf.convert_to_tensor(by_entries)), expected, rtol=1e-9, atol=1e-12)

    def test_perplexity_of_one_code_is_1_and_of_all_alike_is_their_number(self):
        metric = quantizers.Perplexity((7,))
        metric.update_state(quantizers.uses_of(np.full((4, 3), 2), 7))
        assert float(metric.result()) == pytest.approx(1)
        metric.reset_state()
        metric.update_state(quantizers.uses_of(np.tile(np.arange(7), 6).reshape(14, 3), 7))
        assert float(metric.result()) == pytest.approx(7, rel=1e-5)
        model = vq()
        model.codebook.assign(np.concatenate([np.zeros((1, 2)), np.full((6, 2), 1e3)]))
        np.testing.assert_array_equal(terms_of(model).logs["perplexity"], np.tile(3 * np.eye(7)[0], (32, 1)))

    def test_perplexity_is_that_of_the_epoch(self):
        """Of all codes of 32 images in batches of 4, not the mean of the batches' perplexities."""
        model = moved(vq())
        model.compile("sgd", **PLAIN)
        found = model.evaluate(X, batch_size=4, verbose=0, return_dict=True)["perplexity"]

        def exact(codes):
            shares = np.bincount(codes.ravel(), minlength=7) / codes.size
            return np.exp(-(shares[shares > 0] * np.log(shares[shares > 0])).sum())

        codes = model.encode(X)
        assert found == pytest.approx(exact(codes), rel=1e-5)
        assert found > 1.05 * np.mean([exact(codes[start : start + 4]) for start in range(0, 32, 4)])

    def test_the_elbo_is_exact_for_a_deterministic_posterior(self):
        """log p(x, z) - log q(z|x) is log p(x|e) - positions log K for every draw: the ELBO itself."""
        model = moved(vq())
        expected = np.asarray(terms_of(model).log_px) - 3 * np.log(7)
        np.testing.assert_allclose(model.elbo(X), expected, rtol=1e-5)
        np.testing.assert_allclose(model.log_weights(X, 3, seed=0), np.broadcast_to(expected, (3, 32)), rtol=1e-5)

    def test_of_two_equal_entries_the_first_is_chosen(self):
        codes = quantizers.nearest(tf.constant([[1.0, 1.0]]), tf.constant([[5.0, 5.0], [1.0, 1.0], [1.0, 1.0]]))
        assert codes.numpy().tolist() == [1] and codes.dtype == tf.int32


class TestMovingAverages:
    def test_three_steps_by_brute_force(self):
        """Averages from zero, divided by the sum of their weights 1 - decay**t; Laplace smoothing."""
        model, decay = moved(vq(decay=0.9, restart_below=0.0)), 0.9
        counts, sums = np.zeros(7), np.zeros((7, 2))
        for step in range(1, 4):
            x = binary(32, seed=step)
            outputs, codes, entries = brute(model, x)
            used = np.eye(7)[codes.ravel()]
            counts = decay * counts + (1 - decay) * used.sum(0)
            sums = decay * sums + (1 - decay) * used.T @ outputs.reshape(-1, 2)
            n, mean = counts / (1 - decay**step), sums / (1 - decay**step)
            size = (n + 1e-5) / (n.sum() + 7e-5) * n.sum()
            expected = np.where((counts > 0)[:, None], mean / size[:, None], entries)
            model.after_step(terms_of(model, x))
            np.testing.assert_allclose(model.codebook, expected, rtol=1e-4, atol=1e-5)
            if step == 1:  # free of bias: after one step, the mean of the vectors that chose an entry
                for code in np.unique(codes):
                    np.testing.assert_allclose(expected[code], outputs[codes == code].mean(0), rtol=1e-4)
        assert (counts == 0).any(), "an entry that nothing chose, which stayed where it was"

    def test_smoothing_keeps_the_sum(self):
        counts = tf.constant([5.0, 0.0, 3.0, 0.0])
        given = codebooks.smoothed(counts, 0.5).numpy()
        assert given.sum() == pytest.approx(8, rel=1e-6) and (given > 0).all()

    @pytest.mark.parametrize("kind", ["ema", "gradient"])
    def test_dead_entries_become_vectors_of_the_batch(self, kind):
        model = moved(vq(codebook=kind, restart_below=0.01))
        model.codebook.assign(np.concatenate([np.asarray(model.codebook)[:2], np.full((5, 2), 1e3)]))
        terms = terms_of(model)
        model.after_step(terms)
        entries, outputs = np.asarray(model.codebook), np.asarray(terms.cache["outputs"])
        distances = ((entries[2:, None] - outputs) ** 2).sum(-1).min(1)
        assert (distances == 0).all()
        assert np.asarray(model.counts)[2:] == pytest.approx(float(model.weight)), "they start as chosen once a step"
        before = np.array(model.codebook)
        model.after_step(terms_of(model))  # the same images: what is chosen is not restarted
        assert np.abs(np.asarray(model.codebook) - before).max() < np.abs(before).max()

    def test_frozen_outside_training(self):
        model = moved(vq())
        model.compile("sgd", **PLAIN)
        before = weights(model)
        model.evaluate(X, verbose=0)
        model.elbo(X)
        model.predict(X, verbose=0)
        assert same(before, weights(model))
        model.fit(X, batch_size=32, verbose=0)
        assert not np.array_equal(before[[w.name for w in model.weights].index("codebook")], model.codebook)

    def test_the_optimizer_sees_one_gradient_for_each_entry(self):
        """Adam's first step is the learning rate in each number, however many vectors chose an entry."""
        model = moved(vq(codebook="gradient", restart_below=0.0))
        model.compile(keras.optimizers.Adam(0.01), **PLAIN)
        _, codes, before = brute(model)
        model.fit(X, batch_size=32, verbose=0)
        steps = np.abs(np.asarray(model.codebook) - before)
        chosen = np.unique(codes)
        np.testing.assert_allclose(steps[chosen], 0.01, rtol=1e-2)

    def test_who_learns_the_codebook(self):
        ema, gradient = vq(), vq(codebook="gradient")
        assert not any(each is ema.codebook for each in ema.trainable_variables)
        assert any(each is gradient.codebook for each in gradient.trainable_variables)


def test_codes_out_and_codes_in():
    model = moved(vq())
    codes = model.encode(X)
    assert codes.dtype == np.int32 and codes.shape == (32, 3)
    np.testing.assert_array_equal(model.decode(codes), model.reconstruct(X))
    assert model.sample(5, seed=1).shape == (5, 4, 4, 1)
    for bad, message in (
        (codes.astype("float32"), r"codes must be whole numbers of shape \(batch, 3\).*Given: float32"),
        (codes[:, :2], r"codes must be whole numbers of shape \(batch, 3\).*of shape \(32, 2\)"),
        (codes + 7, r"codes must lie from 0 to 6, the entries of the codebook\. Given: codes from \d+ to 1\d"),
        (codes - 7, r"codes must lie from 0 to 6.*Given: codes from -\d"),
    ):
        with pytest.raises(UserError, match=message):
            model.decode(bad)


@pytest.mark.parametrize("kind", ["ema", "gradient"])
def test_exports_codes_as_int32(kind, tmp_path):
    """Codes must agree exactly, which export requires; then through the runtime's own encode and decode."""
    from keras_vae import runtimes

    model = moved(vq(codebook=kind))
    bundle = export(model, tmp_path / "bundle", ("onnx", "saved_model"))
    assert bundle.graphs["encoder"]["outputs"]["codes"]["dtype"] == "int32"
    assert bundle.graphs["decoder"]["inputs"]["codes"] == {
        "shape": [None, 3], "dtype": "int32", "kind": "index", "classes": 7
    }  # fmt: skip
    runtime = runtimes.open(bundle, "onnxruntime")
    codes = runtime.encode(X)
    np.testing.assert_array_equal(codes, model.encode(X))
    np.testing.assert_allclose(runtime.decode(codes), model.decode(codes), atol=1e-5)
    with pytest.raises(UserError, match="codes must lie from 0 to 6"):
        runtime.decode(codes + 7)
    again = VQVAE.from_config(model.get_config())
    again.set_weights(model.get_weights())
    np.testing.assert_array_equal(again.elbo(X), model.elbo(X))


@pytest.mark.parametrize("kind", ["ema", pytest.param("gradient", marks=pytest.mark.slow)])
def test_learns_digits(kind):
    model = trained(VQVAE, latent_dim=None, code_shape=(16,), entries=32, embedding_dim=8, codebook=kind)
    assert_learned(model)
    logs = model.evaluate(digits().held_out_x, verbose=0, return_dict=True)
    assert logs["perplexity"] > 8, "the codebook is in use"


@pytest.mark.slow
def test_trains_under_xla():
    model = vq()
    model.compile("adam", steps_per_execution=2)
    history = model.fit(X, batch_size=16, epochs=2, verbose=0).history
    assert np.isfinite(history["elbo"]).all() and all(1 <= value <= 7.01 for value in history["perplexity"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"codebook": "kmeans"}, r"codebook is one of ema, gradient\. Given: 'kmeans'"),
        ({"entries": 0}, r"entries must be a whole number, 1 or more\. Given: 0"),
        ({"decay": 1.0}, r"decay is a number from 0, below 1\. Given: 1\.0"),
        ({"code_shape": ()}, r"code_shape has one axis or more, as \(7, 7\) or \(16,\)\. Given: \(\)"),
        ({"commitment": -1}, r"commitment must be a finite number, 0 or more\. Given: -1"),
        ({"beta": 2.0}, r"VQVAE does not take beta"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        vq(**arguments)
