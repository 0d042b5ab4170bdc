"""The format keras: weights by attribute path, of whichever process; and those of bundles of earlier versions."""

import json

import numpy as np
import pytest

from keras_vae import runtimes, weights
from keras_vae.errors import CorruptFileError
from keras_vae.export import export
from keras_vae.files import sha256
from keras_vae.runtimes import keras_bundle
from keras_vae.runtimes.bundle import digest, manifest_text
from tests import toy_runs, toys
from tests.conformance.cases import every_model_slowly, make
from tests.export.bundles import copied, model_of


def as_before(folder):
    """Give a bundle the weights that the version before wrote."""
    new, old = (folder / "keras" / name for name in (keras_bundle.WEIGHTS, keras_bundle.OLD_WEIGHTS))
    weights.save_hdf5(keras_bundle.read(folder), old)
    new.unlink()
    manifest = json.loads((folder / "bundle.json").read_text())
    del manifest["files"][f"keras/{new.name}"]
    manifest["files"][f"keras/{old.name}"] = {"sha256": sha256(old), "bytes": old.stat().st_size}
    manifest["digest"] = digest(manifest)
    (folder / "bundle.json").write_text(manifest_text(manifest))
    return folder


def test_a_bundle_of_before_is_read(tmp_path):
    folder = as_before(copied("mlp", tmp_path))
    assert toys.same(toys.weights(keras_bundle.read(folder)), toys.weights(model_of("mlp")))
    runtime = runtimes.open(folder, "keras")
    golden = runtime.bundle.golden()["encoder"]
    np.testing.assert_allclose(runtime.encode(golden["inputs"]["x"]), golden["outputs"]["mean"], atol=1e-5)


@pytest.mark.parametrize("before", [False, True])
def test_weights_of_another_model_are_refused(before, tmp_path):
    folder = copied("mlp", tmp_path)
    if before:
        as_before(folder)
    path = folder / "keras" / "config.json"
    stored = json.loads(path.read_text())
    stored["config"]["latent_dim"] += 1
    path.write_text(json.dumps(stored))
    with pytest.raises(CorruptFileError, match=r"/model\..* does not hold .*weights.*: .*\. Export the model"):
        keras_bundle.read(folder)


READ = """
import sys
import numpy as np
from keras_vae import models
from keras_vae.runtimes import keras_bundle
models.VAE(latent_dim=2)  # Keras numbers the layers of the next model on from these
np.savez(sys.argv[1], *keras_bundle.read(__import__("pathlib").Path("bundle")).get_weights())
"""


@pytest.mark.slow
@every_model_slowly
def test_a_second_model_is_read_by_another_process(name, tmp_path):
    make(name)
    model = make(name)
    for weight in model.trainable_variables:
        weight.assign(weight + 0.01)
    export(model, tmp_path / "bundle", "keras")
    done = toy_runs.python(["-W", "ignore", "-c", READ, str(tmp_path / "read.npz")], tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    with np.load(tmp_path / "read.npz") as stored:
        assert toys.same(toys.weights(model), list(stored.values()))
