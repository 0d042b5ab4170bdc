"""From pixels to batches: order, binarisation and dequantisation as functions of the seed, the epoch and the batch."""

import gc
import resource
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from keras_vae import data
from keras_vae.data import batches, pixels_of, readers
from keras_vae.errors import UserError
from tests.toys import PLAIN, mlp, toy

COUNT = 50
LEVELS = np.random.default_rng(0).integers(0, 256, (COUNT, 4, 4, 1), dtype="uint8")
LABELS = np.arange(COUNT)


def epoch_of(dataset, key="x"):
    return np.concatenate([batch[key] for batch in dataset.as_numpy_iterator()])


def made(training=False, images=LEVELS, labels=LABELS, batch_size=8, **options):
    return batches(images, labels, batch_size=batch_size, training=training, **options)


def test_grey_levels_become_fractions_in_order():
    x = epoch_of(made())
    assert x.dtype == "float32" and x.shape == (COUNT, 4, 4, 1)
    np.testing.assert_allclose(x, LEVELS / 255, rtol=1e-6)
    np.testing.assert_array_equal(epoch_of(made(), "y"), LABELS)
    assert x.max() <= 1


def test_arrays_of_another_byte_order_are_those_numbers(tmp_path):
    x = (LEVELS / 255).astype("float32")
    for kind in (">f4", ">f8", "<f8"):
        dataset = made(images=x.astype(kind), labels=LABELS.astype(">i8"))
        np.testing.assert_array_equal(epoch_of(dataset), x)
        np.testing.assert_array_equal(epoch_of(dataset, "y"), LABELS)
    np.testing.assert_array_equal(epoch_of(made(images=LEVELS.astype(">u2"), kind="numbers")), LEVELS)
    np.save(tmp_path / "x.npy", x.astype(">f4"))
    for stream in (False, True):
        images = readers.array(tmp_path / "x.npy", stream=stream).images
        np.testing.assert_array_equal(epoch_of(made(images=images, labels=None, kind="numbers")), x)
    model = toy(image_shape=(4, 4, 1), encoder=mlp(), decoder=mlp(), likelihood="gaussian")
    model.compile(**PLAIN)
    swapped = x.astype(">f8")
    model.fit(swapped, validation_data=(swapped,), batch_size=10, sample_weight=np.ones(COUNT, ">f8"), verbose=0)
    for call in (model.encode, model.elbo, model.reconstruct):
        np.testing.assert_array_equal(call(swapped), call(x.astype("float64")))


def test_batches_have_their_size_and_evaluation_leaves_nothing_out():
    assert [len(batch["x"]) for batch in made().as_numpy_iterator()] == [8] * 6 + [2]
    assert [len(batch["x"]) for batch in made(training=True).as_numpy_iterator()] == [8] * 6
    assert int(made().cardinality()) == 7 and int(made(training=True).cardinality()) == 6


def test_an_epoch_is_a_permutation():
    dataset = made(training=True, batch_size=5)
    for _ in range(3):
        order = epoch_of(dataset, "y")
        assert sorted(order) == list(range(COUNT))


def test_labels_stay_with_their_images():
    for binarize in (None, "static"):
        dataset = made(training=True, binarize=binarize)
        plain = epoch_of(made(binarize=binarize))
        for batch in dataset.as_numpy_iterator():
            np.testing.assert_array_equal(batch["x"], plain[batch["y"]])


def test_several_labels_by_name_stay_with_their_images():
    named = {"place": LABELS, "half": LABELS / 2}
    for training in (False, True):
        for batch in made(training, labels=named).as_numpy_iterator():
            expected = [np.flatnonzero(np.isclose(LEVELS / 255, image).all((1, 2, 3)))[0] for image in batch["x"]]
            np.testing.assert_array_equal(batch["y"]["place"], expected)
            np.testing.assert_array_equal(batch["y"]["half"], batch["y"]["place"] / 2)
    assert pixels_of(made(labels=named)).labels.keys() == named.keys()
    with pytest.raises(UserError, match=r"one label for each image\. Given: 3 labels, 50 images"):
        made(labels={"place": LABELS, "half": LABELS[:3]})


def test_order_is_a_function_of_seed_and_epoch():
    first, again, other = (made(training=True, seed=seed) for seed in (1, 1, 2))
    orders = [epoch_of(first, "y").tolist() for _ in range(3)]
    assert orders == [epoch_of(again, "y").tolist() for _ in range(3)]
    assert len({tuple(order) for order in orders}) == 3, "each epoch has an order of its own"
    assert epoch_of(other, "y").tolist() not in orders


