"""zoo.load: what it imports, runs of versions before, and the digests that tie results to recipes."""

import hashlib
import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from keras_vae import zoo
from keras_vae.errors import CorruptFileError, UserError
from keras_vae.export.entries import export_entry
from keras_vae.files import digest, sha256
from keras_vae.pages import demo
from keras_vae.zoo import checkpoints, store, training
from keras_vae.zoo.evaluations import evaluate
from keras_vae.zoo.held_out import HeldOut
from tests import toy_runs, toys

BEFORE_HOUSE = Path(__file__).resolve().parents[1] / "fixtures/before_house/run"


def test_loading_imports_no_training_code_and_no_plotting(tmp_path):
    """A service that loads a model pays for the model only."""
    code = """
import sys
import keras, numpy, tensorflow_probability  # Keras imports a part of scikit-learn and matplotlib where there are any
before = set(sys.modules)
from keras_vae import zoo
from keras_vae.errors import CorruptFileError
zoo.load("vae_mnist").encode(numpy.zeros((1, 28, 28, 1), "float32"))
new = sorted(set(sys.modules) - before)
print([name for name in new if name.startswith(("sklearn", "matplotlib"))])
print([name for name in new if name.startswith(("keras_vae.zoo.", "keras_vae.tasks", "keras_vae.evaluation"))])
print([name for name in ("keras_vae.callbacks", "keras_vae.plots") if name in new])
"""
    needed = "cards contents examples fetching hub_folders loading recipes store toml_files trust wording"
    rooms = [f"keras_vae.zoo.{name}" for name in needed.split()]
    done = toy_runs.python(["-c", code], tmp_path)
    assert (done.returncode, done.stdout) == (0, f"[]\n{rooms}\n[]\n"), done.stderr[-2000:]


@pytest.mark.parametrize("name", zoo.names())
def test_the_results_of_every_entry_are_of_its_recipe(name):
    """No version of the program may change what is read of a recipe."""
    card = zoo.card(name)
    assert card.results["recipe"] == card.recipe.content
    assert card.results["recipe_sha256"] == digest(card.recipe.content)


def test_a_run_of_the_version_before_is_loaded_finished_and_listed(tmp_path, monkeypatch):
    """As it was written, with nothing migrated: the numbers of its card come from its weights."""
    run = Path(shutil.copytree(BEFORE_HOUSE, tmp_path / "old"))
    before = {name: (run / name).read_bytes() for name in os.listdir(run)}
    card = zoo.card(run)
    assert card.results["recipe_sha256"] == sha256(run / store.RECIPE)

    model = zoo.load(run)
    rows = zoo.verify(run)
    assert set(rows) == set(card.results["metrics"])
    assert all(abs(row["difference"]) <= 1e-3 for row in rows.values())
    assert int(model.step.numpy()) == card.results["training"]["steps"]

    again = zoo.train(run / "recipe.toml", run, verbose=0)
    for first, second in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(first, second)
    assert {name: (run / name).read_bytes() for name in os.listdir(run)} == before, "a finished run is not repeated"


def test_the_card_of_a_run_of_the_version_before_is_shown(capsys):
    from keras_vae.cli import main

    with pytest.raises(SystemExit) as left:
        main(["show", str(BEFORE_HOUSE)])
    printed = capsys.readouterr()
    assert left.value.code == 0, printed.err
    sha256 = json.loads((BEFORE_HOUSE / "results.json").read_text(encoding="utf-8"))["weights"]["sha256"]
    assert sha256 in re.sub(r"\s", "", printed.out)


def test_an_interrupted_run_of_the_version_before_resumes_from_its_checkpoint(tmp_path):
    """Its checkpoint, without results: the last epoch is in it, so only the measuring is left."""
    run = Path(shutil.copytree(BEFORE_HOUSE, tmp_path / "old"))
    results = store.entry(run).results
    before = zoo.load(run)
    for name in (store.RESULTS, store.OLD_WEIGHTS, store.CARD):
        (run / name).unlink()
    model = zoo.train(run / "recipe.toml", run, verbose=0)
    again = store.entry(run).results
    assert again["training"]["history"] == results["training"]["history"]
    assert again["weights"]["file"] == store.WEIGHTS and toys.same(toys.weights(model), toys.weights(before))
    assert int(model.step.numpy()) == results["training"]["steps"]
    assert (run / checkpoints.OLD_NAME).is_file()


