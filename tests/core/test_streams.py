"""encode, decode and elbo of datasets and iterators: the numbers of an array, whatever the batches, and into `out`."""

import subprocess
import sys
import textwrap

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_vae import checks
from keras_vae.errors import UserError
from keras_vae.models import CVAE, HierarchicalVAE
from tests.toys import binary, toy

X = binary(600)
LABELS = np.arange(600) % 3


@pytest.fixture(scope="module")
def model():
    return toy()


def batches(first, *others, size=70):
    for start in range(0, len(first), size):
        part = slice(start, start + size)
        yield (first[part], *(array[part] for array in others)) if others else first[part]


@pytest.mark.parametrize("size", [1000, 256, 70])
def test_a_generator_gives_the_numbers_of_an_array(model, size):
    codes = model.encode(X)
    np.testing.assert_array_equal(model.encode(batches(X, size=size)), codes)
    np.testing.assert_array_equal(model.decode(batches(codes, size=size)), model.decode(codes))
    np.testing.assert_array_equal(model.elbo(batches(X, size=size), seed=3), model.elbo(X, seed=3))


def test_a_dataset_brings_its_condition():
    model = toy(CVAE, num_classes=3)
    dataset = tf.data.Dataset.from_tensor_slices({"x": X, "y": LABELS}).batch(64)
    codes = model.encode(X, LABELS)
    np.testing.assert_array_equal(model.encode(dataset), codes)
    np.testing.assert_array_equal(model.elbo(dataset), model.elbo(X, condition=LABELS))
    np.testing.assert_array_equal(model.decode(batches(codes, LABELS)), model.decode(codes, LABELS))


def test_a_dataset_of_keras(model):
    class Halves(keras.utils.PyDataset):
        def __len__(self):
            return 2

        def __getitem__(self, index):
            return X[300 * index : 300 * (index + 1)]

    np.testing.assert_array_equal(model.encode(Halves()), model.encode(X))


def test_labels_of_a_dataset_are_nothing_to_a_model_without_condition(model):
    dataset = tf.data.Dataset.from_tensor_slices((X, LABELS)).batch(64)
    np.testing.assert_array_equal(model.encode(dataset), model.encode(X))


def test_a_hierarchy_has_an_out_for_each_level(tmp_path):
    model = toy(HierarchicalVAE, latent_dim=None, latent_dims=(3, 2))
    codes = model.encode(X)
    out = {name: np.empty_like(level) for name, level in codes.items()}
    model.encode(batches(X), out=out)
    parts = iter(
        [{name: level[:300] for name, level in out.items()}, {name: level[300:] for name, level in out.items()}]
    )
    for name in codes:
        np.testing.assert_array_equal(out[name], codes[name])
    np.testing.assert_array_equal(model.decode(parts), model.decode(codes))


@pytest.mark.parametrize("stream", [False, True])
def test_into_a_memmap(model, stream, tmp_path):
    codes, images = model.encode(X), model.decode(model.encode(X))
    file = np.lib.format.open_memmap(tmp_path / "images.npy", "w+", "float32", images.shape)
    written = model.decode(batches(codes) if stream else codes, out=file)
    assert np.shares_memory(written, file)
    file.flush()
    np.testing.assert_array_equal(np.load(tmp_path / "images.npy"), images)
    numbers = np.empty(600, "float32")
    np.testing.assert_array_equal(model.elbo(batches(X) if stream else X, out=numbers), model.elbo(X))
    np.testing.assert_array_equal(numbers, model.elbo(X))


def test_what_does_not_fit(model):
    with pytest.raises(UserError, match=r"out must be an array of float32 of shape \(600, 2\)\. Given: .*\(600, 3\)"):
        model.encode(X, out=np.empty((600, 3), "float32"))
    with pytest.raises(UserError, match=r"out must be .* Given: int32"):
        model.encode(X, out=np.empty((600, 2), "int32"))
    with pytest.raises(UserError, match=r"out must have a row for each example\. Given: 599 rows"):
        model.encode(batches(X), out=np.empty((599, 2), "float32"))
    with pytest.raises(UserError, match=r"Pixels of x must lie in \[0, 1\].* It is in batch 1 of the stream\."):
        model.encode(iter([X, 255 * X]))
    with pytest.raises(UserError, match=r"A stream must have a batch\. Given: none"):
        model.encode(iter([]))
    with pytest.raises(UserError, match="batches are pairs"):
        toy(CVAE, num_classes=3).encode(batches(X), LABELS)


def test_what_is_no_number_is_said_with_the_example():
    numbers = np.zeros((600, 2), "float32")
    numbers[300] = np.inf
    with pytest.raises(UserError, match=r"encode must give numbers\. .* for 1 of 256 examples, .* number 300\."):
        checks.in_blocks(lambda _, part: part["x"], {"x": numbers}, what="encode")
    broken = toy()
    for weight in broken.weights:
        if weight.name == "bias":
            weight.assign(np.full(weight.shape, np.nan))
    for method, array in ((broken.encode, X), (broken.reconstruct, X), (broken.decode, numbers[:200])):
        with pytest.raises(UserError, match=rf"{method.__name__} must give numbers\."):
            method(array)


def test_joining_takes_no_second_copy():
    """Counted by tracemalloc, which numpy reports its arrays to: 16 MB of results take 16 MB and a block."""
    script = """
        import tracemalloc
        import numpy as np
        from keras_vae.checks import in_blocks
        zeros, rows = np.zeros((16384, 1), "float32"), 16384
        wide = lambda _, part: np.repeat(part["x"], 256, axis=1)
        def peak(function):
            tracemalloc.start()
            result = function()
            assert result.shape == (rows, 256)
            top = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            return top / result.nbytes
        parts = lambda: ({"x": zeros[start : start + 256]} for start in range(0, rows, 256))
        print(peak(lambda: in_blocks(wide, {"x": zeros})), peak(lambda: in_blocks(wide, parts())))
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=True)
    array, stream = map(float, done.stdout.split())
    assert array < 1.1 and stream < 1.3


def test_blocks_of_an_array_that_is_empty():
    assert checks.in_blocks(lambda _, part: part["x"], {"x": np.zeros((0, 3))}).shape == (0, 3)
