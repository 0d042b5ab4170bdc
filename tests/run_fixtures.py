"""Fixtures that the tests of the zoo and of the command line share."""

import pytest

from tests import toy_runs


@pytest.fixture(scope="session")
def run():
    """The folder of a finished toy run, shared: not to be changed."""
    yield toy_runs.trained()
    toy_runs.forget()


@pytest.fixture
def own_run(run, tmp_path):
    """A copy of the finished run that a test may spoil."""
    return toy_runs.copy_of(run, tmp_path / "toy")


@pytest.fixture
def own_zoo(monkeypatch, tmp_path):
    """An empty zoo in place of the real one."""
    from keras_vae.zoo import store

    folder = tmp_path / "zoo"
    folder.mkdir()
    monkeypatch.setattr(store, "root", lambda: folder)
    return folder
