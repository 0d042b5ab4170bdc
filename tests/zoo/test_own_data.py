"""Data of one's own, from a recipe to a bundle: tables, arrays and folders of pictures, by the command line alone."""

import copy
import json
import os

import numpy as np
import onnxruntime
import pytest
from PIL import Image
from pyarrow import parquet

from keras_vae import zoo
from keras_vae.cli.output import is_file
from keras_vae.errors import UserError
from keras_vae.zoo import recipes
from keras_vae.zoo.encoding import read_file
from tests.toy_runs import REMOVED, write_recipe

COLUMNS = ["mass", "length", "price"]
TABLE = {
    "model": {
        "class": "VAE", "x_shape": [3], "latent_dim": 2, "encoder": {"name": "mlp", "hidden": [8]},
        "decoder": {"name": "mlp", "hidden": [8]}, "likelihood": {"name": "normal", "standardize": True},
    },
    "data": {"source": "table", "path": "data/table.csv", "label": "kind"},
    "training.epochs": 1, "training.batch_size": 40, "evaluation.split": "test", "evaluation.samples": 2,
}  # fmt: skip
PICTURES = {
    "model.image_shape": [6, 5, 3], "data": {"source": "folder", "path": "pictures", "size": [6, 5]},
    "model.likelihood": {"name": "gaussian", "scale": "global"}, "training.epochs": 1, "training.batch_size": 20,
    "evaluation.split": "test", "evaluation.samples": 2,
}  # fmt: skip


def write_table(path, count=200, order=(*COLUMNS, "kind"), seed=0, heavier=1.0):
    """Rows of columns of very different units, one of them far from 0, which depend on one another and on a class."""
    generator = np.random.default_rng(seed)
    kind = generator.integers(0, 2, count)
    size = generator.normal(size=count) + 2 * kind
    columns = {"mass": (1e4 + 300 * size) * heavier, "length": 0.01 * size, "price": 5 + generator.normal(size=count),
               "kind": np.array(["red", "blue"])[kind]}  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [",".join(map(str, row)) for row in zip(*(columns[name] for name in order), strict=True)]
    path.write_text("\n".join([",".join(order), *lines]) + "\n")
    return np.stack([columns[name] for name in COLUMNS], -1).astype("float32")


def write_pictures(folder, count=60):
    generator = np.random.default_rng(0)
    folder.mkdir(parents=True)
    for number in range(count):
        pixels = np.full((12, 10, 3), generator.integers(0, 256, 3), "uint8")
        Image.fromarray(pixels).save(folder / f"{number}.png")


@pytest.fixture(scope="module")
def project(tmp_path_factory, call):
    """A folder with data, recipes, and the runs of these."""
    folder = tmp_path_factory.mktemp("project")
    write_table(folder / "data/table.csv")
    write_pictures(folder / "pictures")
    for name, changes in (("table", TABLE), ("pictures", PICTURES)):
        write_recipe(folder / f"{name}.toml", changes)
        call("train", folder / f"{name}.toml", "--output", folder / "runs" / name, "--json")
    return folder


@pytest.fixture
def spoken(capsys, call):
    """The JSON that a command prints."""

    def run(*words):
        capsys.readouterr()
        call(*words, "--json")
        return json.loads(capsys.readouterr().out)

    return run


def test_a_run_finds_its_data_from_where_it_lies(project):
    written = recipes.read(project / "runs/table/recipe.toml")
    assert written.data.arguments["path"] == "../../data/table.csv"
    assert written.data_path == recipes.read(project / "table.toml").data_path == (project / "data/table.csv").resolve()
    assert written.content == recipes.read(project / "table.toml").content, "where data are is no part of it"


def test_the_standardisation_is_of_the_training_rows(project):
    """And is kept in full precision: a mean of 10,000 and a spread of 0.01 are beyond what float16 tells apart."""
    from keras_vae.data import readers

    rows = readers.table(project / "data/table.csv", "train", label="kind").images.astype("float64")
    family = zoo.load(project / "runs/table").likelihood_family
    np.testing.assert_allclose(family.shift.numpy(), rows.mean(0), rtol=1e-6)
    np.testing.assert_allclose(family.spread.numpy(), rows.std(0), rtol=1e-5)


def test_the_card_names_the_data(project):
    card = zoo.card(project / "runs/table")
    assert card.kind == "numbers" and card.results["evaluation"]["columns"] == COLUMNS
    assert "of `table.csv`" in card.markdown()


