"""`keras-vae score`: every row once, of every kind of input, with the model's numbers, whatever interrupts it."""

import functools
import io
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from PIL import Image

from keras_vae import data, scoring, tasks
from keras_vae.errors import CorruptFileError, UserError
from keras_vae.export import Examples, export
from keras_vae.models import VAE
from keras_vae.runtimes.bundle import read_bundle
from keras_vae.scoring import engines, inputs, measures, plan, references
from keras_vae.scoring.layouts import Layout, layout_of
from tests import toy_runs

SHAPE = (8, 8, 1)


@pytest.fixture(scope="module")
def model():
    network = {"name": "mlp", "hidden": (6,)}
    return VAE(image_shape=SHAPE, latent_dim=3, encoder=network, decoder=network, seed=1)


@pytest.fixture(scope="module")
def bundle(model, tmp_path_factory):
    return export(model, tmp_path_factory.mktemp("bundle") / "out", ("onnx",), elbo=True).path


def pixels(count, seed=0):
    """Binary images, uint8: 0 or 255."""
    return np.random.default_rng(seed).integers(0, 2, (count, *SHAPE), "uint8") * np.uint8(255)


def rows_of(folder):
    """All rows of a folder of scores, in order."""
    return pa.concat_tables(pq.read_table(path) for path in sorted(folder.glob("part-*.parquet")))


def column(table, name):
    return np.array(table.column(name).to_pylist())


def as_png(image):
    stream = io.BytesIO()
    Image.fromarray(image[..., 0]).save(stream, "PNG")
    return stream.getvalue()


def write_records(path, records, options=None):
    with tf.io.TFRecordWriter(str(path), options) as writer:
        for record in records:
            writer.write(record)
    return path


def write(kind, images, folder):
    """The images as an input of a kind; returns its path."""
    path = folder / f"images{kind}"
    if kind == ".npy":
        np.save(path, images)
    elif kind == "lists.parquet":
        pq.write_table(
            pa.table({"x": [image.reshape(-1).tolist() for image in images / 255.0]}), path, write_page_checksum=True
        )
    elif kind == ".array_record":
        from array_record.python.array_record_module import ArrayRecordWriter

        writer = ArrayRecordWriter(str(path), "group_size:1")
        for image in images:
            writer.write(as_png(image))
        writer.close()
    elif kind == ".tfrecord":
        write_records(path, [as_png(image) for image in images])
    else:
        (path / "inside").mkdir(parents=True)
        for number, image in enumerate(images):
            (path / "inside" / f"{number:03}.png").write_bytes(as_png(image))
    return path


@pytest.mark.parametrize("kind", [".npy", "lists.parquet", ".array_record", ".tfrecord", ""])
def test_codes_are_the_model_s_for_every_kind_of_input(kind, model, bundle, tmp_path):
    images = pixels(20)
    result = scoring.score(bundle, write(kind, images, tmp_path), tmp_path / "codes", shard_rows=7)
    assert (result.rows, result.bad, result.done) == (20, 0, 3)
    table = rows_of(tmp_path / "codes")
    assert column(table, "row").tolist() == list(range(20))
    np.testing.assert_allclose(column(table, "code"), model.encode(images / np.float32(255)), atol=1e-5)


def test_a_table_has_one_column_for_each_number_or_one_of_lists(tmp_path):
    numbers = np.random.default_rng(0).normal(size=(10, 3)).astype("float32")
    pq.write_table(pa.table({"a": numbers[:, 0], "b": numbers[:, 1], "c": numbers[:, 2]}), tmp_path / "wide.parquet")
    pq.write_table(pa.table({"x": numbers.tolist()}), tmp_path / "long.parquet", row_group_size=4)
    for name in ("wide", "long"):
        source = inputs.opened(tmp_path / f"{name}.parquet", Layout((3,), pixels=False))
        assert source.rows == 10
        np.testing.assert_array_equal(source.read(3, 9).x, numbers[3:9])
    pq.write_table(pa.table({"a": ["word"]}), tmp_path / "words.parquet")
    with pytest.raises(UserError, match="whose 'a' is not"):
        inputs.opened(tmp_path / "words.parquet", Layout((1,), pixels=False)).read(0, 1)


