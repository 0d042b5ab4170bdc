"""A recipe whose model has conditions by name, which its data have as labels: from the file to a bundle's examples."""

import json

import numpy as np
import pytest

from keras_vae import zoo
from keras_vae.data import emoji
from keras_vae.errors import UserError
from keras_vae.zoo import recipes, sampling
from keras_vae.zoo.examples import condition_of, conditions_of, examples_of
from keras_vae.zoo.held_out import HeldOut
from tests.emoji import write_folder
from tests.toy_runs import REMOVED, write_recipe

RECIPE = {
    "model": {
        "class": "CVAE", "image_shape": [64, 64, 3], "latent_dim": 2, "conditions": {"style": 2, "category": 2},
        "likelihood": {"name": "gaussian", "scale": 1.0}, "encoder": {"name": "mlp", "hidden": [4]},
        "decoder": {"name": "mlp", "hidden": [4]},
    },
    "data": {"name": "emoji"}, "training.epochs": 1, "training.batch_size": 20, "evaluation.split": "test",
    "evaluation.samples": 2, "evaluation.overview": REMOVED,
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("emoji"))


@pytest.fixture(autouse=True)
def named(folder, monkeypatch):
    monkeypatch.setenv(emoji.SETTING, str(folder))


@pytest.fixture(scope="module")
def run(folder, tmp_path_factory):
    """A trained run of the recipe, measured in all that applies but annealing, which takes a minute."""
    output = tmp_path_factory.mktemp("runs")
    overview = ["likelihood.bits_per_dim", "latent", "generation", "representation"]
    changes = {**RECIPE, "evaluation.overview": overview}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(emoji.SETTING, str(folder))
        zoo.train(write_recipe(output / "toy.toml", changes), output / "run", verbose=0)
    return output / "run"


def test_conditions_are_the_labels_of_these_names(tmp_path):
    recipe = recipes.read(write_recipe(tmp_path / "r.toml", RECIPE))
    assert conditions_of(recipe) == ("style", "category")
    examples = examples_of(recipe)
    condition = examples.condition
    assert isinstance(condition, dict) and list(condition) == ["style", "category"]
    np.testing.assert_array_equal(condition["style"], examples.images[:, 32, 32, 0] > 0.6)
    np.testing.assert_array_equal(condition["category"], examples.labels)
    one = recipes.read(write_recipe(tmp_path / "one.toml", {"model.class": "CVAE", "model.num_classes": 10}))
    assert conditions_of(one) == ()


def test_a_run_is_trained_and_measured_with_its_conditions(run):
    results, model = zoo.card(run).results, zoo.load(run)
    assert results["evaluation"]["condition"] == "style and category"
    assert "conditioned on the style and category of each image: read p(x\\|y)" in zoo.card(run).markdown()
    examples = examples_of(zoo.card(run).recipe)
    elbo = model.elbo(examples.images, condition=examples.condition)
    assert results["metrics"]["elbo"]["value"] == pytest.approx(elbo.mean(), abs=1e-2)
    swapped = {name: 1 - values for name, values in examples.condition.items()}
    assert abs(model.elbo(examples.images, condition=swapped).mean() - elbo.mean()) > 1e-3, "they matter"
    assert {"reconstruction", "memorisation"} <= set(results["overview"]["generation"])
    assert results["pictures"] == ["reconstructions.png", "samples.png", "traversal.png", "curves.png"]
    rows = zoo.verify(run, log_prob=False)
    assert max(abs(row["difference"]) for row in rows.values()) < 1e-2


def test_samples_are_of_every_combination(run):
    model = zoo.load(run)
    condition = sampling.labels_to_draw(model, 8)
    assert {name: values.tolist() for name, values in condition.items()} == {
        "style": [0, 0, 0, 0, 1, 1, 1, 1], "category": [0, 0, 1, 1, 0, 0, 1, 1],
    }  # fmt: skip
    assert model.sample(8, condition=condition).shape == (8, 64, 64, 3)
    with pytest.raises(UserError, match=r"A label is of a model that takes one.*Given: --label 1"):
        sampling.labels_to_draw(model, 8, 1)


def test_held_out_examples_and_those_of_an_export_have_them(run):
    subject, model = HeldOut.of(run), zoo.load(run)
    part = subject[np.array([3, 1])]
    for name in ("style", "category"):
        np.testing.assert_array_equal(part.condition[name], subject.condition[name][[3, 1]])
    exported = model.provenance.examples()
    assert exported.condition.keys() == {"style", "category"} and len(exported.labels) == len(exported.x)
    model.check_condition(exported.condition, len(exported.x))
    assert condition_of(zoo.load(run), examples_of(zoo.card(run).recipe)).keys() == {"style", "category"}


@pytest.mark.slow
def test_commands_take_it(run, call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for command, *options in (
        ("sample", "--output", "s.png"), ("traverse", "--output", "t.png"), ("interpolate", "--output", "i.png"),
        ("encode", "test[:6]", "--output", "z.npy"), ("evaluate", "--samples", "2"), ("anomaly", "--output", "a.png"),
        ("report", "--output", "r.html", "--count", "10"), ("export", "bundle", "--format", "onnx"),
    ):  # fmt: skip
        call(command, run, *options)
    call("check", "bundle")
    manifest = json.loads((tmp_path / "bundle/bundle.json").read_text(encoding="utf-8"))
    assert {"style", "category"} <= manifest["graphs"]["encoder"]["inputs"].keys()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model.conditions": {"style": 2, "tone": 2}}, r"have: category, style\. Given: 'tone'"),
        (
            {"data": {"name": "mnist"}, "model.image_shape": [28, 28, 1]},
            r"have: none\. Given: 'style'\. Of one label, a CVAE has num_classes",
        ),
        ({"model.conditions": {}}, "conditions are a mapping by name"),
    ],
)
def test_what_is_refused_before_the_first_step(tmp_path, changes, message):
    recipe = {**RECIPE, "model": dict(RECIPE["model"]), **changes}
    with pytest.raises(UserError, match=message):
        zoo.train(write_recipe(tmp_path / "r.toml", recipe), tmp_path / "run", verbose=0)
    assert not (tmp_path / "run/recipe.toml").exists()