def test_columns_are_found_by_name_in_any_order(project, spoken, tmp_path):
    rows = write_table(tmp_path / "new.csv", 20, ("kind", "price", "mass", "length"), seed=1)
    answer = spoken("encode", project / "runs/table", tmp_path / "new.csv", "--output", tmp_path / "z.npy")
    assert answer["shape"] == [20, 2]
    model = zoo.load(project / "runs/table")
    np.testing.assert_allclose(np.load(tmp_path / "z.npy"), model.encode(rows), atol=1e-5)
    assert spoken("encode", project / "runs/table", "test[:5]", "--output", tmp_path / "t.npy")["shape"] == [5, 2]


def test_commands_measure_report_and_score_rows(project, spoken, call, capsys, tmp_path):
    run = project / "runs/table"
    assert spoken("evaluate", run, "--samples", "2")["metrics"]["elbo"]["value"] < 100
    call("verify", run)
    call("report", run, "--output", tmp_path / "r.html", "--count", "10")
    write_table(tmp_path / "odd.csv", 20, seed=2, heavier=1.5)
    answer = spoken("anomaly", run, "--anomalies", tmp_path / "odd.csv", "--output", tmp_path / "a.png")
    assert answer["scores"]["elbo"]["auroc"] == 1.0
    capsys.readouterr()
    call("steps", run, tmp_path / "odd.csv", "--output", tmp_path / "s.npy", "--samples", "2", "--highest", "5")
    assert "column" in (text := capsys.readouterr().out) and text.count(" mass ") == 5
    call("anomaly", run, "--leave-out", "1", "--epochs", "1", "--output", tmp_path / "b.png")


def test_a_deployed_encoder_takes_raw_rows(project, spoken, call, tmp_path):
    """With ONNX Runtime alone: the columns that bundle.json lists, in the units of the file."""
    spoken("export", project / "runs/table", tmp_path / "bundle", "--format", "onnx")
    call("check", tmp_path / "bundle", "--json")
    manifest = json.loads((tmp_path / "bundle/bundle.json").read_text())
    assert manifest["preprocessing"]["columns"] == COLUMNS
    assert manifest["preprocessing"]["rule"] == "reals, as the model was trained on, raw: the graphs standardise them"
    rows = write_table(tmp_path / "new.csv", 20, seed=1)
    session = onnxruntime.InferenceSession(tmp_path / "bundle/encoder.onnx", providers=["CPUExecutionProvider"])
    outputs = dict(zip([output.name for output in session.get_outputs()], session.run(None, {"x": rows}), strict=True))
    model = zoo.load(project / "runs/table")
    np.testing.assert_allclose(outputs["mean"], model.encode(rows), atol=1e-4)
    decoder = onnxruntime.InferenceSession(tmp_path / "bundle/decoder.onnx", providers=["CPUExecutionProvider"])
    (mean,) = decoder.run(["mean"], {"z": outputs["mean"]})
    np.testing.assert_allclose(mean, model.reconstruct(rows), rtol=1e-4)
    assert abs(mean[:, 0] - 1e4).mean() < 1e3 and abs(mean[:, 1]).mean() < 1, "in the units of the columns"
    call("export", project / "runs/table", tmp_path / "b2", "--format", "onnx", "--examples", tmp_path / "new.csv")


def test_a_folder_of_pictures_in_three_commands(project, spoken, call, tmp_path):
    """Trained by the fixture; then exported and checked. Pictures of another size are read as the recipe says."""
    run = project / "runs/pictures"
    assert {"reconstructions.png", "samples.png"} <= set(os.listdir(run))
    spoken("export", run, tmp_path / "bundle", "--format", "onnx")
    call("check", tmp_path / "bundle")
    new = tmp_path / "new"
    write_pictures(new, 3)
    answer = spoken("encode", run, new, "--output", tmp_path / "z.npy")
    assert answer["shape"] == [3, 3]
    call("anomaly", run, "--output", tmp_path / "a.png")


