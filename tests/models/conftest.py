"""What of the variants the fast tests take: equations, gradients, bounds and arguments of all of them.

What compiles, converts or trains takes seconds for each: of those `make test` takes one model of each kind, as in
conformance, and `make test-all` takes all.
"""

import re

import pytest

FAST = {"test_vae", "test_cvae", "test_vq_vae"}
LONG = re.compile("learns|train|xla|export|bfloat|comes_back|whole_model")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    for item in items:
        name = item.nodeid.split("::", 1)[1]
        if item.path.parent.name == "models" and item.path.stem not in FAST and LONG.search(name):
            item.add_marker(pytest.mark.slow)
