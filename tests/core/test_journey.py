"""How many files a reader opens to follow one training step."""

import importlib.util
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "journey.py"


@pytest.fixture(scope="module")
def journey():
    spec = importlib.util.spec_from_file_location("journey", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.journey


def test_a_step_of_a_vae_passes_through_six_files(journey):
    found = journey("VAE")
    assert set(found["files"]) == {
        "backend/__init__.py", "core/vae.py", "likelihoods/base.py", "likelihoods/bernoulli.py", "networks/mlp.py",
        "schedules.py",
    }  # fmt: skip
    assert found["calls"] == sum(found["files"].values()) > 20
    assert 5 <= found["changes"] < found["calls"]


@pytest.mark.parametrize(
    "name", ["VQVAE", *(pytest.param(n, marks=pytest.mark.slow) for n in ("SemiSupervisedVAE", "HierarchicalVAE"))]
)
def test_a_variant_adds_its_own_file_and_its_parts(journey, name):
    files = journey(name)["files"]
    assert [file for file in files if file.startswith("models/")]
    assert not [file for file in files if file.startswith(("data/", "evaluation/", "checks.py"))]
    assert len(files) <= 12