def test_what_is_left_out_of_one_epoch_comes_in_others():
    dataset = made(training=True, batch_size=32)  # 18 of 50 are left out of each epoch
    seen = {label for _ in range(15) for label in epoch_of(dataset, "y")}
    assert seen == set(range(COUNT))  # missed with probability 50 * 0.36**15 = 1e-5


@pytest.mark.parametrize("options", [{}, {"binarize": "dynamic"}, {"dequantize": True}])
@pytest.mark.parametrize("training", [True, False])
def test_first_epoch_is_that_iteration(training, options):
    dataset = made(training=training, **options)
    epochs = [epoch_of(dataset) for _ in range(4)]
    for first in (1, 3):
        np.testing.assert_array_equal(epoch_of(made(training=training, first_epoch=first, **options)), epochs[first])


def test_dynamic_binarisation_is_new_each_epoch_and_each_batch():
    dataset = made(images=np.full((16, 4, 4, 1), 128, "uint8"), labels=None, binarize="dynamic")
    first, second = epoch_of(dataset), epoch_of(dataset)
    assert set(np.unique(first)) == {0.0, 1.0}
    # Two of 128 fair coins in equal order: 3e-39
    assert not np.array_equal(first[:8], first[8:]) and not np.array_equal(first, second)


def test_dynamic_binarisation_is_unbiased():
    """Mean of 100 copies in each of 20 epochs within 5 standard errors of the grey level, for each of 800 pixels
    (false alarm 5e-4 in all)."""
    copies, epochs = 100, 20
    images = np.concatenate([LEVELS[:48], np.zeros((1, 4, 4, 1), "uint8"), np.full((1, 4, 4, 1), 255, "uint8")])
    dataset = made(images=np.tile(images, (copies, 1, 1, 1)), labels=None, batch_size=500, binarize="dynamic")
    drawn = [epoch_of(dataset).reshape(copies, *images.shape).mean(0, dtype="float64") for _ in range(epochs)]
    mean, grey = np.mean(drawn, axis=0), images / 255
    error = np.sqrt(grey * (1 - grey) / (copies * epochs))
    assert (np.abs(mean - grey) <= 5 * error + 1e-12).all()
    assert (mean[48] == 0).all() and (mean[49] == 1).all(), "black and white are certain"
    deviation = (mean - grey)[:48] / (error + 1e-12)[:48]
    assert 0.9 < deviation[(grey[:48] > 0) & (grey[:48] < 1)].std() < 1.1, "pixels are drawn independently"


def test_static_binarisation_is_one_data_set():
    """Whatever the batch size, the seed, the epoch, or how often it is loaded."""
    reference = epoch_of(made(binarize="static"))
    assert set(np.unique(reference)) == {0.0, 1.0}
    for options in ({"batch_size": 50}, {"seed": 7}, {"first_epoch": 3}):
        np.testing.assert_array_equal(epoch_of(made(binarize="static", **options)), reference)
    dataset = made(binarize="static", training=True, batch_size=10)
    for _ in range(2):
        order = epoch_of(made(training=True, batch_size=10, first_epoch=_), "y")
        np.testing.assert_array_equal(epoch_of(dataset), reference[order])


def test_static_binarisation_of_a_digit_is_known():
    """The data set that test numbers are measured on: it must not change with versions of anything."""
    images = data.load_arrays("mnist", "test[:256]", binarize="static")
    grey = data.load_arrays("mnist", "test[:256]")
    assert images.shape == grey.shape == (256, 28, 28, 1)
    assert int(images.sum()) == STATIC_ONES
    error = np.sqrt((grey * (1 - grey)).sum())
    assert abs(images.sum() - grey.sum(dtype="float64")) < 5 * error


STATIC_ONES = 27_717


def test_a_slice_of_static_binarisation_starts_as_the_whole():
    """So that numbers on the first thousand digits speak of the same pictures as numbers on all."""
    np.testing.assert_array_equal(epoch_of(made(binarize="static"))[:20], epoch_of(
        made(images=LEVELS[:20], labels=None, binarize="static")))  # fmt: skip


def test_dequantisation_fills_the_level():
    """(level + u) / 256: within its level, uniform there (mean 1/2 within 5 standard errors), new each epoch."""
    dataset = made(dequantize=True)
    first, second = epoch_of(dataset), epoch_of(dataset)
    for x in (first, second):
        within = x.astype("float64") * 256 - LEVELS
        assert (within >= 0).all() and (within <= 1).all()
        assert x.max() <= 1
        assert abs(within.mean() - 0.5) < 5 * np.sqrt(1 / 12 / within.size)
    assert not np.array_equal(first, second)


