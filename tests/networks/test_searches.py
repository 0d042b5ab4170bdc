"""From codes to sequences: each search against the list of all sequences with their probabilities."""

import numpy as np
import pytest

from keras_vae.errors import UserError
from keras_vae.networks import searches
from tests.sequences import LENGTH, SIZE, VALID, Z, probabilities, tiny


@pytest.fixture(scope="module")
def model():
    return tiny()


def test_all_beams_find_the_likeliest_sequence_of_all_and_order_the_rest(model):
    """32 beams, 31 sequences: the last beam is empty, and its log-probability -inf."""
    tokens, scores = searches.beam_search(model.decoder, Z, LENGTH, 32)
    for code in range(len(Z)):
        p = probabilities(model, Z[code])
        order = np.argsort(-p)
        np.testing.assert_array_equal(tokens[code, :31], VALID[order])
        np.testing.assert_allclose(scores[code, :31], np.log(p[order]), rtol=1e-4, atol=1e-5)
        assert scores[code, 31] == -np.inf


def test_greedy_is_the_largest_logit_step_by_step_and_one_beam(model):
    z = np.random.default_rng(0).normal(size=(40, 2)).astype("float32")
    expected = []
    for code in z:
        state, sequence = model.decoder.initial_state(code[None]), []
        while len(sequence) < LENGTH and (not sequence or sequence[-1] != 0):
            previous = np.array(sequence[-1:] or [0], "int32")
            logits, state = model.decoder.step(previous, state, code[None])
            sequence.append(int(np.argmax(logits)))
        expected.append(sequence + [0] * (LENGTH - len(sequence)))
    np.testing.assert_array_equal(model.decode(z), expected)
    np.testing.assert_array_equal(model.beam_search(z, beams=1), expected)
    assert len(np.unique(expected, axis=0)) > 2, "the codes do not all give one sequence"


def test_the_logits_of_a_rollout_are_those_of_teacher_forcing(model):
    outputs = model.likelihood_parameters(Z)
    forced = model.likelihood(Z).logits(outputs["tokens"])
    np.testing.assert_allclose(outputs["logits"], forced, rtol=1e-5, atol=1e-5)


def test_more_beams_find_more(model):
    """The search of the model's method is the function's first beam; wide enough, it beats the greedy one somewhere."""
    z = np.random.default_rng(0).normal(size=(40, 2)).astype("float32")
    best = model.beam_search(z, beams=31)
    np.testing.assert_array_equal(best, searches.beam_search(model.decoder, z, LENGTH, 31)[0][:, 0])
    gain = model.likelihood(z).log_prob(best).numpy() - model.likelihood(z).log_prob(model.decode(z)).numpy()
    assert gain.min() > -1e-5 and gain.max() > 1e-3


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_draws_have_the_probabilities_of_their_temperature(model, temperature):
    """10,000 draws: each of 31 sequences within 5 standard errors (1e-5 in all)."""
    count = 10_000
    drawn = model.draw(np.repeat(Z[:1], count, axis=0), temperature=temperature, seed=1)
    p = probabilities(model, Z[0], temperature)
    share = (drawn[:, None] == VALID).all(-1).mean(0)
    assert share.sum() == pytest.approx(1.0)
    assert (np.abs(share - p) <= 5 * np.sqrt(p * (1 - p) / count) + 1e-9).all(), (share, p)


def test_draws_are_a_function_of_seed_and_place_and_freeze_into_the_greedy_sequence(model):
    z = np.repeat(Z[:1], 300, axis=0)
    first = model.draw(z, seed=1)
    np.testing.assert_array_equal(first, model.draw(z, seed=1))
    np.testing.assert_array_equal(first[:10], model.draw(z[:10], seed=1))
    assert not np.array_equal(first, model.draw(z, seed=2))
    assert not np.array_equal(first[:40], first[256:296]), "the second block has noise of its own"
    np.testing.assert_array_equal(model.draw(z, temperature=1e-6), model.decode(z))


@pytest.mark.parametrize(
    ("method", "arguments", "message"),
    [
        ("beam_search", {"beams": 0}, "beams must be a whole number, 1 or more"),
        ("draw", {"temperature": 0}, "temperature must be a finite number"),
        ("draw", {"temperature": float("nan")}, "temperature must be a finite number"),
        ("draw", {"seed": -1}, "seed must be a whole number"),
    ],
)
def test_bad_arguments(model, method, arguments, message):
    with pytest.raises(UserError, match=message):
        getattr(model, method)(Z, **arguments)
    with pytest.raises(UserError, match="z must have shape"):
        getattr(model, method)(np.zeros((2, SIZE)))
