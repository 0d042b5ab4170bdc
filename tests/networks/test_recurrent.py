"""Recurrent networks: a gated unit written out, padding that is not read, tokens that no precision rounds."""

import json

import keras
import numpy as np
import pytest

from keras_vae.errors import UserError
from keras_vae.networks import GRUDecoder, GRUEncoder

TOKENS = np.array([[1, 3, 2, 0, 0], [2, 0, 0, 0, 0], [0, 0, 0, 0, 0], [3, 1, 1, 2, 3]], "int32")


def stirred(layer, *inputs):
    layer(inputs[0] if len(inputs) == 1 else inputs)
    generator = np.random.default_rng(0)
    for weight in layer.weights:
        weight.assign(generator.normal(size=weight.shape))
    return layer


def sigmoid(value):
    return 1 / (1 + np.exp(-value))


def one_step(x, h, kernel, recurrent, bias):
    """h' = u h + (1 - u) tanh(W x + r (U h + c) + b): Cho et al. 2014, with the reset gate after the product."""
    from_x, from_h = x @ kernel + bias[0], h @ recurrent + bias[1]
    (ux, rx, cx), (uh, rh, ch) = np.split(from_x, 3), np.split(from_h, 3)
    update, reset = sigmoid(ux + uh), sigmoid(rx + rh)
    return update * h + (1 - update) * np.tanh(cx + reset * ch)


@pytest.mark.parametrize("bidirectional", [True, False])
def test_the_encoder_is_the_gated_unit_each_way_over_what_is_no_padding(bidirectional):
    encoder = stirred(GRUEncoder((2,), 4, units=3, embedding_dim=2, bidirectional=bidirectional), TOKENS)
    table = np.asarray(encoder.embedding.embeddings, "float64")
    expected = []
    for row in TOKENS:
        letters, states = row[row != 0], []
        for reader, order in zip(encoder.readers, (letters, letters[::-1]), strict=False):
            weights = [np.asarray(weight, "float64") for weight in reader.weights]
            state = np.zeros(3)
            for token in order:
                state = one_step(table[token], state, *weights)
            states.append(state)
        kernel, bias = (np.asarray(weight, "float64") for weight in encoder.last.weights)
        expected.append(np.concatenate(states) @ kernel + bias)
    np.testing.assert_allclose(encoder(TOKENS), expected, rtol=1e-4, atol=1e-5)


def test_padding_is_not_read():
    """Bit for bit: the state passes over it."""
    encoder = stirred(GRUEncoder((2,), 4, units=3, embedding_dim=2), TOKENS)
    np.testing.assert_allclose(encoder(np.pad(TOKENS, ((0, 0), (0, 4)))), encoder(TOKENS), rtol=1e-6, atol=1e-6)
    assert np.ptp(np.asarray(encoder(TOKENS)), axis=0).min() > 0.01


def test_the_decoder_is_causal_and_reads_its_code_everywhere():
    z = np.random.default_rng(1).normal(size=(4, 2)).astype("float32")
    decoder = stirred(GRUDecoder((5, 4), units=3, embedding_dim=2), TOKENS, z)
    logits = np.asarray(decoder((TOKENS, z)))
    assert logits.shape == (4, 5, 4)
    for place in range(5):
        changed = TOKENS.copy()
        changed[:, place] = 4  # the unknown token, which it reads and never writes
        difference = np.abs(np.asarray(decoder((changed, z))) - logits).max(axis=(0, 2))
        assert (difference[:place] == 0).all() and difference[place] > 1e-3
    assert (np.abs(np.asarray(decoder((TOKENS, z + 1))) - logits).max(axis=(0, 2)) > 1e-3).all()


def test_steps_in_a_row_are_the_whole_sequence():
    z = np.random.default_rng(1).normal(size=(4, 2)).astype("float32")
    decoder = stirred(GRUDecoder((5, 4), units=3, embedding_dim=2), TOKENS, z)
    whole, state = np.asarray(decoder((TOKENS, z))), decoder.initial_state(z)
    for place in range(5):
        logits, state = decoder.step(TOKENS[:, place], state, z)
        np.testing.assert_allclose(logits, whole[:, place], rtol=1e-5, atol=1e-5)


def test_unrolled_steps_are_the_loop():
    z = np.random.default_rng(1).normal(size=(4, 2)).astype("float32")
    for network, inputs in ((GRUEncoder((2,), 4, units=3), (TOKENS,)), (GRUDecoder((5, 4), units=3), (TOKENS, z))):
        looped = stirred(network, *inputs)
        unrolled = stirred(type(network).from_config({**network.get_config(), "unroll": True}), *inputs)
        given = inputs[0] if len(inputs) == 1 else inputs
        np.testing.assert_allclose(unrolled(given), looped(given), rtol=1e-5, atol=1e-5)


def test_large_tokens_are_whole_numbers_in_half_precision():
    """bfloat16 has 8 bits: as a float, token 999 would be 1000."""
    tokens = np.array([[999, 0], [1000, 0]], "int32")
    encoder = stirred(GRUEncoder((2,), 1001, units=3, embedding_dim=2, dtype="mixed_bfloat16"), tokens)
    outputs = np.asarray(encoder(tokens), "float32")
    assert np.abs(outputs[0] - outputs[1]).max() > 0.05


@pytest.mark.parametrize(
    "layer", [GRUEncoder((2,), 4, units=3, embedding_dim=2, bidirectional=False), GRUDecoder((5, 4), units=3)]
)
def test_configuration_comes_back(layer):
    config = json.loads(json.dumps(layer.get_config()))
    assert json.loads(json.dumps(type(layer).from_config(config).get_config())) == config
    assert keras.saving.get_registered_object(f"keras_vae>{type(layer).__name__}") is type(layer)


@pytest.mark.parametrize("arguments", [{"units": 0}, {"embedding_dim": 2.5}])
def test_bad_sizes(arguments):
    with pytest.raises(UserError, match="must be a whole number, 1 or more"):
        GRUDecoder((5, 4), **arguments)
