"""Drafted recipes: what is looked at, what is written, and that training accepts it unchanged."""

import numpy as np
import pytest
from PIL import Image

from keras_vae import zoo
from keras_vae.cli import main
from keras_vae.errors import UserError
from keras_vae.zoo import drafts, recipes, training
from tests.zoo.test_own_data import COLUMNS, write_pictures, write_table


def accepted(path, data):
    """The recipe that is drafted for data, after all checks that a training makes before its first step."""
    path.write_text(drafts.draft(data, path))
    recipe = recipes.read(path)
    model = training._stages(recipe)[-1].model
    training._measured(recipe, model)
    return recipe, model


def test_a_table(tmp_path):
    write_table(tmp_path / "data/rows.csv")
    recipe, model = accepted(tmp_path / "r.toml", tmp_path / "data/rows.csv")
    assert recipe.data.arguments == {"columns": COLUMNS, "label": "kind", "path": "data/rows.csv"}
    assert model.x_shape == (3,) and model.likelihood_family.standardizes
    assert "# columns: in this order they are the numbers of x" in recipe.text


def test_columns_that_no_model_takes_are_left_out_and_named(tmp_path):
    rows = [f"{number},{number % 7},person {number},{'' if number == 5 else 1.5}" for number in range(60)]
    (tmp_path / "a.csv").write_text("\n".join(["a,b,name,gap", *rows]) + "\n")
    recipe, _ = accepted(tmp_path / "r.toml", tmp_path / "a.csv")
    assert recipe.data.arguments["columns"] == ["a", "b"] and "label" not in recipe.data.arguments
    assert "Left out: name (words, 60 different ones); gap (1 empty cells)" in recipe.text


@pytest.mark.parametrize(
    ("x", "name"),
    [
        (np.random.default_rng(0).poisson(3.0, (200, 5)), "poisson"),
        (np.random.default_rng(0).negative_binomial(2, 0.1, (200, 5)), "negative_binomial"),
        (np.random.default_rng(0).normal(size=(200, 4, 3)), "normal"),
        (np.random.default_rng(0).standard_t(2, (400, 5)), "student_t"),
        (np.random.default_rng(0).integers(0, 256, (60, 16, 16, 1)).astype("uint8"), "gaussian"),
        (np.random.default_rng(0).random((60, 9, 10, 3)).astype("float32"), "gaussian"),
    ],
    ids=["poisson", "negative_binomial", "normal", "student_t", "levels", "pixels"],
)
def test_arrays_get_the_likelihood_that_fits_their_numbers(tmp_path, x, name):
    np.savez(tmp_path / "x.npz", numbers=x, kind=np.arange(len(x)) % 2)
    recipe, model = accepted(tmp_path / "r.toml", tmp_path / "x.npz")
    likelihood = recipe.model.arguments["likelihood"]
    assert likelihood["name"] == name and model.x_shape == x.shape[1:]
    assert recipe.data.arguments == {"x": "numbers", "label": "kind", "path": "x.npz"}


def test_counts_along_two_axes_are_series_of_counts_and_nan_is_missing(tmp_path):
    x = np.random.default_rng(0).negative_binomial(2, 0.1, (200, 6, 2)).astype("float32")
    x[::2, 4:] = np.nan
    np.save(tmp_path / "x.npy", x)
    recipe, _ = accepted(tmp_path / "r.toml", tmp_path / "x.npy")
    arguments = recipe.model.arguments
    assert arguments["likelihood"] == {"name": "negative_binomial", "dispersion": "channel"}
    assert arguments["missing"] == "mask" and arguments["encoder"] == {"name": "causal"}
    assert "# missing: 16.7% of the numbers are NaN" in recipe.text
    np.save(tmp_path / "x.npy", np.full((9, 6, 2), np.nan))
    with pytest.raises(UserError, match="NaN only"):
        drafts.draft(tmp_path / "x.npy", tmp_path / "r.toml")


def test_a_folder_of_pictures(tmp_path):
    write_pictures(tmp_path / "pictures")
    recipe, model = accepted(tmp_path / "sub.toml", tmp_path / "pictures")
    assert recipe.data.arguments == {"size": 8, "crop": True, "path": "pictures"} and model.image_shape == (8, 8, 3)
    (tmp_path / "grey").mkdir()
    for number in range(60):
        Image.new("L", (70, 70), number).save(tmp_path / "grey" / f"{number}.png")
    recipe, model = accepted(tmp_path / "g.toml", tmp_path / "grey")
    assert recipe.data.arguments == {"size": 64, "grey": True, "path": "grey"} and model.image_shape == (64, 64, 1)


def test_what_is_not_drafted(tmp_path, capsys):
    (tmp_path / "a.txt").write_text("a")
    with pytest.raises(
        UserError, match=r"a folder of pictures, or a \.csv, \.parquet, \.npy or \.npz\. Given: .*a\.txt"
    ):
        drafts.draft(tmp_path / "a.txt", tmp_path / "r.toml")
    (tmp_path / "w.csv").write_text("a,b\nx,y\n")
    with pytest.raises(UserError, match=r"a column of numbers without an empty cell"):
        drafts.draft(tmp_path / "w.csv", tmp_path / "r.toml")
    for words, message in (([tmp_path / "r.txt"], "A recipe is a .toml"), ([tmp_path / "t.toml"], "is there already")):
        (tmp_path / "t.toml").write_text("kept")
        with pytest.raises(SystemExit):
            main(["new", *map(str, words), "--data", str(tmp_path / "w.csv")])
        assert message in capsys.readouterr().err and (tmp_path / "t.toml").read_text() == "kept"


@pytest.mark.slow
def test_new_then_train_quick_then_the_rest(tmp_path, monkeypatch, capsys):
    """Three commands; the second says which measures it left out, and the third adds them without training again."""
    monkeypatch.setattr(drafts, "_EPOCHS", (1, 1))
    monkeypatch.chdir(tmp_path)
    write_table(tmp_path / "rows.csv")

    def call(*words):
        with pytest.raises(SystemExit) as left:
            main([*words])
        assert left.value.code == 0
        return capsys.readouterr().out

    assert "then: keras-vae train r.toml" in call("new", "r.toml", "--data", "rows.csv")
    shown = " ".join(call("train", "r.toml", "--quick").split())
    assert "Not measured, as --quick says: log_prob, likelihood.bits_per_dim, " in shown
    quick = zoo.card("runs/r")
    assert "log_prob" not in quick.results["metrics"] and not quick.results["overview"]
    assert "Not measured, by `--quick`: log_prob" in quick.markdown()
    zoo.verify("runs/r")
    weights = quick.results["weights"]
    call("train", "r.toml", "--quick")
    assert zoo.card("runs/r").results == quick.results, "a finished run is not repeated"
    call("train", "r.toml")
    whole = zoo.card("runs/r")
    assert whole.results["weights"] == weights and "log_prob" in whole.results["metrics"] and whole.results["overview"]
    assert "left_out" not in whole.results["evaluation"]
