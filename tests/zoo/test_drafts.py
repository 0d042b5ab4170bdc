"""Drafted recipes: what is looked at, what is written, and that training accepts it unchanged."""

import csv

import numpy as np
import pytest
from PIL import Image
from scipy import sparse

from keras_vae import zoo
from keras_vae.cli import main
from keras_vae.errors import UserError
from keras_vae.zoo import drafts, fitting, recipes, texts, training
from tests.zoo.test_own_data import COLUMNS, write_pictures, write_table


def accepted(path, data):
    """The recipe that is drafted for data, after all checks that a training makes before its first step."""
    path.write_text(drafts.draft(data, path))
    recipe = recipes.read(path)
    model = fitting.stages_of(recipe)[-1].model
    training._measured(recipe, model)
    return recipe, model


def test_a_table(tmp_path):
    write_table(tmp_path / "data/rows.csv")
    recipe, model = accepted(tmp_path / "r.toml", tmp_path / "data/rows.csv")
    assert recipe.data.arguments == {"columns": COLUMNS, "label": "kind", "path": "data/rows.csv"}
    assert model.x_shape == (3,) and model.likelihood_family.standardizes
    assert "# columns: in this order they are the numbers of x" in recipe.text


def test_columns_that_no_model_takes_are_left_out_and_named(tmp_path):
    rows = [f"{number},{number % 7},{number * number % 11},person {number},,one,{'?' if number == 5 else number % 13}"
            for number in range(60)]  # fmt: skip
    (tmp_path / "a.csv").write_text("\n".join(["id,a,b,name,none,same,odd", *rows]) + "\n")
    recipe, _ = accepted(tmp_path / "r.toml", tmp_path / "a.csv")
    assert recipe.data.arguments["columns"] == ["a", "b"] and "label" not in recipe.data.arguments
    assert (
        "Left out: id (the numbers of the rows); name (words, 60 different ones); none (empty); same (one value); "
        "odd (numbers, but '?' in 1 of 60 rows; as empty cells they would be missing)\n" in recipe.text
    )


def test_numbers_that_float32_cannot_tell_apart_are_left_out(tmp_path):
    """Seconds of Unix 7 apart: float32 has one number for each 128 of them; seconds from the first it has all."""
    first = 1_700_000_000
    rows = [f"{row % 7},{2**53 + 2 * row},{first + 7 * row},{7 * row},{row * 1.1}" for row in range(120)]
    (tmp_path / "a.csv").write_text("\n".join(["a,id,time,since,b", *rows]) + "\n")
    recipe, _ = accepted(tmp_path / "r.toml", tmp_path / "a.csv")
    assert list(recipe.data.arguments["kinds"]) == ["a", "since", "b"]
    times = len(np.unique(np.float32(first + 7 * np.arange(120))))
    assert times < 9 and (
        f"Left out: id (of 120 different numbers, float32 tells 1 apart: subtract its smallest value first); time (of "
        f"120 different numbers, float32 tells {times} apart: subtract its smallest value first)\n" in recipe.text
    )
    rows = [f"{row % 7},{2 * row},{7 * row},{7 * row},{row * 1.1}" for row in range(120)]
    (tmp_path / "b.csv").write_text("\n".join(["a,id,time,since,b", *rows]) + "\n")
    assert "Left out" not in drafts.draft(tmp_path / "b.csv", tmp_path / "s.toml"), "as the remedy says"


@pytest.mark.parametrize("shape", [(0, 5), (0, 16, 16, 1), (9, 0), (60, 0, 4, 1), (0, 3, 2)])
def test_arrays_without_examples_or_numbers(tmp_path, shape):
    message = "needs 2 examples in each split" if shape[0] == 0 else r"has a number or more\. Given: .*x\.np., of shape"
    np.save(tmp_path / "x.npy", np.zeros(shape, "float32"))
    np.savez(tmp_path / "x.npz", x=np.zeros(shape, "float32"))
    for name in ("x.npy", "x.npz"):
        with pytest.raises(UserError, match=message):
            drafts.draft(tmp_path / name, tmp_path / "r.toml")


