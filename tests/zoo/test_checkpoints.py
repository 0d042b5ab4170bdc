"""A checkpoint is all that training goes on from; of today's format, and of the one before."""

import dataclasses
import json
import warnings

import h5py
import numpy as np
import pytest

from keras_vae import weights
from keras_vae.errors import CorruptFileError, UserError
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
RECIPE = {"model": {"class": "VAE"}, "data": {"name": "mnist"}, "training": {"epochs": 3}}


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


def restore(model, path):
    checkpoint = checkpoints.read(path, RECIPE)
    checkpoint.restore(model)
    return checkpoint.progress


def write(model, path, progress=None):
    checkpoints.write(model, path, progress or PROGRESS, RECIPE)


def everything(model):
    optimizers = [np.asarray(variable) for optimizer in model.optimizers for variable in optimizer.variables]
    return [*toys.weights(model), *optimizers]


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("conv + BatchNorm", checkpoints.NAME),
        ("two players, mixed_float16", checkpoints.NAME),
        ("mlp", checkpoints.OLD_NAME),
        *(
            pytest.param(kind, checkpoints.NAME, marks=pytest.mark.slow)
            for kind in ("mlp", "two players", "mixed_float16")
        ),
        *(pytest.param(kind, checkpoints.OLD_NAME, marks=pytest.mark.slow) for kind in list(MODELS)[1:]),
    ],
)
def test_training_goes_on_bit_for_bit(kind, name, tmp_path):
    compiled(kind)  # Keras numbers the layers of the next one on from these
    model, other = compiled(kind), compiled(kind)
    model.fit(binary(32), batch_size=16, verbose=0)
    other.fit(1.0 - binary(48), batch_size=16, verbose=0)  # to other weights, optimizers and steps
    assert not toys.same(everything(model), everything(other))
    (write_old if name == checkpoints.OLD_NAME else write)(model, tmp_path / name, PROGRESS)
    assert checkpoints.read(tmp_path / name, RECIPE).progress == PROGRESS
    assert restore(other, tmp_path / name) == PROGRESS
    assert toys.same(everything(model), everything(other))
    for each in (model, other):
        each.fit(binary(32, seed=1), batch_size=16, verbose=0)
    assert toys.same(everything(model), everything(other))


def test_what_is_in_it(tmp_path):
    model = compiled("two players, mixed_float16")
    write(model, tmp_path / checkpoints.NAME)
    arrays = toy_runs.arrays_in(tmp_path / checkpoints.NAME)
    assert len(arrays) == len(everything(model))
    names = {name.rsplit("/", 1)[0] for name in arrays if name.startswith("optimizers")}
    assert names == {"optimizers/model", "optimizers/critic"} and "model/encoder/stack/layers/2/kernel" in arrays


def test_the_newer_one_comes_first(tmp_path):
    model = compiled("mlp")
    assert checkpoints.latest(tmp_path, RECIPE) is None
    for name, function in ((checkpoints.OLD_NAME, write_old), (checkpoints.PREVIOUS, write), (checkpoints.NAME, write)):
        function(model, tmp_path / name, PROGRESS)
        assert checkpoints.latest(tmp_path, RECIPE).path == tmp_path / name
    checkpoints.remove(tmp_path)
    assert checkpoints.latest(tmp_path, RECIPE) is None


def saved(model, folder, start=None):
    save = checkpoints.SaveProgress(folder, RECIPE, lambda: 0.0, start)
    save.set_model(model)
    return save


def test_a_damaged_one_is_named_and_the_one_before_is_taken(tmp_path):
    """And stays there until the next one is whole: the damaged one never takes its place."""
    model = compiled("mlp")
    save = saved(model, tmp_path)
    for epoch in range(3):
        model.step.assign(epoch)
        save.on_epoch_end(epoch, {"loss": 1.0 * epoch})
    newest, previous = tmp_path / checkpoints.NAME, tmp_path / checkpoints.PREVIOUS
    assert [checkpoints.read(path, RECIPE).progress.epochs for path in (newest, previous)] == [3, 2]
    newest.write_bytes(newest.read_bytes()[:-1])
    message = rf"^{newest} does not hold weights: .*\. Training goes on from the one before, {previous}, after 2 epochs"
    with pytest.warns(UserWarning, match=message):
        start = checkpoints.latest(tmp_path, RECIPE)
    start.restore(model)
    assert int(model.step) == 1 and start.progress.history == {"loss": [0.0, 1.0]}
    kept = previous.read_bytes()
    save = saved(model, tmp_path, start)
    save.on_epoch_end(2, {"loss": 2.0})
    assert previous.read_bytes() == kept
    save.on_epoch_end(3, {"loss": 2.0})
    assert [checkpoints.read(path, RECIPE).progress.epochs for path in (newest, previous)] == [4, 3]
    for path in (newest, previous):
        path.write_bytes(b"")
    with pytest.raises(CorruptFileError, match=rf"^{newest} does not hold"):
        checkpoints.latest(tmp_path, RECIPE)


def test_a_checkpoint_of_another_recipe_is_refused(tmp_path):
    write(compiled("mlp"), tmp_path / checkpoints.NAME)
    other = {**RECIPE, "training": {"epochs": 3, "seed": 1}}
    with pytest.raises(UserError, match=r"is of another recipe: training\.seed is 1, and was left out\. Put that back"):
        checkpoints.latest(tmp_path, other)
    assert checkpoints.latest(tmp_path, {**RECIPE, "evaluation": {"samples": 1}}), "which says nothing of training"


