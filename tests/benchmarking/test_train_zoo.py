"""The training queue: one line an epoch, killed and gone on with, paused, and a run that becomes an entry."""

import importlib.util
import io
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import toy_runs

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def checkout(tmp_path):
    """A checkout with the package, the queue, and one recipe to train."""
    (tmp_path / "keras_vae").symlink_to(ROOT / "keras_vae")
    (tmp_path / "benchmarks").mkdir()
    for name in ("train_zoo.py", "pause.py"):
        shutil.copyfile(ROOT / "benchmarks" / name, tmp_path / "benchmarks" / name)
    (tmp_path / "tmp").mkdir()
    toy_runs.write_recipe(tmp_path / "zoo/toy_mnist/next.toml", {"training.epochs": 4})
    return tmp_path


def queue(checkout, *arguments, start=subprocess.Popen):
    environment = {**toy_runs.environment(), "PYTHONPATH": str(checkout), "TMPDIR": str(checkout / "tmp")}
    return start([sys.executable, "benchmarks/train_zoo.py", *arguments], cwd=checkout, env=environment, text=True,
                 stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # fmt: skip


def listed(checkout):
    return queue(checkout, "--list", start=subprocess.run).stdout.split()


def waited_for(condition, process, seconds=600):
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()
        time.sleep(0.02)


def trainer(checkout):
    return int((checkout / "runs/queue/lock").read_text())


def status(process):
    return re.search(r"State:\s+(\w)", Path(f"/proc/{process}/status").read_text())[1]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the state of a process where Linux has it")
def test_killed_paused_and_adopted(checkout):
    folder = checkout / "runs/queue/toy_mnist"
    assert listed(checkout) == ["to", "come", "toy_mnist"]
    first = queue(checkout)
    waited_for((folder / "checkpoint.safetensors").is_file, first)
    assert os.getpriority(os.PRIO_PROCESS, trainer(checkout)) == 19
    sign = checkout / f"tmp/keras_vae-pause-{os.getuid()}/{os.getpid()}"
    sign.parent.mkdir(exist_ok=True)
    sign.touch()
    waited_for(lambda: status(trainer(checkout)) == "T", first)
    sign.unlink()
    waited_for(lambda: status(trainer(checkout)) != "T", first)
    os.kill(first.pid, signal.SIGKILL)
    second = queue(checkout, start=subprocess.run)
    assert second.returncode == 1, "what the first one trains is still at work"
    assert f"process {trainer(checkout)}." in second.stderr
    os.kill(trainer(checkout), signal.SIGKILL)
    first.communicate()
    time.sleep(0.2)
    assert listed(checkout)[0] in ("begun", "finished")
    third = queue(checkout, start=subprocess.run)
    assert third.returncode == 0, third.stderr
    lines = (checkout / "runs/queue/toy_mnist.log").read_text().splitlines()
    epochs = [int(line.split()[1].split("/")[0]) for line in lines if line.startswith("Epoch ")]
    assert sorted(set(epochs)) == [1, 2, 3, 4] and len(epochs) <= 5, "and at most the killed epoch twice"
    assert all("val_elbo" in line for line in lines if line.startswith("Epoch "))
    assert any("paused" in line for line in lines) and any("going on" in line for line in lines)
    assert listed(checkout) == ["finished", "toy_mnist"]
    fourth = queue(checkout, start=subprocess.run)
    assert fourth.returncode == 0 and "training" not in fourth.stdout, "it is not trained twice"
    adopted = queue(checkout, "--adopt", "toy_mnist", start=subprocess.run)
    assert adopted.returncode == 0, adopted.stderr
    expected = {*toy_runs.FILES} - {"checkpoint.safetensors"}
    assert set(os.listdir(checkout / "zoo/toy_mnist")) == expected
    assert 'zoo.load("toy_mnist")' in (checkout / "zoo/toy_mnist/README.md").read_text()
    assert listed(checkout) == []


def program(name):
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        spec = importlib.util.spec_from_file_location(name, ROOT / "benchmarks" / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module
    finally:
        sys.path.remove(str(ROOT / "benchmarks"))


def test_two_lines_of_keras_become_one():
    stream = io.StringIO()
    lines = program("train_zoo").EpochLines(stream)
    for text in (
        "Epoch 1/2\n",
        "10/10 - 1s",
        " - elbo: -200.0\n\n",
        "Epoch 2/2\n10/10 - 0s - elbo: -190.0\n",
        "done\n",
    ):
        lines.write(text)
    assert stream.getvalue() == "Epoch 1/2 10/10 - 1s - elbo: -200.0\nEpoch 2/2 10/10 - 0s - elbo: -190.0\ndone\n"


def test_a_sign_holds_while_its_process_lives(tmp_path, monkeypatch):
    pause = program("pause")
    monkeypatch.setattr(pause, "FOLDER", tmp_path / "signs")
    monkeypatch.setattr(pause, "INTERVAL", 0)
    assert pause.holders() == []
    with pause.paused():
        assert pause.holders() == [os.getpid()]
    assert pause.holders() == []
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    (tmp_path / "signs" / str(dead.pid)).touch()
    assert pause.holders() == []


def test_every_recipe_of_the_queue_builds_its_model():
    """Read, checked and built: a queue of a day does not stop at a typing error."""
    from keras_vae.zoo import loading, optimizers, recipes, training

    queue_of = program("train_zoo")
    assert set(queue_of.ORDER) >= {path.parent.name for path in (ROOT / "zoo").glob("*/next.toml")}
    for path in sorted((ROOT / "zoo").glob("*/next.toml")):
        recipe = recipes.read(path)
        model = loading.build(recipe)
        training.priors.build(recipe, model)
        model.compile(optimizers.from_spec(recipe.training.optimizer), jit_compile=False)
        few = recipe.evaluation.likelihood_examples == 200  # of tens of thousands of nats each
        assert recipe.evaluation.samples == (500 if few else 5000) and recipe.evaluation.split == "test"
        assert (recipe.data.train, recipe.data.validation) == ("train", "validation")
