"""Which models the fast tests take through conformance: one of each kind. `make test-all` takes all."""

import pytest

# Plain, and of integer codes. XLA takes seconds to compile each of the others.
FAST = {"VAE", "VQVAE"}
CHEAP = {"test_cases", "test_zoo"}  # which reads the docstrings of all; which has a choice of its own


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    for item in items:
        name = getattr(item, "callspec", None) and item.callspec.params.get("name")
        if "conformance" in item.path.parts and name is not None and name not in FAST and item.path.stem not in CHEAP:
            item.add_marker(pytest.mark.slow)
