"""Trainings on digits: one of each kind in the fast tests, as in conformance. `make test-all` takes all."""

import pytest

FAST = {f"test_{name}" for name in ("vae", "beta_vae", "cvae", "factor_vae", "vq_vae", "hierarchical_vae")}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.parent.name == "models" and "learns_digits" in item.name and item.path.stem not in FAST:
            item.add_marker(pytest.mark.slow)
