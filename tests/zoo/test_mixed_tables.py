"""Tables of words, counts and holes, from a recipe to completed rows: by the command line alone."""

import csv
import json

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from keras_vae import data, zoo
from keras_vae.data import tables
from keras_vae.errors import UserError
from tests.toy_runs import write_recipe

KINDS = {
    "colour": {"categorical": ["red", "green, dark"]}, "size": "positive", "calls": "count",
    "grade": {"ordinal": ["low", "middle", "high"]}, "shift": "real",
}  # fmt: skip
NAMES = ["id", *KINDS, "label"]
RECIPE = {
    "model": {
        "class": "IWAE", "x_shape": [5], "latent_dim": 2, "importance_samples": 3, "likelihood": "mixed",
        "missing": "mask", "encoder": {"name": "mlp", "hidden": [16]}, "decoder": {"name": "mlp", "hidden": [16]},
    },
    "data": {"source": "table", "path": "table.csv", "kinds": KINDS, "label": "label", "missing": True},
    "training.epochs": 30, "training.batch_size": 40, "training.optimizer": {"name": "adam", "learning_rate": 0.02},
    "evaluation.split": "test", "evaluation.samples": 4,
}  # fmt: skip


def truth(count, seed=0):
    generator = np.random.default_rng(seed)
    z = generator.normal(size=count)
    return {
        "id": [f"row {i}" for i in range(count)], "colour": np.where(z > 0, "red", "green, dark").tolist(),
        "size": np.round(np.exp(z + 3), 3).tolist(), "calls": generator.poisson(np.exp(1 + z)).tolist(),
        "grade": np.array(["low", "middle", "high"])[np.digitize(z, [-0.5, 0.5])].tolist(),
        "shift": np.round(10 * z + 100, 3).tolist(), "label": np.where(z > 0, "yes", "no").tolist(),
    }  # fmt: skip


def write(path, columns, holes):
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(NAMES)
        for row in range(len(columns["id"])):
            writer.writerow(["" if (row, name) in holes else columns[name][row] for name in NAMES])
    return path