def swapped(data, generator):
    """Two blocks of the same length change places."""
    size = int(generator.integers(1, len(data) // 3))
    first = int(generator.integers(0, len(data) - 2 * size))
    second = int(generator.integers(first + size, len(data) - size + 1))
    blocks = data[first : first + size], data[second : second + size]
    return data[:first] + blocks[1] + data[first + size : second] + blocks[0] + data[second + size :]


def flipped(data, generator):
    place, bit = int(generator.integers(len(data))), int(generator.integers(8))
    return data[:place] + bytes([data[place] ^ 1 << bit]) + data[place + 1 :]


def flipped_in_the_header(data, generator):
    size = 8 + int.from_bytes(data[:8], "little")
    return flipped(data[:size], generator) + data[size:]


MUTATIONS = {
    "a bit": flipped,
    "a bit of the header": flipped_in_the_header,
    "a cut": lambda data, generator: data[: int(generator.integers(len(data)))],
    "more": lambda data, generator: data + generator.bytes(int(generator.integers(1, 100))),
    "a swap": swapped,
}


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_nothing_is_ever_gone_on_from_with_changed_numbers(tmp_path, mutation):
    """Seeded mutations of each file: refused, or the same to the bit; then the one before, if that is whole."""
    model, other, generator = compiled("mlp"), compiled("mlp", seed=3), np.random.default_rng(11)
    save = saved(model, tmp_path)
    states = {}
    for epoch in range(2):
        model.fit(binary(32, seed=epoch), batch_size=16, verbose=0)
        save.on_epoch_end(epoch, {"loss": float(epoch)})
        states[epoch + 1] = everything(model), save.progress
    whole = {name: (tmp_path / name).read_bytes() for name in (checkpoints.NAME, checkpoints.PREVIOUS)}
    refused = 0
    for turn in range(40):
        spoiled = [checkpoints.NAME] if turn % 4 else list(whole)
        for name, data in whole.items():
            (tmp_path / name).write_bytes(MUTATIONS[mutation](data, generator) if name in spoiled else data)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                start = checkpoints.latest(tmp_path, RECIPE)
            except CorruptFileError:
                refused += 1
                assert len(spoiled) == 2
                continue
        start.restore(other)
        expected, progress = states[start.progress.epochs]
        assert toys.same(expected, everything(other)) and start.progress == progress
    assert 0 < refused <= 10


def test_two_checkpoints_that_change_places_lose_an_epoch_at_most(tmp_path):
    model = compiled("mlp")
    save = saved(model, tmp_path)
    for epoch in range(2):
        save.on_epoch_end(epoch, {"loss": 1.0})
    newest, previous = tmp_path / checkpoints.NAME, tmp_path / checkpoints.PREVIOUS
    data = newest.read_bytes(), previous.read_bytes()
    newest.write_bytes(data[1])
    previous.write_bytes(data[0])
    assert checkpoints.latest(tmp_path, RECIPE).progress.epochs == 1


def test_the_next_epoch_replaces_an_old_checkpoint(tmp_path):
    model = compiled("mlp")
    write_old(model, tmp_path / checkpoints.OLD_NAME, PROGRESS)
    saved(model, tmp_path, checkpoints.latest(tmp_path, RECIPE)).on_epoch_end(2, {"loss": 1.0})
    assert [path.name for path in tmp_path.iterdir()] == [checkpoints.NAME]
    assert checkpoints.read(tmp_path / checkpoints.NAME, RECIPE).progress.history == {"loss": [2.5, 1.5, 1.0]}


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
        checkpoints.read(tmp_path / checkpoints.NAME, RECIPE)


def test_weights_without_progress_are_no_checkpoint(tmp_path):
    toy().save_weights(tmp_path / checkpoints.NAME)
    with pytest.raises(CorruptFileError, match="it has no epochs, history, seconds"):
        checkpoints.read(tmp_path / checkpoints.NAME, RECIPE)


@pytest.mark.parametrize("name", [checkpoints.NAME, checkpoints.OLD_NAME])
@pytest.mark.parametrize("spoil", ["cut", "text", "empty", "link"])
def test_a_damaged_checkpoint_is_refused(spoil, name, tmp_path):
    model, path = compiled("mlp"), tmp_path / name
    (write_old if name == checkpoints.OLD_NAME else write)(model, path, PROGRESS)
    before = everything(model)
    if spoil == "link":
        path.rename(tmp_path / "elsewhere")
        path.symlink_to(tmp_path / "elsewhere")
    else:
        path.write_bytes({"cut": path.read_bytes()[:-1000], "text": b"what is this", "empty": b""}[spoil])
    with pytest.raises(CorruptFileError, match=rf"{name}"):
        restore(model, path)
    assert toys.same(before, everything(model))


READ = """
import json
import sys
import numpy as np
from keras_vae.zoo import checkpoints
from tests import toys
from tests.conformance.cases import make
model = make(sys.argv[1], seed=9)
model.compile("adam", **toys.PLAIN)
checkpoints.read(sys.argv[2], json.loads(sys.argv[4])).restore(model)
optimizers = [variable for optimizer in model.optimizers for variable in optimizer.variables]
np.savez(sys.argv[3], *[np.asarray(variable) for variable in [*model.weights, *optimizers]])
"""


@pytest.mark.slow
@every_model_slowly
def test_a_second_model_is_restored_by_another_process(name, tmp_path):
    make(name)
    model = make(name)
    model.compile("adam", **toys.PLAIN)
    model.fit(examples(model), labels(model), batch_size=16, verbose=0)
    write(model, tmp_path / checkpoints.NAME)
    words = [name, str(tmp_path / checkpoints.NAME), str(tmp_path / "read.npz"), json.dumps(RECIPE)]
    done = toy_runs.python(["-W", "ignore", "-c", READ, *words], tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    with np.load(tmp_path / "read.npz") as stored:
        assert toys.same(everything(model), list(stored.values()))