def test_bytes_are_grey_levels_of_images_and_numbers_of_rows(project, spoken, tmp_path):
    """As in training, and in `keras-vae score`; floats are in [0, 1] already."""
    levels = np.random.default_rng(0).integers(0, 256, (5, 6, 5, 3), "uint8")
    levels[0] = 1  # of 255, a dark picture
    model, path = zoo.load(project / "runs/pictures"), tmp_path / "x.npy"
    for x in (levels, levels / np.float32(255)):
        np.save(path, x)
        spoken("encode", project / "runs/pictures", path, "--output", tmp_path / "z.npy")
        np.testing.assert_array_equal(np.load(tmp_path / "z.npy"), model.encode(levels / np.float32(255)))
        np.testing.assert_array_equal(read_file(project / "runs/pictures", path).x, levels / np.float32(255))
    rows = np.array([[200, 3, 5]], "uint8")
    np.save(path, rows)
    spoken("encode", project / "runs/table", path, "--output", tmp_path / "z.npy")
    model = zoo.load(project / "runs/table")
    np.testing.assert_array_equal(np.load(tmp_path / "z.npy"), model.encode(rows.astype("float32")))
    np.testing.assert_array_equal(read_file(project / "runs/table", path).x, rows)


def test_a_bundle_says_where_pictures_are_cut_and_score_cuts_them(project, spoken, tmp_path):
    """A picture twice as wide as high, black at both ends, which a square cuts off: its codes are those of `encode`."""
    changes = {**PICTURES, "data": {**PICTURES["data"], "crop": True}}
    write_recipe(project / "cut.toml", changes)
    spoken("train", project / "cut.toml", "--output", project / "runs/cut")
    wide = np.zeros((12, 20, 3), "uint8")
    wide[:, 5:15] = np.random.default_rng(1).integers(100, 256, (12, 10, 3))
    (tmp_path / "new").mkdir()
    Image.fromarray(wide).save(tmp_path / "new/wide.png")
    for run, cut in (("pictures", None), ("cut", True)):
        folder, name = tmp_path / run, project / "runs" / run
        spoken("export", name, folder / "bundle", "--format", "onnx")
        assert json.loads((folder / "bundle/bundle.json").read_text())["preprocessing"].get("crop") is cut
        spoken("encode", name, tmp_path / "new", "--output", folder / "z.npy")
        spoken("score", folder / "bundle", tmp_path / "new", "--output", folder / "scores")
        codes = np.array(parquet.read_table(folder / "scores/part-000000.parquet")["code"].to_pylist())
        np.testing.assert_allclose(codes, np.load(folder / "z.npy"), atol=1e-4)
    read = read_file(project / "runs/cut", tmp_path / "new").x
    assert read.min() > 0.3 and read_file(project / "runs/pictures", tmp_path / "new").x.min() < 0.1


def test_a_folder_or_file_needs_no_slash_to_be_one(project, spoken, call, capsys, monkeypatch):
    """The name of a split, or of anomalies that are made, comes before a folder of that name."""
    monkeypatch.chdir(project)
    (project / "rows").write_bytes((project / "data/table.csv").read_bytes())
    write_pictures(project / "test", 2)
    write_pictures(project / "noise", 2)
    assert spoken("encode", "runs/pictures", "pictures", "--output", "z.npy")["shape"] == [60, 3]
    assert spoken("encode", "runs/table", "rows", "--output", "z.npy")["shape"] == [200, 2]
    assert spoken("encode", "runs/pictures", "test", "--output", "z.npy")["shape"] != [2, 3]
    assert is_file("pictures", "noise") and is_file("noise") and not is_file("noise", "noise") and is_file("a.png")
    capsys.readouterr()
    for word, message in (("none.csv", "Error: none.csv does not exist. Correct the path.\n"),
                          ("tset", "Error: split is one of")):  # fmt: skip
        call("encode", "runs/table", word, code=1)
        assert capsys.readouterr().err.startswith(message)