def test_a_sparse_matrix_is_made_into_shards_first(tmp_path):
    matrix = sparse.random(60, 9, 0.3, random_state=0, dtype="float32")
    for kind in ("csr", "csc", "coo"):
        sparse.save_npz(tmp_path / f"{kind}.npz", matrix.asformat(kind))
        with pytest.raises(UserError, match=rf"keras-vae data build .*{kind}\.npz FOLDER.*source = \"shards\""):
            drafts.draft(tmp_path / f"{kind}.npz", tmp_path / "r.toml")


def test_empty_cells_are_missing(tmp_path):
    rows = [f"{number / 7},{'' if number % 3 else np.sin(number)}" for number in range(60)]
    (tmp_path / "a.csv").write_text("\n".join(["a,b", *rows]) + "\n")
    recipe, model = accepted(tmp_path / "r.toml", tmp_path / "a.csv")
    assert recipe.data.arguments["missing"] is True and model.missing
    assert recipe.model.arguments["likelihood"]["name"] == "normal"
    assert "# missing: 33.3% of the cells are empty" in recipe.text


def test_na_is_missing_and_what_is_left_out_is_said(tmp_path, monkeypatch, capsys):
    rows = [f"{number / 7},{'NA' if number % 3 else np.sin(number)},person {number}" for number in range(60)]
    (tmp_path / "a.csv").write_text("\n".join(["a,b,name", *rows]) + "\n")
    recipe, model = accepted(tmp_path / "r.toml", tmp_path / "a.csv")
    assert recipe.data.arguments["columns"] == ["a", "b"] and recipe.data.arguments["missing"] and model.missing
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        main(["new", "s.toml", "--data", "a.csv"])
    assert "a.csv: 60 rows. Left out: name (words, 60 different ones)\n" in capsys.readouterr().out


