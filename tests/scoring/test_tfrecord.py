"""TFRecord files as TensorFlow writes them: every record is read, or is bad for a reason, or the file is refused."""

import gzip
import io
import itertools

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_vae.errors import CorruptFileError, UserError
from keras_vae.scoring import inputs, tfrecord
from keras_vae.scoring.layouts import Layout

SHAPE = (4, 4, 1)
PIXELS = Layout(SHAPE, pixels=True)
LEVELS = np.random.default_rng(0).integers(0, 256, (6, *SHAPE), dtype="uint8")


def row_of(numbers):
    """The layout of a row of so many numbers without names."""
    return Layout((numbers,), pixels=False)


def written(path, records, compression=None):
    with tf.io.TFRecordWriter(str(path), compression) as writer:
        for record in records:
            writer.write(record)
    return path


def example(**features):
    """An Example's bytes by TensorFlow's own message."""
    kinds = {bytes: ("bytes_list", tf.train.BytesList), float: ("float_list", tf.train.FloatList)}
    made = {}
    for name, values in features.items():
        field, kind = kinds.get(type(values[0]), ("int64_list", tf.train.Int64List))
        made[name] = tf.train.Feature(**{field: kind(value=values)})
    return tf.train.Example(features=tf.train.Features(feature=made)).SerializeToString()


def png(image):
    stream = io.BytesIO()
    Image.fromarray(image[..., 0]).save(stream, "PNG")
    return stream.getvalue()


def npy(array):
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def test_records_are_those_that_tensorflow_reads(tmp_path):
    sizes = np.random.default_rng(1).integers(0, 3000, 50)
    records = [np.random.default_rng(size).bytes(size) for size in [0, *sizes]]
    path = written(tmp_path / "x.tfrecord", records)
    starts = tfrecord.offsets(path)
    with path.open("rb") as file:
        ours = [tfrecord.record(file, *pair) for pair in itertools.pairwise(starts)]
    assert ours == records == list(tf.data.TFRecordDataset(str(path)).as_numpy_iterator())
    assert tfrecord.offsets(written(tmp_path / "empty.tfrecord", [])).tolist() == [0]
    written(path, records[:3])
    assert len(tfrecord.offsets(path)) == 4, "a file that was written anew is passed over anew"


def test_features_are_those_of_tensorflow(tmp_path):
    numbers, words = [0.5, -1.25, 3e8], [0, -3, 2**62]
    record = example(x=numbers, y=words, z=[b"a", b""])
    assert tfrecord.features(record) == {"x": numbers, "y": words, "z": [b"a", b""]}
    for other in (b"", b"\n", b"\n\x05\x01\x08\0\0\0", png(LEVELS[0]), npy(LEVELS[0])):
        assert tfrecord.features(other) == {}


@pytest.mark.parametrize(
    "record",
    [
        png,
        npy,
        lambda image: npy(image / 255.0),
        lambda image: example(image=[png(image)]),
        lambda image: example(image=[npy(image)]),
        lambda image: example(image=(image / 255.0).ravel().tolist()),
    ],
)
def test_pictures_arrays_and_lists_give_the_same_pixels(record, tmp_path):
    source = inputs.opened(written(tmp_path / "x.tfrecord-00000-of-00001", map(record, LEVELS)), PIXELS)
    rows = source.read(2, 5)
    assert source.rows == 6 and rows.numbers.tolist() == [2, 3, 4] and not rows.bad
    np.testing.assert_allclose(rows.x, LEVELS[2:5] / 255, rtol=1e-6)


def test_each_record_is_scaled_by_its_own_type(tmp_path):
    """A picture beside an array of floats: both lie in [0, 1], whatever is read with them."""
    records = [png(LEVELS[0]), npy(LEVELS[1] / np.float32(255)), npy(np.array(["word"])), npy(LEVELS[2] * 1j)]
    rows = inputs.opened(written(tmp_path / "x.tfrecord", records), PIXELS).read(0, 4)
    np.testing.assert_array_equal(rows.x, LEVELS[:2] / np.float32(255))
    assert sorted(rows.bad) == [2, 3] and "its type is <U4, not numbers" in rows.bad[2]


def test_integers_are_not_divided(tmp_path):
    rows = inputs.opened(written(tmp_path / "x.tfrecord", [example(t=[3, 0, 255])]), row_of(3)).read(0, 1)
    assert rows.x.tolist() == [[3, 0, 255]]


