"""study.toml: what is read, which recipes it means, and what is refused before the first run. No TensorFlow here."""

import json
import re
from pathlib import Path

import pytest

from keras_vae.errors import UserError
from keras_vae.sweeps import progress, studies
from keras_vae.sweeps.spaces import Range
from keras_vae.zoo import recipes, toml_files
from tests import toy_runs
from tests.sweeps import studies_of

ROOT = Path(__file__).parents[2]


def test_a_study_is_read_and_its_recipes_differ_in_its_keys_alone(tmp_path):
    space = '"training.optimizer" = [{ name = "sgd", learning_rate = 0.1 }, "rmsprop"]\n"model.encoder.hidden" = [[8]]'
    study = studies.read(studies_of.write(tmp_path, space=space))
    assert list(study.seeds) == [0, 1] and study.name == tmp_path.name and study.prune is None
    assert study.keys == ["model.latent_dim", "training.optimizer", "model.encoder.hidden"]
    made = [recipe.content for recipe in study.corners()]
    base = recipes.read(tmp_path / "toy.toml").content
    base["model"]["encoder"]["hidden"] = [8]
    sgd, other = {"name": "sgd", "learning_rate": 0.1}, "rmsprop"
    for content, latents, optimizer in zip(made, (2, 3, 2), (sgd, sgd, other), strict=True):
        model, training = base["model"] | {"latent_dim": latents}, base["training"] | {"optimizer": optimizer}
        assert content == base | {"model": model, "training": training}


def test_a_key_of_what_is_named_in_short_leaves_the_name(tmp_path):
    path = studies_of.write(
        tmp_path, space="training.optimizer.learning_rate = [0.5]", changes={"training.optimizer": "adam"}
    )
    (recipe, _) = studies.read(path).corners()
    assert recipe.training.optimizer == {"name": "adam", "learning_rate": 0.5}


def test_paths_of_data_count_from_the_recipe(tmp_path):
    changes = {"data.name": toy_runs.REMOVED, "data.source": "array", "data.path": "x.npy"}
    (recipe, _) = studies.read(studies_of.write(tmp_path, changes=changes)).corners()
    assert recipe.data_path == tmp_path / "x.npy"
    assert 'path = "../../x.npy"' in recipes.moved(recipe, tmp_path / "runs/c000-s0")


def test_a_name_of_the_zoo_is_a_recipe(tmp_path):
    path = tmp_path / "many.toml"
    path.write_text('recipe = "vae_mnist"\nmetrics = ["metrics.elbo"]\n')
    study = studies.read(path)
    (recipe,) = study.corners()
    zoo = recipes.read(ROOT / "zoo/vae_mnist/recipe.toml")
    assert study.name == "many" and recipe.content == zoo.content and recipe.published is None


ONE = 'sampler = "random"\nconfigurations = 1'


@pytest.mark.parametrize(
    ("options", "space", "message"),
    [
        (
            "",
            "model.latent_dims = [1]\ntraining.epoch = [1]",
            r"study.toml: unknown key training.epoch. Did you mean",
        ),
        ("", 'training.epochs = [1, "many"]', r"study.toml: training.epochs must be a whole number. Given: 'many'"),
        ("", "training.epochs = [1, 0]", r"training.epochs must be 1 or more. Given: 0"),
        ("", "training.epochs = [2026-01-01]", r"training.epochs must be a string, a number.*a date or a time"),
        ("", "model.seed = [1]", r"write training.seed, not model.seed"),
        ("", "training.seed = [1]", r"Given: training.seed. Seeds stand in seeds"),
        ("", "training.epochs = []", r"training.epochs takes a list of one value or more"),
        ("", "model.encoder.hidden = [8, 8]", r"all different; one that is a list stands in a list. Given: \[8, 8\]"),
        ("", "training.epochs.many = [1]", r"training.epochs.many is a key of a table. Given: epochs = 2"),
        ("", "nothing = [1]", r"unknown key nothing"),
        ("", "model.beta = { low = 1, high = 2 }", r"a grid takes lists of values; ranges are for"),
        ('sampler = "random"', "", r"configurations is their number, 1 or more. Given: None"),
        ('sampler = "random"\nconfigurations = 0', "", r"configurations is their number, 1 or more. Given: 0"),
        ("configurations = 2", "", r'configurations are counted for "random" and "tpe"'),
        (ONE, "model.beta = { low = 2, high = 1 }", r"and high, above low"),
        (ONE, "model.beta = { low = 0, high = 1, log = true }", r"above 0 where"),
        (
            'sampler = "random"\nconfigurations = 1',
            "model.beta = { low = 0, high = 1, lag = true }",
            r"key space.model.be",
        ),
        (
            'sampler = "random"\nconfigurations = 1',
            "model.beta = { low = 0, high = inf }",
            r"beta must be a finite number",
        ),
        ('sampler = "bayes"', "", r"Unknown sampler 'bayes'"),
        ('goal = "highest"', "", r"Unknown goal 'highest'"),
        ("round = 0", "", r"round is 1 or more"),
        ("seed = -1", "", r"seed is 0 or more"),
        ("sampels = 2", "", r"study.toml: unknown key sampels. Did you mean 'sampler'"),
        ("summary = 2", "", r"study.toml: summary must be a string. Given: 2"),
        ('prune = { epochs = "all" }', "", r"prune.epochs must be a list of whole numbers"),
        ("prune = { epochs = [2, 1] }", "", r"prune.epochs are 1 or more, each more"),
        ("prune = { epochs = [] }", "", r"prune.epochs are 1 or more, each more"),
        ("prune = { epochs = [1], keep = 1 }", "", r"prune.keep is a share"),
        ("prune = { epochs = [1, 2] }", "", r"prune.epochs are before the last of training.epochs. Given: 2, and 2"),
        ("prune = 3", "", r"the spaces of a study are tables"),
        ("space = 3", None, r"the spaces of a study are tables"),
    ],
)
def test_what_does_not_fit_is_refused_in_the_words_of_the_recipe(options, space, message, tmp_path):
    path = studies_of.write(tmp_path, options, space or "")
    if space is None:
        path.write_text(f'recipe = "toy.toml"\nmetrics = ["metrics.elbo"]\n{options}')
    with pytest.raises(UserError, match=message):
        studies.read(path)


