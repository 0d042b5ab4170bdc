"""float16 on disk: what is rounded, what keeps its type, what is refused; plain Keras reads it."""

import os

import keras
import numpy as np
import pytest

from keras_vae.errors import UserError
from keras_vae.zoo import weights
from tests.toy_runs import datasets
from tests.toys import PLAIN, binary, toy

NORMALISED = {
    "mlp": {"encoder": {"name": "mlp", "hidden": [8], "batch_norm": True}},
    "conv": {"encoder": {"name": "conv", "filters": [4], "dense": 8, "batch_norm": True}},
}


@pytest.fixture(scope="module")
def model():
    """A toy after 8 steps of Adam, whose state must not reach the disk."""
    model = toy()
    model.compile("adam", **PLAIN)
    model.fit(binary(64), batch_size=16, epochs=2, verbose=0)
    return model


def test_weights_come_back_as_they_are_stored(model, tmp_path):
    path = tmp_path / "model.weights.h5"
    weights.write_float16(model, path)
    again = toy(seed=5)
    again.load_weights(path)
    for ours, theirs in zip(model.trainable_variables, again.trainable_variables, strict=True):
        assert theirs.dtype == "float32"
        np.testing.assert_array_equal(np.asarray(theirs), np.asarray(ours).astype("float16").astype("float32"))
    assert int(again.step.numpy()) == int(model.step.numpy()) == 8
    # Stored once more, nothing moves: what is measured is what is stored.
    weights.write_float16(again, tmp_path / "again.weights.h5")
    assert (tmp_path / "again.weights.h5").read_bytes() == path.read_bytes()


def test_types_on_disk(model, tmp_path):
    path = tmp_path / "model.weights.h5"
    weights.write_float16(model, path)
    arrays = datasets(path)
    assert {array.dtype.name for array in arrays.values()} == {"float16", "int64"}
    assert [array.dtype.name for array in arrays.values() if array.shape == ()] == ["int64"], "the step is a counter"
    assert not [name for name in arrays if "optimizer" in name]
    assert len(arrays) == len(model.weights)


@pytest.mark.parametrize("kind", NORMALISED)
def test_statistics_of_normalisation_keep_float32(tmp_path, kind):
    model, path = toy(**NORMALISED[kind]), tmp_path / "model.weights.h5"
    statistics = [weight for weight in model.weights if "moving_variance" in weight.path]
    assert statistics
    for weight in statistics:
        weight.assign(np.full(weight.shape, 1e-9))  # float16 ends at 6e-8
    weights.write_float16(model, path)
    kept = [array for name, array in datasets(path).items() if "normalization" in name]
    assert len(kept) >= 4 and {array.dtype.name for array in kept} == {"float32"}
    again = toy(**NORMALISED[kind])
    again.load_weights(path)
    for weight in again.weights:
        if "moving_variance" in weight.path:
            np.testing.assert_array_equal(np.asarray(weight), np.full(weight.shape, 1e-9, "float32"))


@pytest.mark.parametrize("value", [65505.0, -1e6, np.inf, np.nan])
def test_what_float16_cannot_hold_is_refused_and_nothing_is_left(tmp_path, value):
    model, path = toy(), tmp_path / "model.weights.h5"
    bias = model.decoder.stack.layers[-2].bias
    bias.assign(np.full(bias.shape, 65504.0))
    weights.write_float16(model, path)  # the largest that there is
    before = path.read_bytes()
    bias.assign(np.where(np.arange(bias.shape[0]) == 3, value, 0.0))
    with pytest.raises(UserError, match=r"as float16, up to 65504\.0\. Given: (65505|1e\+06|inf|nan) in /decoder/"):
        weights.write_float16(model, path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == [path.name]


def test_plain_keras_reads_it(model, tmp_path):
    """`keras.Model.load_weights`, which knows nothing of float16 or of this library."""
    path = tmp_path / "model.weights.h5"
    weights.write_float16(model, path)
    again = toy(seed=9)
    keras.Model.load_weights(again, path)
    x = binary(5)
    # The codes of rounded weights: float16 keeps 11 bits, so a relative error of 2**-11 a weight.
    np.testing.assert_allclose(again.encode(x), model.encode(x), atol=0.02)


def test_the_same_weights_give_the_same_bytes(tmp_path):
    """Whatever else the process made before: Keras numbers layers as it goes."""
    first, second = toy(), toy()
    assert first.encoder.name != second.encoder.name
    second.set_weights(first.get_weights())
    weights.write_float16(first, tmp_path / "a.weights.h5")
    weights.write_float16(second, tmp_path / "b.weights.h5")
    assert (tmp_path / "a.weights.h5").read_bytes() == (tmp_path / "b.weights.h5").read_bytes()
