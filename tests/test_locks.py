"""One writer at a time, tried with processes: the second is told the id of the first, and a dead one blocks nobody."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
import textwrap

import pytest

from keras_vae import locks
from keras_vae.errors import UserError

HOLDER = """
    import sys
    from keras_vae import locks
    with locks.only_writer(sys.argv[1], "trains"):
        print("locked", flush=True)
        sys.stdin.readline()
"""


@pytest.fixture
def holder(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(HOLDER), "runs/a"], cwd=tmp_path, text=True, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert process.stdout.readline() == "locked\n"
    yield process
    process.kill()
    process.communicate()


def test_the_second_is_refused_until_the_first_ends(tmp_path, holder):
    message = rf"^Another process trains here \(pid {holder.pid} on .*\)\. Given: .*runs/a\. Wait until it ends, or"
    with pytest.raises(UserError, match=message), locks.only_writer(tmp_path / "runs/a", "trains"):
        pass
    with locks.only_writer(tmp_path / "runs/b"):
        pass
    holder.communicate("\n", timeout=300)
    with locks.only_writer(tmp_path / "runs/a"):
        assert len(os.listdir(tmp_path / "runs")) == 1
    assert os.listdir(tmp_path) == []


def test_a_lock_of_a_killed_process_blocks_nobody(tmp_path, holder):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert len(os.listdir(tmp_path / "runs")) == 1, "it is left"
    with locks.only_writer(tmp_path / "runs/a"):
        pass
    assert os.listdir(tmp_path / "runs") == []


def test_folders_that_were_made_for_a_lock_are_removed(tmp_path):
    with pytest.raises(ZeroDivisionError), locks.only_writer(tmp_path / "a/b/c"):
        raise ZeroDivisionError
    assert os.listdir(tmp_path) == []
    with locks.only_writer(tmp_path / "a/b/c"):
        (tmp_path / "a/b/c").mkdir()
    assert os.listdir(tmp_path / "a/b") == ["c"]


def test_many_take_turns(tmp_path):
    """The lock's file is removed and made again: no two processes ever hold it at once."""
    script = """
        import os
        from keras_vae import locks
        from keras_vae.errors import UserError
        entered = 0
        while entered < 100:
            try:
                with locks.only_writer("a"):
                    os.mkdir("inside")
                    os.rmdir("inside")
                    entered += 1
            except UserError:
                pass
    """
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(script)], cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        for _ in range(3)
    ]  # fmt: skip
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    assert os.listdir(tmp_path) == []


def test_a_file_system_without_locks_is_said(tmp_path, monkeypatch):
    def refused(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refused)
    with pytest.warns(UserWarning, match="two processes from writing .*a at once"), locks.only_writer(tmp_path / "a"):
        (tmp_path / "a").touch()
    assert (tmp_path / "a").exists()


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(UserError, match=r"^Cannot write .*: .*\. Choose another folder"),
        locks.only_writer(tmp_path / "file/a"),
    ):
        pass