def read(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def some_holes(count, seed=1, share=0.2):
    generator = np.random.default_rng(seed)
    return {(row, name) for name in KINDS for row in np.flatnonzero(generator.random(count) < share)}


@pytest.fixture(scope="module")
def project(tmp_path_factory, call):
    folder = tmp_path_factory.mktemp("project")
    write(folder / "table.csv", truth(400), some_holes(400))
    write_recipe(folder / "mixed.toml", RECIPE)
    call("train", folder / "mixed.toml", "--output", folder / "run", "--json")
    return folder


def test_a_run_completes_the_rows_of_a_file(project, call, capsys):
    columns, holes = truth(60, seed=5), some_holes(60, seed=6)
    write(project / "holey.csv", columns, holes)
    out = project / "whole.csv"
    capsys.readouterr()
    call("impute", project / "run", project / "holey.csv", "--output", out, "--samples", 50, "--json")
    assert json.loads(capsys.readouterr().out) == {"file": str(out), "rows": 60, "filled": len(holes), "left": {}}
    before, after = read(project / "holey.csv"), read(out)
    assert list(after[0]) == NAMES
    right = {name: [] for name in KINDS}
    for row, (old, new) in enumerate(zip(before, after, strict=True)):
        for name in NAMES:
            assert new[name] != "" and (new[name] == old[name] or (row, name) in holes)
        for name in KINDS:
            if (row, name) in holes:
                right[name].append((new[name], columns[name][row]))
    assert {new for new, _ in right["colour"]} <= set(KINDS["colour"]["categorical"])
    assert all(new.isdecimal() for new, _ in right["calls"])
    share = np.mean([new == old for name in ("colour", "grade") for new, old in right[name]])
    assert share > 0.7  # by chance 0.42
    errors = [float(new) - old for new, old in right["shift"]]
    assert np.sqrt(np.mean(np.square(errors))) < 7  # of the mean, 10
    call("impute", project / "run", project / "holey.csv", "--output", project / "whole.parquet", "--samples", 50)
    table = parquet.read_table(project / "whole.parquet")
    assert table.column_names == NAMES and [str(v) for v in table["colour"].to_pylist()] == [r["colour"] for r in after]


BEYOND = 2**53 + 1  # the first whole number that float64 lacks


def arrow_of(columns, holes, **others):
    """The columns of `truth` as Arrow has them, in two chunks: classes in order, counts whole, and `others` beside."""
    kinds = {"id": pa.string(), "colour": pa.string(), "size": pa.float64(), "calls": pa.int64(),
             "grade": pa.dictionary(pa.int8(), pa.string(), ordered=True), "shift": pa.float64(),
             "label": pa.string()}  # fmt: skip
    cells = {
        name: [None if (row, name) in holes else value for row, value in enumerate(columns[name])] for name in kinds
    }
    cells["grade"] = pa.DictionaryArray.from_arrays(
        pa.array([None if grade is None else ["high", "low"].index(grade) for grade in cells["grade"]], "int8"),
        pa.array(["high", "low"]), ordered=True,
    )  # fmt: skip
    table = pa.table({name: pa.array(values, kinds[name]) if name != "grade" else values
                      for name, values in cells.items()} | others)  # fmt: skip
    return pa.concat_tables([table.slice(0, 3), table.slice(3)])


def test_a_parquet_file_keeps_all_that_is_not_filled(project, call):
    columns = truth(8, seed=11)
    columns["grade"] = ["low", "high"] * 4
    columns["size"][1] = 0.1 + 0.2  # of 17 digits
    holes = {(0, "colour"), (2, "size"), (3, "calls"), (4, "grade"), (5, "shift")}
    when = pa.array(np.arange(8), pa.timestamp("us"))
    others = {"zip": ["01234", "1_2", str(BEYOND), "", None, "NA", "1e3", "nan"], "big": [BEYOND, None] * 4,
              "when": when, "__index_level_0__": [*range(8, 16)], "odd": [float("nan"), None, *range(6)]}  # fmt: skip
    before = arrow_of(columns, holes, **others).replace_schema_metadata({"mine": "kept"})
    field = before.schema.field("size").with_metadata({"unit": "cm"})
    before = before.set_column(before.column_names.index("size"), field, before["size"])
    parquet.write_table(before, project / "before.parquet", row_group_size=3)
    call("impute", project / "run", project / "before.parquet", "--output", project / "after.parquet", "--samples", 10)
    after = parquet.read_table(project / "after.parquet")
    assert after.schema.equals(before.schema, check_metadata=True)
    for name in before.column_names:
        old, new = before[name].to_pylist(), after[name].to_pylist()
        filled = {row for row, column in holes if column == name}
        assert repr([new[row] for row in range(8) if row not in filled]) == repr(
            [old[row] for row in range(8) if row not in filled]
        )
        assert all(new[row] is not None for row in filled)
    assert after["grade"].unify_dictionaries().chunk(0).dictionary.to_pylist()[:2] == ["high", "low"]
    assert after["grade"][4].as_py() in KINDS["grade"]["ordinal"] and isinstance(after["calls"][3].as_py(), int)


def test_decimals_come_into_a_column_of_whole_numbers_only_where_none_is_changed(project, call, capsys):
    pandas = pytest.importorskip("pandas")
    columns = truth(6, seed=12) | {"shift": [90, 95, None, 101, 99, 100]}
    frame = pandas.DataFrame(columns)
    frame["shift"], frame["grade"] = frame["shift"].astype("Int64"), frame["grade"].astype("category")
    frame.iloc[[0, 2, 3, 5]].to_parquet(project / "whole-numbers.parquet")
    call(
        "impute", project / "run", project / "whole-numbers.parquet", "--output", project / "d.parquet", "--samples", 9
    )
    filled = pandas.read_parquet(project / "d.parquet")
    assert filled.index.tolist() == [0, 2, 3, 5] and filled["grade"].dtype == "category"
    assert filled["shift"].dtype == "float64" and filled["shift"].drop(2).tolist() == [90, 101, 100]
    assert filled["shift"][2] % 1 > 0
    table = arrow_of(columns | {"shift": [90.0] * 6, "grade": ["low"] * 6}, set())
    parquet.write_table(table.set_column(5, "shift", pa.array([90, BEYOND, None, 101, 99, 100])), project / "b.parquet")
    capsys.readouterr()
    call("impute", project / "run", project / "b.parquet", "--output", project / "e.parquet", "--samples", 9, code=1)
    said = " ".join(capsys.readouterr().err.split())
    assert "float64 holds" in said and "'shift'" in said and "Write a .csv" in said
    assert not (project / "e.parquet").exists()
    call("impute", project / "run", project / "b.parquet", "--output", project / "e.csv", "--samples", 9)
    assert [row["shift"] for row in read(project / "e.csv")][1] == str(BEYOND)


def test_words_of_a_csv_file_are_words_in_parquet(project, call):
    columns = truth(8, seed=13)
    columns["id"] = ["01234", "1_2", str(BEYOND), "", "NA", "1e3", "-0", "nan"]
    columns["label"] = ["1", "2", "3", "", "4", "5", "6", "7"]
    write(project / "codes.csv", columns, {(0, "size"), (1, "calls"), (2, "grade")})
    call("impute", project / "run", project / "codes.csv", "--output", project / "codes.parquet", "--samples", 10)
    table = parquet.read_table(project / "codes.parquet")
    assert table["id"].to_pylist() == [cell or None for cell in columns["id"]]
    assert table["label"].to_pylist() == [cell or None for cell in columns["label"]]
    assert [str(table.schema.field(name).type) for name in KINDS] == ["string", "double", "double", "string", "double"]
    assert table["shift"].to_pylist() == columns["shift"] and table["grade"].to_pylist()[3:] == columns["grade"][3:]


@pytest.mark.slow
def test_the_run_is_measured_exported_and_encodes_files(project, call, capsys):
    assert "log_prob" in zoo.card(project / "run").results["metrics"]
    call("export", project / "run", project / "bundle", "--format", "onnx")
    facts = json.loads((project / "bundle/bundle.json").read_text())["preprocessing"]
    assert facts["columns"] == list(KINDS) and facts["classes"]["grade"] == ["low", "middle", "high"]
    call("check", project / "bundle")
    write(project / "more.csv", truth(10, seed=7), {(0, "size")})
    call("encode", project / "run", project / "more.csv", "--output", project / "codes.npy")
    assert np.load(project / "codes.npy").shape == (10, 2)
    call("evaluate", project / "run", "--split", "test[:20]")
    call("sample", project / "run", "--count", 5, "--output", project / "drawn.npy")
    drawn = np.load(project / "drawn.npy")
    assert drawn.shape == (5, 5) and set(drawn[:, 3]) <= {0, 1, 2} and (drawn[:, 1] > 0).all()


def test_what_is_left_empty_is_said(project, call, capsys):
    columns = truth(10, seed=8)
    columns["calls"][3] = columns["label"][4] = "NA"
    write(project / "na.csv", columns, {(0, "size"), (5, "label")})
    capsys.readouterr()
    call("impute", project / "run", project / "na.csv", "--output", project / "w.csv", "--samples", 10)
    said = " ".join(capsys.readouterr().out.split())
    assert "2 cells were filled in" in said and "does not read: label (1 cells)" in said
    after = read(project / "w.csv")
    assert after[3]["calls"].isdecimal() and after[4]["label"] == "NA" and after[5]["label"] == ""


@pytest.mark.slow
def test_counts_are_completed_by_counts(tmp_path, call):
    """Of a likelihood of counts, without kinds of columns: whole numbers in a table and in an array."""
    generator = np.random.default_rng(0)
    counts = generator.poisson(np.exp(1.0 + generator.normal(size=(400, 1)) * [1.0, 1.0, -1.0]))
    rows = [["a", "b", "c"], *counts.astype(str).tolist()]
    for row in range(1, 401, 7):
        rows[row][row % 3] = ""
    (tmp_path / "counts.csv").write_text("\n".join(map(",".join, rows)) + "\n")
    changes = {"model": {**RECIPE["model"], "x_shape": [3], "likelihood": "poisson"}, "training.epochs": 5}
    changes |= {"data": {"source": "table", "path": "counts.csv", "missing": True}}
    write_recipe(tmp_path / "counts.toml", {**RECIPE, **changes})
    call("train", tmp_path / "counts.toml", "--output", tmp_path / "run", "--json")
    call("impute", tmp_path / "run", tmp_path / "counts.csv", "--output", tmp_path / "out.csv", "--samples", 10)
    with open(tmp_path / "out.csv", encoding="utf-8", newline="") as file:
        assert all(cell.isdecimal() for row in list(csv.reader(file))[1:] for cell in row)
    x = counts.astype("float32")
    x[::5, 1] = np.nan
    np.save(tmp_path / "x.npy", x)
    call("impute", tmp_path / "run", tmp_path / "x.npy", "--output", tmp_path / "y.npy", "--samples", 10)
    filled = np.load(tmp_path / "y.npy")
    np.testing.assert_array_equal(filled, np.round(filled))
    assert len(set(filled[::5, 1].tolist())) > 3, "conditional means, and not one number"


def test_arrays_are_completed_too(project, call):
    x = data.table(project / "table.csv", kinds=KINDS, missing=True).x[:12]
    np.save(project / "x.npy", x)
    call("impute", project / "run", project / "x.npy", "--output", project / "y.npy", "--samples", 10)
    filled = np.load(project / "y.npy")
    np.testing.assert_array_equal(filled[~np.isnan(x)], x[~np.isnan(x)])
    assert np.isfinite(filled).all()
    np.testing.assert_array_equal(filled[:, [0, 2, 3]], np.round(filled[:, [0, 2, 3]]))  # classes and counts
    exact = np.where(np.arange(5) == 4, x + 1e-9, x.astype(">f8"))  # of digits that float32 lacks
    exact[0, 4] = np.nan
    for dtype in (">f8", "<f8"):
        np.save(project / "x.npy", exact.astype(dtype))
        call("impute", project / "run", project / "x.npy", "--output", project / "y.npy", "--samples", 10)
        filled = np.load(project / "y.npy")
        assert filled.dtype == np.dtype(dtype) and np.isfinite(filled).all()
        np.testing.assert_array_equal(filled[~np.isnan(exact)], exact[~np.isnan(exact)])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["strange.csv"], "one of its classes: 'red', 'green, dark'. Given: 'blue' in row 1."),
        (["table.csv", "--output", "out.npy"], "The output must end in .csv or .parquet"),
        (["gone.csv"], "gone.csv"),
        ([], "the rows of a file are completed"),
    ],
)
def test_mistakes_are_one_line(project, call, capsys, monkeypatch, words, message):
    monkeypatch.chdir(project)
    columns = truth(3)
    columns["colour"][0] = "blue"
    write(project / "strange.csv", columns, set())
    capsys.readouterr()
    call("impute", "run", *words, code=1)
    captured = capsys.readouterr()
    assert message in " ".join((captured.err + captured.out).split())
    assert not (project / "runs/run").exists() or not list((project / "runs/run").glob("completed*"))


