"""An interrupted training goes on where it was, and ends with the same bits as one that was never interrupted."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from keras_vae import weights, zoo
from keras_vae.errors import UserError
from tests import toy_runs
from tests.processes import interruptible

# The training that people get: XLA, several steps in a call, dynamic binarisation, an annealed beta; 15 steps an epoch.
RECIPE = {
    "data.train": "train[:1500]",
    "training.jit_compile": True,
    "training.steps_per_execution": 4,
    "evaluation.samples": 1,
}
CALLS = 4  # of TensorFlow in an epoch: 15 steps, 4 at a time
# The driver kills its own process with SIGKILL at a moment: nothing in it runs any more, no finally and no flush.
DRIVER = """
import os, signal, sys
import keras
from keras_vae import files, weights, zoo

moment, count = sys.argv[1], int(sys.argv[2])

def die_at(function, half=None):
    left = [count]
    def wrapped(*args, **kwargs):
        left[0] -= 1
        if not left[0]:
            if half:
                half(function, *args, **kwargs)
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args, **kwargs)
    return wrapped

def half_a_checkpoint(save, arrays, path, metadata):
    save(arrays, path, metadata)
    with open(path, "r+b") as file:
        file.truncate(os.path.getsize(path) // 2)

epoch_end = keras.callbacks.CallbackList.on_epoch_end
def said(self, epoch, logs=None):
    print("epoch", epoch + 1, flush=True)
    epoch_end(self, epoch, logs)
keras.callbacks.CallbackList.on_epoch_end = said

if moment == "in a step":
    keras.callbacks.CallbackList.on_train_batch_end = die_at(keras.callbacks.CallbackList.on_train_batch_end)
elif moment == "inside a checkpoint":
    weights.save_file = die_at(weights.save_file, half_a_checkpoint)
elif moment == "before the rename":
    files.os.replace = die_at(os.replace)

zoo.train("toy.toml", "out", verbose=0)
print("finished")
"""


def start(folder, moment="never", count=0):
    return subprocess.Popen(
        [sys.executable, "-c", DRIVER, moment, str(count)],
        cwd=folder, env=toy_runs.environment(), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def ended(process, killed):
    """The epochs that ended in a process, which must have been killed, or have finished."""
    out, errors = process.communicate(timeout=300)
    assert process.returncode == (-signal.SIGKILL if killed else 0), f"{out}\n{errors[-3000:]}"
    assert ("finished" in out) != killed
    return [int(line.split()[1]) for line in out.splitlines() if line.startswith("epoch ")]


def progress(folder, run="out"):
    path = folder / run / "checkpoint.safetensors"
    if not path.is_file():
        return {"epochs": 0, "history": {}}
    return weights.read(path, None, sealed=True)[1]


def leftovers(folder):
    return [name for name in os.listdir(folder / "out") if name.startswith(".keras_vae-")]


# What kills, the how-manieth of it does, and how many epochs the checkpoint then has. Each process costs the import of
# TensorFlow and a compilation by XLA, about 10 s; a fast test, in test_resume_within_epoch.py, interrupts one process.
_SEEDED = [int(step) for step in np.random.default_rng(2024).integers(1, CALLS + 1, size=2)]
FIVE = [
    ("in a step", _SEEDED[0], 0),
    ("inside a checkpoint", 2, 1),
    # Renamed: recipe.toml, which is written again; the checkpoint of epoch 1, that of 2 in its place; that of 2.
    ("before the rename", 4, 2),
    ("in a step", CALLS + _SEEDED[1], 3),
    ("before the rename", 4, 4),  # of recipe.toml, of the checkpoints of epochs 3 and 4, of the float16 weights
]


@pytest.mark.slow
def test_killed_and_resumed_is_bit_equal_to_never_interrupted(tmp_path):
    """One run killed at each moment in turn, and resumed by the same call."""
    epochs = FIVE[-1][2]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for folder in (whole, killed):
        toy_runs.write_recipe(folder / "toy.toml", {**RECIPE, "training.epochs": epochs})
    uninterrupted = start(whole)
    known = 0
    for moment, count, expected in FIVE:
        seen = ended(start(killed, moment, count), killed=True)
        now = progress(killed)["epochs"]
        assert now == expected, f"after being killed {moment}"
        assert max([known, *seen]) - now <= 1, "at most one epoch is lost"
        assert min([*seen, known + 1]) == known + 1, "what a checkpoint holds is not trained again"
        assert not (killed / "out/results.json").exists()
        if moment != "in a step":
            assert leftovers(killed), "the kill was in the middle of a write"
        known = now
    assert ended(start(killed), killed=False) == list(range(known + 1, epochs + 1)), "only what was left is trained"
    assert ended(uninterrupted, killed=False) == list(range(1, epochs + 1))

    first, second = (toy_runs.arrays_in(folder / "out/checkpoint.safetensors") for folder in (whole, killed))
    assert first.keys() == second.keys()
    assert any(name.startswith("optimizers/model/") for name in first), "the optimizer is in the checkpoint"
    different = [name for name in first if not np.array_equal(first[name], second[name])]
    assert not different, "weights, optimizer and step are bit-equal"
    histories = [progress(folder)["history"] for folder in (whole, killed)]
    assert histories[0] == histories[1]
    assert {len(values) for values in histories[0].values()} == {epochs}
    metrics = [json.loads((folder / "out/results.json").read_text())["metrics"] for folder in (whole, killed)]
    assert metrics[0] == metrics[1]
    assert (whole / "out/model.safetensors").read_bytes() == (killed / "out/model.safetensors").read_bytes()
    assert sorted(os.listdir(killed / "out")) == toy_runs.FILES, "leftovers of the kills are removed"


@pytest.mark.slow
def test_ctrl_c_in_the_middle_of_training(tmp_path):
    """Exit status 130, one line, no temporary file, and a checkpoint that can be gone on from."""
    toy_runs.write_recipe(tmp_path / "toy.toml", {"training.epochs": 100_000})
    with interruptible():
        process = subprocess.Popen(
            [sys.executable, "-c", "from keras_vae.cli import main; main()", "train", "toy.toml", "--output", "out"],
            cwd=tmp_path, env=toy_runs.environment(), text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip
    deadline = time.monotonic() + 600
    while not (tmp_path / "out/checkpoint.safetensors").is_file():
        assert process.poll() is None and time.monotonic() < deadline, "training wrote no checkpoint"
        time.sleep(0.05)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 130, errors[-3000:]
    said = "Interrupted. What was finished is kept; nothing is half-written. The same command goes on from the last"
    assert errors == f"{said} checkpoint.\n"
    kept = set(os.listdir(tmp_path / "out"))
    assert kept - {"checkpoint.previous.safetensors"} == {"checkpoint.safetensors", "recipe.toml"}
    finished = progress(tmp_path)["epochs"]
    assert finished >= 1

    from keras_vae.zoo import checkpoints, loading, optimizers, recipes

    recipe = recipes.read(tmp_path / "toy.toml")
    model = loading.build(recipe)
    model.compile(optimizers.from_spec(recipe.training.optimizer), jit_compile=False)
    kept = checkpoints.read(tmp_path / "out/checkpoint.safetensors", recipe.content)
    kept.restore(model)
    assert kept.progress.epochs == finished
    assert int(model.step.numpy()) == int(model.optimizer.iterations.numpy()) == 10 * finished


@pytest.mark.parametrize("spoil", ["truncated", "no weights", "another model"])
def test_a_checkpoint_that_is_none_is_said(run, tmp_path, spoil):
    from keras_vae import zoo
    from keras_vae.errors import UserError

    recipe = toy_runs.write_recipe(tmp_path / "toy.toml")
    path = tmp_path / "out/checkpoint.safetensors"
    toy_runs.copy_of(run, tmp_path / "out")
    for name in toy_runs.FILES:
        if name not in ("recipe.toml", path.name):
            (tmp_path / "out" / name).unlink()
    if spoil == "truncated":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif spoil == "no weights":
        path.write_text("what is this")
    else:
        recipe = toy_runs.write_recipe(tmp_path / "toy.toml", {"model.latent_dim": 2})
        (tmp_path / "out/recipe.toml").write_text(recipe.read_text())
    kept = path.read_bytes()
    message = r"safetensors does not hold weights: .*remove"
    if spoil == "another model":
        message = r"checkpoint\.safetensors is of another recipe: model\.latent_dim is 2, and was 3\. Put .*remove"
    with pytest.raises(UserError, match=message):
        zoo.train(recipe, tmp_path / "out", verbose=0)
    assert path.read_bytes() == kept


GROWING = {
    "model.encoder": {"name": "growing", "filters": [4, 8], "dense": 8, "fade_steps": 4},
    "model.decoder": {"name": "growing", "filters": [4, 8], "dense": 8, "fade_steps": 4},
    "data.train": "train[:500]",
    "training.epochs": 3,
    "training.grow": [1],
}


@pytest.mark.slow
def test_a_recipe_grows_and_resumes_between_its_stages_and_within_one(tmp_path, monkeypatch):
    """Images of 14x14 for one epoch, then of 28x28: bit-equal to the run that was not interrupted."""
    from keras_vae import zoo
    from keras_vae.zoo import checkpoints, fitting

    recipe = toy_runs.write_recipe(tmp_path / "toy.toml", GROWING)
    shapes, fit_stage = [], fitting._fit_stage

    def recorded(recipe, stage, *arguments):
        shapes.append(stage.model.image_shape)
        return fit_stage(recipe, stage, *arguments)

    monkeypatch.setattr(fitting, "_fit_stage", recorded)
    whole = zoo.train(recipe, tmp_path / "whole", verbose=0)
    assert shapes == [(14, 14, 1), (28, 28, 1)] and whole.image_shape == (28, 28, 1)
    assert float(whole.encoder.alpha) == 1.0
    history = zoo.card(tmp_path / "whole").results["training"]["history"]
    assert {len(values) for values in history.values()} == {3}
    stopped = zoo.train(recipe, tmp_path / "stopped", verbose=0, until=1)
    assert stopped.image_shape == (14, 14, 1) and int(stopped.step) > 0, "the model that was trained"

    folder, shapes[:] = tmp_path / "killed", []
    with monkeypatch.context() as patch:
        patch.setattr(fitting, "inherit", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            zoo.train(recipe, folder, verbose=0)
    assert progress(folder, ".")["epochs"] == 1
    write = checkpoints.write
    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "write", lambda *arguments: (write(*arguments), 1 / 0))
        with pytest.raises(ZeroDivisionError):
            zoo.train(recipe, folder, verbose=0)
    assert progress(folder, ".")["epochs"] == 2
    zoo.train(recipe, folder, verbose=0)
    assert shapes == [(14, 14, 1), (28, 28, 1), (28, 28, 1)], "a finished stage is not trained again"

    first, second = (toy_runs.arrays_in(path / checkpoints.NAME) for path in (tmp_path / "whole", folder))
    assert first.keys() == second.keys()
    for name in first:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)
    assert zoo.card(folder).results["training"]["history"] == history


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"training.grow": 1}, r"training\.grow must be a list of whole numbers\. Given: 1\."),
        ({"training.grow": [1.5]}, r"training\.grow must be a list of whole numbers\. Given: \[1\.5\]\."),
        ({"training.grow": [3]}, r"epochs after which images double ascend.*grow=\[3\], epochs=3"),
        ({"training.grow": [1, 2]}, r"grows 2 times has networks of more than 2 filters"),
        ({"model.encoder": {"name": "mlp", "hidden": [4]}}, r"Only growing networks grow: .*the encoder is a MLP"),
        ({"training.batch_size": 500}, r"A stage fades in before the next one, or the end\..*2 epochs of 1 steps"),
    ],
)  # fmt: skip
def test_a_recipe_that_cannot_grow_is_refused_before_anything_is_written(tmp_path, changes, message):
    from keras_vae import zoo
    from keras_vae.errors import UserError

    recipe = toy_runs.write_recipe(tmp_path / "toy.toml", {**GROWING, **changes})
    with pytest.raises(UserError, match=message):
        zoo.train(recipe, tmp_path / "out", verbose=0)
    assert os.listdir(tmp_path) == ["toy.toml"]


AVERAGED = {
    "data.train": "train[:500]",
    "training.epochs": 3,
    "training.optimizer": {
        "name": "adam",
        "learning_rate": {"name": "CosineDecay", "initial_learning_rate": 0.003, "alpha": 0.01},
        "use_ema": True,
        "ema_momentum": 0.9,
    },
}


@pytest.mark.slow
@pytest.mark.parametrize("patience", [None, 1])
def test_schedules_averages_and_early_stopping_resume_bit_equal(tmp_path, monkeypatch, patience):
    """Killed after the checkpoint of every epoch in turn, the last one too."""
    from keras_vae import zoo
    from keras_vae.zoo import checkpoints

    changes = dict(AVERAGED)
    if patience:  # at a rate at which training gets worse
        rate = {"name": "CosineDecay", "initial_learning_rate": 0.003, "warmup_target": 2.0, "warmup_steps": 20}
        optimizer = {**AVERAGED["training.optimizer"], "learning_rate": rate}
        changes |= {"training.patience": patience, "training.epochs": 4, "training.optimizer": optimizer}
    recipe = toy_runs.write_recipe(tmp_path / "toy.toml", changes)
    whole = zoo.train(recipe, tmp_path / "whole", verbose=0)
    done = zoo.card(tmp_path / "whole").results["training"]
    write, folder = checkpoints.write, tmp_path / "killed"
    for epoch in range(1, done["epochs"] + 1):
        with monkeypatch.context() as patch:
            patch.setattr(checkpoints, "write", lambda *arguments: (write(*arguments), 1 / 0))
            with pytest.raises(ZeroDivisionError):
                zoo.train(recipe, folder, verbose=0)
        assert progress(folder, ".")["epochs"] == epoch
    again = zoo.train(recipe, folder, verbose=0)
    assert (tmp_path / "whole/model.safetensors").read_bytes() == (folder / "model.safetensors").read_bytes()
    first, second = (toy_runs.arrays_in(path / checkpoints.NAME) for path in (tmp_path / "whole", folder))
    assert first.keys() == second.keys()
    assert all(np.array_equal(first[name], second[name]) for name in first)
    assert zoo.card(folder).results["training"]["history"] == done["history"]
    assert int(again.step) == int(whole.step)
    assert not (folder / "best.safetensors").exists()
    if patience:
        assert done["epochs"] < 4 and done["epochs"] - done["best_epoch"] == patience
        elbos = done["history"]["val_elbo"]
        assert done["best_epoch"] == 1 + int(np.argmax(elbos))


def test_a_training_that_stops_after_an_epoch_goes_on_to_equal_weights(run, tmp_path):
    from keras_vae import zoo

    recipe, folder = toy_runs.write_recipe(tmp_path / "toy.toml"), tmp_path / "stopped"
    zoo.train(recipe, folder, verbose=0, until=1)
    assert progress(folder, ".")["epochs"] == 1 and not (folder / "results.json").exists()
    zoo.train(recipe, folder, verbose=0, until=2)
    ours, whole = (toy_runs.arrays_in(path / "model.safetensors") for path in (folder, run))
    assert all(np.array_equal(ours[name], whole[name]) for name in whole)
    with pytest.raises(UserError, match="until must be a whole number, 1 or more"):
        zoo.train(recipe, tmp_path / "none", until=0)


@pytest.mark.slow
def test_a_training_under_way_goes_on_when_it_is_to_be_measured_in_another_way(tmp_path):
    """Its weights are those of the run without the change; its recipe, storage and numbers are of the new one."""
    before = toy_runs.write_recipe(tmp_path / "before.toml")
    after = toy_runs.write_recipe(tmp_path / "after.toml", {"evaluation.samples": 3, "training.storage": "float32"})
    zoo.train(before, tmp_path / "run", verbose=0, until=1)
    held = zoo.train(after, tmp_path / "run", verbose=0)
    whole = zoo.train(after, tmp_path / "whole", verbose=0)
    for one, other in zip(held.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert (tmp_path / "run/recipe.toml").read_text() == after.read_text()
    assert zoo.card(tmp_path / "run").results["metrics"] == zoo.card(tmp_path / "whole").results["metrics"]
    with pytest.raises(UserError, match=r"another recipe: evaluation\.samples is .*, and was 3\."):
        zoo.train(before, tmp_path / "run", verbose=0)  # a finished one is measured as its recipe says