def test_floats_in_0_to_1_are_taken_as_they_are():
    grey = (LEVELS / 255).astype("float64")
    np.testing.assert_allclose(epoch_of(made(images=grey)), grey, rtol=1e-6)
    dynamic = epoch_of(made(images=grey, binarize="dynamic"))
    assert set(np.unique(dynamic)) == {0.0, 1.0}
    np.testing.assert_array_equal(epoch_of(made(images=LEVELS > 127)), LEVELS > 127)


def test_labels_are_integers_or_vectors():
    assert next(made().as_numpy_iterator())["y"].dtype == "int32"
    vectors = np.random.default_rng(0).random((COUNT, 3))
    batch = next(made(labels=vectors).as_numpy_iterator())
    assert batch["y"].dtype == "float32"
    np.testing.assert_allclose(batch["y"], vectors[:8], rtol=1e-6)
    assert set(next(made(labels=None).as_numpy_iterator())) == {"x"}


def test_what_a_dataset_says_of_its_pixels():
    """Every value that a pixel has, so that a likelihood of any grid can tell whether it has a probability of them."""
    even = LEVELS // 2 * 2
    for options, values in (
        ({}, set(LEVELS.ravel() / np.float32(255))),
        ({"images": even}, set(even.ravel() / np.float32(255))),
        ({"binarize": "dynamic"}, {0.0, 1.0}),
        ({"binarize": "static"}, {0.0, 1.0}),
        ({"images": np.where(LEVELS > 127, np.uint8(255), np.uint8(0))}, {0.0, 1.0}),
        ({"images": (LEVELS > 127).astype("uint8")}, {0.0, np.float32(1 / 255)}),  # grey levels
        ({"images": LEVELS.astype("float32") / 256}, set(LEVELS.ravel() / np.float32(256))),
    ):
        pixels = pixels_of(made(**options))
        assert pixels is not None and pixels.image_shape == pixels.example.shape[1:] == (4, 4, 1)
        assert set(np.unique(pixels.example)) == values, options
    dequantised = pixels_of(made(dequantize=True))
    assert dequantised is not None
    levels = dequantised.example * 255
    assert (np.abs(levels - np.round(levels)) > 0.1).all(), "on no grid"
    assert pixels_of(made().take(1)) is None


def test_a_dataset_made_from_another_keeps_it_alive():
    """The graph holds the epoch counter by its handle only."""
    derived = made(training=True).take(2)
    gc.collect()
    assert len(epoch_of(derived)) == len(epoch_of(derived)) == 16


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, r"batch_size must be a whole number, 1 or more\. Given: 0"),
        ({"batch_size": 2.0}, r"batch_size must be a whole number, 1 or more\. Given: 2\.0"),
        ({"binarize": "random"}, r"binarize is one of dynamic, static, or None for grey levels\. Given: 'random'"),
        ({"binarize": True}, r"binarize is one of .* Given: True"),
        ({"binarize": "static", "dequantize": True}, "Use one or the other"),
        ({"images": LEVELS / 255, "dequantize": True}, r"needs grey levels 0 to 255 as uint8\. Given: float"),
        ({"images": LEVELS.astype("float32")}, r"Pixels of images must lie in \[0, 1\].*divide by 255"),
        ({"images": np.where(LEVELS == 0, np.nan, 0.5)}, r"images must be finite"),
        ({"images": LEVELS.astype(str)}, r"images must be an array of floats"),
        ({"images": LEVELS[:0], "labels": None}, r"at least one example\. Given: none"),
        ({"images": LEVELS[:5], "labels": None, "training": True}, r"one full batch: 8 examples\. Given: 5\. Lower"),
        ({"labels": LABELS[:-1]}, r"one label for each image\. Given: 49 labels, 50 images"),
        ({"labels": 3}, r"one label for each image\. Given: "),
        ({"labels": ["a"] * COUNT}, r"Labels must be numbers\. Given: dtype <U1"),
        ({"seed": -1}, r"seed must be a whole number, 0 or more\. Given: -1"),
        ({"seed": 1.5}, r"seed must be a whole number, 0 or more\. Given: 1\.5"),
        ({"first_epoch": -1}, r"first_epoch must be a whole number, 0 or more\. Given: -1"),
    ],
)
def test_what_does_not_fit_is_refused(options, message):
    with pytest.raises(UserError, match=message):
        made(**options)


