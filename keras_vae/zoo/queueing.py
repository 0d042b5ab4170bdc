"""The training queue: recipes of the zoo, each in a process of its own at the lowest priority. Needs no TensorFlow."""

import contextlib
import datetime
import fnmatch
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import keras_vae
from keras_vae import locks
from keras_vae.checks import check_whole_number
from keras_vae.zoo import pauses, recipes, store

FOLDER = Path("runs/queue")
_NICEST = 19


class Queued(NamedTuple):
    """A recipe of the zoo and the folder of its run."""

    name: str
    recipe: Path
    run: Path

    @property
    def state(self) -> str:
        """Return "finished", "begun", "to come", or "of another recipe": what the folder of the run has."""
        path, recipe = self.run / store.RECIPE, recipes.read(self.recipe)
        if not path.is_file():
            return "to come"
        before, measured = recipes.read(path), (self.run / store.RESULTS).is_file()
        if recipe.changed_since(before) if measured else recipe.training_changed_since(before):
            return "of another recipe"
        return "finished" if measured else "begun"


def waiting(pattern: str = "*", folder: str | Path = FOLDER) -> list[Queued]:
    """Return what the zoo has yet to train, by name: entries without results, and those with a `next.toml`.

    Args:
      pattern: a glob that their names match.
      folder: of the runs.
    """
    entries = sorted({path.parent for path in store.root().glob("*/*.toml") if path.name in (store.RECIPE, store.NEXT)})
    queued: list[Queued] = []
    for entry in entries:
        if fnmatch.fnmatchcase(entry.name, pattern) and not _is_trained(entry):
            following = entry / store.NEXT
            recipe = following if following.is_file() else entry / store.RECIPE
            queued.append(Queued(entry.name, recipe, Path(folder) / entry.name))
    return queued


def _is_trained(entry: Path) -> bool:
    return (entry / store.RESULTS).is_file() and not (entry / store.NEXT).is_file()


def train_all(
    queued: Sequence[Queued],
    folder: str | Path = FOLDER,
    jobs: int = 1,
    overwrite: bool = False,
    allow_code: bool = False,
    say: Callable[[str], None] = print,
) -> list[str]:
    """Train what is not finished; the same call goes on after an interruption. Return the names of those that failed.

    What a training prints is in `NAME.log` beside its run. All of them stand still while a process has a sign of
    `pauses`. One that fails is left for the next call, and the others go on.

    Args:
      queued: in their order.
      folder: that of the logs, and of the lock that only one queue has.
      jobs: how many are trained at once.
      overwrite: discard runs of another recipe, which fail otherwise.
      allow_code: let recipes import classes of modules that are not this package's.
      say: called with a line whenever something begins or ends.

    Raises:
      UserError: a queue that is at work in the folder, or jobs that are no whole number above 0.
    """
    jobs, folder = check_whole_number(jobs, "jobs"), Path(folder)
    with locks.only_writer(folder, "trains a queue"):
        folder.mkdir(parents=True, exist_ok=True)
        left = [item for item in queued if item.state != "finished"]
        running: dict[Queued, subprocess.Popen[bytes]] = {}
        failed: list[str] = []
        stopped = False
        try:
            while left or running:
                asked = bool(pauses.holders())
                if asked != stopped:
                    for process in running.values():
                        _signal(process, signal.SIGSTOP if asked else signal.SIGCONT)
                    say(_line(f"paused for {pauses.holders()}" if asked else "going on"))
                    stopped = asked
                while left and len(running) < jobs and not stopped:
                    item = left.pop(0)
                    say(_line(f"{item.name}: training, {item.state}"))
                    options = ["--overwrite"] if overwrite and item.state == "of another recipe" else []
                    running[item] = _started(item, folder, [*options, *(["--allow-code"] if allow_code else [])])
                for item in [item for item, process in running.items() if process.poll() is not None]:
                    status = running.pop(item).returncode
                    failed += [item.name] if status else []
                    log = folder / f"{item.name}.log"
                    say(_line(f"{item.name}: {f'failed, status {status}: {log} says why' if status else 'finished'}"))
                if running or stopped:
                    time.sleep(pauses.INTERVAL)
        finally:
            for process in running.values():
                _signal(process, signal.SIGKILL)  # nothing is lost but what is after the last checkpoint
                process.wait()
    return failed


def _started(item: Queued, folder: Path, options: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start the training of a recipe; its process leads a session of its own, so that it can be stopped whole."""
    command = [sys.executable, "-m", "keras_vae", "train", str(item.recipe), "--output", str(item.run), *options]
    paths = [str(Path(keras_vae.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    environment = {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONUNBUFFERED": "1", **os.environ}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    with open(folder / f"{item.name}.log", "a", encoding="utf-8") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, process.pid, _NICEST)
        # Linux shares processors between sessions first, if it groups them.
        Path(f"/proc/{process.pid}/autogroup").write_text(str(_NICEST), encoding="ascii")
    return process


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def _line(text: str) -> str:
    return f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M:%S} {text}"
