"""Where images come from: the bundled MNIST and its splits, any TFDS dataset by name, and what is said without one."""

import hashlib
import os
import subprocess
import sys
import tempfile
import textwrap

import numpy as np
import pytest
import tensorflow_datasets as tfds
from tensorflow_datasets.core import registered

from keras_vae import data
from keras_vae.data import sources
from keras_vae.data.splits import SPLITS
from keras_vae.errors import UnavailableError, UserError


class ToyColour(tfds.core.GeneratorBasedBuilder):
    """Colour, 32x32, no labels: what MNIST is not."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = tfds.features.FeaturesDict({"image": tfds.features.Image(shape=(32, 32, 3))})
        return self.dataset_info_from_configs(features=features)

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(120), "test": self._generate_examples(30)}

    def _generate_examples(self, count):
        for index in range(count):
            level = np.uint8(2 * index)
            yield index, {"image": np.stack([np.full((32, 32), c, "uint8") for c in (level, 255 - level, 7)], -1)}


class ToySizes(tfds.core.GeneratorBasedBuilder):
    """Images of no fixed size, which no VAE takes as they are."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        return self.dataset_info_from_configs(features=tfds.features.FeaturesDict({"image": tfds.features.Image()}))

    def _split_generators(self, dl_manager):
        return {"test": self._generate_examples()}

    def _generate_examples(self):
        for size in (3, 4):
            yield size, {"image": np.zeros((size, size, 3), "uint8")}


class ToyText(tfds.core.GeneratorBasedBuilder):
    """No images at all, and a validation split of its own."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = tfds.features.FeaturesDict({"text": tfds.features.Text()})
        return self.dataset_info_from_configs(features=features)

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        yield 0, {"text": "a"}


class ToyThreeSplits(ToyColour):
    """A validation split of its own."""

    def _split_generators(self, dl_manager):
        return {name: self._generate_examples(count) for name, count in (("train", 20), ("validation", 7))}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A folder with the toy datasets, made as `tfds build` makes them; needs no network."""
    folder = tmp_path_factory.mktemp("tfds")
    for builder in (ToyColour, ToySizes, ToyText, ToyThreeSplits):
        builder(data_dir=folder).download_and_prepare()
    return folder


@pytest.fixture(scope="module")
def digits():
    """A digest of each image of the bundled MNIST, by split."""
    read = {split: np.asarray(sources.read("mnist", split).images) for split in ("train", "validation", "test")}
    return {split: [hashlib.sha256(image).hexdigest() for image in images] for split, images in read.items()}


@pytest.mark.parametrize(
    ("split", "digest", "counts"),
    [
        (
            "train+validation",
            "fcbef7f0a39631249afe3af3b0a2df41c01592579450834cf6eb8d67655804fd",
            [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949],
        ),
        (
            "test",
            "29bf46f62b56c145189735d86a64898e1dd066fcd59db368c0a0cbf4660114c2",
            [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009],
        ),
    ],
)
def test_the_bundled_digits_are_those_of_tfds(split, digest, counts):
    """The bytes that `tfds.load("mnist:3.0.1")` gives, in its order; and the published numbers of each digit."""
    read = sources.read("mnist", split)
    assert hashlib.sha256(read.images.tobytes() + read.labels.tobytes()).hexdigest() == digest
    assert np.bincount(read.labels).tolist() == counts and read.labels.dtype == "int64"


def test_the_bundled_digits_are_read_without_tfds():
    """Neither its import nor any decoding of single images: one array each."""
    code = """
        import sys, zlib
        from keras_vae.data import sources
        assert len(sources.read("mnist", "train").images) == 50_000
        assert "tensorflow_datasets" not in sys.modules
    """
    bundled = {name: value for name, value in os.environ.items() if name != "TFDS_DATA_DIR"}
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, env=bundled)
    assert done.returncode == 0, done.stderr[-2000:]


