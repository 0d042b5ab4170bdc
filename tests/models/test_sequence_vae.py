"""SequenceVAE: its terms against the list of all sequences, its boundary, and words that it learns."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_vae import data
from keras_vae.errors import UserError
from keras_vae.models import VAE, SequenceVAE
from keras_vae.networks import GRUEncoder
from tests.models.equations import draw_seeds, terms_of
from tests.sequences import LENGTH, VALID, probabilities, tiny
from tests.toys import PLAIN


@pytest.fixture(scope="module")
def model():
    return tiny()


def test_terms_are_the_log_probability_at_a_draw_and_the_kl_of_gaussians(model):
    terms = terms_of(model, VALID, training=False)
    parameters = {name: np.asarray(value) for name, value in model.posterior_parameters(VALID).items()}
    (seed,) = draw_seeds(model, 1)
    z = model.posterior(VALID).sample(seed=seed).numpy()
    np.testing.assert_allclose(terms.log_px, np.log(probabilities(model, z)), rtol=1e-4, atol=1e-5)
    mean, log_var = parameters["mean"].astype("float64"), parameters["log_var"].astype("float64")
    np.testing.assert_allclose(terms.kl, 0.5 * (mean**2 + np.exp(log_var) - 1 - log_var), rtol=1e-4, atol=1e-5)


def test_importance_weights_reach_the_evidence():
    """log p(x) of every sequence from 20,000 codes of the prior, and from 500 of a posterior that is near it.

    Together the 31 evidences are 1. The two estimates agree to 0.1 nats where the sequence is not rare.
    """
    model = tiny()
    for weight in model.encoder.last.weights:
        weight.assign(0.1 * weight)
    z = np.random.default_rng(0).normal(size=(20_000, 2)).astype("float32")
    each = np.repeat(VALID[:, None], len(z), axis=1)
    evidence = np.exp(model.likelihood(z).log_prob(each).numpy().astype("float64")).mean(axis=1)
    assert evidence.sum() == pytest.approx(1.0, abs=1e-4)
    estimated = np.logaddexp.reduce(model.log_weights(VALID, 500, 0).numpy(), axis=0) - np.log(500)
    common = evidence > 0.02
    assert common.sum() >= 4
    np.testing.assert_allclose(estimated[common], np.log(evidence[common]), atol=0.1)


def test_padding_changes_neither_the_code_nor_the_terms(model):
    longer = tiny(length=LENGTH + 3)
    longer.set_weights(model.get_weights())
    ended = VALID[(VALID == 0).any(1)]
    padded = np.pad(ended, ((0, 0), (0, 3)))
    for name, value in model.posterior_parameters(ended).items():
        np.testing.assert_allclose(longer.posterior_parameters(padded)[name], value, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(longer.elbo(padded), model.elbo(ended), rtol=1e-5)


def test_dropped_words_are_of_training_only():
    model = tiny(word_dropout=1.0)
    plain = tiny()
    trained, evaluated, expected = (
        terms_of(each, VALID, training=training).log_px.numpy()
        for each, training in ((model, True), (model, False), (plain, True))
    )
    np.testing.assert_allclose(evaluated, expected, rtol=1e-6)
    # Without letters the log-probability is a sum over places: log p(ab) + log p(ba) = log p(aa) + log p(bb), at one z.
    assert np.abs(trained - evaluated).max() > 0.01
    index = [
        int(np.flatnonzero((each == VALID).all(1))[0]) for each in ([1, 2, 1, 1], [2, 1, 1, 1], [1] * 4, [2, 2, 1, 1])
    ]
    with model.draws.using((0, 1)):
        log_p = model.likelihood(np.zeros((4, 2), "float32"), training=True).log_prob(VALID[index]).numpy()
    assert log_p[0] + log_p[1] == pytest.approx(log_p[2] + log_p[3], rel=1e-5)


def test_methods_take_and_give_tokens(model):
    codes = model.encode(VALID)
    assert codes.shape == (31, 2) and codes.dtype == "float32"
    for tokens in (model.decode(codes), model.reconstruct(VALID), model.sample(31), model.draw(codes)):
        assert tokens.shape == (31, LENGTH) and tokens.dtype == "int32"
        assert (tokens[:, None] == VALID).all(-1).any(1).all(), "nothing follows an end"
    np.testing.assert_array_equal(model.reconstruct(VALID), model.decode(codes))
    np.testing.assert_array_equal(model(VALID), model.reconstruct(VALID))
    np.testing.assert_array_equal(model.reconstruct(VALID.astype("int64")), model.reconstruct(VALID))
    assert model.decode(codes[:0]).shape == (0, LENGTH)


def test_datasets_and_arrays_are_one():
    model = tiny()
    model.compile("adam", run_eagerly=True)
    x = VALID
    expected = model.evaluate(x, batch_size=20, verbose=0)
    for dataset in (
        data.batches(x, batch_size=20, training=False),
        tf.data.Dataset.from_tensor_slices(x.astype("int64")).batch(20),
    ):
        assert model.evaluate(dataset, verbose=0) == pytest.approx(expected, rel=1e-6)
    np.testing.assert_array_equal(model.predict(x, verbose=0), model.reconstruct(x))


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((3, 5), "int32"), r"shape \(batch, 4\). Given: int32 of shape \(3, 5\)"),
        (np.zeros(4, "int32"), r"Add the batch axis: x\[None\]"),
        (np.zeros((3, 4)), "whole numbers .* Given: float64"),
        (np.full((1, 4), 3), "must lie from 0 to 2, .* Given: tokens from 3 to 3"),
        (np.full((1, 4), -1), "Given: tokens from -1 to -1"),
        (np.array([[1, 1, 0, 0], [1, 0, 2, 0]]), r"Token 0 ends a sequence.* Given: x\[1\], which goes on with 2\."),
        (["cat"], "must be an array of"),
    ],
)
def test_what_is_no_sequence_is_refused(model, x, message):
    for method in (model.encode, model.elbo, model.reconstruct):
        with pytest.raises(UserError, match=message):
            method(x)


def test_a_dataset_of_other_tokens_is_refused_before_training():
    model = tiny()
    model.compile("adam", **PLAIN)
    with pytest.raises(UserError, match=r"x of the dataset must .*batch, 4.* Given: int32 of shape \(2, 16\)"):
        model.fit(data.load("words", "test[:2]", batch_size=2), verbose=0)
    with pytest.raises(UserError, match="x of the dataset's first batch must lie from 0 to 2"):
        model.fit(tf.data.Dataset.from_tensors(np.full((2, 4), 9)), verbose=0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"length": 0}, "length must be a whole number, 1 or more"),
        ({"vocabulary_size": 1}, "vocabulary_size must be a whole number, 2 or more"),
        ({"word_dropout": 1.5}, "word_dropout is a probability, at most 1. Given: 1.5"),
        ({"word_dropout": -0.1}, "word_dropout must be a finite number, 0 or more"),
        ({"encoder": "mlp"}, "Unknown encoder 'mlp'. Known: gru"),
        ({"decoder": {"name": "gru", "unit": 3}}, "Did you mean 'units'"),
        ({"encoder": {"name": "gru", "vocabulary_size": 3}}, "is given 'vocabulary_size' by the model"),
        ({"decoder": keras.layers.Dense(3)}, r"needs the methods initial_state\(z\) and step.* Given: a Dense"),
        ({"encoder": keras.layers.Embedding(3, 4)}, r"The encoder must map \(batch, 4\) to \(batch, 4\).*batch, 4, 4"),
        ({"latent_dim": 0}, "latent_dim must be a whole number"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(UserError, match=message):
        SequenceVAE(**{"length": 4, "vocabulary_size": 3, "latent_dim": 2, **arguments})


def test_an_image_has_no_recurrent_network():
    with pytest.raises(
        UserError, match=r"series reads and writes \(steps, channels\)\. Given: \(28, 28, 1\)\. Use an 'mlp'"
    ):
        VAE(encoder="gru")


def test_an_encoder_of_ones_own_reads_tokens():
    stack = [keras.layers.Embedding(3, 4, mask_zero=True), keras.layers.GRU(5, use_cudnn=False), keras.layers.Dense(4)]
    model = tiny(encoder=keras.Sequential(stack))
    assert model.encode(VALID).shape == (31, 2)
    own = tiny(encoder=GRUEncoder((4,), 3, units=6))
    assert type(own).from_config(own.get_config()).encode(VALID).shape == (31, 2)


def test_configuration_holds_its_arguments_and_no_image(model):
    config = tiny(word_dropout=0.2, free_bits=0.1).get_config()
    assert {name: config[name] for name in ("length", "vocabulary_size", "word_dropout", "free_bits")} == {
        "length": 4,
        "vocabulary_size": 3,
        "word_dropout": 0.2,
        "free_bits": 0.1,
    }
    assert not {"image_shape", "likelihood"} & set(config)


def unigram_log_p(train, x):
    """Mean log p of x where every letter, the end among them, has its own frequency in training, whatever is before."""
    counts = np.bincount(train[np.cumsum(train == 0, axis=1) - (train == 0) == 0], minlength=27) + 1
    log_p = np.log(counts / counts.sum())
    return float(np.where(np.cumsum(x == 0, axis=1) - (x == 0) == 0, log_p[x], 0.0).sum(1).mean())


@pytest.mark.slow
def test_sequence_vae_learns_words():
    """Held-out words at their own codes are likelier than letters by frequency, and than at each other's codes."""
    train, x = data.load_arrays("words", "train[:4000]"), data.load_arrays("words", "test[:500]")
    network = {"name": "gru", "units": 64, "embedding_dim": 16}
    beta = {"name": "linear", "final": 0.3, "steps": 300}
    model = SequenceVAE(latent_dim=16, encoder=network, decoder=network, word_dropout=0.4, beta=beta)
    model.compile(keras.optimizers.Adam(5e-3), jit_compile=False, steps_per_execution=20)
    model.fit(train, batch_size=100, epochs=6, verbose=0)
    z = model.posterior(x).sample(seed=(0, 7))
    own, exchanged = (float(tf.reduce_mean(model.likelihood(code).log_prob(x))) for code in (z, tf.roll(z, 1, axis=0)))
    assert own > unigram_log_p(train, x) + 8.0, (own, unigram_log_p(train, x))
    assert own > exchanged + 10.0, (own, exchanged)
