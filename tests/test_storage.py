"""Arrays as files hold them: float16, and int8 in blocks, whose errors are bounded by the largest of each block."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_vae import weights
from keras_vae.errors import UserError
from keras_vae.zoo import recipes

SHAPES = st.sampled_from([(64, 64), (4097, 1), (100, 50), (3, 3, 40, 16), (35, 200), (33, 128)])


def random(shape, seed, scale=1.0):
    return (np.random.default_rng(seed).standard_t(3, shape) * scale).astype(np.float32)


def written(array, storage="int8"):
    return weights.stored("kernel", array, storage)


def back(array):
    return weights.restored(written(array))["kernel"]


@given(SHAPES, st.integers(0, 100), st.sampled_from([1e-3, 1.0, 100.0]))
def test_a_number_moves_by_half_a_step_of_its_block_at_most(shape, seed, scale):
    array = random(shape, seed, scale)
    rows, again = array.reshape(-1, shape[-1]), back(array).reshape(-1, shape[-1])
    for start in range(0, len(rows), 32):
        block = rows[start : start + 32]
        largest = np.abs(block).max(axis=0)
        error = np.abs(again[start : start + 32] - block)
        # Half of a step of largest / 127, and 127 times the error of the step as float16: 2**-11 of it, or 2**-25.
        assert (error <= largest / 127 * (0.5 + 127 * 2.0**-11) + 127 * 2.0**-25).all()
    assert again.shape == rows.shape and back(array).shape == shape


@given(SHAPES, st.integers(0, 100))
def test_what_is_read_is_stored_as_the_same_bytes(shape, seed):
    first, again = written(random(shape, seed)), written(back(random(shape, seed)))
    assert first.keys() == again.keys() == {"kernel", "kernel:scales"}
    assert all(first[name].tobytes() == again[name].tobytes() for name in first)


def test_the_error_of_normal_numbers_is_that_of_a_uniform_one_of_a_step():
    """A step is the largest of 32 numbers through 127, which has no error; that of the other 31 is step**2 / 12."""
    array = np.random.default_rng(0).normal(size=(3200, 100)).astype(np.float32)
    steps = np.abs(array.reshape(100, 32, 100)).max(axis=1) / 127
    assert np.mean((back(array) - array) ** 2) == pytest.approx(np.mean(steps**2) / 12 * 31 / 32, rel=0.01)


def test_eight_and_a_half_bits_for_each_number():
    assert sum(part.nbytes for part in written(random((320, 100), 1)).values()) == 320 * 100 * 8.5 / 8


@given(SHAPES)
def test_it_always_saves(shape):
    assert sum(part.nbytes for part in written(random(shape, 1)).values()) < 0.6 * random(shape, 1).size * 2


def test_vectors_small_arrays_and_other_types():
    for array in (random((10_000,), 1), random((64, 63), 1), random((1, 5000), 1), random((31, 200), 1), np.float32(3)):
        held = written(array)
        assert held.keys() == {"kernel"} and held["kernel"].dtype == np.float16
    for array in (np.arange(10_000).reshape(100, 100), random((100, 100), 1).astype(np.float64)):
        assert written(array)["kernel"] is array
    array = random((100, 100), 1)
    assert written(array, "float32")["kernel"] is array
    np.testing.assert_array_equal(written(array, "float16")["kernel"], array.astype(np.float16))


@pytest.mark.parametrize("storage", ["flaot16", True, None])
def test_another_storage_is_refused(storage):
    with pytest.raises(UserError, match=rf"storage must be one of float32, float16, int8\. Given: {storage!r}"):
        written(random((64, 64), 1), storage)


def test_a_block_of_zeros_stays_zero():
    array = random((64, 64), 1)
    array[:32] = 0
    array[32:, 5] = 1e-9  # below what a step of float16 can be
    assert not back(array)[:32].any() and not back(array)[:, 5].any() and np.isfinite(back(array)).all()


@pytest.mark.parametrize("storage", ["float16", "int8"])
@pytest.mark.parametrize("value", [65505.0, np.inf, np.nan])
def test_numbers_beyond_float16_are_refused(storage, value):
    array = random((64, 64), 1)
    array[3, 4] = value
    with pytest.raises(UserError, match=r"up to 65504\. Given: .* in kernel\. Set training\.storage = 'float32', or"):
        written(array, storage)


def test_the_largest_that_float16_holds_is_kept():
    array = np.full((64, 64), 65504.0, np.float32)
    np.testing.assert_allclose(back(array), array, rtol=2.0**-11)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda held: held.pop("kernel"),
        lambda held: held.update({"kernel": held["kernel"].astype(np.int16)}),
        lambda held: held.update({"kernel": held["kernel"].ravel()}),
        lambda held: held.update({"kernel": held["kernel"][:0]}),
        lambda held: held.update({"kernel:scales": held["kernel:scales"][:1]}),
        lambda held: held.update({"kernel:scales": held["kernel:scales"].astype(np.float32)}),
        lambda held: held.update({"kernel:scales": np.float16(3)}),
    ],
)  # fmt: skip
def test_scales_of_no_array_are_refused(spoil):
    held = written(random((100, 64), 1))
    spoil(held)
    with pytest.raises(ValueError, match=r"kernel:scales (are the scales of no array|have not one number)"):
        weights.restored(held)


def test_recipes_name_them():
    assert recipes.STORAGES == weights.STORAGES