def test_mnist_splits_have_their_sizes(digits):
    assert {split: len(images) for split, images in digits.items()} == {
        "train": 50_000, "validation": 10_000, "test": 10_000,
    }  # fmt: skip


def test_mnist_splits_never_overlap(digits):
    train, validation, test = (set(digits[name]) for name in ("train", "validation", "test"))
    assert not train & validation and not train & test and not validation & test
    # MNIST holds no digit twice, so these are all of what TFDS calls "train" and "test".
    assert len(train | validation) == 60_000 and len(test) == 10_000


def test_decoded_digits_and_labels():
    read = sources.read("mnist", "test[:200]")
    assert read.images.shape == (200, 28, 28, 1) and read.images.dtype == "uint8"
    assert read.images.min() == 0 and read.images.max() == 255
    assert read.labels is not None and set(np.unique(read.labels)) == set(range(10))


@pytest.mark.parametrize(
    ("split", "start", "stop"),
    [
        ("train[:5]", 0, 5),
        ("train[49997:]", 49_997, 50_000),
        ("train[49997:70000]", 49_997, 50_000),
        ("validation[:3]", 50_000, 50_003),
        ("validation[9998:]", 59_998, 60_000),
        ("train+validation[49998:50003]", 49_998, 50_003),
        ("train+validation[50001:50003]", 50_001, 50_003),
    ],
)
def test_slices_count_within_their_split(split, start, stop):
    with np.load(sources.BUNDLED["mnist"]) as arrays:
        images, labels = arrays["train_images"][start:stop], arrays["train_labels"][start:stop]
    read = sources.read("mnist", split)
    np.testing.assert_array_equal(read.images, images)
    np.testing.assert_array_equal(read.labels, labels)


@pytest.mark.parametrize("split", ["tset", "train[:10%]", "test[-5:]", "all", "train+test", "", "train[5]", "Train"])
def test_unknown_splits(split):
    with pytest.raises(UserError, match=r"split is one of train, validation, train\+validation, test, or a slice"):
        data.load("mnist", split)


@pytest.mark.parametrize("split", ["test[5:2]", "test[10000:]", "train[50000:]", "validation[10000:]"])
def test_empty_slices(split):
    with pytest.raises(UserError, match=r"The slice '.*' of 'mnist' holds no examples"):
        data.load("mnist", split)


def test_any_prepared_dataset_loads_by_name(prepared):
    splits = {split: sources.read("toy_colour", split, prepared) for split in SPLITS}
    assert {split: len(read.images) for split, read in splits.items()} == {
        "train": 100, "validation": 20, "train+validation": 120, "test": 30,
    }  # fmt: skip
    assert all(read.labels is None for read in splits.values())
    levels = {split: set(read.images[:, 0, 0, 0].tolist()) for split, read in splits.items()}
    assert levels["train"] | levels["validation"] == set(range(0, 240, 2))
    assert not levels["train"] & levels["validation"]
    batch = next(data.load("toy_colour", "test", batch_size=8, data_dir=prepared).as_numpy_iterator())
    assert set(batch) == {"x"} and batch["x"].shape == (8, 32, 32, 3)
    level = batch["x"][:, 5, 5] * 255
    np.testing.assert_allclose(level[:, 0] + level[:, 1], 255, rtol=1e-6)
    np.testing.assert_allclose(level[:, 2], 7, rtol=1e-6)


def test_a_validation_split_of_its_own_is_taken(prepared):
    sizes = {
        split: len(sources.read("toy_three_splits", split, prepared).images)
        for split in ("train", "validation", "train+validation", "train+validation[18:22]")
    }
    assert sizes == {"train": 20, "validation": 7, "train+validation": 27, "train+validation[18:22]": 4}
    read = {split: sources.read("toy_three_splits", split, prepared).images for split in sizes}
    whole = read["train+validation"]
    np.testing.assert_array_equal(whole, np.concatenate([read["train"], read["validation"]]))
    np.testing.assert_array_equal(whole[18:22], read["train+validation[18:22]"], "TFDS interleaves files by default")
    with pytest.raises(UserError, match=r"'toy_three_splits' has no split 'test'\. It has: train, validation"):
        sources.read("toy_three_splits", "test", prepared)


