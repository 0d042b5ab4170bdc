"""Shards: written part by part, read as the source is, damaged ones named, and a build that goes on where it was."""

import json
import re

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet

from keras_vae import data, files
from keras_vae.data import readers, shard_building
from keras_vae.data.shard_building import build_shards
from keras_vae.data.shard_files import read_manifest, read_shards
from keras_vae.errors import CorruptFileError, UserError

COUNT = 60
LEVELS = np.random.default_rng(0).integers(0, 256, (COUNT, 4, 4, 1), dtype="uint8")
SPLITS = ("train", "validation", "test", "train+validation", "train[3:9]")


@pytest.fixture
def source(tmp_path):
    np.save(tmp_path / "x.npy", LEVELS)
    return tmp_path / "x.npy"


@pytest.fixture
def built(source, tmp_path):
    build_shards(source, tmp_path / "shards", shard_rows=25)
    return tmp_path / "shards"


def rows_of(images):
    return images.images[np.arange(len(images.images))]


def test_they_hold_what_the_source_does_in_its_splits(source, built):
    assert sorted(path.name for path in built.iterdir()) == [
        "part-00000.npy", "part-00000.npz", "part-00001.npy", "part-00001.npz", "part-00002.npy", "part-00002.npz",
        "shards.json",
    ]  # fmt: skip
    manifest = read_manifest(built)
    assert [part["rows"] for part in manifest["parts"]] == [25, 25, 10]
    assert manifest["levels"] == np.unique(LEVELS).tolist()
    for part in manifest["parts"]:
        assert files.sha256(built / f"{part['name']}.npy") == part["sha256"]
    np.testing.assert_array_equal(np.concatenate([np.load(path) for path in sorted(built.glob("*.npy"))]), LEVELS)
    for split in (None, *SPLITS):
        np.testing.assert_array_equal(rows_of(read_shards(built, split)), rows_of(readers.array(source, split)))


def test_their_batches_are_those_of_the_source_in_memory(source, built):
    """And so are the weights after training, as `test_streams` has it."""
    options = {"batch_size": 8, "binarize": "dynamic", "seed": 5}
    streamed, memory = data.shards(built, **options), data.load(lambda split: readers.array(source, split), **options)
    for _ in range(2):
        for one, other in zip(streamed.as_numpy_iterator(), memory.as_numpy_iterator(), strict=True):
            np.testing.assert_array_equal(one["x"], other["x"])


def test_pictures_tables_and_archives_keep_labels_and_splits(tmp_path):
    for index, picture in enumerate(LEVELS):
        folder = tmp_path / "pictures" / ("cats", "dogs")[index % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture[..., 0]).save(folder / f"{index:02}.png")
    build_shards(tmp_path / "pictures", tmp_path / "a", size=4, grey=True, shard_rows=20)
    values = np.random.default_rng(1).normal(size=(COUNT, 3)).astype("float32")
    kinds = [("b", "a")[index % 2] for index in range(COUNT)]
    table = pa.table({"kind": kinds, **{name: values[:, i] for i, name in enumerate("xyz")}})
    parquet.write_table(table, tmp_path / "t.parquet", row_group_size=17)
    build_shards(tmp_path / "t.parquet", tmp_path / "b", label="kind", shard_rows=20)
    parquet.write_table(pa.table({"x": list(values)}), tmp_path / "lists.parquet", row_group_size=17)
    build_shards(tmp_path / "lists.parquet", tmp_path / "c", shard_rows=20)
    np.savez(tmp_path / "z.npz", x=values, kind=np.arange(COUNT))
    build_shards(tmp_path / "z.npz", tmp_path / "d", label="kind")
    for split in SPLITS:
        pairs = [
            (read_shards(tmp_path / "a", split), readers.folder(tmp_path / "pictures", split, 4, grey=True)),
            (read_shards(tmp_path / "b", split), readers.table(tmp_path / "t.parquet", split, label="kind")),
            (read_shards(tmp_path / "d", split), readers.array(tmp_path / "z.npz", split, label="kind")),
        ]
        for built, memory in pairs:
            np.testing.assert_array_equal(rows_of(built), memory.images)
            np.testing.assert_array_equal(built.labels, memory.labels)
            assert (built.classes, built.columns) == (memory.classes, memory.columns)
        np.testing.assert_array_equal(rows_of(read_shards(tmp_path / "c", split)), pairs[1][1].images)


def test_a_dataset_by_name_keeps_its_splits(tmp_path, monkeypatch):
    from keras_vae.data import sources

    parts = {split: sources.Images(LEVELS[i::3], np.arange(COUNT)[i::3]) for i, split in enumerate(SPLITS[:3])}
    monkeypatch.setattr(sources, "read", lambda name, split, stream: parts[split])
    build_shards("mnist", tmp_path / "shards", shard_rows=25)
    for split, part in parts.items():
        read = read_shards(tmp_path / "shards", split)
        np.testing.assert_array_equal(rows_of(read), part.images)
        np.testing.assert_array_equal(read.labels, part.labels)
    for name, message in (("words", "needs no shards"), ("x.csvv", "Shards are built from")):
        with pytest.raises(UserError, match=message):
            build_shards(name, tmp_path / "other")
    with pytest.raises(UserError, match=r"size is not of this source\. Given: mnist\. Leave it out"):
        build_shards("mnist", tmp_path / "other", size=3)


