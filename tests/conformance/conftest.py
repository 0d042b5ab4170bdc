"""Which models the fast tests take through conformance: one of each kind. `make test-all` takes all."""

import pytest

# Plain, with schedule and free bits, conditional, of two players, of integer codes, of several levels.
FAST = {"VAE", "BetaVAE", "CVAE", "FactorVAE", "VQVAE", "HierarchicalVAE"}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    for item in items:
        name = getattr(item, "callspec", None) and item.callspec.params.get("name")
        if "conformance" in item.path.parts and name is not None and name not in FAST and item.path.stem != "test_zoo":
            item.add_marker(pytest.mark.slow)
