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
from keras_vae.errors import CorruptFileError
from keras_vae.zoo import cards, checkpoints, store
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
    rooms = [f"keras_vae.zoo.{name}" for name in ("cards", "examples", "loading", "recipes", "store")]
    done = toy_runs.python(["-c", code], tmp_path)
    assert (done.returncode, done.stdout) == (0, f"[]\n{rooms}\n[]\n"), done.stderr[-2000:]


@pytest.mark.parametrize("name", zoo.names())
def test_the_results_of_every_entry_are_of_its_recipe(name):
    """The digest of a recipe is of its text: no version of the program may change it."""
    card = zoo.card(name)
    assert card.results["recipe_sha256"] == cards.recipe_sha256(card.recipe)


def test_a_run_of_the_version_before_is_loaded_finished_and_listed(tmp_path, monkeypatch):
    """As it was written, with nothing migrated: the numbers of its card come from its weights."""
    run = Path(shutil.copytree(BEFORE_HOUSE, tmp_path / "old"))
    before = {name: (run / name).read_bytes() for name in os.listdir(run)}
    card = zoo.card(run)
    assert card.results["recipe_sha256"] == cards.recipe_sha256(card.recipe)

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


@pytest.mark.parametrize(
    "change", [{"file": "../other.safetensors"}, {"file": None}, {"file": "checkpoint.safetensors"}]
)
def test_results_that_name_another_file_are_refused(own_run, change):
    toy_runs.edit_results(own_run, lambda results: results["weights"].update(change))
    with pytest.raises(CorruptFileError, match=r"must name the weights file model\.safetensors.*Given: .*To repair it"):
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