def test_datasets_that_are_no_images_of_one_size(prepared):
    with pytest.raises(UserError, match=r"one fixed size\. Given: 'toy_sizes', whose image shape is \(None, None, 3\)"):
        sources.read("toy_sizes", "test", prepared)
    with pytest.raises(UserError, match=r"needs a feature 'image' of one fixed size\. Given: 'toy_text'.* is none"):
        sources.read("toy_text", "train", prepared)


def test_a_dataset_that_is_not_prepared(monkeypatch, tmp_path):
    tried = []

    def fail(builder, **_):
        tried.append(builder.name)
        raise OSError("Could not resolve host: www.cs.toronto.edu")

    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", fail)
    with pytest.raises(UnavailableError) as caught:
        data.load("cifar10", data_dir=tmp_path)
    assert tried == ["cifar10"]
    message = str(caught.value)
    for part in ("'cifar10'", str(tmp_path), "mnist", "Could not resolve host", "tfds build cifar10", "TFDS_DATA_DIR"):
        assert part in message, part


def test_the_bundled_digits_are_found_from_any_folder(tmp_path):
    assert len(sources.read("mnist", "test[:3]", tmp_path).images) == 3
    assert list(tmp_path.iterdir()) == []


def test_bundled_digits_need_no_network_and_leave_nothing(tmp_path, monkeypatch):
    """TFDS asks its bucket for a dataset that is not prepared, and leaves a temporary folder each time."""
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "nowhere"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert len(sources.read("mnist", "test[:3]").images) == 3
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["../mnist", "/mnist", "a:b", "", "mnist "])
def test_a_name_that_is_none_of_tfds(name):
    """Refused before TFDS, which would take a path or a namespace for a place on the network to ask."""
    with pytest.raises(UserError, match="A dataset is named as TFDS names it"):
        sources.read(name, "test")


def test_unknown_datasets_get_the_nearest_names():
    with pytest.raises(UserError, match=r"Unknown dataset 'mnst'\. Did you mean 'mnist'.*See tfds\.list_builders"):
        data.load("mnst")


def test_tfds_gives_up_soon_only_where_it_is_asked_to():
    from tensorflow_datasets.core.download import downloader

    before = downloader.MAX_RETRIES
    with pytest.raises(OSError, match="no network"), sources._impatient():
        assert downloader.MAX_RETRIES == 3 != before
        raise OSError("no network")
    assert before == downloader.MAX_RETRIES


def test_mnist_prepared_in_the_users_folder_comes_first(tmp_path, monkeypatch):
    with registered.skip_registration():

        class Mnist(tfds.core.GeneratorBasedBuilder):
            VERSION = tfds.core.Version("3.0.1")

            def _info(self):
                features = {
                    "image": tfds.features.Image(shape=(28, 28, 1)),
                    "label": tfds.features.ClassLabel(num_classes=10),
                }
                return self.dataset_info_from_configs(features=tfds.features.FeaturesDict(features))

            def _split_generators(self, dl_manager):
                return {"train": self._generate_examples(12), "test": self._generate_examples(3)}

            def _generate_examples(self, count):
                for index in range(count):
                    yield index, {"image": np.full((28, 28, 1), index, "uint8"), "label": index % 10}

    (tmp_path / "mnist").mkdir()
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    assert len(sources.read("mnist", "test[:7]").images) == 7, "an empty folder holds no dataset"
    Mnist(data_dir=tmp_path).download_and_prepare()
    for data_dir in (None, tmp_path):
        read = sources.read("mnist", "train+validation", data_dir)
        assert sorted(read.images[:, 0, 0, 0]) == list(range(12)) and read.labels is not None
