"""benchmarks/convert_weights.py: an earlier run becomes one of today, bit for bit, or stays as it is."""

import importlib.util
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from keras_vae import weights, zoo
from keras_vae.errors import CorruptFileError
from keras_vae.files import sha256, write_json
from keras_vae.zoo import store
from tests import toys

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def program():
    spec = importlib.util.spec_from_file_location("convert_weights", ROOT / "benchmarks/convert_weights.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def old(tmp_path):
    return Path(shutil.copytree(ROOT / "tests/fixtures/before_house/run", tmp_path / "old"))


def test_a_run_is_converted_once(program, old):
    before, results = zoo.load(old), store.entry(old).results
    kept = {name for name in os.listdir(old) if name != store.OLD_WEIGHTS}
    assert program.main([str(old)]) == {str(old): True}
    after = store.entry(old).results
    path = old / store.WEIGHTS
    assert after["weights"] == {
        **results["weights"], "file": path.name, "sha256": sha256(path), "bytes": path.stat().st_size
    }  # fmt: skip
    added = {
        "recipe": store.entry(old).recipe.content,
        "recipe_sha256": after["recipe_sha256"],
        "sha256": after["sha256"],
    }
    assert {**after, "weights": None} == {**results, **added, "weights": None}
    assert set(os.listdir(old)) == {*kept, store.WEIGHTS} and sha256(path) in (old / store.CARD).read_text()
    assert toys.same(toys.weights(zoo.load(old)), toys.weights(before))
    assert program.main([str(old)]) == {str(old): False}


def test_results_alone_are_converted(program, old):
    """Of a run whose weights are of today, and whose results are not tied to its recipe."""
    program.main([str(old)])
    results = store.entry(old).results
    before = {key: value for key, value in results.items() if key not in ("recipe", "sha256")}
    write_json(old / store.RESULTS, {**before, "recipe_sha256": sha256(old / store.RECIPE)})
    assert program.main([str(old)]) == {str(old): True}
    assert store.entry(old).results == results
    assert program.main([str(old)]) == {str(old): False}


def test_a_number_that_would_change_stops_it(program, old, monkeypatch):
    files = {name: (old / name).read_bytes() for name in os.listdir(old)}
    save = weights.save

    def another(path, arrays):
        save(path, {name: array + np.ones((), array.dtype) for name, array in arrays.items()})

    monkeypatch.setattr(weights, "save", another)
    with pytest.raises(CorruptFileError, match=r"model\.safetensors would not hold .* Nothing was converted"):
        program.main([str(old)])
    assert {name: (old / name).read_bytes() for name in os.listdir(old)} == files
