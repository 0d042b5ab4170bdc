"""Schedules against values worked out by hand from their formulas."""

import json
import math

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from keras_vae.errors import UserError
from keras_vae.schedules import SCHEDULES, Constant, Cyclical, Linear, Schedule, Sigmoid, schedule


def at(made: Schedule, step: int) -> float:
    value = made(tf.constant(step, "int64"))
    assert value.dtype == "float32" and value.shape == ()
    return float(value)


# sigmoid(1) = 1 / (1 + 1/e)
@pytest.mark.parametrize(
    ("made", "values"),
    [
        (Constant(2.5), {0: 2.5, 10**9: 2.5}),
        (Linear(final=4.0, steps=8), {0: 0.0, 1: 0.5, 6: 3.0, 8: 4.0, 9: 4.0, 10**9: 4.0}),
        (Linear(final=1.0, steps=4, initial=3.0), {0: 3.0, 1: 2.5, 4: 1.0, 5: 1.0}),
        (
            Sigmoid(final=4.0, threshold=100, rate=10),
            {0: 4 / (1 + math.exp(10)), 90: 4 / (1 + math.e), 100: 2.0, 110: 4 * math.e / (1 + math.e), 10**6: 4.0},
        ),
        (
            Cyclical(final=2.0, period=100, ramp=0.5),
            {0: 0.0, 25: 1.0, 49: 1.96, 50: 2.0, 99: 2.0, 100: 0.0, 125: 1.0, 1_000_000_025: 1.0},
        ),
    ],
)
def test_hand_computed_values(made, values):
    for step, expected in values.items():
        # float32: relative rounding 6e-8 of each of a few operations
        assert at(made, step) == pytest.approx(expected, rel=1e-6, abs=1e-9), step


def test_cycles_are_exact_beyond_the_integers_of_float32():
    # float32(2**24 + 1) == float32(2**24): a schedule that casts the step first stands still for two steps.
    made = Cyclical(final=1.0, period=10, ramp=1.0)
    for start in (2**24, 2**31 + 5, 2**40):
        values = [at(made, start + step) for step in range(20)]
        np.testing.assert_allclose(values, [(start + step) % 10 / 10 for step in range(20)], rtol=1e-6)


def test_schedules_take_python_steps():
    assert float(Cyclical(period=4, ramp=1.0)(5)) == 0.25
    assert float(Linear(steps=4)(1)) == 0.25


@given(st.sampled_from([Linear, Sigmoid]), st.floats(0, 100), st.integers(0, 10**6), st.integers(0, 10**6))
def test_annealing_is_monotone_and_stays_within_final(cls, final, first, second):
    made = cls(final=final)
    low, high = sorted((first, second))
    assert 0 <= at(made, low) <= at(made, high) <= final * (1 + 1e-6)


@given(st.floats(0.125, 100), st.integers(2, 10**5), st.floats(0.01, 1), st.integers(0, 2**33), st.integers(1, 1000))
def test_cyclical_repeats_exactly_and_reaches_final(final, period, ramp, step, cycles):
    made = Cyclical(final=final, period=period, ramp=ramp)
    assert at(made, step) == at(made, step + cycles * period)
    assert 0 <= at(made, step) <= final * (1 + 1e-6)
    if period * (1 - ramp) >= 1:  # the last step of the cycle lies behind the ramp
        assert at(made, period - 1) == pytest.approx(final, rel=1e-6)


@pytest.mark.parametrize("name", SCHEDULES)
def test_configuration_comes_back(name):
    made = schedule(name)
    assert schedule(made.get_config()) == made
    assert made.get_config()["name"] == name
    assert schedule(made) is made


def test_a_number_is_a_constant():
    assert schedule(4) == Constant(4.0)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (-1.0, r"^beta must be a finite number, 0 or more\. Given: -1\.0"),
        (float("nan"), r"^beta must be a finite number.*Given: nan"),
        (np.float32(-1), r"^beta must be a finite number.*Given: np.float32\(-1.0\)"),
        (True, r"^beta must be a number, or a schedule.*Given: True"),
        (np.True_, r"^beta must be a number, or a schedule.*Given: np.True_"),
        (None, r"^beta must be a number, or a schedule.*Given: None"),
        ({"final": 4.0}, r"^beta: The schedule must be a name.*Given: {'final': 4.0}"),
        ({"name": "sigmoid", "final": -4}, r"^beta: Sigmoid\.final must be .* Given: -4"),
        ({"name": "sigmoid", "rate": 0}, r"Sigmoid\.rate must be more than 0"),
        ({"name": "linear", "steps": "10"}, r"Linear\.steps must be a finite number.*Given: '10'"),
        ({"name": "cyclical", "ramp": 1.5}, r"Cyclical\.ramp is a fraction of the period, at most 1\. Given: 1\.5"),
        ({"name": "cyclical", "period": 2.5}, r"Cyclical\.period must be a whole number of steps\. Given: 2\.5"),
        ({"name": "sigmoidal"}, r"^beta: Unknown schedule 'sigmoidal'\. Did you mean 'sigmoid'\?"),
        ({"name": "sigmoid", "treshold": 3}, r"has no argument 'treshold'\. Did you mean 'threshold'\?"),
    ],
)
def test_what_does_not_fit_is_refused(spec, message):
    with pytest.raises(UserError, match=message):
        schedule(spec, "beta")


def test_numpy_scalars_are_numbers():
    assert schedule(np.float32(0.5)) == Constant(0.5) and schedule(np.int64(2)) == Constant(2.0)
    made = schedule({"name": "linear", "final": np.float32(0.5), "steps": np.int64(10)})
    assert made == Linear(final=0.5, steps=10)
    assert json.loads(json.dumps(made.get_config())) == made.get_config(), "the configuration is plain data"


def test_a_step_under_xla_gives_the_same():
    for made in (Linear(final=3.0, steps=7), Sigmoid(), Cyclical(period=7)):
        compiled = tf.function(made, jit_compile=True)
        for step in (0, 3, 5_000, 2**24 + 1):
            assert float(compiled(tf.constant(step, "int64"))) == pytest.approx(at(made, step), rel=1e-6)
