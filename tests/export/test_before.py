"""A bundle of an earlier version, without `examples` and `left_out`: still read, checked, run, timed and shown."""

import json
from pathlib import Path

import numpy as np
import pytest

from keras_vae import export, runtimes
from keras_vae.pages import demo
from tests.benchmarking.test_benchmark import SHORT

BUNDLE = Path(__file__).parents[1] / "fixtures" / "before_house" / "bundle"


@pytest.fixture
def bundle():
    return export.read_bundle(BUNDLE)


def test_it_is_of_before(bundle):
    assert "examples" not in bundle.manifest and "left_out" not in bundle.manifest


def test_every_runtime_still_agrees_with_its_golden_outputs(bundle):
    report = export.check(bundle, ["onnxruntime", "saved_model"])
    assert {row.runtime for row in report.rows} == {"onnxruntime", "saved_model"}
    assert all(row.passed for row in report.rows)


def test_it_runs_by_itself(bundle):
    golden = bundle.golden()["encoder"]
    runtime = runtimes.open(bundle, "onnxruntime")
    codes = runtime.encode(golden["inputs"]["x"])
    np.testing.assert_allclose(codes, golden["outputs"]["mean"], atol=1e-5)
    assert runtime.decode(codes).shape == golden["inputs"]["x"].shape


def test_it_is_timed(bundle):
    results = runtimes.benchmark(bundle, runtimes=["onnxruntime"], **SHORT)
    assert [row["status"] for row in results["rows"]] == ["ok"]
    assert "onnxruntime" in runtimes.markdown(results)


@pytest.mark.slow
def test_the_demo_shows_it(tmp_path):
    made = demo.build(BUNDLE, tmp_path / "site")
    assert json.loads((made.folder / "bundle" / "bundle.json").read_text()) == export.read_bundle(BUNDLE).manifest
    assert (made.folder / "index.html").is_file()
