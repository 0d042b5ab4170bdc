"""A finished run becomes an entry of the zoo; and the recipes that wait are sound."""

import os

import pytest

from keras_vae.errors import CorruptFileError, UserError
from keras_vae.zoo import loading, optimizers, priors, queueing, recipes, store
from tests import toy_runs
from tests.benchmarking.programs import ROOT, program


def test_a_finished_run_becomes_the_entry(tmp_path, monkeypatch):
    """All of its files but checkpoints; the comments of the recipe that waits; the card with its new name."""
    adopt, run = program("adopt"), toy_runs.trained()
    monkeypatch.setattr(store, "root", lambda: tmp_path / "zoo")
    monkeypatch.setattr(adopt, "QUEUE", tmp_path / "queue")
    folder, entry = tmp_path / "queue/toy_mnist", tmp_path / "zoo/toy_mnist"
    with pytest.raises(UserError, match=r"next\.toml waits .* Given: toy_mnist, without one"):
        adopt.adopt("toy_mnist")
    entry.mkdir(parents=True)
    text = "# A comment.\n" + (run / store.RECIPE).read_text()
    (entry / store.NEXT).write_text(text)
    (entry / "of_before.png").write_bytes(b"")
    with pytest.raises(UserError, match=r"a run that is to come\."):
        adopt.adopt("toy_mnist")
    toy_runs.copy_of(run, folder)
    weights = (folder / store.WEIGHTS).read_bytes()
    (folder / store.WEIGHTS).write_bytes(weights[:1000])
    with pytest.raises(CorruptFileError, match=r"are not those of the card"):
        adopt.adopt("toy_mnist")
    assert sorted(os.listdir(entry)) == ["next.toml", "of_before.png"]
    (folder / store.WEIGHTS).write_bytes(weights)
    assert [item.state for item in queueing.waiting("*", tmp_path / "queue")] == ["finished"]
    adopt.adopt("toy_mnist")
    assert set(os.listdir(entry)) == {*toy_runs.FILES} - {"checkpoint.safetensors"}
    assert (entry / store.RECIPE).read_text() == text
    assert 'zoo.load("toy_mnist")' in (entry / store.CARD).read_text()
    assert queueing.waiting("*", tmp_path / "queue") == []


def test_every_recipe_that_waits_builds_its_model():
    """Read, checked and built: a queue of a day does not stop at a typing error."""
    for path in sorted((ROOT / "zoo").glob("*/next.toml")):
        recipe = recipes.read(path)
        model = loading.build(recipe)
        priors.build(recipe, model)
        model.compile(optimizers.from_spec(recipe.training.optimizer), jit_compile=False)
        few = recipe.evaluation.likelihood_examples == 200  # of tens of thousands of nats each
        assert recipe.evaluation.samples == (500 if few else 5000) and recipe.evaluation.split == "test"
        assert (recipe.data.train, recipe.data.validation) == ("train", "validation")