EDITS = {
    "a model's size": ({"model.latent_dim": 2}, r"model\.latent_dim is 2, and was 3"),
    "a schedule": ({"model.beta.final": 1.0}, r"model\.beta\.final is 1, and was 4"),
    "an argument": ({"model.free_bits": 0.5}, r"model\.free_bits is 0\.5, and was left out"),
    "the likelihood": ({"model.likelihood": "continuous_bernoulli"}, r"model\.likelihood is .*, and was left out"),
    "the data": ({"data.binarize": toy_runs.REMOVED}, r'data\.binarize is left out, and was "dynamic"'),
    "training": ({"training.seed": 1}, r"training\.seed is 1, and was left out"),
    "a prior": ({"prior.class": "MixturePrior"}, r'prior\.class is "MixturePrior", and was left out'),
}


@pytest.mark.parametrize("what", EDITS)
def test_an_edited_recipe_is_found_by_every_reader(run, tmp_path, capsys, what):
    """It would load the weights into another model, or show numbers that are not its."""
    from keras_vae.cli import main

    folder = toy_runs.copy_of(run, tmp_path / "toy")
    changes, message = EDITS[what]
    toy_runs.write_recipe(folder / "recipe.toml", changes)
    message = rf"recipe\.toml is not the recipe of .*{message}\. Put that back; or train .*load\('.*toy', weights=Fa"
    recipe = folder / "recipe.toml"
    readers = [
        zoo.card, zoo.load, zoo.prior, zoo.verify, HeldOut.of, lambda name: evaluate(name, ["summary"]),
        lambda name: export_entry(name, tmp_path / "bundle"), lambda name: demo.build(name, tmp_path / "page"),
        lambda name: zoo.train(recipe, name), training.measure_again,
    ]  # fmt: skip
    for reader in readers:
        with pytest.raises(CorruptFileError, match=message):
            reader(folder)
    with pytest.raises(SystemExit) as left:
        main(["show", str(folder)])
    assert left.value.code == 1 and capsys.readouterr().err.count("\n") == 1
    assert zoo.load(folder, weights=False).provenance.weights_sha256 is None
    assert sorted(os.listdir(tmp_path)) == ["toy"]


def test_what_changes_no_weight_and_no_number_may_be_edited(own_run):
    text = (own_run / "recipe.toml").read_text().replace("A toy that", "This is a toy that")
    text = text.replace("latent_dim = 3", "latent_dim = 3  # few").replace("final = 4.0", "final = 4")
    text = text.replace("[training]", "[training]\nseed = 0")
    (own_run / "recipe.toml").write_text(text)
    assert zoo.card(own_run).recipe.summary == "This is a toy that learns little."
    zoo.load(own_run)


def test_another_evaluation_is_of_other_numbers_and_of_the_same_weights(own_run):
    toy_runs.write_recipe(own_run / "recipe.toml", {"evaluation.samples": 9})
    message = r"is not the recipe of .*: evaluation\.samples is 9, and was 8\. Put"
    for reader in (zoo.card, zoo.verify, lambda run: training.measure_again(run, ["latent.kl_split"])):
        with pytest.raises(CorruptFileError, match=message):
            reader(own_run)
    assert zoo.load(own_run).provenance.weights_sha256
    training.measure_again(own_run)
    assert zoo.card(own_run).results["recipe"]["evaluation"]["samples"] == 9


def test_seeds_that_were_measured_in_another_way_are_no_longer_beside_the_new_numbers(own_run):
    metrics = zoo.card(own_run).results["metrics"]
    seed = {"seed": 1, "epochs": 2, "seconds": 1.0, "metrics": {"elbo": metrics["elbo"]}}
    toy_runs.edit_results(own_run, lambda results: results.update(seeds=[seed]))
    training.measure_again(own_run)  # the same evaluation: they stay, with what they have been measured for
    text = zoo.card(own_run).markdown()
    assert zoo.card(own_run).results["seeds"] == [seed] and "| ELBO | -" in text.split("trained with 2 seeds")[1]
    toy_runs.write_recipe(own_run / "recipe.toml", {"evaluation.samples": 9})
    training.measure_again(own_run)
    assert "seeds" not in zoo.card(own_run).results and "trained with 2 seeds" not in zoo.card(own_run).markdown()


