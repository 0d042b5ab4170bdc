"""Networks of series: a convolution written out, what a step depends on, and steps beyond the end that are not read."""

import json

import keras
import numpy as np
import pytest

from keras_vae.errors import UserError
from keras_vae.networks import CausalDecoder, CausalEncoder, SeriesGRUDecoder, SeriesGRUEncoder
from keras_vae.networks.series import CausalBlock, within
from tests.networks.test_recurrent import one_step, stirred

SERIES = np.random.default_rng(0).normal(size=(4, 6, 2)).astype("float32")
ENDS = np.array([6, 3, 1, 0])
MASK = np.arange(6) < ENDS[:, None]


def test_a_series_ends_with_its_last_observed_number():
    x = np.array([[[1, np.nan], [np.nan, np.nan], [np.nan, 2], [np.nan, np.nan]], [[np.nan] * 2] * 4, [[1.0, 1]] * 4])
    inside = within((~np.isnan(x)).astype("float32"))
    np.testing.assert_array_equal(inside, [[True, True, True, False], [False] * 4, [True] * 4])


@pytest.mark.parametrize("bidirectional", [True, False])
def test_the_recurrent_encoder_is_the_gated_unit_each_way_to_the_end(bidirectional):
    encoder = stirred(SeriesGRUEncoder((2,), units=3, bidirectional=bidirectional), SERIES)
    kernel, bias = (np.asarray(weight, "float64") for weight in encoder.last.weights)
    for row, end, code in zip(SERIES, ENDS, encoder(SERIES, steps=MASK), strict=True):
        states = []
        for reader, order in zip(encoder.readers, (row[:end], row[:end][::-1]), strict=False):
            state = np.zeros(3)
            for step in order:
                state = one_step(step, state, *(np.asarray(weight, "float64") for weight in reader.weights))
            states.append(state)
        np.testing.assert_allclose(code, np.concatenate(states) @ kernel + bias, rtol=1e-4, atol=1e-5)


def test_a_block_is_two_dilated_causal_convolutions():
    block = stirred(CausalBlock(kernel=3, dilation=2, activation="tanh"), SERIES)
    value = SERIES.astype("float64")
    for dense in block.weights_of:
        kernel, bias = (np.asarray(weight, "float64") for weight in dense.weights)
        active = np.pad(np.tanh(value), ((0, 0), (4, 0), (0, 0)))
        value = sum(active[:, 4 - 2 * k : 10 - 2 * k] @ kernel[2 * k : 2 * k + 2] for k in range(3)) + bias
    np.testing.assert_allclose(block(SERIES), SERIES + value, rtol=1e-4, atol=1e-4)


ENCODERS = [SeriesGRUEncoder((2,), units=3), CausalEncoder((2,), channels=3), CausalEncoder((2,), 3, kernel=2)]


@pytest.mark.parametrize("encoder", ENCODERS, ids=lambda layer: type(layer).__name__)
def test_every_step_up_to_the_end_is_read_and_none_beyond_it(encoder):
    """Bit for bit; and more padding gives the same code."""
    encoder = stirred(type(encoder).from_config(encoder.get_config()), SERIES)
    codes = np.asarray(encoder(SERIES, steps=MASK))
    for step in range(6):
        changed = SERIES.copy()
        changed[:, step] += 3
        moved = np.abs(np.asarray(encoder(changed, steps=MASK)) - codes).max(axis=1)
        assert ((moved > 1e-4) == MASK[:, step]).all() and (moved[~MASK[:, step]] == 0).all()
    np.testing.assert_allclose(encoder(SERIES), encoder(SERIES, steps=np.ones((4, 6), bool)), rtol=1e-5)
    longer = type(encoder).from_config(
        {**encoder.get_config(), **({"blocks": 2} if hasattr(encoder, "blocks") else {})}
    )
    longer.build((None, 11, 2))
    if [weight.shape for weight in longer.weights] == [weight.shape for weight in encoder.weights]:
        longer.set_weights(encoder.get_weights())
        padded = np.pad(SERIES, ((0, 0), (0, 5), (0, 0)), constant_values=7)
        np.testing.assert_allclose(longer(padded, steps=np.pad(MASK, ((0, 0), (0, 5)))), codes, rtol=1e-5, atol=1e-5)
    else:
        assert encoder.kernel == 2, "which takes another block to reach over six steps"


@pytest.mark.parametrize(("steps", "kernel", "blocks"), [(1, 3, 1), (5, 3, 1), (6, 3, 2), (13, 3, 2), (14, 3, 3)])
def test_there_are_as_many_blocks_as_the_last_step_needs_to_read_the_first(steps, kernel, blocks):
    encoder = CausalEncoder((2,), channels=4, kernel=kernel, activation="linear")  # which no ReLU cuts off
    encoder.build((None, steps, 1))
    assert len(encoder.stack) == blocks
    x = np.random.default_rng(0).normal(size=(1, steps, 1)).astype("float32")
    first = x.copy()
    first[:, 0] += 10
    assert np.abs(np.asarray(encoder(first)) - np.asarray(encoder(x))).max() > 1e-6


def test_decoders_write_every_step_from_the_code():
    z = np.random.default_rng(1).normal(size=(4, 3)).astype("float32")
    for layer in (SeriesGRUDecoder((6, 4), units=3), CausalDecoder((6, 4), channels=3)):
        outputs = np.asarray(stirred(layer, z)(z))
        assert outputs.shape == (4, 6, 4)
        assert (np.abs(np.asarray(layer(z + 1)) - outputs).max(axis=(0, 2)) > 1e-3).all()
        assert (np.abs(np.diff(outputs, axis=1)).max(axis=(0, 2)) > 1e-3).all()
    decoder = stirred(SeriesGRUDecoder((6, 4), units=3), z)
    first, bias = (np.asarray(weight, "float64") for weight in decoder.first.weights)
    kernel, last = (np.asarray(weight, "float64") for weight in decoder.last.weights)
    state = np.tanh(z[0] @ first + bias)
    for step in range(6):
        state = one_step(z[0], state, *(np.asarray(weight, "float64") for weight in decoder.recurrence.weights))
        np.testing.assert_allclose(decoder(z)[0, step], state @ kernel + last, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("layer", [*ENCODERS, SeriesGRUDecoder((6, 4)), CausalDecoder((6, 4), activation="gelu")])
def test_configuration_comes_back(layer):
    config = json.loads(json.dumps(layer.get_config()))
    assert json.loads(json.dumps(type(layer).from_config(config).get_config())) == config
    assert keras.saving.get_registered_object(f"keras_vae>{type(layer).__name__}") is type(layer)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SeriesGRUEncoder((2,), units=0), "must be a whole number, 1 or more"),
        (lambda: CausalEncoder((2,), kernel=1), "kernel must be a whole number, 2 or more"),
        (lambda: CausalEncoder((2,), activation="rel"), "Unknown activation"),
        (lambda: CausalEncoder((2,)).build((None, 30)), r"\(steps, channels\)\. Given: \(30,\)"),
        (lambda: SeriesGRUDecoder((4, 4, 1)), r"\(steps, channels\)\. Given: \(4, 4, 1\)"),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(UserError, match=message):
        make()