def test_bytes_are_numbers_where_x_is_no_image(tmp_path):
    records = [npy(np.array([3, 0, 255], "uint8")), npy(np.array([3.0, 0, 255], "float32"))]
    rows = inputs.opened(written(tmp_path / "x.tfrecord", records), row_of(3)).read(0, 2)
    assert rows.x.tolist() == [[3, 0, 255]] * 2


def test_of_several_features_one_is_named(tmp_path):
    records = [example(image=[png(image)], label=[1]) for image in LEVELS]
    path = written(tmp_path / "x.tfrecord", [*records, example(label=[1]), example(image=[b"a", b"b"]), b"rubbish"])
    rows = inputs.opened(path, PIXELS, "image").read(0, 9)
    np.testing.assert_array_equal(rows.x, LEVELS / np.float32(255))
    assert sorted(rows.bad) == [6, 7, 8] and "2 values, not one" in rows.bad[7]
    for name, message in (
        (None, "no name, and .*with image, label"),
        ("picture", "Given: picture, and .* image, label"),
    ):
        with pytest.raises(UserError, match=message):
            inputs.opened(path, PIXELS, name)
    with pytest.raises(UserError, match=r"Given: x, and .* with none\."):
        inputs.opened(written(tmp_path / "y.tfrecord", [png(LEVELS[0])]), PIXELS, "x")
    np.save(tmp_path / "x.npy", LEVELS)
    with pytest.raises(UserError, match="Only TFRecord files have features"):
        inputs.opened(tmp_path / "x.npy", PIXELS, "image")


def test_every_flipped_bit_is_a_bad_row_or_a_refused_file(tmp_path):
    """No byte of a file of three records can change and leave three rows."""
    records = [npy(np.full(2, value, "float32")) for value in (1, 2, 3)]
    whole = written(tmp_path / "x.tfrecord", records).read_bytes()
    starts, refused = tfrecord.offsets(tmp_path / "x.tfrecord"), 0
    for position in range(0, len(whole), 5):
        path = tmp_path / f"{position}.tfrecord"
        path.write_bytes(bytes([*whole[:position], whole[position] ^ 4, *whole[position + 1 :]]))
        row = int(np.searchsorted(starts, position, side="right")) - 1
        try:
            rows = inputs.opened(path, row_of(2)).read(0, 3)
        except CorruptFileError as error:
            assert f"the length of its record {row} does not match its checksum" in str(error)
            refused += 1
        else:
            assert rows.bad == {row: "ValueError: its data do not match their checksum"}
            np.testing.assert_array_equal(rows.x[:, 0], [value for value in (1, 2, 3) if value != row + 1])
    assert 3 <= refused <= 10


def test_a_file_that_ends_early_is_refused_in_one_line(tmp_path):
    whole = written(tmp_path / "x.tfrecord", [b"one", b"two"]).read_bytes()
    half = len(whole) // 2
    for length in range(1, len(whole)):
        path = tmp_path / f"{length}.tfrecord"
        path.write_bytes(whole[:length])
        if length == half:
            assert inputs.opened(path, PIXELS).rows == 1
            continue
        with pytest.raises(CorruptFileError, match=f"it ends within its record {int(length > half)}. Write it again"):
            inputs.opened(path, PIXELS)


def test_a_compressed_file_is_refused_with_the_remedy(tmp_path):
    path = written(tmp_path / "x.tfrecord", [png(image) for image in LEVELS], "GZIP")
    with pytest.raises(UserError, match=r"must not be compressed.* Unpack it: gunzip < .*x.tfrecord > unpacked"):
        inputs.opened(path, PIXELS)
    (tmp_path / "unpacked.tfrecord").write_bytes(gzip.decompress(path.read_bytes()))
    assert inputs.opened(tmp_path / "unpacked.tfrecord", PIXELS).rows == 6
    with pytest.raises(CorruptFileError, match="the length of its record 0 does not match its checksum"):
        inputs.opened(written(tmp_path / "y.tfrecord", [b"x"], "ZLIB"), PIXELS)
    size = int.from_bytes(b"\x1f\x8b", "little")
    assert inputs.opened(written(tmp_path / "z.tfrecord", [b"x" * size]), PIXELS).rows == 1, "a length like GZIP's mark"


def test_a_folder_of_numbered_shards_is_read_in_their_order(tmp_path):
    for number in (1, 0):
        written(tmp_path / f"set-train.tfrecord-0000{number}-of-00002", [png(LEVELS[number])])
    (tmp_path / "features.json").write_text("{}")
    assert [path.name[-14:] for path in inputs.listed(tmp_path)] == ["00000-of-00002", "00001-of-00002"]
