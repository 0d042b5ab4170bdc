"""`training.devices`: on two logical CPUs, which are configured before TensorFlow starts, and so in a process."""

import json
import textwrap
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from keras_vae.backend import workers
from keras_vae.errors import UserError
from tests import toy_runs

RECIPE = {
    "model.image_shape": [4, 4, 1],
    "model.encoder": {"name": "mlp", "hidden": [16], "batch_norm": True},  # of the whole batch: replicas wait in it
    "data.name": toy_runs.REMOVED,
    "data.source": "array",
    "data.path": "x.npy",
    "data.train": "train[:60]",
    "data.validation": "validation[:13]",  # the last batch has one example, for two devices
    "training.epochs": 3,
    "training.batch_size": 12,
    "training.optimizer": {"name": "sgd", "learning_rate": 0.01},
    "evaluation.split": "test",
    "evaluation.samples": 1,
}
SCRIPT = """
    import json
    from unittest import mock
    import keras
    import tensorflow as tf
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    from keras_vae import zoo
    from keras_vae.errors import UserError

    def trained(name, folder, interrupted_after=None, until=None):
        end, left = keras.callbacks.CallbackList.on_train_batch_end, [interrupted_after]
        def counted(self, *arguments):
            end(self, *arguments)
            left[0] = left[0] and left[0] - 1
            if left[0] == 0:
                raise KeyboardInterrupt
        try:
            with mock.patch.object(keras.callbacks.CallbackList, "on_train_batch_end", counted):
                model = zoo.train(f"{name}.toml", folder, verbose=0, quick=True, checkpoint_minutes=0, until=until)
            return 1 if model.strategy is None else model.strategy.num_replicas_in_sync
        except KeyboardInterrupt:
            return "interrupted"
        except UserError as error:
            return str(error)

    report = [
        trained("two", "run", interrupted_after=3),
        trained("one", "run", interrupted_after=4),
        trained("all", "run", until=2),
        trained("two", "run"),
        trained("one", "one"),
        trained("three", "none"),
    ]
    print("REPORT" + json.dumps(report))
"""


@pytest.mark.slow  # the way of workers, tests/core/test_workers.py; what is refused is tested below
def test_one_device_and_two_go_on_from_each_other_and_end_with_the_weights_of_one(tmp_path):
    """Also within an epoch."""
    from keras_vae.zoo import checkpoints, recipes

    np.save(tmp_path / "x.npy", np.random.default_rng(0).integers(0, 256, (120, 4, 4, 1), dtype="uint8"))
    for name, devices in {"one": 1, "two": 2, "three": 3, "all": "all"}.items():
        toy_runs.write_recipe(tmp_path / f"{name}.toml", RECIPE | {"training.devices": devices})
    done = toy_runs.python(["-c", textwrap.dedent(SCRIPT)], tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    report = json.loads(done.stdout.split("REPORT")[1])
    assert report[:5] == ["interrupted", "interrupted", 2, 1, 1], "what is finished is loaded on one device"
    assert report[5].startswith("A training runs on devices that the machine has. Given: devices = 3, and 2 CPU here.")
    assert not (tmp_path / "none").exists()

    content = recipes.read(tmp_path / "one.toml").content
    one, run = (checkpoints.read(tmp_path / name / "checkpoint.safetensors", content) for name in ("one", "run"))
    assert one.arrays.keys() == run.arrays.keys()
    for name, array in one.arrays.items():
        np.testing.assert_allclose(run.arrays[name], array, atol=1e-5, rtol=0, err_msg=name)
    assert one.progress.history.keys() == run.progress.history.keys()
    for metric, values in one.progress.history.items():
        assert run.progress.history[metric] == pytest.approx(values, rel=1e-5), metric


def test_one_device_has_no_strategy():
    assert workers.strategy_of(1, 7) is None
    assert workers.strategy_of("all", 7) is None, "all of a machine with one"


def test_cards_come_before_processors_and_share_each_batch_evenly(monkeypatch):
    cards = [SimpleNamespace(name=f"/device:GPU:{index}", device_type="GPU") for index in range(4)]
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: cards if kind == "GPU" else [])
    for devices, batch_size, count in ((3, 100, 3), ("all", 30, 4)):
        rule = (
            rf"evenly\. Given: batch_size = {batch_size}, and {count} devices\. Set batch_size to a multiple of {count}"
        )
        with pytest.raises(UserError, match=rule):
            workers.strategy_of(devices, batch_size)
    with pytest.raises(UserError, match=r"Given: devices = 5, and 4 GPU here\. Set devices = 4, or"):
        workers.strategy_of(5, 100)


def test_more_devices_than_there_are_is_a_mistake_of_one_line(tmp_path, capsys):
    from keras_vae.cli import main

    np.save(tmp_path / "x.npy", np.zeros((120, 4, 4, 1), "uint8"))
    toy_runs.write_recipe(tmp_path / "two.toml", RECIPE | {"training.devices": 2})
    with pytest.raises(SystemExit, match="1"):
        main(["train", str(tmp_path / "two.toml"), "--output", str(tmp_path / "run")])
    assert capsys.readouterr().err == (
        "Error: A training runs on devices that the machine has. Given: devices = 2, and 1 CPU here. "
        'Set devices = 1, or "all"; keras-vae doctor lists devices.\n'
    )
    assert not (tmp_path / "run").exists()


def test_workers_take_all_their_devices(monkeypatch):
    cluster = {"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 1}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(cluster))
    with pytest.raises(UserError, match=r"Workers of TF_CONFIG train on all .* Given: devices = 2\. Leave it out, or"):
        workers.strategy_of(2, 12)
