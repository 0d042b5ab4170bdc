"""Entries of the zoo in eight bits: their recipes, what was measured of them, and a run that is converted."""

import json

import numpy as np
import pytest
from safetensors import safe_open

from keras_vae import zoo
from keras_vae.errors import UserError
from keras_vae.files import read_array
from keras_vae.zoo import recipes, store
from tests import toy_runs
from tests.benchmarking.programs import program
from tests.run_fixtures import own_zoo as own_zoo
from tests.run_fixtures import run as run

eight_bits = program("eight_bits")


def test_only_the_storage_of_a_recipe_changes(tmp_path):
    entries = [store.entry(name) for name in zoo.names()]
    for entry in (entry for entry in entries if entry.recipe.training.storage != "int8"):
        (tmp_path / "recipe.toml").write_text(eight_bits.with_storage(entry.recipe.text))
        new = recipes.read(tmp_path / "recipe.toml")
        assert new.changed_since(entry.recipe) == 'training.storage is "int8", and was left out'
        assert recipes.of_training(new.content) == recipes.of_training(entry.recipe.content)


def test_what_was_measured_is_of_the_entries():
    rows = json.loads(eight_bits.OUTPUT.read_text())["entries"]
    for name, row in rows.items():
        results = store.entry(name).results
        assert store.entry(name).recipe.training.storage == "int8"
        assert row["bytes"]["int8"] == sum(results[part]["bytes"] for part in ("weights", "prior") if part in results)
        for key, difference in row["differences"].items():
            value = results["metrics"][key]["value"]
            assert value - difference["of"] == pytest.approx(difference["value"], abs=1e-4 + 1e-6 * abs(value))


@pytest.mark.slow
def test_a_run_in_eight_bits_is_measured_as_it_is_stored(run, own_zoo, tmp_path, monkeypatch):
    toy_runs.copy_of(run, own_zoo / "a_toy")
    monkeypatch.setattr(eight_bits, "QUEUE", tmp_path / "queue")
    row, converted = eight_bits.convert("a_toy"), tmp_path / "queue" / "a_toy"
    with safe_open(converted / store.WEIGHTS, framework="np") as file:
        kinds = {file.get_tensor(name).dtype.name for name in file.keys()}  # noqa: SIM118 - no mapping
    assert {"int8", "float16"} <= kinds and row["bytes"]["int8"] < 0.6 * row["bytes"]["float16"]
    assert (own_zoo / "a_toy" / "next.toml").read_text() == (converted / store.RECIPE).read_text()
    assert all(abs(compared["difference"]) < 1e-3 for compared in zoo.verify(converted).values())
    pairs = read_array(converted / store.LOG_PROBS) - read_array(own_zoo / "a_toy" / store.LOG_PROBS)
    assert row["differences"]["log_prob"]["value"] == pytest.approx(pairs.mean(), abs=1e-6)
    assert row["differences"]["log_prob"]["standard_error"] == pytest.approx(np.std(pairs, ddof=1) / len(pairs) ** 0.5)
    assert 0 < np.abs(pairs).max() < 1
    with pytest.raises(UserError, match=r"stored in eight bits once, .* Given: a_toy\."):
        eight_bits.convert("a_toy")