def test_load_chooses_training_by_the_split():
    orders = {}
    for split in ("train[:40]", "validation[:40]", "test[:40]"):
        orders[split] = [epoch_of(data.load("mnist", split, batch_size=40), "y").tolist() for _ in range(1)]
        plain = epoch_of(data.load("mnist", split, batch_size=40, training=False), "y").tolist()
        assert (orders[split][0] == plain) == (not split.startswith("train"))


def test_load_arrays_are_the_split_in_order():
    x = data.load_arrays("mnist", "validation[:1500]")
    assert x.shape == (1500, 28, 28, 1) and x.dtype == "float32"
    np.testing.assert_array_equal(x, epoch_of(data.load("mnist", "validation[:1500]", batch_size=7)))
    with pytest.raises(UserError, match=r"one dataset, so binarize is None or 'static'\. Given: 'dynamic'"):
        data.load_arrays("mnist", "test[:10]", binarize="dynamic")


class TestLabelledInEachBatch:
    """Of 40 examples 6 are labelled; each of x is its own number."""

    LABELS = np.where(np.arange(40) % 7 == 3, np.arange(40) % 2, -1)

    def epochs(self, count=2, in_batch=4, batch_size=10, first_epoch=0, seed=0):
        images = (np.arange(40, dtype="float32") / 64).reshape(40, 1, 1, 1)
        dataset = batches(images, self.LABELS, batch_size=batch_size, training=True, seed=seed,
                          first_epoch=first_epoch, labelled_in_batch=in_batch)  # fmt: skip
        return [
            [(np.rint(batch["x"].ravel() * 64).astype(int), batch["y"]) for batch in dataset.as_numpy_iterator()]
            for _ in range(count)
        ]

    def test_every_batch_has_as_many(self):
        labelled = np.flatnonzero(self.LABELS >= 0)
        for epoch in self.epochs():
            assert len(epoch) == (40 - len(labelled)) // 6 == len(labelled) - 1
            for numbers, labels in epoch:
                assert (labels >= 0).sum() == 4
                np.testing.assert_array_equal(labels, self.LABELS[numbers])
            others = np.concatenate([numbers[labels < 0] for numbers, labels in epoch])
            assert len(set(others)) == len(others), "an epoch is one pass over the others"
            known = np.concatenate([numbers[labels >= 0] for numbers, labels in epoch])
            counts = [int((known == each).sum()) for each in labelled]
            assert sum(counts) == 20 and max(counts) - min(counts) <= 1, "and equally many over the labelled"

    def test_it_is_a_function_of_the_seed_and_the_epoch(self):
        first, second = self.epochs()
        (again,) = self.epochs(1, first_epoch=1)
        for mine, theirs in zip(second, again, strict=True):
            np.testing.assert_array_equal(mine[0], theirs[0])
        assert any((mine[0] != theirs[0]).any() for mine, theirs in zip(first, second, strict=True))

    @pytest.mark.parametrize("wrong", [{"in_batch": 10}, {"in_batch": 0}, {"batch_size": 40, "in_batch": 1}])
    def test_what_does_not_fit(self, wrong):
        with pytest.raises(UserError, match=r"labelled_in_batch.*Given: "):
            self.epochs(**wrong)


def test_an_epoch_holds_the_data_once():
    """Of 64 MB, an epoch takes the tensor that batches are gathered from, and nothing else of that size."""

    def resident():
        gc.collect()
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

    def trained_on(count):
        images = np.zeros((count, 32, 32, 1), "uint8")
        images[0, 0] = 7  # grey, so kept as they are
        iterator = iter(batches(images, batch_size=64, training=True, binarize="dynamic"))
        next(iterator)
        return iterator

    iterators, before = [trained_on(64)], resident()
    iterators.append(trained_on(2**16))
    assert resident() - before < 1.5 * 2**26


@pytest.mark.slow
def test_data_take_their_bytes_once():
    """The peak of a process that makes a dataset of 256 MB grows by no more than a fifth above these."""
    code = """
        import re
        import numpy as np
        from keras_vae import data
        def peak():  # of this program: that of getrusage begins with what the process that started it had
            return int(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1]) * 1024
        def made(count):
            x = np.tile(np.arange(64, dtype="uint8"), (count, 16)).reshape(count, 32, 32, 1)
            before = peak()
            dataset = data.batches(x, batch_size=8, training=True)
            next(iter(dataset))
            return x.nbytes, peak() - before
        made(512)
        size, cost = made(2**18)
        print(cost / size)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert 0.9 < float(done.stdout) < 1.2
