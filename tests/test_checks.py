"""The boundary where arrays enter: what passes, what is refused and with which words, and blocks."""

import numpy as np
import pytest
import tensorflow as tf
from scipy.sparse import csr_matrix

from keras_vae.checks import BLOCK, check_codes, check_images, check_number, check_whole_number, in_blocks
from keras_vae.errors import UserError

GOOD = np.full((3, 4, 4, 1), 0.5, "float32")


def spoiled(value: float) -> np.ndarray:
    array = GOOD.copy()
    array[1, 2, 2, 0] = value
    return array


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "bool", "uint8", "int64"])
def test_images_of_every_number_type_pass(dtype):
    given = np.ones((2, 4, 4, 1), dtype)
    checked = check_images(given, (4, 4, 1))
    assert checked.dtype == ("float64" if dtype == "float64" else "float32")
    np.testing.assert_array_equal(checked, 1)


def test_tensors_lists_and_bfloat16_pass():
    for given in (tf.constant(GOOD), GOOD.tolist(), tf.cast(GOOD, "bfloat16")):
        np.testing.assert_array_equal(check_images(given, (4, 4, 1)), 0.5)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (GOOD[0], r"x must have shape \(batch, 4, 4, 1\)\. Given: \(4, 4, 1\)\. Add the batch axis: x\[None\]\."),
        (GOOD[..., 0], r"Given: \(3, 4, 4\)\. Add the channel axis: x\[\.\.\., None\]\."),
        (GOOD[:, :3], r"Given: \(3, 3, 4, 1\)\. Resize the pictures to 4 x 4\.$"),
        (np.repeat(GOOD, 3, -1), r"Given: \(3, 4, 4, 3\)\. Make them grey: x\.mean\(axis=-1, keepdims=True\)\.$"),
        (GOOD.reshape(3, 16), r"Given: \(3, 16\)\. Reshape it: x\.reshape\(-1, 4, 4, 1\)\.$"),
        (GOOD[:, :3].reshape(3, 12), r"Given: \(3, 12\)\. The model reads examples of this shape only"),
        (np.moveaxis(GOOD, -1, 1), r"Given: \(3, 1, 4, 4\)\. Put the channels last: numpy\.moveaxis\(x, 1, -1\)\."),
        (GOOD[None], r"Given: \(1, 3, 4, 4, 1\)"),
        (GOOD[0, ..., 0], r"Given: \(4, 4\)\. Add the batch axis: x\.reshape\(1, 4, 4, 1\)\."),
        (np.repeat(np.moveaxis(GOOD, -1, 1), 3, 1), r"make them grey: numpy\.moveaxis\(x, 1, -1\)\.mean\(axis=-1, "),
        (np.float32(0.5), r"Given: \(\)"),
        (GOOD.astype("complex64"), r"x must be an array of floats\. Given: dtype complex64"),
        (GOOD.astype(str), r"Given: dtype <U"),
        (GOOD.astype(object), r"Given: dtype object"),
        (csr_matrix(np.eye(3)), r"Given: csr_matrix, a sparse one\. Make it dense: x\.toarray\(\)\."),
        (np.full((3, 4, 4, 1), np.datetime64("2024-01-01")), r"Given: dtype datetime64"),
        ([[1, 2], [3]], r"x must be an array of numbers\. Given: list"),
        (None, r"Given: dtype object"),
        (spoiled(np.nan), r"x must be finite\. Given: 1 values that are NaN or infinite\. Remove"),
        (spoiled(np.inf), r"x must be finite\. Given: 1 values"),
        (spoiled(-np.inf), r"x must be finite"),
        (GOOD * 510, r"must lie in \[0, 1\]\. Given: values from 255 to 255; divide by 255\."),
        (spoiled(-0.1), r"must lie in \[0, 1\]\. Given: values from -0\.1 to 0\.5; rescale them:"),
        (spoiled(300), r"Given: values from 0\.5 to 300; divide by the largest.* 300 perhaps\."),
        (spoiled(1.0001), r"must lie in \[0, 1\]"),
    ],
)
def test_images_that_are_refused(given, message):
    before = np.array(given, copy=True) if isinstance(given, np.ndarray) else None
    with pytest.raises(UserError, match=message):
        check_images(given, (4, 4, 1))
    if before is not None and before.dtype.kind in "fb":
        np.testing.assert_array_equal(given, before)


def test_the_argument_is_called_by_its_name():
    with pytest.raises(UserError, match=r"^pictures must have shape"):
        check_images(GOOD[0], (4, 4, 1), "pictures")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.zeros((3, 5)), r"z must have shape \(batch, 2\), the model's latent size\. Given: \(3, 5\)\."),
        (np.zeros(2), r"Given: \(2,\)\. Add the batch axis: z\[None\]\."),
        (np.zeros((1, 3, 2)), r"Given: \(1, 3, 2\)"),
        (np.array([[0.0, np.nan]]), r"z must be finite"),
        (np.array([[0.0, np.inf]]), r"z must be finite"),
        (np.array([["a", "b"]]), r"z must be an array of floats"),
        (np.zeros((1, 2), complex), r"Given: dtype complex128"),
    ],
)
def test_codes_that_are_refused(given, message):
    with pytest.raises(UserError, match=message):
        check_codes(given, (2,))


def test_codes_may_be_of_any_size_and_none():
    np.testing.assert_array_equal(check_codes([[1000, -1000]], (2,)), [[1000, -1000]])
    assert check_codes(np.zeros((0, 2)), (2,)).shape == (0, 2)


@pytest.mark.parametrize("value", [1.0, "3", True, np.True_, None, 0, -1, np.float32(2), float("nan")])
def test_what_is_no_whole_number(value):
    with pytest.raises(UserError, match=r"count must be a whole number, 1 or more\. Given: "):
        check_whole_number(value, "count")


@pytest.mark.parametrize("value", [True, np.True_, np.False_, "1", None, np.complex64(1), np.array([1.0]), -0.5])
def test_what_is_no_number(value):
    with pytest.raises(UserError, match=r"share must be a finite number, 0 or more\. Given: "):
        check_number(value, "share")


def test_numpy_scalars_are_numbers():
    for value in (np.float32(0.5), np.float16(0.5), np.float64(0.5), np.int64(3), np.uint8(3)):
        checked = check_number(value, "share")
        assert checked == value and type(checked) is float
    assert type(check_whole_number(np.uint8(3), "count")) is int


def test_whole_numbers():
    assert check_whole_number(np.int64(3), "count") == 3 and type(check_whole_number(np.int64(3), "count")) is int
    assert check_whole_number(0, "seed", minimum=0) == 0


@pytest.mark.parametrize("pad", [False, True])
@pytest.mark.parametrize("count", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + 7])
def test_blocks_cover_every_example_once_and_in_order(count, pad):
    numbers = np.arange(count, dtype="float32")[:, None]
    sizes = []

    def function(block, part):
        sizes.append(len(part["a"]))
        return {"square": part["a"] ** 2, "block": np.full(len(part["a"]), block)}

    result = in_blocks(function, {"a": numbers, "b": numbers}, pad=pad)
    np.testing.assert_array_equal(result["square"], numbers**2)
    np.testing.assert_array_equal(result["block"], np.arange(count) // BLOCK)
    if pad:
        assert set(sizes) == {BLOCK}, "noise of the block's shape is the same however many examples are asked for"
    assert max(sizes) <= BLOCK and min(sizes) > 0
    np.testing.assert_array_equal(in_blocks(lambda _, part: tf.constant(part["a"]) + 1, {"a": numbers}), numbers + 1)
