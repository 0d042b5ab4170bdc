"""Every model after fifty steps has the weights that it had when they were stored: equations, noise and data order.

The stored weights are of float64, where another processor rounds differently by 1e-13 and a changed draw, term or
order of examples shows at once. `python -m tests.conformance.test_fifty_steps NAME` stores those of a new model;
without a name those of all, which only a declared break of equality may do.
"""

import platform
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_vae.models import MODELS
from tests.conformance.cases import examples, labels, make
from tests.toys import PLAIN, weights

# Of what takes seconds for each model, those that have, together, each part of the engine that others share.
FAST = {"FactorVAE", "HierarchicalVAE", "SequenceVAE", "VAE", "VQVAE"}
STORED = Path(__file__).parents[1] / "fixtures" / "fifty_steps.npz"


def after_fifty_steps(name):
    model = make(name, dtype="float64")
    model.compile(keras.optimizers.Adam(0.01), **PLAIN)
    model.fit(examples(model), labels(model), batch_size=24, epochs=25, verbose=0)
    assert int(model.step) == 50
    return {str(place): weight for place, weight in enumerate(weights(model))}


@pytest.fixture(scope="module")
def stored():
    with np.load(STORED) as file:
        return dict(file)


@pytest.mark.parametrize(
    "name", [name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in sorted(MODELS)]
)
def test_fifty_steps_end_where_they_did(stored, name):
    expected = {key.split("/")[1]: array for key, array in stored.items() if key.split("/")[0] == name}
    assert expected, f"no weights of {name} are stored"
    found = after_fifty_steps(name)
    assert found.keys() == expected.keys()
    for key, array in expected.items():
        np.testing.assert_allclose(found[key], array, rtol=1e-7, atol=1e-9, err_msg=f"{name}: weight {key}")


if __name__ == "__main__":
    names = sys.argv[1:] or sorted(MODELS)
    kept = dict(np.load(STORED)) if sys.argv[1:] else {}
    arrays = {key: array for key, array in kept.items() if key.split("/")[0] not in names}
    arrays |= {f"{name}/{key}": array for name in names for key, array in after_fifty_steps(name).items()}
    STORED.parent.mkdir(exist_ok=True)
    np.savez_compressed(STORED, **arrays)
    print(f"{len(arrays)} arrays, those of {', '.join(names)} on {platform.machine()}: {STORED.stat().st_size:,} bytes")