@pytest.mark.parametrize(
    ("seeds", "message"),
    [
        ("0", "seeds are different, 0 or more"),
        ("[]", "seeds are different"),
        ("[1, 1]", "seeds are different"),
        ("[-1]", "seeds are different"),
        ("1.5", "seeds must be a whole number or a list of whole numbers"),
        ("true", "seeds must be a whole number or a list of whole numbers"),
        ("200_000", "a study has at most 100,000 runs. Given: 200,002"),
        ("[9_999_999_999]", "training.seed must be at most"),
    ],
)
def test_seeds(seeds, message, tmp_path):
    path = studies_of.write(tmp_path)
    path.write_text(path.read_text().replace("seeds = 2", f"seeds = {seeds}"))
    with pytest.raises(UserError, match=message):
        studies.read(path)


def test_every_combination_is_read_or_the_corners_of_many(tmp_path):
    path = studies_of.write(tmp_path, space="training.batch_size = [50, 100]")
    study = studies.read(path)
    assert [len(list(study.tried(most))) for most in (4, 3)] == [4, 3], "of two keys, three corners"
    ranges = studies_of.write(tmp_path, ONE, "model.beta = { low = 1.0, high = 2.0 }")
    assert len(list(studies.read(ranges).tried(99))) == 3


def test_a_metric_is_a_path_of_results(tmp_path):
    path = studies_of.write(tmp_path)
    path.write_text(path.read_text().replace('"metrics.squared_error"', '"elbo"'))
    with pytest.raises(UserError, match=r"metrics are paths of results.json, as .*Given: \['elbo'\]"):
        studies.read(path)


def test_a_file_that_is_none(tmp_path):
    with pytest.raises(UserError, match=r"Cannot read the study .*none.toml: No such file"):
        studies.read(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("recipe = ")
    with pytest.raises(UserError, match=r"A study is a TOML file. Given: .*bad.toml"):
        studies.read(tmp_path / "bad.toml")
    (tmp_path / "bad.toml").write_text('recipe = "nowhere.toml"\nmetrics = ["metrics.elbo"]')
    with pytest.raises(UserError, match=r"Cannot read the recipe .*nowhere.toml"):
        studies.read(tmp_path / "bad.toml")


def test_a_range_is_drawn_from_evenly_and_within_its_bounds():
    assert [Range(0.0, 2.0).at(share) for share in (0.0, 0.5)] == [0.0, 1.0]
    assert Range(0.01, 1.0, log=True).at(0.5) == pytest.approx(0.1)
    whole = [Range(1, 3).at(share / 300) for share in range(300)]
    assert [whole.count(value) for value in (1, 2, 3)] == [100, 100, 100]
    logarithmic = [Range(1, 7, log=True).at(share / 300) for share in range(300)]
    assert [sum(2**k <= value < 2 ** (k + 1) for value in logarithmic) for k in range(3)] == pytest.approx(
        [100] * 3, abs=1
    )


@pytest.mark.parametrize(
    "value",
    [1, 1.5, 1e-5, 1e16, True, "é\n\"'\\\x7f\U0001f600", [1, [2, "a"]], {"a": 1, "b c.d": {"x": [1.0]}}, [], {}],
)
def test_toml_is_read_as_it_was_written(value, tmp_path):
    path = tmp_path / "it.toml"
    path.write_text(toml_files.sections({"top": value, "part": {"key": value}}), encoding="utf-8")
    text, table = toml_files.read(path, "file")
    assert json.dumps(table) == json.dumps({"top": value, "part": {"key": value}}), text


def test_the_study_of_the_page_has_the_runs_that_the_page_says(tmp_path):
    page = (ROOT / "docs/use/sweeps.md").read_text(encoding="utf-8")
    toy_runs.write_recipe(tmp_path / "recipe.toml", {"training.optimizer": "adam"})
    (tmp_path / "study.toml").write_text(re.search(r"```toml\n(.*?)```", page, re.S)[1])
    runs = progress.survey(studies.read(tmp_path / "study.toml"), tmp_path / "out").runs
    assert f"--array=0-{len(runs) - 1} " in page and "--run INDEX" in page


def test_the_study_of_the_tips_is_the_one_that_was_recorded(tmp_path):
    study = studies.read(ROOT / "benchmarks/tips/study.toml")
    recorded = json.loads((ROOT / "benchmarks/tips.json").read_text(encoding="utf-8"))["rows"]
    contents = [run.recipe.content for run in progress.survey(study, tmp_path).runs if run.seed == 0]
    made = [
        (
            each["training"]["optimizer"]["learning_rate"],
            each["training"].get("batch_size", 128),
            each["model"]["latent_dim"],
        )
        for each in contents
    ]
    assert sorted(made) == sorted((row["learning_rate"], row["batch"], row["latent_dim"]) for row in recorded)