def test_a_recipe_that_changes_while_it_is_measured_is_refused(own_run, monkeypatch):
    """Numbers of one evaluation are never sealed with another."""
    before, measured = (own_run / "results.json").read_bytes(), training.results.evaluated

    def slowly(*arguments, **options):
        toy_runs.write_recipe(own_run / "recipe.toml", {"evaluation.samples": 9})
        return measured(*arguments, **options)

    monkeypatch.setattr(training.results, "evaluated", slowly)
    with pytest.raises(UserError, match=r"must stay what it is .* Given: evaluation\.samples is 9, and was 8\."):
        training.measure_again(own_run)
    assert (own_run / "results.json").read_bytes() == before


def test_a_metric_is_added_to_a_run_without_an_overview(own_run):
    assert zoo.card(own_run).results["overview"] == {}
    again = training.measure_again(own_run, ["latent.collapse"])
    assert again["overview"]["split"] == "test[:300]" and "collapse" in again["overview"]["latent"]
    assert "More metrics" in zoo.card(own_run).markdown() or "dimensions" in zoo.card(own_run).markdown()


@pytest.mark.parametrize("key", ["metrics", "weights", "training", "recipe", "recipe_sha256", "sha256", "versions"])
def test_edited_results_are_found(own_run, key):
    path = own_run / "results.json"
    results = json.loads(path.read_text())
    path.write_text(json.dumps(results))
    zoo.card(own_run)  # laid out in another way
    results[key] = {} if isinstance(results[key], dict) else "0" * 64
    path.write_text(json.dumps(results))
    for reader in (zoo.card, zoo.load, zoo.verify):
        with pytest.raises(CorruptFileError, match=r"results\.json is not .*: its digest is .* To repair it"):
            reader(own_run)


def test_the_text_of_a_recipe_of_an_earlier_version_is_compared(tmp_path):
    run = Path(shutil.copytree(BEFORE_HOUSE, tmp_path / "old"))
    (run / "recipe.toml").write_text((run / "recipe.toml").read_text().replace("[4]", "[5]"))
    with pytest.raises(CorruptFileError, match=r"is not the recipe of .*: its text has another SHA-256"):
        zoo.load(run)


@pytest.mark.parametrize("change", [{"file": "../other.safetensors"}, {"file": ""}, {"file": "checkpoint.safetensors"}])
def test_results_that_name_another_file_are_refused(own_run, change):
    toy_runs.edit_results(own_run, lambda results: results["weights"].update(change))
    with pytest.raises(
        CorruptFileError,
        match=r"(must name the weights file model\.safetensors.*Given: |weights\.file is not a string).*To repair it",
    ):
        zoo.load(own_run)


def test_weights_that_are_a_link_are_refused(own_run, tmp_path):
    (own_run / store.WEIGHTS).rename(tmp_path / "elsewhere")
    (own_run / store.WEIGHTS).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CorruptFileError, match=r"no symbolic link\. Given: .*model\.safetensors\. Copy .*cp -rL"):
        zoo.load(own_run)


READ = """
import hashlib
from keras_vae import models, zoo
models.VAE(latent_dim=2)  # Keras numbers the layers of the next model on from these
model = zoo.load("toy")
print(hashlib.sha256(b"".join(array.tobytes() for array in model.get_weights())).hexdigest())
"""


def test_a_run_is_read_by_another_process_that_made_other_models(own_run):
    model = zoo.load(own_run)
    expected = hashlib.sha256(b"".join(array.tobytes() for array in model.get_weights())).hexdigest()
    done = toy_runs.python(["-W", "ignore", "-c", READ], own_run.parent)
    assert (done.returncode, done.stdout.split()[-1:]) == (0, [expected]), done.stderr[-2000:]
