"""Every model under MirroredStrategy, two logical CPUs: it trains to the weights that one device gives.

Noise belongs to an example's position in the global batch, so that two replicas and one device draw the same, and what
is a number of a batch, and no mean over its examples, is computed of the examples of all replicas. Models in
`OTHER_DRAWS` have other noise under any strategy, whatever the replicas.
"""

import json
import os
import subprocess
import sys

import pytest

from keras_vae.models import MODELS
from tests.conformance.cases import OTHER_DRAWS

# In float64, four steps of SGD: what is left is sums in another order.
TOLERANCE = 1e-9

# Fast are the table here, and a VAE in tests/core/test_strategies.py.
models = pytest.mark.parametrize("model", sorted(MODELS))


@pytest.fixture(scope="module")
def reports(request):
    """What `tests.replicas` found of the models that are tested, all in one process."""
    chosen = {item.callspec.params["model"] for item in request.session.items if item.path == request.path
              and hasattr(item, "callspec")}  # fmt: skip
    return run(sorted(chosen))


def run(names):
    done = subprocess.run(
        [sys.executable, "-m", "tests.replicas", *names], capture_output=True, text=True, timeout=1200,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([os.getcwd(), *sys.path])},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.split("REPORT")[1])

    def get(name):
        assert "error" not in found[name], found[name]["error"]
        return found[name]

    return get


def test_the_table_speaks_of_models():
    assert set(MODELS) >= set(OTHER_DRAWS)


@pytest.mark.slow
@models
def test_both_replicas_hold_equal_weights_that_moved(reports, model):
    found = reports(model)
    assert found["finite"] and found["replicas"] == 2
    assert found["equal on both"]
    assert found["moved"] > 1e-5, "every variable"


@pytest.mark.slow
@pytest.mark.parametrize("model", sorted(set(MODELS) - OTHER_DRAWS))
def test_two_replicas_train_to_the_weights_of_one_device(reports, model):
    """With the same global batches, and the noise of the same examples."""
    assert reports(model)["from one device"] < TOLERANCE
