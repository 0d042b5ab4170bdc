"""p(x|z) of a sequence: a probability of what can be listed, step by step the same as at once, whatever the padding."""

import numpy as np
import pytest
import tensorflow as tf

from keras_vae import backend
from tests.sequences import EVERY, LATENT, LENGTH, SIZE, VALID, Z, probabilities, tiny


@pytest.fixture(scope="module")
def model():
    return tiny()


def log_prob_of_each(distribution, sequences):
    """`(sequences, batch)`."""
    return distribution.log_prob(np.repeat(sequences[:, None], len(Z), axis=1)).numpy()


def test_probabilities_of_all_sequences_add_to_one(model):
    """31 of 81 arrays are sequences: those that go on after an end have none. Float32 sums of 4 terms: 1e-6."""
    log_p = log_prob_of_each(model.likelihood(Z), EVERY)
    np.testing.assert_allclose(np.exp(log_p.astype("float64")).sum(0), 1.0, atol=2e-6)
    assert len(VALID) == 31 and (np.isfinite(log_p).sum(0) == 31).all()
    assert np.exp(log_p).max() > 0.2, "far from uniform"


def test_teacher_forcing_is_the_product_of_the_steps(model):
    log_p = log_prob_of_each(model.likelihood(Z), VALID)
    for code in range(len(Z)):
        np.testing.assert_allclose(log_p[:, code], np.log(probabilities(model, Z[code])), rtol=1e-5, atol=1e-5)


def test_padding_is_certain_whatever_the_length(model):
    """The same weights in a model of longer sequences, where each word has an end and three tokens more of padding."""
    longer = tiny(length=LENGTH + 3)
    longer.set_weights(model.get_weights())
    ended = VALID[(VALID == 0).any(1)]
    np.testing.assert_allclose(
        log_prob_of_each(longer.likelihood(Z), np.pad(ended, ((0, 0), (0, 3)))),
        log_prob_of_each(model.likelihood(Z), ended),
        rtol=1e-6,
    )


def test_the_end_is_counted_and_a_cut_sequence_has_none(model):
    """The empty sequence is one token, the end; without an end all 4 tokens are counted."""
    first = np.asarray(model.decoder.step(np.zeros(2, "int32"), model.decoder.initial_state(Z), Z)[0], "float64")
    expected = first[:, 0] - np.logaddexp.reduce(first, axis=-1)
    np.testing.assert_allclose(model.likelihood(Z).log_prob(np.zeros((2, LENGTH), "int32")), expected, rtol=1e-5)
    beginning, whole = np.array([[2, 1, 0, 0]], "int32"), np.array([[2, 1, 1, 2]], "int32")
    ended, cut = (log_prob_of_each(model.likelihood(Z), each) for each in (beginning, whole))
    logits = model.likelihood(Z).logits(np.repeat(whole, 2, axis=0)).numpy()
    steps = np.take_along_axis(logits, np.repeat(whole, 2, axis=0)[..., None], -1)[..., 0]
    steps -= np.logaddexp.reduce(logits, axis=-1)
    np.testing.assert_allclose(cut[0], steps.sum(1), rtol=1e-5)
    assert (ended != cut).all()


def test_shapes_follow_those_of_tfp(model):
    distribution = model.likelihood(Z)
    assert distribution.batch_shape == (2,) and distribution.event_shape == (LENGTH,)
    assert distribution.batch_shape_tensor().numpy().tolist() == [2]
    drawn = distribution.sample((3, 5), seed=(0, 1))
    assert drawn.shape == (3, 5, 2, LENGTH) and drawn.dtype == "int32"
    log_p = distribution.log_prob(drawn)
    assert log_p.shape == (3, 5, 2) and np.isfinite(log_p).all(), "what is drawn can happen"
    np.testing.assert_allclose(log_p[1, 2], distribution.log_prob(drawn[1, 2]), rtol=1e-6)
    assert distribution.sample(seed=(0, 1)).shape == (2, LENGTH)
    assert np.array_equal(distribution.sample(4, seed=(0, 1)), distribution.sample(4, seed=(0, 1)))


def test_draws_have_their_probabilities(model):
    """20,000 draws of each code: each of 31 sequences within 5 standard errors of its probability (1e-5 in all)."""
    count = 20_000
    drawn = model.likelihood(Z).sample(count, seed=(3, 4)).numpy()
    for code in range(len(Z)):
        p = probabilities(model, Z[code])
        share = (drawn[:, code, None] == VALID).all(-1).mean(0)
        assert share.sum() == pytest.approx(1.0), "nothing else is drawn"
        assert (np.abs(share - p) <= 5 * np.sqrt(p * (1 - p) / count) + 1e-9).all(), (share, p)


def test_all_words_dropped_leaves_nothing_to_read_but_the_code():
    model = tiny(word_dropout=1.0)
    with model.draws.using((0, 1)):
        blind = model.likelihood(Z, training=True)
    sequences = np.repeat(VALID[:, None], 2, axis=1)
    logits, seeing = blind.logits(sequences).numpy(), model.likelihood(Z).logits(sequences).numpy()
    np.testing.assert_allclose(logits, np.broadcast_to(logits[:1], logits.shape), rtol=1e-5, atol=1e-5)
    assert np.ptp(seeing[:, :, 1:], axis=0).max() > 0.1, "in evaluation nothing is dropped"
    np.testing.assert_allclose(logits[:, :, 0], seeing[:, :, 0], rtol=1e-5, err_msg="the start is never dropped")
    assert np.ptp(logits[0], axis=0).max() > 0.1, "codes and places still differ"


def test_words_are_dropped_at_their_rate_anew_at_each_draw():
    """A decoder that reads tokens back as logits shows what it was given."""

    class Echo:
        def __call__(self, inputs, training):
            return tf.one_hot(inputs[0], SIZE + 1)[..., 1:]

    from keras_vae.likelihoods import TokenSequence

    x, z = np.full((4000, LENGTH), 2, "int32"), np.zeros((4000, LATENT), "float32")

    def hidden(seed):
        noise = backend.uniform((4000, LENGTH - 1), seed)
        return TokenSequence(Echo(), z, LENGTH, SIZE, True, 0.3, noise).logits(x).numpy()[..., 2] == 1

    first = hidden((0, 1))
    assert not first[:, 0].any()
    error = np.sqrt(0.3 * 0.7 / 12_000)
    assert abs(first[:, 1:].mean() - 0.3) < 5 * error
    np.testing.assert_array_equal(first, hidden((0, 1)))
    assert not np.array_equal(first, hidden((0, 2)))
    model = tiny(word_dropout=0.3)
    with model.draws.using((0, 1)):
        noises = [model.likelihood(Z, training=True)._noise for _ in range(2)]
    assert not np.array_equal(*noises)


def test_xla_gives_the_same_and_gradients_flow(model):
    x = np.repeat(VALID[:8, None], 2, axis=1)[:, 0][:2]

    def value_and_gradient(z):
        with tf.GradientTape() as tape:
            tape.watch(z)
            log_p = model.likelihood(z).log_prob(x)
        return log_p, tape.gradient(log_p, z)

    z = tf.constant(Z)
    plain, compiled = (tf.function(value_and_gradient, jit_compile=jit, autograph=False)(z) for jit in (False, True))
    for one, other in zip(plain, compiled, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
    assert np.abs(plain[1]).min() > 1e-4
