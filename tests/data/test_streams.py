"""Rows that are read when a batch asks for them: batches, and weights after training, are those of data in memory."""

import io

import numpy as np
import pytest
import tensorflow_datasets as tfds
from array_record.python import array_record_module
from PIL import Image

from keras_vae import data
from keras_vae.data import iterators, readers, sources
from keras_vae.data.rows import ArrayFile, Chained, Selected
from keras_vae.errors import CorruptFileError, UnavailableError, UserError
from tests.toys import compiled, same, weights

COUNT = 50
LEVELS = np.random.default_rng(0).integers(0, 256, (COUNT, 4, 4, 1), dtype="uint8")
NOISE = [{}, {"binarize": "dynamic"}, {"binarize": "static"}, {"dequantize": True}]


def saved(path, array):
    np.save(path, array)
    return path


def batches_of(images, training=True, **options):
    options = {"batch_size": 8, "seed": 3, **options}
    return list(data.batches(images, np.arange(len(images)), training=training, **options).as_numpy_iterator())


def assert_same(first, second):
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        assert one["x"].dtype == other["x"].dtype
        np.testing.assert_array_equal(one["x"], other["x"])
        np.testing.assert_array_equal(one["y"], other["y"])


@pytest.fixture
def rows(tmp_path):
    """The levels in two files, whose border lies in many a batch."""
    return Chained([ArrayFile(saved(tmp_path / f"{i}.npy", part)) for i, part in enumerate(np.split(LEVELS, [23]))])


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("noise", NOISE, ids=str)
def test_the_batches_are_those_of_the_array(rows, noise, training):
    assert_same(batches_of(rows, training, **noise), batches_of(LEVELS, training, **noise))
    chosen = np.array([40, 3, 22, 23, 24, 7, 0, 49, 30])
    assert_same(batches_of(Selected(rows, chosen), training, **noise), batches_of(LEVELS[chosen], training, **noise))


@pytest.mark.parametrize("kind", ["float32", ">f8", "int64", "bool", "tokens"])
def test_other_types_are_read_as_the_array_is(tmp_path, kind):
    array = np.random.default_rng(1).integers(0, 2, (COUNT, 6))
    array = array.astype("int32" if kind == "tokens" else kind)
    options = {} if kind == "tokens" else {"kind": "numbers"}
    streamed = ArrayFile(saved(tmp_path / "x.npy", array))
    assert_same(batches_of(streamed, **options), batches_of(array.astype(streamed.dtype), **options))


def test_fit_ends_with_the_weights_of_the_array(rows):
    """Two epochs, with validation: of the same order, noise and numbers."""
    after, histories = [], []
    for x in (rows, LEVELS):
        model = compiled(likelihood="bernoulli")
        training = data.batches(x, batch_size=8, training=True, binarize="dynamic", seed=1)
        held_out = data.batches(x, batch_size=8, training=False, binarize="static")
        histories.append(model.fit(training, epochs=2, validation_data=held_out, verbose=0).history)
        after.append(weights(model))
    assert same(*after) and histories[0] == histories[1]


def test_an_epoch_has_each_example_once_in_an_order_of_seed_and_epoch_over_all_of_them(rows):
    def orders(seed):
        dataset = data.batches(rows, np.arange(COUNT), batch_size=5, training=True, seed=seed)
        return [np.concatenate([batch["y"] for batch in dataset.as_numpy_iterator()]).tolist() for _ in range(3)]

    first = orders(1)
    assert all(sorted(order) == list(range(COUNT)) for order in first)
    assert first == orders(1) and len({tuple(order) for order in [*first, *orders(2)]}) == 6
    # No window: the first example comes from both halves of the data (all 20 from one with probability 2e-6).
    dataset = data.batches(rows, np.arange(COUNT), batch_size=50, training=True)
    heads = [next(dataset.as_numpy_iterator())["y"][0] for _ in range(20)]
    assert min(heads) < COUNT / 2 <= max(heads)


@pytest.mark.parametrize("noise", NOISE, ids=str)
@pytest.mark.parametrize("training", [True, False])
def test_workers_share_each_batch(rows, noise, training):
    """All together have what one has, noise too, each its part."""
    whole = batches_of(rows, training, batch_size=12, **noise)
    parts = [batches_of(rows, training, batch_size=12, worker=(index, 3), **noise) for index in range(3)]
    joined = [
        {key: np.concatenate([part[key] for part in batch]) for key in "xy"} for batch in zip(*parts, strict=True)
    ]
    assert_same(joined, whole)
    if training:
        assert {len(batch["x"]) for part in parts for batch in part} == {4}


def test_workers_that_cannot_share_are_refused(rows):
    with pytest.raises(UserError, match=r"share each batch evenly\. Given: batch_size=8 and 3 workers\. Take a mult"):
        batches_of(rows, worker=(0, 3))
    for worker in ((3, 3), (-1, 3), (0, 0)):
        with pytest.raises(UserError, match=r"worker"):
            batches_of(rows, batch_size=12, worker=worker)


@pytest.mark.parametrize("first_batch", [0, 1, 5])
def test_a_dataset_goes_on_at_a_batch_and_its_next_epoch_is_whole(rows, first_batch):
    def epochs(**options):
        dataset = data.batches(rows, np.arange(COUNT), batch_size=8, training=True, binarize="dynamic", **options)
        return [list(dataset.as_numpy_iterator()) for _ in range(2)]

    whole, rest = epochs(first_epoch=3), epochs(first_epoch=3, first_batch=first_batch)
    assert_same(rest[0], whole[0][first_batch:])
    assert_same(rest[1], whole[1])