def test_columns_that_differ_have_a_kind_each(tmp_path):
    """Words of several columns, counts that vary more and less, a long tail, and names that TOML must quote."""
    columns, _ = of_kinds(300)
    with open(tmp_path / "a.csv", "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([list(columns), *zip(*columns.values(), strict=True)])
    recipe, model = accepted(tmp_path / "r.toml", tmp_path / "a.csv")
    assert recipe.data.arguments["kinds"] == {
        "height": "real", 'price, "€"': "positive", "calls": "count", "visits": "overdispersed", "year": "real",
        "flag": {"categorical": ["0", "1"]}, "colour": {"categorical": ["blue", "red"]},
        "size": {"categorical": ["large", "small"]},
    }  # fmt: skip
    assert recipe.model.arguments["likelihood"] == "mixed" and model.x_shape == (8,) and model.missing
    assert "[data.kinds]" in recipe.text and "label" not in recipe.data.arguments


def of_kinds(count):
    generator = np.random.default_rng(0)
    z = generator.normal(size=count)
    return {
        "height": np.round(100 + 10 * z, 2), 'price, "€"': np.round(np.exp(2 * z) + 0.01, 4),
        "calls": generator.poisson(3.0, count), "visits": generator.negative_binomial(2, 0.1, count),
        "year": generator.integers(1990, 2020, count), "flag": (z > 0).astype(int),
        "colour": ["" if number % 5 == 0 else ("red", "blue")[number % 2] for number in range(count)],
        "size": np.where(z > 0, "large", "small"),
    }, z  # fmt: skip


def test_a_text(tmp_path):
    lines = [f"él {word}\x7f😀" for word in ("one", "two", "three")] * 20 + [f"{number}" for number in range(99)]
    (tmp_path / "a.txt").write_text("\n".join(lines), encoding="utf-8")
    recipe, model = accepted(tmp_path / "r.toml", tmp_path / "a.txt")
    assert recipe.data.arguments == {
        "alphabet": "".join(sorted(set("".join(lines)))), "length": len("él three\x7f😀") + 1, "path": "a.txt",
    }  # fmt: skip
    assert model.vocabulary_size == len(recipe.data.arguments["alphabet"]) + 1
    examples = training._measured(recipe, model)
    assert set(texts.spelling(recipe)(examples.images)) <= set(lines)
    (tmp_path / "r.toml").write_text(recipe.text.replace("SequenceVAE", "IWAE"))
    with pytest.raises(UserError, match=r"lines of text are sequences of tokens\. Given: model\.class = 'IWAE'"):
        fitting.stages_of(recipes.read(tmp_path / "r.toml"))
    (tmp_path / "r.toml").write_text(recipe.text.replace("length = 11", "length = 20", 1))
    longer = recipes.read(tmp_path / "r.toml")
    with pytest.raises(
        UserError, match=r"model\.length must be the shape of the data\. Given: 20, .* Set model\.length = 11"
    ):
        training._measured(longer, fitting.stages_of(longer)[-1].model)


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
    if name in ("poisson", "negative_binomial"):
        model.compile("adam", jit_compile=False)
        kl = model.fit(30 * x, batch_size=20, epochs=1, verbose=0).history["kl"][0]
        assert kl < 100, "codes of large counts as they are would be thousands of nats from the prior"


def test_counts_along_two_axes_are_series_of_counts_and_nan_is_missing(tmp_path):
    x = np.random.default_rng(0).negative_binomial(2, 0.1, (200, 6, 2)).astype("float32")
    x[::2, 4:] = np.nan
    np.save(tmp_path / "x.npy", x)
    recipe, _ = accepted(tmp_path / "r.toml", tmp_path / "x.npy")
    arguments = recipe.model.arguments
    assert arguments["likelihood"] == {"name": "negative_binomial", "standardize": "channel", "dispersion": "channel"}
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
    (tmp_path / "a.doc").write_text("a")
    with pytest.raises(UserError, match=r"\.csv, \.parquet, \.npy, \.npz or \.txt\. Given: .*a\.doc"):
        drafts.draft(tmp_path / "a.doc", tmp_path / "r.toml")
    (tmp_path / "long.txt").write_text("a" * 300)
    with pytest.raises(UserError, match=r"at most 255 letters\. Given: .*long\.txt, with one of 300"):
        drafts.draft(tmp_path / "long.txt", tmp_path / "r.toml")
    (tmp_path / "w.csv").write_text("a,b\nx,\n")
    with pytest.raises(UserError, match=r"a column of numbers, or several of classes\. .*a: one value; b: empty"):
        drafts.draft(tmp_path / "w.csv", tmp_path / "r.toml")
    with pytest.raises(UserError, match=r"nothing does not exist\. Correct the path"):
        drafts.draft(tmp_path / "nothing", tmp_path / "r.toml")
    (tmp_path / "two.csv").write_text("a,b\n1,0.5\n3,2.5\n")
    with pytest.raises(
        UserError, match=r"needs 2 examples in each split; .*two\.csv, with 2 examples, too few of them"
    ):
        drafts.draft(tmp_path / "two.csv", tmp_path / "r.toml")
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


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["columns", "words", "pictures", "counts"])
def test_every_draft_trains_and_is_read_again(tmp_path, monkeypatch, kind, call):
    monkeypatch.setattr(drafts, "_EPOCHS", (1, 1))
    monkeypatch.chdir(tmp_path)
    if kind == "columns":
        columns, _ = of_kinds(300)
        with open("a.csv", "w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([list(columns), *zip(*columns.values(), strict=True)])
    elif kind == "words":
        (tmp_path / "a.txt").write_text("\n".join(f"number {number}" for number in range(300)))
    elif kind == "pictures":
        write_pictures(tmp_path / "a")
    else:
        np.save("a.npy", np.random.default_rng(0).poisson(3.0, (300, 5)))
    name = next(path.name for path in tmp_path.iterdir())
    call("new", "r.toml", "--data", name)
    call("train", "r.toml", "--quick")
    zoo.verify("runs/r")
    call("encode", "runs/r", f"./{name}", "--output", "z.npy")
    assert len(np.load("z.npy")) == (60 if kind == "pictures" else 300)
    call("sample", "runs/r", "--count", "3", "--output", "s.txt" if kind == "words" else "s.npy")
