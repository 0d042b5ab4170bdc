"""Tasks of Ray without Ray: its faults are failures of runs, and what nobody waits for is cancelled."""

from types import SimpleNamespace

import pytest

from keras_vae.sweeps import engines, progress, studies
from tests.sweeps import studies_of


class RayError(Exception):
    """As Ray's, of which all of its errors are."""


@pytest.fixture
def sent(monkeypatch):
    """A stand-in for Ray, which loses the second task; return the tasks that were sent, and those cancelled."""
    tasks, cancelled = [], []

    def get(number):
        if number == 1:
            raise RayError("Traceback:\n  a worker\nThe worker died.\n")
        return ""

    def remote(task, allow_code):
        tasks.append(task)
        return len(tasks) - 1

    module = SimpleNamespace(
        is_initialized=lambda: True,
        remote=lambda **_: lambda function: SimpleNamespace(remote=remote),
        wait=lambda waiting: (waiting[:1], waiting[1:]),
        get=get,
        cancel=cancelled.append,
        exceptions=SimpleNamespace(RayError=RayError),
    )
    monkeypatch.setattr(engines, "required", lambda *_: module)
    return tasks, cancelled


def test_faults_of_ray_are_failures_and_abandoned_tasks_are_cancelled(sent, tmp_path):
    study = studies.read(studies_of.write(tmp_path))
    due = progress.survey(study, progress.Path("out")).due
    done = [failure for _, failure in engines.ray(due, 2, False)]
    assert done == ["", "c000-s1: The worker died", "", ""] and sent[1] == []
    assert all(task.run.folder.is_absolute() for task in sent[0])
    several = engines.ray(due, 2, False)
    next(several)
    several.close()
    assert sent[1] == [5, 6, 7]
