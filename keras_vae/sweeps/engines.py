"""Where the runs of a study are trained, each in a process of its own: on this machine, or as tasks of Ray."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

import keras_vae
from keras_vae.errors import required
from keras_vae.runtimes.base import available_processors
from keras_vae.sweeps.progress import Task

LOG = "log.txt"  # in the folder of a run: what its process printed
_THREADS = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
_MOMENT = 0.05  # seconds
Failure: TypeAlias = str  # why a run failed; empty if it did not
Engine: TypeAlias = Callable[[Sequence[Task], int, bool], Iterator[tuple[Task, Failure]]]


def _started(task: Task, jobs: int, allow_code: bool) -> subprocess.Popen[str]:
    """Start the process of a task, which ends with this one; its threads are a share of the processors."""
    threads = dict.fromkeys(_THREADS, str(max(1, available_processors() // jobs))) if jobs > 1 else {}
    paths = [str(Path(keras_vae.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    environment = {"TF_CPP_MIN_LOG_LEVEL": "3", **threads, **os.environ}
    with open(task.run.folder / LOG, "a", encoding="utf-8") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "keras_vae.sweeps.worker"],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            env={**environment, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
            text=True,
            start_new_session=True,  # Ctrl-C reaches the sweep alone, which then ends its processes
        )
    assert process.stdin is not None
    job = {"folder": str(task.run.folder), "until": task.until, "allow_code": allow_code}
    process.stdin.write(f"{json.dumps(job)}\n")
    process.stdin.flush()
    return process


def _failure(task: Task, status: int) -> Failure:
    if not status:
        return ""
    last = _last_line((task.run.folder / LOG).read_text(encoding="utf-8", errors="replace"))
    how = f"it was ended by signal {-status}" if status < 0 else last.rstrip(".")
    return f"{task.run.name}: {how}; {task.run.folder / LOG} has all that it printed"


def _last_line(text: str) -> str:
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")


def local(tasks: Sequence[Task], jobs: int, allow_code: bool) -> Iterator[tuple[Task, Failure]]:
    """Do tasks in `jobs` processes at a time; yield each with why it failed."""
    waiting, running = list(reversed(tasks)), list[tuple[Task, subprocess.Popen[str]]]()
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                task = waiting.pop()
                running.append((task, _started(task, jobs, allow_code)))
            time.sleep(_MOMENT)
            for task, process in [pair for pair in running if pair[1].poll() is not None]:
                running.remove((task, process))
                _close(process)
                yield task, _failure(task, process.returncode)
    finally:
        for _, process in running:
            process.kill()
            _close(process)


def _close(process: subprocess.Popen[str]) -> None:
    process.wait()
    if process.stdin is not None:
        process.stdin.close()


def ray(tasks: Sequence[Task], jobs: int, allow_code: bool) -> Iterator[tuple[Task, Failure]]:
    """Do tasks on the cluster of RAY_ADDRESS, or with `jobs` processors of this machine; yield as `local`.

    All nodes see the folder by the same absolute path. Ray gives a task that a node was lost with to another one.
    """
    engine = required("ray", "keras_vae[ray]")
    if not engine.is_initialized():
        address = os.environ.get("RAY_ADDRESS")
        engine.init(address, num_cpus=None if address else jobs, log_to_driver=False, include_dashboard=False)
    remote = engine.remote(num_cpus=1)(_one)
    # Absolute: workers are in folders of their own.
    there = [task._replace(run=task.run._replace(folder=task.run.folder.absolute())) for task in tasks]
    waiting = {remote.remote(task, allow_code): task for task in there}
    try:
        while waiting:
            (ready, *_), _ = engine.wait(list(waiting))
            task = waiting.pop(ready)
            try:
                yield task, engine.get(ready)
            except engine.exceptions.RayError as error:  # of Ray itself, as a node that was lost too often
                yield task, f"{task.run.name}: {_last_line(str(error)).rstrip('.')}"
    finally:
        for abandoned in waiting:
            engine.cancel(abandoned)


def _one(task: Task, allow_code: bool) -> Failure:
    return next(local([task], 1, allow_code))[1]


ENGINES: dict[str, Engine] = {"local": local, "ray": ray}