def test_a_run_and_its_data_may_be_moved_together(project, call, tmp_path):
    import shutil

    moved = shutil.copytree(project, tmp_path / "elsewhere")
    shutil.rmtree(moved / "runs/pictures")
    call("evaluate", moved / "runs/table", "--samples", "0", "--json")
    shutil.rmtree(moved / "data")
    zoo.load(moved / "runs/table")  # the model needs no data
    with pytest.raises(UserError, match=r"\[data\] of the recipe: .*table\.csv does not exist"):
        from keras_vae.zoo.examples import examples_of

        examples_of(zoo.card(moved / "runs/table").recipe)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data.pth": "x"}, r"\[data\] with source = 'table' has no argument 'pth'\. Did you mean 'path'"),
        ({"data.source": "tabel"}, r"Unknown data\.source 'tabel'\. Did you mean 'table'"),
        ({"data.path": REMOVED}, r"\[data\] with source = 'table' needs the argument path"),
        ({"data.path": "none.csv"}, r"\[data\] of the recipe: .*none\.csv does not exist"),
        ({"data.columns": ["mass", "hue"]}, r"must have the column 'hue'"),
        (
            {"data.columns": ["mass"]},
            r"model\.x_shape must be the shape of the data\. Given: \[3\].*= \[1\], or change",
        ),
        ({"data.label": REMOVED}, r"finite numbers\. Given: '(red|blue)' in row 1 of 'kind'"),
        ({"data.split": "test"}, r"data\.split is set by data\.train"),
        ({"data.fractions": [0.9, 0.1]}, r"fractions are the shares"),
        ({"data.fractions": [0.9, 0.1, 0.0]}, r"split 'test' holds no examples.*change fractions"),
        ({"model.likelihood": "poisson"}, r"must be counts, whole numbers from 0"),
        ({"data.name": "mnist"}, r"data\.name is a dataset that keras_vae has, data\.source is your own"),
        ({"data.path": 3}, r"data\.path must be a string"),
    ],
)
def test_what_is_refused_before_the_first_step(tmp_path, changes, message):
    write_table(tmp_path / "data/table.csv")
    with pytest.raises(UserError, match=message):
        zoo.train(write_recipe(tmp_path / "r.toml", {**copy.deepcopy(TABLE), **changes}), tmp_path / "run", verbose=0)
    assert not (tmp_path / "run/recipe.toml").exists()


def test_a_folder_holds_a_run_of_one_file(project, tmp_path):
    write_table(tmp_path / "other.csv")
    other = write_recipe(tmp_path / "r.toml", {**copy.deepcopy(TABLE), "data.path": "other.csv"})
    with pytest.raises(UserError, match=r"run of another recipe: data\.path is .*other\.csv, and was .*table\.csv"):
        zoo.train(other, project / "runs/table", verbose=0)


def test_holes_are_filled_by_a_model_that_reads_them(project, call, capsys, tmp_path):
    """Refused before the file is, whose empty cells are what the command is for."""
    write_table(tmp_path / "holey.csv", 5)
    head, first, *rows = (tmp_path / "holey.csv").read_text().splitlines()
    (tmp_path / "holey.csv").write_text("\n".join([head, "," + first.split(",", 1)[1], *rows]) + "\n")
    call("impute", project / "runs/table", tmp_path / "holey.csv", "--output", tmp_path / "whole.csv", code=1)
    assert 'Add missing = "mask" to [model] of its recipe' in capsys.readouterr().err.replace("\n", " ")
    assert not (tmp_path / "whole.csv").exists()


@pytest.mark.slow
def test_labels_that_are_few_do_not_keep_a_run_from_its_end(tmp_path, call):
    """One class; a class that only the test has; and a label in two of three rows, which is what M2 is for."""
    from keras_vae.data import readers

    write_table(tmp_path / "table.csv")
    head, *lines = (tmp_path / "table.csv").read_text().split()
    rows = [line.rsplit(",", 1)[0] for line in lines]
    tested = readers.table(tmp_path / "table.csv", "test", label="kind").images[0, 0]
    semi = {"class": "SemiSupervisedVAE", "num_classes": 2, "classifier": {"name": "mlp", "hidden": [8]}}
    for name, labels, model in (
        ("one", ["red"], {}),
        ("rare", ["red", "blue"], {}),
        ("semi", ["red", "blue", ""], semi),
    ):
        table = [f"{row},{labels[number % len(labels)]}" for number, row in enumerate(rows)]
        if name == "rare":
            table = [
                f"{row},green" if np.float32(row.split(",")[0]) == tested else line
                for row, line in zip(rows, table, strict=True)
            ]
        (tmp_path / f"{name}.csv").write_text("\n".join([head, *table]) + "\n")
        changes = {**TABLE, "model": {**TABLE["model"], **model}, "data": {**TABLE["data"], "path": f"{name}.csv"}}
        recipe = write_recipe(tmp_path / f"{name}.toml", {**changes, "evaluation.overview": True})
        call("train", recipe, "--output", tmp_path / name)
    without = {name: zoo.card(tmp_path / name).results["overview"]["without"] for name in ("one", "rare", "semi")}
    assert "two classes or more" in without["one"]["representation.probes"]
    assert "representation.probes" not in {**without["rare"], **without["semi"]}
    clusters = zoo.card(tmp_path / "rare").results["overview"]["representation"]["clustering"]["nmi"]["clusters"]
    assert clusters == 3, "of the test rows, one of which is of the rare class"
    card = zoo.card(tmp_path / "semi")
    assert card.results["evaluation"]["joint"] == "known"
    assert "each example that has one: read p(x, y) there for p(x)" in card.markdown()