class Frame:
    """What a frame of pandas has of this."""

    columns = ("size", "kind", "count", "flag", "word")

    class Ordered:
        categories, ordered = ("small", "big"), True

    class Series:
        dtype = None

    def __getitem__(self, name):
        series = self.Series()
        series.dtype = self.Ordered() if name == "kind" else np.dtype("O")
        return series

    def to_numpy(self):
        return np.array([[1.5, "big", 3, True, "b"], [2.0, "small", 4, False, "a"], [float("nan"), None, 0, True, "b"]],
                        object)  # fmt: skip


def test_kinds_are_read_from_a_frame_and_come_back_as_words(tmp_path):
    kinds = data.kinds_of(Frame())
    assert kinds == {
        "size": "real", "kind": {"ordinal": ["small", "big"]}, "count": "count",
        "flag": {"categorical": ["False", "True"]}, "word": {"categorical": ["a", "b"]},
    }  # fmt: skip
    x, columns = data.table(Frame(), kinds=kinds, missing=True)
    assert columns == Frame.columns
    np.testing.assert_array_equal(x, [[1.5, 1, 3, 1, 1], [2, 0, 4, 0, 0], [np.nan, np.nan, 0, 1, 1]])
    words = data.named_cells(x, kinds).tolist()
    assert words == [[1.5, "big", 3, "True", "b"], [2.0, "small", 4, "False", "a"], [None, None, 0, "True", "b"]]
    tables.write(tmp_path / "a.csv", columns, data.named_cells(x, kinds))
    again = data.table(tmp_path / "a.csv", kinds=kinds, missing=True)
    np.testing.assert_array_equal(again.x, x)
    from_file = data.kinds_of(tmp_path / "a.csv")
    assert from_file["size"] == "real" and from_file["count"] == "count" and from_file["word"] == kinds["word"]
    with pytest.raises(UserError, match=r"no empty cells\. Given: None in row 3 of 'kind'"):
        data.table(Frame(), kinds={"kind": kinds["kind"]})
    with pytest.raises(UserError, match="columns"):
        data.table(Frame(), ["size"], kinds=kinds)
