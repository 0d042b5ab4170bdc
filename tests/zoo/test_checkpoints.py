"""A checkpoint is all that training goes on from; of today's format, and of the one before."""

import dataclasses
import json

import h5py
import numpy as np
import pytest

from keras_vae import weights
from keras_vae.errors import CorruptFileError
from keras_vae.models import FactorVAE
from keras_vae.zoo import checkpoints
from tests import toy_runs, toys
from tests.conformance.cases import every_model_slowly, examples, labels, make
from tests.toys import binary, mlp, toy

CONV = {"name": "conv", "filters": [4], "dense": 8, "batch_norm": True}
MODELS = {
    "mlp": (None, {}),
    "conv + BatchNorm": (None, {"encoder": CONV}),
    "two players": (FactorVAE, {"critic": mlp()}),
    "mixed_float16": (None, {"dtype": "mixed_float16"}),
    "two players, mixed_float16": (FactorVAE, {"critic": mlp(), "dtype": "mixed_float16"}),
}
PROGRESS = checkpoints.Progress(2, {"loss": [2.5, 1.5]}, 3.25)


def compiled(kind, seed=0):
    cls, arguments = MODELS[kind]
    model = toy(**({"cls": cls} if cls else {}), **arguments, seed=seed)
    model.compile("adam", **toys.PLAIN)
    return model


def write_old(model, path, progress):
    """A checkpoint as the version before wrote it."""
    weights.save_hdf5(model, path)
    with h5py.File(path, "a") as file:
        file.attrs["keras_vae_run"] = json.dumps(dataclasses.asdict(progress))


def everything(model):
    optimizers = [np.asarray(variable) for optimizer in model.optimizers for variable in optimizer.variables]
    return [*toys.weights(model), *optimizers]


@pytest.mark.parametrize("name", checkpoints.NAMES)
@pytest.mark.parametrize("kind", MODELS)
def test_training_goes_on_bit_for_bit(kind, name, tmp_path):
    compiled(kind)  # Keras numbers the layers of the next one on from these
    model, other = compiled(kind), compiled(kind, seed=3)
    model.fit(binary(32), batch_size=16, verbose=0)
    (checkpoints.write if name == checkpoints.NAME else write_old)(model, tmp_path / name, PROGRESS)
    assert checkpoints.read(tmp_path / name) == PROGRESS
    assert checkpoints.restore(other, tmp_path / name) == PROGRESS
    assert toys.same(everything(model), everything(other))
    other.seed = model.seed
    for each in (model, other):
        each.fit(binary(32, seed=1), batch_size=16, verbose=0)
    assert toys.same(everything(model), everything(other))


def test_what_is_in_it(tmp_path):
    model = compiled("two players, mixed_float16")
    checkpoints.write(model, tmp_path / checkpoints.NAME, PROGRESS)
    arrays = toy_runs.arrays_in(tmp_path / checkpoints.NAME)
    assert len(arrays) == len(everything(model))
    names = {name.rsplit("/", 1)[0] for name in arrays if name.startswith("optimizers")}
    assert names == {"optimizers/model", "optimizers/critic"} and "model/encoder/stack/layers/2/kernel" in arrays


def test_the_newer_format_comes_first(tmp_path):
    assert checkpoints.find(tmp_path) is None
    (tmp_path / checkpoints.OLD_NAME).touch()
    assert checkpoints.find(tmp_path) == tmp_path / checkpoints.OLD_NAME
    (tmp_path / checkpoints.NAME).touch()
    assert checkpoints.find(tmp_path) == tmp_path / checkpoints.NAME
    checkpoints.remove(tmp_path)
    assert checkpoints.find(tmp_path) is None


def test_the_next_epoch_replaces_an_old_checkpoint(tmp_path):
    model = compiled("mlp")
    write_old(model, tmp_path / checkpoints.OLD_NAME, PROGRESS)
    save = checkpoints.SaveProgress(tmp_path / checkpoints.NAME, PROGRESS, lambda: 0.0)
    save.set_model(model)
    save.on_epoch_end(2, {"loss": 1.0})
    assert [path.name for path in tmp_path.iterdir()] == [checkpoints.NAME]
    assert checkpoints.read(tmp_path / checkpoints.NAME).history == {"loss": [2.5, 1.5, 1.0]}


@pytest.mark.parametrize(
    "metadata",
    [
        {"epochs": "2"}, {"epochs": -1}, {"other": 2}, {"history": []}, {"history": {"loss": 3}},
        {"history": {"loss": [1, 2, 3]}}, {"history": {"loss": ["a"]}}, {"seconds": float("nan")}, {"epochs": True},
    ],
)  # fmt: skip
def test_progress_that_is_none_is_refused(metadata, tmp_path):
    weights.save(tmp_path / checkpoints.NAME, {"a": np.zeros(2)}, {**dataclasses.asdict(PROGRESS), **metadata})
    with pytest.raises(CorruptFileError, match=r"safetensors is not a checkpoint.*: .*remove it, or say --o"):
        checkpoints.read(tmp_path / checkpoints.NAME)


def test_weights_without_progress_are_no_checkpoint(tmp_path):
    toy().save_weights(tmp_path / checkpoints.NAME)
    with pytest.raises(CorruptFileError, match="it has no epochs, history, seconds"):
        checkpoints.read(tmp_path / checkpoints.NAME)


@pytest.mark.parametrize("name", checkpoints.NAMES)
@pytest.mark.parametrize("spoil", ["cut", "text", "empty", "link"])
def test_a_damaged_checkpoint_is_refused(spoil, name, tmp_path):
    model, path = compiled("mlp"), tmp_path / name
    (checkpoints.write if name == checkpoints.NAME else write_old)(model, path, PROGRESS)
    before = everything(model)
    if spoil == "link":
        path.rename(tmp_path / "elsewhere")
        path.symlink_to(tmp_path / "elsewhere")
    else:
        path.write_bytes({"cut": path.read_bytes()[:-1000], "text": b"what is this", "empty": b""}[spoil])
    with pytest.raises(CorruptFileError, match=rf"{name}"):
        checkpoints.restore(model, path)
    assert toys.same(before, everything(model))


READ = """
import sys
import numpy as np
from keras_vae.zoo import checkpoints
from tests import toys
from tests.conformance.cases import make
model = make(sys.argv[1], seed=9)
model.compile("adam", **toys.PLAIN)
checkpoints.restore(model, sys.argv[2])
optimizers = [variable for optimizer in model.optimizers for variable in optimizer.variables]
np.savez(sys.argv[3], *[np.asarray(variable) for variable in [*model.weights, *optimizers]])
"""


@every_model_slowly
def test_a_second_model_is_restored_by_another_process(name, tmp_path):
    make(name)
    model = make(name)
    model.compile("adam", **toys.PLAIN)
    model.fit(examples(model), labels(model), batch_size=16, verbose=0)
    checkpoints.write(model, tmp_path / checkpoints.NAME, PROGRESS)
    words = [name, str(tmp_path / checkpoints.NAME), str(tmp_path / "read.npz")]
    done = toy_runs.python(["-W", "ignore", "-c", READ, *words], tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    with np.load(tmp_path / "read.npz") as stored:
        assert toys.same(everything(model), list(stored.values()))