def test_a_folder_with_contents_is_refused_and_a_build_is_resumed(source, built, tmp_path, monkeypatch):
    def fails_at(number):
        left, write = [number], shard_building._write_part

        def wrapped(*arguments):
            left[0] -= 1
            if not left[0]:
                raise KeyboardInterrupt
            write(*arguments)

        return wrapped

    folder = tmp_path / "new"
    with monkeypatch.context() as patch:
        patch.setattr(shard_building, "_write_part", fails_at(3))
        with pytest.raises(KeyboardInterrupt):
            build_shards(source, folder, shard_rows=25)
    with pytest.raises(UserError, match=r"when all are written\. Given: .*new, whose build has not ended\. .*--resume"):
        read_shards(folder)
    with pytest.raises(
        UserError, match=r"into a new folder\. Given: .*new, which has contents\. Say --resume to go on"
    ):
        build_shards(source, folder, shard_rows=25)
    with pytest.raises(
        UserError, match=r"same source and arguments\. Given: .*new, whose shard_rows was 25, and is 20"
    ):
        build_shards(source, folder, shard_rows=20, resume=True)
    written = {path.name: path.stat().st_mtime_ns for path in folder.glob("part-*")}
    assert len(written) == 4
    assert build_shards(source, folder, shard_rows=25, resume=True) == read_manifest(built)
    assert {name: (folder / name).stat().st_mtime_ns for name in written} == written, (
        "what is there is not written again"
    )
    assert all((folder / path.name).read_bytes() == path.read_bytes() for path in built.iterdir())
    assert build_shards(source, folder, shard_rows=25, resume=True) == read_manifest(built)
    with pytest.raises(UserError, match=r"which has contents\. Choose another folder, or remove it"):
        build_shards(source, folder, shard_rows=25)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("mine")
    for resume in (False, True):
        with pytest.raises(UserError):
            build_shards(source, tmp_path / "mine", resume=resume)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


def test_a_damaged_row_is_said_when_it_is_read_and_other_damage_before(built):
    path = built / "part-00001.npy"
    whole = path.read_bytes()
    spoiled = bytearray(whole)
    spoiled[-1] ^= 1  # of the last row of 25, number 49 of all
    path.write_bytes(spoiled)
    rows = read_shards(built).images
    np.testing.assert_array_equal(rows[np.array([48, 50])], LEVELS[[48, 50]])
    with pytest.raises(
        CorruptFileError, match=r"part-00001\.npy is damaged: its row 24 is not as written\. Copy it again"
    ):
        rows[np.array([3, 49])]
    path.write_bytes(whole[:-1])
    with pytest.raises(CorruptFileError, match=r"part-00001\.npy is no array of numbers: .*Copy it again"):
        read_shards(built)
    path.write_bytes((built / "part-00002.npy").read_bytes())
    with pytest.raises(CorruptFileError, match=r"part-00001\.npy is not the shard that shards\.json lists"):
        read_shards(built)
    path.unlink()
    with pytest.raises(CorruptFileError, match=r"part-00001\.npy is no array of numbers: No such file"):
        read_shards(built)
    path.write_bytes(whole)
    columns = built / "part-00002.npz"
    columns.write_bytes(columns.read_bytes()[:-1])
    with pytest.raises(CorruptFileError, match=r"part-00002\.npz is no file of the columns .*another SHA-256"):
        read_shards(built)
    manifest = json.loads((built / "shards.json").read_text())
    (built / "shards.json").write_text(json.dumps(manifest | {"rows": "many"}))
    with pytest.raises(CorruptFileError, match=r"shards\.json is no manifest of shards: it\.rows"):
        read_shards(built)
    with pytest.raises(
        UserError, match=r"has a file shards\.json\. Given: .*, without one\. Write it by: keras-vae data"
    ):
        read_shards(built.parent)


def test_columns_of_parquet_that_are_no_numbers_are_named(tmp_path):
    days = pa.array(np.arange(9, dtype="int32"), pa.date32())
    columns = {"day": days, "when": days.cast(pa.timestamp("us")), "word": pa.array(list("abcdefghi"))}
    for name, column in columns.items():
        kind = re.escape(str(column.type))
        for others in ({"a": np.arange(9.0)}, {}):
            parquet.write_table(pa.table({**others, name: column}), tmp_path / "t.parquet")
            with pytest.raises(UserError, match=rf"made of numbers\. Given: .*{name!r}, {kind}\. Save it without that"):
                build_shards(tmp_path / "t.parquet", tmp_path / "shards")