@pytest.fixture(scope="module")
def rows_model():
    """A model of rows of three numbers, some of them missing."""
    network = {"name": "mlp", "hidden": (6,)}
    return VAE(
        x_shape=(3,), latent_dim=2, encoder=network, decoder=network, likelihood="normal", missing="zero", seed=1
    )


@pytest.fixture(scope="module")
def rows_bundle(rows_model, tmp_path_factory):
    x = np.random.default_rng(0).normal(size=(8, 3)).astype("float32")
    folder = tmp_path_factory.mktemp("rows") / "out"
    return export(rows_model, folder, ("onnx",), Examples(x, columns=("a", "b", "c")), elbo=True).path


def test_columns_are_taken_by_the_names_of_the_training_data(rows_model, rows_bundle, tmp_path):
    """In any order, beside others, whatever these hold; a column of lists has no names."""
    x = np.random.default_rng(1).normal(size=(10, 3)).astype("float32")
    a, b, c = x.T
    for name, table in (
        ("turned", {"c": c, "word": ["w"] * 10, "a": a, "b": b, "a.b": b}),
        ("lists", {"x": x.tolist()}),
    ):
        pq.write_table(pa.table(table), tmp_path / f"{name}.parquet", row_group_size=4)
        scoring.score(rows_bundle, tmp_path / f"{name}.parquet", tmp_path / name, shard_rows=7)
        np.testing.assert_allclose(column(rows_of(tmp_path / name), "code"), rows_model.encode(x), atol=1e-5)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a", "x", "c"], r"on: a, b, c\. Given: .*, without 'b', of a, x, c\. Rename its columns\.$"),
        (["a", "b", "c", "b"], r"with 'b' twice"),
    ],
)
def test_a_table_without_a_column_of_the_training_data_is_refused(names, message, rows_bundle, tmp_path):
    pq.write_table(pa.Table.from_arrays([pa.array([1.0])] * len(names), names=names), tmp_path / "x.parquet")
    with pytest.raises(UserError, match=message):
        scoring.score(rows_bundle, tmp_path / "x.parquet", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_columns_have_the_places_of_the_file_where_the_bundle_has_no_names(rows_model, tmp_path):
    x = np.random.default_rng(1).normal(size=(5, 3)).astype("float32")
    bundle = export(rows_model, tmp_path / "bundle", ("onnx",), x)
    assert "columns" not in bundle.manifest["preprocessing"]
    pq.write_table(pa.table(dict(zip("cab", x.T, strict=True))), tmp_path / "x.parquet")
    scoring.score(bundle, tmp_path / "x.parquet", tmp_path / "out")
    np.testing.assert_allclose(column(rows_of(tmp_path / "out"), "code"), rows_model.encode(x), atol=1e-5)


KINDS = {
    "grade": {"ordinal": ["low", "middle", "high"]},
    "size": "real",
    "rooms": {"categorical": ["1", "2", "3"]},
    "sold": {"categorical": ["False", "True"]},
}


@pytest.fixture(scope="module")
def mixed_bundle(tmp_path_factory):
    network, likelihood = {"name": "mlp", "hidden": (6,)}, {"name": "mixed", "columns": KINDS}
    mixed = VAE(
        x_shape=(4,), latent_dim=2, encoder=network, decoder=network, likelihood=likelihood, missing="mask", seed=1
    )
    return export(mixed, tmp_path_factory.mktemp("mixed") / "out", ("onnx",)).path


def test_classes_are_numbered_as_in_training(mixed_bundle, tmp_path):
    """By their names, also where these are numbers or truth values, as `keras_vae.data.table` does."""
    cells = {
        "sold": [True, False, None, True],
        "rooms": [3, 1, 2, None],
        "grade": ["high", "low", None, "middle"],
        "size": [0.5, None, 1.0, 2.0],
    }
    table = pa.table(cells)
    table = table.set_column(2, "grade", table["grade"].dictionary_encode())
    pq.write_table(table, tmp_path / "x.parquet")
    layout = layout_of(read_bundle(mixed_bundle))
    rows = inputs.opened(tmp_path / "x.parquet", layout).read(0, 4)
    nan = np.nan
    np.testing.assert_array_equal(rows.x, [[2, 0.5, 2, 1], [0, nan, 0, 0], [nan, 1, 1, nan], [1, 2, nan, 1]])
    np.testing.assert_array_equal(rows.x, data.table(tmp_path / "x.parquet", kinds=KINDS, missing=True).x)
    assert scoring.score(mixed_bundle, tmp_path / "x.parquet", tmp_path / "out").rows == 4


def test_a_cell_that_is_no_class_is_a_bad_row(mixed_bundle, tmp_path):
    cells = {"grade": ["low", "best", "high"], "size": [0.5] * 3, "rooms": [1, 2, 0], "sold": [True] * 3}
    pq.write_table(pa.table(cells), tmp_path / "x.parquet")
    rows = inputs.opened(tmp_path / "x.parquet", layout_of(read_bundle(mixed_bundle))).read(0, 3)
    assert rows.x.tolist() == [[0, 0.5, 0, 1]] and rows.numbers.tolist() == [0] and list(rows.bad) == [1, 2]
    assert rows.bad[1] == "its 'grade' is 'best', none of the classes 'low', 'middle', 'high'"
    result = scoring.score(mixed_bundle, tmp_path / "x.parquet", tmp_path / "out", bad_share=0.7)
    assert (result.rows, result.bad) == (1, 2)


def test_numbers_of_classes_that_are_words_are_their_codes(mixed_bundle, tmp_path):
    """As for files of before, in which nothing else could be written."""
    cells = {"grade": [2, 0], "size": [0.5] * 2, "rooms": [1, 2], "sold": [True] * 2}
    pq.write_table(pa.table(cells), tmp_path / "x.parquet")
    rows = inputs.opened(tmp_path / "x.parquet", layout_of(read_bundle(mixed_bundle))).read(0, 2)
    assert rows.x.tolist() == [[2, 0.5, 0, 1], [0, 0.5, 1, 1]]


def test_bytes_are_numbers_of_a_model_of_numbers(rows_model, rows_bundle, tmp_path):
    x = np.random.default_rng(0).integers(0, 256, (10, 3), "uint8")
    np.save(tmp_path / "x.npy", x)
    scoring.score(rows_bundle, tmp_path / "x.npy", tmp_path / "out")
    codes = column(rows_of(tmp_path / "out"), "code")
    np.testing.assert_allclose(codes, rows_model.encode(x.astype("float32")), rtol=1e-4)


def test_reconstruction_errors_are_the_model_s(model, bundle, tmp_path):
    images = pixels(10)
    scoring.score(bundle, write(".npy", images, tmp_path), tmp_path / "out", "reconstruction_error")
    x = images / np.float32(255)
    expected = np.square(model.reconstruct(x) - x).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(column(rows_of(tmp_path / "out"), "reconstruction_error"), expected, rtol=1e-5)


def test_a_reconstruction_error_is_of_the_numbers_that_are_observed(rows_model, rows_bundle, tmp_path):
    x = np.random.default_rng(2).normal(size=(6, 3)).astype("float32")
    x[1, 0] = x[2, :2] = x[3] = np.nan
    np.save(tmp_path / "x.npy", x)
    scoring.score(rows_bundle, tmp_path / "x.npy", tmp_path / "out", "reconstruction_error")
    means = np.array(rows_model.decode(rows_model.encode(x)))
    expected = [sum((means[i, j] - x[i, j]) ** 2 for j in range(3) if x[i, j] == x[i, j]) for i in range(6)]
    errors = column(rows_of(tmp_path / "out"), "reconstruction_error")
    np.testing.assert_allclose(errors, expected, rtol=1e-5)
    assert errors[3] == 0, "nothing is observed"
    scoring.score(
        rows_bundle, tmp_path / "x.npy", tmp_path / "rated", "reconstruction_error", reference=tmp_path / "out"
    )
    rates = column(rows_of(tmp_path / "rated"), "false_positive_rate")
    np.testing.assert_array_equal(rates, [(errors >= error).mean() for error in errors])


@pytest.mark.parametrize("score", [np.nan, np.inf, -np.inf])
def test_a_score_that_is_not_finite_has_no_rank(score):
    """It is refused as a bad row is; NaN would be above all of the reference, the most anomalous."""
    beside = references.ranked(lambda x, rows: {"anomaly": x[:, 0]}, "anomaly", np.array([1.0, 2.0]))
    assert beside(np.array([[2.0], [3.0]]), np.arange(2))["false_positive_rate"].tolist() == [0.5, 0]
    rows = inputs.Rows(np.array([[2.0], [score], [3.0]]), np.arange(3), {})
    scored, columns, bad = plan._scored(beside, rows, 0)
    assert scored.tolist() == [0, 2] and columns["false_positive_rate"].tolist() == [0.5, 0]
    assert list(bad) == [1] and "must be finite" in bad[1]


@pytest.mark.parametrize("likelihood", ["multinomial", {"name": "poisson", "library": "observed"}, "poisson"])
def test_means_of_another_total_than_that_of_x_are_not_compared_with_it(tmp_path, likelihood):
    """The decoder of such a likelihood gives shares of a typical total; the error would be that of the totals."""
    network = {"name": "mlp", "hidden": (4,)}
    counts = VAE(x_shape=(5,), latent_dim=2, encoder=network, decoder=network, likelihood=likelihood, seed=0)
    bundle = export(counts, tmp_path / "bundle", ("onnx",)).path
    np.save(tmp_path / "x.npy", np.random.default_rng(0).poisson(50.0, (6, 5)).astype("float32"))
    if likelihood == "poisson":
        assert scoring.score(bundle, tmp_path / "x.npy", tmp_path / "out", "reconstruction_error").rows == 6
    else:
        with pytest.raises(UserError, match=r"takes the total of x\. Score its codes"):
            scoring.score(bundle, tmp_path / "x.npy", tmp_path / "out", "reconstruction_error")
        assert scoring.score(bundle, tmp_path / "x.npy", tmp_path / "codes", "codes").rows == 6


def test_the_elbo_is_that_of_its_draws(model, bundle, tmp_path):
    """The mean over many seeds is the mean over many draws of the model, within five errors; log p(x) is above."""
    images = pixels(4)
    path, draws = write(".npy", np.repeat(images, 500, axis=0), tmp_path), 500
    scoring.score(bundle, path, tmp_path / "out", "elbo")
    table = rows_of(tmp_path / "out")
    ours = column(table, "elbo").reshape(4, draws)
    np.testing.assert_allclose(column(table, "log_px") - column(table, "kl"), column(table, "elbo"), atol=1e-4)
    theirs = model.elbo(np.repeat(images / np.float32(255), draws, axis=0), seed=3).reshape(4, draws)
    error = np.sqrt((ours.var(axis=1) + theirs.var(axis=1)) / draws)
    assert (np.abs(ours.mean(axis=1) - theirs.mean(axis=1)) < 5 * error).all()
    assert (ours.mean(axis=1) <= model.log_prob(images / np.float32(255), samples=500) + 5 * error).all()


def test_an_anomaly_s_score_is_the_task_s_and_its_rate_that_of_the_task_s_threshold(model, bundle, tmp_path):
    """-ELBO of one draw; the mean over 300 is that of `tasks.anomaly_scores`; x is called at rate r as it calls it."""
    draws, score = 300, functools.partial(scoring.score, bundle, what="anomaly")
    images = np.repeat(pixels(4), draws, axis=0)
    path = write(".npy", images, tmp_path)
    score(path, tmp_path / "out")
    scoring.score(bundle, path, tmp_path / "bounds", "elbo")
    ours = column(rows_of(tmp_path / "out"), "anomaly")
    np.testing.assert_array_equal(ours, -column(rows_of(tmp_path / "bounds"), "elbo"))
    theirs = tasks.anomaly_scores(model, images / np.float32(255), seed=3)
    both = np.stack([ours, theirs]).reshape(2, 4, draws)
    assert (np.abs(np.diff(both.mean(axis=2), axis=0)) < 5 * np.sqrt(both.var(axis=2).sum(axis=0) / draws)).all()

    np.save(tmp_path / "normal.npy", pixels(50, seed=1))
    score(tmp_path / "normal.npy", tmp_path / "normal", shard_rows=20, seed=1)
    score(path, tmp_path / "rated", reference=tmp_path / "normal")
    normal, rated = column(rows_of(tmp_path / "normal"), "anomaly"), rows_of(tmp_path / "rated")
    np.testing.assert_array_equal(column(rated, "anomaly"), ours)
    rates = column(rated, "false_positive_rate")
    assert len(set(rates)) > 10
    for rate in (0.02, 0.1, 0.5, 0.9):
        np.testing.assert_array_equal(rates <= rate, ours > tasks.threshold(normal, rate))
    with pytest.raises(UserError, match="whose reference differs"):
        score(path, tmp_path / "rated")


def test_a_reference_is_of_the_same_bundle_and_measure_and_whole(model, bundle, tmp_path):
    path = write(".npy", pixels(8), tmp_path)
    x = np.concatenate([np.full((4, *SHAPE), np.nan, "float32"), pixels(8) / np.float32(255)])
    np.save(tmp_path / "normal.npy", x)  # its first part has no scores
    scoring.score(
        bundle, tmp_path / "normal.npy", tmp_path / "normal", "reconstruction_error", shard_rows=4, bad_share=0.4
    )
    score = functools.partial(scoring.score, data=path, output=tmp_path / "out", reference=tmp_path / "normal")
    for what, message in (
        ("anomaly", "of the measure reconstruction_error. Score"),
        ("codes", "A reference belongs to"),
    ):
        with pytest.raises(UserError, match=message):
            score(bundle, what=what)
    other = export(VAE(image_shape=SHAPE, latent_dim=2, encoder="mlp", decoder="mlp"), tmp_path / "other", ("onnx",))
    with pytest.raises(UserError, match="of another bundle"):
        score(other, what="reconstruction_error")
    with pytest.raises(CorruptFileError, match="is no folder of scores"):
        score(bundle, what="anomaly", reference=tmp_path)
    assert score(bundle, what="reconstruction_error").rows == 8
    rates = column(rows_of(tmp_path / "out"), "false_positive_rate")
    assert sorted(rates) == list(np.arange(1, 9) / 8), "each is among those of the reference"
    (tmp_path / "normal/part-000001.parquet").unlink()
    with pytest.raises(CorruptFileError, match="it has 2 of 3 parts"):
        score(bundle, what="reconstruction_error", overwrite=True)


def test_noise_belongs_to_the_row_not_to_the_shard(bundle, tmp_path):
    path = write(".npy", pixels(30), tmp_path)
    for rows in (7, 30):
        scoring.score(bundle, path, tmp_path / str(rows), "elbo", shard_rows=rows)
    first, second = (column(rows_of(tmp_path / str(rows)), "elbo") for rows in (7, 30))
    np.testing.assert_allclose(first, second, rtol=1e-6)
    assert len(set(first.round(4))) == 30


def test_noise_is_standard_normal_and_of_its_row():
    noise = measures.normal((5, 0), np.arange(20_000), 3)
    assert abs(noise.mean()) < 5 / np.sqrt(60_000) and abs(noise.var() - 1) < 5 * np.sqrt(2 / 60_000)
    assert np.abs(np.corrcoef(noise.T) - np.eye(3)).max() < 5 / np.sqrt(20_000)
    few = np.array([3, 19_999, 7])
    np.testing.assert_array_equal(measures.normal((5, 0), few, 3), noise[few])
    assert (measures.normal((6, 0), few, 3) != noise[few]).all()


def test_bad_rows_go_to_a_file_with_their_reason_and_the_others_are_scored(model, bundle, tmp_path):
    x = pixels(12).astype("float32") / 255
    x[3], x[8, 0, 0, 0] = np.nan, 7.0
    np.save(tmp_path / "x.npy", x)
    with pytest.raises(UserError, match=r"At most 0.0000% of the rows may be bad. Given: 2 of 12, such as row 3 of"):
        scoring.score(bundle, tmp_path / "x.npy", tmp_path / "out", shard_rows=5)
    result = scoring.score(bundle, tmp_path / "x.npy", tmp_path / "out", shard_rows=5, bad_share=0.2)
    assert (result.rows, result.bad, result.done) == (10, 2, 0), "the second call has nothing left to score"
    table = rows_of(tmp_path / "out")
    kept = [row for row in range(12) if row not in (3, 8)]
    assert column(table, "row").tolist() == kept
    np.testing.assert_allclose(column(table, "code"), model.encode(x[kept]), atol=1e-5)
    lines = [json.loads(line) for line in (tmp_path / "out/part-000000.bad.jsonl").read_text().splitlines()]
    assert [line["row"] for line in lines] == [3] and "finite" in lines[0]["reason"]
    assert not (tmp_path / "out/part-000002.bad.jsonl").exists()


def test_files_that_are_no_pictures_are_bad_rows(bundle, tmp_path):
    folder = write("", pixels(4), tmp_path)
    (folder / "inside/001.png").write_bytes(b"no picture")
    result = scoring.score(bundle, folder, tmp_path / "out", bad_share=0.5)
    assert (result.rows, result.bad) == (3, 1)
    assert column(rows_of(tmp_path / "out"), "row").tolist() == [0, 2, 3]
    assert "Unidentified" in (tmp_path / "out/part-000000.bad.jsonl").read_text()


@pytest.mark.parametrize("kind", [".array_record", "lists.parquet"])
def test_damage_inside_a_file_is_its_error_in_one_line(kind, bundle, tmp_path):
    """A record, or a page that has a checksum, with a bit flipped: no number is made of it."""
    path = write(kind, pixels(3), tmp_path)
    whole = bytearray(path.read_bytes())
    whole[50 if kind == "lists.parquet" else whole.index(b"PNG") + 30] ^= 4
    path.write_bytes(whole)
    with pytest.raises(CorruptFileError, match=f"images{kind} cannot be read from its row 0 on: .*Write it again"):
        scoring.score(bundle, path, tmp_path / "out")
    assert not list((tmp_path / "out").glob("part-*"))


def test_a_run_that_lost_shards_makes_those_again_and_equal(bundle, tmp_path):
    path = write(".npy", pixels(40), tmp_path)
    scoring.score(bundle, path, tmp_path / "out", "elbo", shard_rows=10)
    whole = {file.name: file.read_bytes() for file in (tmp_path / "out").iterdir()}
    (tmp_path / "out/part-000001.parquet").unlink()
    (tmp_path / "out/part-000003.parquet").unlink()
    assert scoring.score(bundle, path, tmp_path / "out", "elbo", shard_rows=10).done == 2
    assert {file.name: file.read_bytes() for file in (tmp_path / "out").iterdir()} == whole


def test_a_folder_is_of_one_bundle_input_and_measure(bundle, tmp_path):
    path = write(".npy", pixels(10), tmp_path)
    scoring.score(bundle, path, tmp_path / "out", shard_rows=5)
    with pytest.raises(UserError, match=r"whose what differs. Score into another folder, or say --overwrite"):
        scoring.score(bundle, path, tmp_path / "out", "elbo", shard_rows=5)
    with pytest.raises(UserError, match="whose shard_rows, shards differ"):
        scoring.score(bundle, path, tmp_path / "out", shard_rows=3)
    np.save(path, pixels(11))
    with pytest.raises(UserError, match="whose inputs, rows, shards differ"):
        scoring.score(bundle, path, tmp_path / "out", shard_rows=5)
    scoring.score(bundle, path, tmp_path / "out", "elbo", shard_rows=11, overwrite=True)
    assert len(list((tmp_path / "out").glob("part-*.parquet"))) == 1
    (tmp_path / "out" / "scores.json").write_text("{")
    with pytest.raises(CorruptFileError, match="is not the manifest of scores"):
        scoring.score(bundle, path, tmp_path / "out")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"what": "nothing"}, "Unknown measure 'nothing'"),
        ({"engine": "spark"}, "Unknown engine 'spark'"),
        ({"workers": 0}, "workers must be a whole number, 1 or more"),
        ({"bad_share": 2}, "bad_share must be a share"),
        ({"shard_rows": 0}, "shard_rows must be"),
        ({"data": "nowhere.npy"}, "which is not there"),
        ({"data": "x.txt"}, "Unknown ending of an input '.txt'"),
        ({"data": "empty.npy"}, "An input must have a row"),
        ({"data": "noise.npy"}, "is no array of numbers"),
    ],
)
def test_what_is_refused_is_refused_before_anything_is_written(changes, message, bundle, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", pixels(3))
    np.save("empty.npy", pixels(0))
    (tmp_path / "x.txt").write_text("1 2 3")
    (tmp_path / "noise.npy").write_text("1 2 3")
    with pytest.raises(UserError, match=message):
        scoring.score(**{"bundle": bundle, "data": "x.npy", "output": "out", **changes})
    assert not (tmp_path / "out").exists()


def test_a_bundle_without_the_graph_has_no_elbo(model, tmp_path):
    plain = export(model, tmp_path / "plain", ("onnx",))
    np.save(tmp_path / "x.npy", pixels(3))
    with pytest.raises(UserError, match="Export the model again with --elbo"):
        scoring.score(plain, tmp_path / "x.npy", tmp_path / "out", "elbo")


def test_a_killed_process_is_gone_on_from_and_nothing_is_lost(bundle, tmp_path):
    """A real process, killed after its first shards; the same command again ends with the files of a whole run."""
    path = write(".npy", pixels(12_000), tmp_path)
    words = ["-m", "keras_vae", "score", str(bundle), str(path), "--what", "elbo", "--shard-rows", "20"]
    command = [sys.executable, *words, "--output", str(tmp_path / "out"), "--workers", "1"]
    process = subprocess.Popen(command, cwd=tmp_path, env=toy_runs.environment(), stdout=subprocess.DEVNULL)
    while len(list((tmp_path / "out").glob("part-*.parquet"))) < 3:
        assert process.poll() is None, "it ended before it was killed"
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert len(list((tmp_path / "out").glob("part-*.parquet"))) < 600
    for scratch in (tmp_path / "out").glob(".keras_vae-*"):
        os.utime(scratch, (0, 0))  # one that was killed in its making is left alone for a while
    again = toy_runs.python([*words, "--output", str(tmp_path / "out"), "--json"], tmp_path)
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["rows"] == 12_000 and json.loads(again.stdout)["done"] < 600
    scoring.score(bundle, path, tmp_path / "whole", "elbo", shard_rows=20)
    names = sorted(file.name for file in (tmp_path / "whole").iterdir())
    assert names == sorted(file.name for file in (tmp_path / "out").iterdir()), "no leftover"
    assert all((tmp_path / "whole" / name).read_bytes() == (tmp_path / "out" / name).read_bytes() for name in names)


def test_it_needs_no_tensorflow(bundle, tmp_path):
    feature = tf.train.Feature(bytes_list=tf.train.BytesList(value=[as_png(pixels(1)[0])]))
    example = tf.train.Example(features=tf.train.Features(feature={"image": feature, "mask": feature}))
    write_records(tmp_path / "x.tfrecord", [example.SerializeToString()])
    code = (
        "import sys; from keras_vae import scoring; "
        f"scoring.score({str(bundle)!r}, 'x.tfrecord', 'out', feature='image'); "
        "assert not {'tensorflow', 'keras'} & set(sys.modules), 'imported'"
    )
    done = toy_runs.python(["-c", code], tmp_path)
    assert done.returncode == 0, done.stderr


def test_an_engine_is_any_function_from_shards_to_counts(bundle, tmp_path, monkeypatch):
    """What it is handed is what is missing, and what it yields is counted."""
    path, seen = write(".npy", pixels(10), tmp_path), []

    def engine(work, shards, workers):
        for shard in shards:
            yield engines.Worker(work).score(shard)

    monkeypatch.setitem(engines.ENGINES, "mine", engine)
    scoring.score(bundle, path, tmp_path / "out", engine="mine", shard_rows=4, progress=lambda *row: seen.append(row))
    assert seen == [(4, 10), (8, 10), (10, 10)]