def test_only_the_rows_of_a_batch_are_read(monkeypatch, rows):
    counts, read = [], ArrayFile.__getitem__
    monkeypatch.setattr(
        ArrayFile, "__getitem__", lambda self, numbers: counts.append(len(numbers)) or read(self, numbers)
    )
    dataset = data.batches(rows, batch_size=8, training=True)
    del counts[:]
    next(iter(dataset.take(1)))
    assert 8 <= sum(counts) <= 8 * 8  # what is prefetched, too


def test_files_that_are_cut_off_or_none_are_said_by_name(tmp_path):
    path = saved(tmp_path / "x.npy", LEVELS)
    rows = ArrayFile(path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    with pytest.raises(CorruptFileError, match=r"x\.npy ends before its row 49: it is cut off\. Copy it again"):
        rows[np.array([0, 49])]
    with pytest.raises(CorruptFileError, match=r"x\.npy is no array of numbers: .*Copy it again"):
        ArrayFile(path)
    for array in (np.zeros(3), np.zeros((2, 2), "complex64"), np.asfortranarray(np.ones((3, 4, 2)))):
        with pytest.raises(CorruptFileError, match=r"y\.npy is no array of numbers"):
            ArrayFile(saved(tmp_path / "y.npy", array))


def test_fit_says_which_file_cannot_be_read(tmp_path):
    """Not TensorFlow, in whose threads the reader is."""
    path = saved(tmp_path / "x.npy", LEVELS)
    dataset = data.batches(ArrayFile(path), batch_size=8, training=True)
    model = compiled(likelihood="gaussian")
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(
        CorruptFileError, match=r"^\S*x\.npy ends before its row \d+: it is cut off\. Copy it again .*\.$"
    ):
        model.fit(dataset, verbose=0)
    path.unlink()
    for call in (model.evaluate, model.predict):
        with pytest.raises(CorruptFileError, match=r"x\.npy cannot be read: No such file or directory\. Copy it"):
            call(dataset, verbose=0)


def test_pictures_and_arrays_and_records_are_read_as_they_are_in_memory(tmp_path):
    for index, picture in enumerate(LEVELS):
        folder = tmp_path / "pictures" / "ab"[index % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture[..., 0]).save(folder / f"{index}.png")
    options = {"grey": True, "size": (4, 4), "batch_size": 8, "seed": 2, "binarize": "dynamic"}
    whole, streamed = (data.folder(tmp_path / "pictures", stream=stream, **options) for stream in (False, True))
    assert_same(list(streamed.as_numpy_iterator()), list(whole.as_numpy_iterator()))

    path = saved(tmp_path / "x.npy", LEVELS)
    writer = array_record_module.ArrayRecordWriter(str(tmp_path / "x.array_record"), "group_size:1")
    for index, picture in enumerate(LEVELS):
        memory = io.BytesIO()
        if index % 2:
            np.save(memory, picture)
        else:
            Image.fromarray(picture[..., 0]).save(memory, "PNG")
        writer.write(memory.getvalue())
    writer.close()
    for split in ("train", "validation", "test[:2]"):
        parts = [
            readers.array(path, split),
            readers.array(path, split, stream=True),
            readers.records(tmp_path / "x.array_record", split),
        ]
        first, *others = [np.asarray(part.images[np.arange(len(part.images))]) for part in parts]
        for other in others:
            np.testing.assert_array_equal(first, other)


def test_a_dataset_of_tfds_is_read_as_it_is_in_memory(tmp_path):

    class ToyLevels(tfds.core.GeneratorBasedBuilder):
        """Grey levels with labels."""

        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            image = tfds.features.Image(shape=(4, 4, 1))
            return self.dataset_info_from_configs(
                features=tfds.features.FeaturesDict({"image": image, "label": tfds.features.ClassLabel(num_classes=60)})
            )

        def _split_generators(self, dl_manager):
            return {"train": self._generate_examples(range(40)), "test": self._generate_examples(range(40, COUNT))}

        def _generate_examples(self, numbers):
            for number in numbers:
                yield number, {"image": LEVELS[number], "label": number}

    records, examples = tmp_path / "array_record", tmp_path / "tfrecord"
    for path in (records, examples):
        ToyLevels(data_dir=path, file_format=path.name).download_and_prepare()
    for split in ("train", "validation", "train+validation[5:39]", "test"):
        whole = sources.read("toy_levels", split, examples)
        for stream in (False, True):
            read = sources.read("toy_levels", split, records, stream)
            np.testing.assert_array_equal(whole.images, read.images[np.arange(len(read.images))])
            np.testing.assert_array_equal(whole.labels, read.labels)
    whole, streamed = (
        data.load("toy_levels", batch_size=8, data_dir=path, stream=path == records, binarize="dynamic")
        for path in (examples, records)
    )
    assert_same(list(streamed.as_numpy_iterator()), list(whole.as_numpy_iterator()))
    assert iterators.batches_of(streamed) == 4
    with pytest.raises(UnavailableError, match=r"from data that TFDS prepared as ArrayRecord\. .*--file_format=arr"):
        sources.read("toy_levels", "train", examples, stream=True)
