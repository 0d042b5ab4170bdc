"""The training queue: what waits, its order and its states; killed and gone on with, paused, failed, two at once."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from keras_vae import locks
from keras_vae.errors import UserError
from keras_vae.zoo import pauses, queueing, store
from tests import toy_runs

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def checkout(tmp_path):
    """A checkout with the package, and one recipe that waits."""
    (tmp_path / "keras_vae").symlink_to(ROOT / "keras_vae")
    (tmp_path / "tmp").mkdir()
    toy_runs.write_recipe(tmp_path / "zoo/toy_mnist/next.toml", {"training.epochs": 4})
    return tmp_path


def queue(checkout, *arguments, start=subprocess.Popen):
    environment = {**toy_runs.environment(), "PYTHONPATH": str(checkout), "TMPDIR": str(checkout / "tmp")}
    return start([sys.executable, "-m", "keras_vae", "train", "--all", *arguments], cwd=checkout, env=environment,
                 text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # fmt: skip


def waited_for(condition, process, seconds=600):
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()
        time.sleep(0.02)


def children(process):
    return [int(line) for line in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def status(process):
    return re.search(r"State:\s+(\w)", Path(f"/proc/{process}/status").read_text())[1]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the state of a process where Linux has it")
def test_killed_paused_and_gone_on_with(checkout):
    folder = checkout / "runs/queue/toy_mnist"
    first = queue(checkout)
    waited_for((folder / "checkpoint.safetensors").is_file, first)
    (trainer,) = children(first.pid)
    assert os.getpriority(os.PRIO_PROCESS, trainer) == 19
    sign = checkout / f"tmp/keras_vae-pause-{os.getuid()}/{os.getpid()}"
    sign.parent.mkdir(exist_ok=True)
    held = locks.take(sign)
    waited_for(lambda: status(trainer) == "T", first)
    second = queue(checkout, start=subprocess.run)
    assert second.returncode == 1 and f"Another process trains a queue here (pid {first.pid} " in second.stderr
    held.close()
    waited_for(lambda: status(trainer) != "T", first)
    first.send_signal(signal.SIGINT)
    out, _ = first.communicate()
    assert first.returncode == 130 and "paused for" in out and "going on" in out
    assert not Path(f"/proc/{trainer}").exists(), "no training is left behind"
    third = queue(checkout, start=subprocess.run)
    assert third.returncode == 0, third.stderr
    assert third.stdout.splitlines()[-1] == "1 of 1 are finished, in runs/queue/"
    lines = (checkout / "runs/queue/toy_mnist.log").read_text().splitlines()
    epochs = [int(line.split()[1].split("/")[0]) for line in lines if line.startswith("Epoch ")]
    assert sorted(set(epochs)) == [1, 2, 3, 4] and len(epochs) <= 5, "and at most the killed epoch twice"
    assert set(os.listdir(folder)) == {*toy_runs.FILES}
    fourth = queue(checkout, start=subprocess.run)
    assert fourth.returncode == 0 and "training" not in fourth.stdout, "it is not trained twice"


@pytest.mark.slow
def test_one_that_fails_is_named_and_the_others_are_trained(checkout):
    toy_runs.write_recipe(checkout / "zoo/broken_mnist/recipe.toml", {"model.encoder": {"name": "nothing"}})
    done = queue(checkout, "--jobs", "2", "--json", start=subprocess.run)
    assert done.returncode == 1, done.stderr
    assert json.loads(done.stdout) == {"folder": "runs/queue", "trained": ["toy_mnist"], "failed": ["broken_mnist"]}
    assert "nothing" in (checkout / "runs/queue/broken_mnist.log").read_text()


def test_what_waits_is_what_has_no_results_or_a_next_recipe(run, tmp_path, monkeypatch):
    monkeypatch.setattr(store, "root", lambda: tmp_path / "zoo")
    trained, again, new, empty = (tmp_path / "zoo" / name for name in ("a", "b", "c", "d"))
    toy_runs.copy_of(run, trained)
    toy_runs.copy_of(run, again)
    toy_runs.write_recipe(again / store.NEXT, {"training.epochs": 7})
    toy_runs.write_recipe(new / store.RECIPE)
    empty.mkdir()
    assert [(item.name, item.recipe.name) for item in queueing.waiting()] == [("b", "next.toml"), ("c", "recipe.toml")]
    assert [item.name for item in queueing.waiting("c*")] == ["c"]


def test_the_state_of_a_run(run, tmp_path):
    """One that is under way is still this recipe's if it is to be measured in another way; a measured one is not."""
    toy_runs.copy_of(run, tmp_path / "run")
    other = toy_runs.write_recipe(tmp_path / "other.toml", {"training.epochs": 7})
    measured = toy_runs.write_recipe(tmp_path / "measured.toml", {"evaluation.samples": 7, "training.storage": "int8"})

    def states():
        recipes = (run / store.RECIPE, other, measured)
        return [queueing.Queued("toy", recipe, tmp_path / "run").state for recipe in recipes]

    assert states() == ["finished", "of another recipe", "of another recipe"]
    (tmp_path / "run" / store.RESULTS).unlink()
    assert states() == ["begun", "of another recipe", "begun"]
    shutil.rmtree(tmp_path / "run")
    assert states() == ["to come"] * 3


def test_jobs_are_a_whole_number(tmp_path):
    with pytest.raises(UserError, match=r"jobs must be a whole number, 1 or more\. Given: 0\."):
        queueing.train_all([], tmp_path / "queue", jobs=0)


def test_a_sign_holds_while_its_process_lives(tmp_path, monkeypatch):
    monkeypatch.setattr(pauses, "FOLDER", tmp_path / "signs")
    monkeypatch.setattr(pauses, "INTERVAL", 0)
    assert pauses.holders() == []
    with pauses.paused():
        assert pauses.holders() == [os.getpid()]
    assert pauses.holders() == []
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    for process in (dead.pid, os.getppid()):  # a number that is another process's by now says nothing
        (tmp_path / "signs" / str(process)).touch()
    assert pauses.holders() == [] and os.listdir(tmp_path / "signs") == []
    with pauses.paused():
        with pauses.paused():
            assert pauses.holders() == [os.getpid()]
        assert pauses.holders() == [os.getpid()], "of the outer block"
