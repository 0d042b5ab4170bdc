"""One list of rules: what the host refuses a graph refuses, in the same words."""

import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from keras_vae import supports
from keras_vae.errors import UserError
from keras_vae.likelihoods import likelihood
from tests.toys import binary, grey

LEVELS = np.round(grey(6) * 255) / 255
TOKENS = np.array([[1, 2, 3, 0, 0], [3, 3, 3, 3, 3], [0, 0, 0, 0, 0]], "int32")
LABELS = np.array([0, 1, 2, -1], "int32")
CASES = {  # name -> support, an array in it, and numbers that are not
    "bernoulli": (likelihood("bernoulli").support, binary(6), [np.nan, np.inf, -1.0, 2.0, 0.5, 255.0]),
    "gaussian": (likelihood("gaussian").support, grey(6), [np.nan, -np.inf, -0.1, 1.001, 16.0, 300.0]),
    "logistic_mixture": (likelihood("logistic_mixture").support, LEVELS, [np.nan, 1.5, 0.5001]),
    "categorical": (likelihood("categorical").support, np.round(grey(6) * 15) / 15, [np.nan, -0.5, 0.5]),
    "reals": (supports.REALS, 100 * grey(6), [np.nan, np.inf]),
    "tokens": (supports.tokens(4), TOKENS, [-1, 4]),
    "labels": (supports.labels(3), LABELS, [-2, 3, 99]),
}


def refusal(support, array):
    with pytest.raises(UserError) as raised:
        support.check(array)
    return str(raised.value)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("jit_compile", [False, True])
def test_host_and_graph_agree(name, jit_compile):
    support, good, bad = CASES[name]
    good = good.astype("float32") if good.dtype.kind == "f" else good
    arrays = [good, *(spoiled(good, value) for value in bad)]
    if name == "tokens":
        arrays.append(np.array([[1, 2, 3, 0, 0], [3, 0, 2, 0, 0]], "int32"))

    @tf.function(jit_compile=jit_compile)
    def in_graph(x):
        broken = ops.any(support.broken(ops, x))
        return broken, [ops.cast(fact, "float64") for fact in support.diagnosis(ops, x)]

    for index, array in enumerate(arrays):
        broken, facts = in_graph(tf.constant(array))
        assert bool(broken) == (index > 0), array
        if index:
            assert support.message([float(fact) for fact in facts]) == refusal(support, array)
        else:
            support.check(array)


def spoiled(array, value):
    array = array.copy()
    array[1, ...] = np.where(np.arange(array[1].size).reshape(array[1].shape) == 2 % array[1].size, value, array[1])
    return array


@pytest.mark.parametrize(
    ("low", "high", "remedy"),
    [
        (0, 255, r"Given: values from 0 to 255; divide by 255\.$"),
        (0, 200, r"divide by 255\.$"),
        (0, 1.000001, r"Given: values from 0 to 1\.000001; that is rounding: clip them, np\.clip\(x, 0, 1\)\.$"),
        (-1e-7, 1, r"clip them"),
        (0, 16, r"divide by the largest value that they can have, 16 perhaps"),
        (0, 3000, r"divide by the largest value that they can have, 3000 perhaps"),
        (-1, 1, r"\(x \+ 1\) / 2"),
        (-3.5, 4, r"\(x - low\) / \(high - low\)"),
    ],
)
def test_the_remedy_fits_the_range(low, high, remedy):
    pixels = np.linspace(low, high, 16).reshape(1, 4, 4, 1)
    with pytest.raises(UserError, match=r"^Pixels of x must lie in \[0, 1\]\. .*" + remedy):
        supports.PIXELS.check(pixels)


def test_the_first_broken_rule_is_reported_with_its_facts():
    x = np.full((3, 4, 4, 1), 0.5)
    x[1, 0, 0, 0], x[2, 0, :2, 0] = 7.0, np.nan
    assert refusal(supports.PIXELS, x) == (
        "x must be finite. Given: 2 values that are NaN or infinite. Remove those examples."
    )
    x[2] = 0.0
    assert "Given: values from 0 to 7;" in refusal(supports.PIXELS, x)


def test_a_broken_number_is_found_wherever_it_is():
    """Arrays are read in pieces."""
    large = np.zeros((300, 28, 28, 1), "float32")
    for example in (0, 83, 84, 299):
        large[example, 27, 27, 0] = 2.0
        assert "Given: values from 0 to 2" in refusal(supports.PIXELS, large)
        large[example] = 0.0
    supports.PIXELS.check(large)
    supports.PIXELS.check(large[:0])


def test_what_a_network_may_read_is_wider_than_what_has_a_probability():
    grey_images = grey(3)
    support = likelihood("bernoulli").support
    support.hull.check(grey_images)
    assert support.hull.rules == support.rules[: len(support.hull.rules)]
    assert likelihood("gaussian").support.hull is likelihood("gaussian").support
