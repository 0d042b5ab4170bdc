"""A training that is interrupted within an epoch goes on at the next batch, and ends with the same bits and history."""

import os
import signal
import subprocess
import sys

import keras
import numpy as np
import pytest

from keras_vae.data.shard_building import build_shards
from tests import toy_runs

RECIPE = {
    "model.image_shape": [4, 4, 1],
    "data.name": toy_runs.REMOVED,
    "data.source": "shards",
    "data.path": "shards",
    "data.train": "train[:245]",
    "data.validation": "validation",
    "training.batch_size": 10,
    "training.epochs": 2,
    "training.steps_per_execution": 3,
    "training.optimizer": {"name": "adam", "learning_rate": 0.003, "use_ema": True, "ema_momentum": 0.9},
    "evaluation.split": "test",
    "evaluation.samples": 1,
}
STEPS = 24  # of an epoch, 8 calls of TensorFlow
DRIVER = """
import os, signal, sys
import keras
from keras_vae import zoo

end, left = keras.callbacks.CallbackList.on_train_batch_end, [int(sys.argv[1])]
def counted(self, *arguments):
    end(self, *arguments)
    left[0] -= 1
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
keras.callbacks.CallbackList.on_train_batch_end = counted
zoo.train("toy.toml", "out", verbose=0, checkpoint_minutes=0)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A recipe with shards beside it, and a run of it that was not interrupted."""
    from keras_vae import zoo

    folder = tmp_path_factory.mktemp("runs")
    levels = np.random.default_rng(0).integers(0, 256, (310, 4, 4, 1), dtype="uint8")
    np.save(folder / "x.npy", levels)
    manifest = build_shards(folder / "x.npy", folder / "shards", shard_rows=100)
    assert len(manifest["parts"]) == 4
    zoo.train(toy_runs.write_recipe(folder / "toy.toml", RECIPE), folder / "whole", verbose=0)
    return folder


def assert_as_uninterrupted(folder, run):
    from keras_vae import zoo

    first, second = (toy_runs.arrays_in(path / "checkpoint.safetensors") for path in (folder / "whole", run))
    assert first.keys() == second.keys()
    assert not [name for name in first if not np.array_equal(first[name], second[name])]
    histories = [zoo.card(path).results["training"]["history"] for path in (folder / "whole", run)]
    assert histories[0] == histories[1] and {len(values) for values in histories[0].values()} == {2}
    assert (folder / "whole/model.safetensors").read_bytes() == (run / "model.safetensors").read_bytes()


# After so many calls of a process: the epochs and steps of the checkpoint. A call that ends an epoch writes none.
TWO = [(2, (0, 6)), (8, (1, 6))]
FOUR = [(1, (0, 3)), (3, (0, 12)), (4, (0, 21)), (3, (1, 6))]


@pytest.mark.parametrize("moments", [TWO, pytest.param(FOUR, marks=pytest.mark.slow)], ids=["two", "four"])
def test_interrupted_again_and_again_it_ends_the_same(folder, tmp_path, monkeypatch, moments):
    """With averages of weights, which fit ends with."""
    from keras_vae import zoo
    from keras_vae.zoo import checkpoints, recipes

    recipe, end = folder / "toy.toml", keras.callbacks.CallbackList.on_train_batch_end
    for calls, expected in moments:
        left = [calls]

        def counted(self, *arguments, left=left):
            end(self, *arguments)
            left[0] -= 1
            if not left[0]:
                raise KeyboardInterrupt

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(keras.callbacks.CallbackList, "on_train_batch_end", counted)
            zoo.train(recipe, tmp_path / "run", verbose=0, checkpoint_minutes=0)
        progress = checkpoints.read(tmp_path / "run/checkpoint.safetensors", recipes.read(recipe).content).progress
        assert (progress.epochs, progress.steps) == expected
    zoo.train(recipe, tmp_path / "run", verbose=0)
    assert_as_uninterrupted(folder, tmp_path / "run")


@pytest.mark.slow
def test_killed_within_an_epoch_it_ends_the_same(folder, tmp_path):
    (tmp_path / "toy.toml").write_text((folder / "toy.toml").read_text())
    (tmp_path / "shards").symlink_to(folder / "shards")
    for calls, status in [(5, -signal.SIGKILL), (6, -signal.SIGKILL), (1000, 0)]:
        done = subprocess.run(
            [sys.executable, "-c", DRIVER, str(calls)], cwd=tmp_path, env=toy_runs.environment(), check=False
        )
        assert done.returncode == status
    assert_as_uninterrupted(folder, tmp_path / "out")


def test_streaming_changes_no_number(folder, tmp_path):
    """A recipe of the file, in memory and streamed: one run goes on from the other's checkpoint, and is not refused."""
    from keras_vae.zoo import recipes

    contents = []
    for stream in (False, True):
        changes = {"data.source": "array", "data.path": str(folder / "x.npy"), "data.stream": stream}
        contents.append(recipes.read(toy_runs.write_recipe(tmp_path / f"{stream}.toml", {**RECIPE, **changes})).content)
    assert contents[0] == contents[1]
    assert os.listdir(tmp_path)
