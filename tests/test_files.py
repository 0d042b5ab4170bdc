"""Writing files: what is there is always whole, whatever ends the writer."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from keras_vae import files
from keras_vae.errors import UserError
from tests.processes import interruptible


def test_a_file_and_its_folder_are_made(tmp_path):
    files.write_text(tmp_path / "a/b/c.txt", "grüße")
    assert (tmp_path / "a/b/c.txt").read_bytes() == "grüße".encode()
    assert os.listdir(tmp_path / "a/b") == ["c.txt"], "no temporary file stays"


def test_json_is_readable_and_refuses_nan(tmp_path):
    files.write_json(tmp_path / "a.json", {"β": [1, 2.5, None]})
    assert json.loads((tmp_path / "a.json").read_text()) == {"β": [1, 2.5, None]}
    with pytest.raises(ValueError, match="Out of range float values are not JSON compliant"):
        files.write_json(tmp_path / "a.json", {"elbo": float("nan")})
    assert json.loads((tmp_path / "a.json").read_text()) == {"β": [1, 2.5, None]}


def test_sha256(tmp_path):
    (tmp_path / "a").write_bytes(b"abc" * 100_000)
    assert files.sha256(tmp_path / "a") == hashlib.sha256(b"abc" * 100_000).hexdigest()


@pytest.mark.parametrize("error", [RuntimeError("no"), KeyboardInterrupt(), SystemExit(1)])
@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_was_there_stays_when_the_writer_fails_in_the_middle(tmp_path, kind, error):
    target = tmp_path / "target"
    if kind == "file":
        target.write_text("old")
    else:
        target.mkdir()
        (target / "part").write_text("old")
    with pytest.raises(type(error)), files.atomic(target) as temporary:
        if kind == "file":
            temporary.write_text("half")
        else:
            temporary.mkdir()
            (temporary / "part").write_text("half")
        raise error
    assert (target if kind == "file" else target / "part").read_text() == "old"
    assert os.listdir(tmp_path) == ["target"]


def test_a_folder_is_replaced_whole(tmp_path):
    target = tmp_path / "target"
    for names in (["a", "b"], ["c"]):
        with files.atomic(target) as temporary:
            temporary.mkdir()
            for name in names:
                (temporary / name).write_text(name)
        assert sorted(os.listdir(target)) == names, "nothing of the former folder is mixed in"
    assert os.listdir(tmp_path) == ["target"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_a_folder_comes_back_when_the_second_rename_fails(tmp_path, monkeypatch, error):
    """The moment between moving the old folder aside and renaming the new one: Ctrl-C there lost the old one."""
    target = tmp_path / "target"
    target.mkdir()
    (target / "part").write_text("old")
    renames = []

    def replace(source, destination):
        renames.append(destination)
        if len(renames) == 2:
            raise error
        os.rename(source, destination)

    monkeypatch.setattr(files.os, "replace", replace)
    with pytest.raises(KeyboardInterrupt if error is KeyboardInterrupt else UserError), files.atomic(target) as new:
        new.mkdir()
        (new / "part").write_text("new")
    assert len(renames) == 3
    assert (target / "part").read_text() == "old"
    assert os.listdir(tmp_path) == ["target"]


def test_a_reader_never_sees_half_a_file(tmp_path):
    """Between the first byte written and the end of the block, the old content is what is read."""
    target = tmp_path / "target"
    files.write_text(target, "old")
    with files.atomic(target) as temporary:
        temporary.write_text("new, but not yet")
        assert target.read_text() == "old"
    assert target.read_text() == "new, but not yet"


def test_a_folder_that_cannot_be_written(tmp_path, monkeypatch):
    def refused(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(files.Path, "mkdir", refused)  # root may write everywhere
    with pytest.raises(UserError, match=r"Cannot write .*a\.txt: Permission denied\. Choose another folder\."):
        files.write_text(tmp_path / "a.txt", "")


def test_a_parent_that_is_a_file(tmp_path):
    (tmp_path / "a").write_text("")
    with pytest.raises(UserError, match=r"Cannot write .*a/b: (Not a directory|File exists)\. Choose another folder\."):
        files.write_text(tmp_path / "a/b", "")


def test_writing_nothing_is_an_error_and_keeps_the_old_file(tmp_path):
    (tmp_path / "a").write_text("old")
    with pytest.raises(UserError, match=r"Cannot write .*a: No such file"), files.atomic(tmp_path / "a"):
        pass
    assert (tmp_path / "a").read_text() == "old"


@pytest.mark.parametrize("writer", ["text", "numpy", "h5"])
def test_no_room_gives_a_user_error_and_leaves_nothing(tmp_path, writer):
    """A limit on the size of files stands for a full disk; it needs a process of its own."""
    script = f"""
        import resource, signal, sys
        import h5py, numpy as np
        from keras_vae import files
        from keras_vae.errors import UserError
        files.write_text("target", "old")
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        try:
            with files.atomic("target") as temporary:
                if {writer!r} == "text":
                    temporary.write_text("x" * 200_000)
                elif {writer!r} == "numpy":
                    with open(temporary, "wb") as file:
                        np.save(file, np.zeros(200_000))
                else:
                    with h5py.File(temporary, "w") as file:
                        file["a"] = np.random.default_rng(0).random(200_000)
        except UserError as error:
            print("UserError:", error)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        cwd=tmp_path, capture_output=True, text=True, timeout=300,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert "UserError: Cannot write target: " in done.stdout, done.stdout + done.stderr
    assert "free some room or write elsewhere" in done.stdout
    assert (tmp_path / "target").read_text() == "old"
    assert os.listdir(tmp_path) == ["target"]


def test_ctrl_c_while_writing(tmp_path):
    """A real signal, in the middle of a write."""
    script = """
        import time
        from keras_vae import files
        with files.atomic("target") as temporary, open(temporary, "w") as file:
            while True:
                file.write("half")
                file.flush()
                print("writing", flush=True)
                time.sleep(0.01)
    """
    (tmp_path / "target").write_text("old")
    with interruptible():
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(script)], cwd=tmp_path, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )  # fmt: skip
    assert process.stdout is not None and process.stdout.readline() == "writing\n"
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=300)
    assert "KeyboardInterrupt" in errors
    assert (tmp_path / "target").read_text() == "old"
    assert os.listdir(tmp_path) == ["target"]


def test_output_folders(tmp_path):
    manifest = "bundle.json"
    assert files.check_output_folder(tmp_path / "new", manifest) == tmp_path / "new"
    assert not (tmp_path / "new").exists(), "nothing is made before there is something to put in it"
    (tmp_path / "empty").mkdir()
    files.check_output_folder(tmp_path / "empty", manifest)
    ours = tmp_path / "ours"
    ours.mkdir()
    (ours / manifest).write_text("{}")
    (ours / "more").write_text("")
    files.check_output_folder(ours, manifest)
    assert sorted(os.listdir(ours)) == [manifest, "more"]


def test_a_folder_that_is_not_ours_is_refused_and_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(UserError, match=r"must be new, empty, or made by the same command \(with b\.json.*--overwrite"):
        files.check_output_folder(tmp_path, "b.json")
    assert (tmp_path / "thesis.tex").read_text() == "precious"
    files.check_output_folder(tmp_path, "b.json", overwrite=True)
    assert (tmp_path / "thesis.tex").read_text() == "precious"
    with pytest.raises(UserError, match=r"output must be a folder\. Given: .*thesis\.tex, which is a file\."):
        files.check_output_folder(tmp_path / "thesis.tex", "b.json", overwrite=True)


def test_leftovers_of_killed_writers_are_removed(tmp_path):
    """kill -9 inside a write leaves the temporary folder: the next run clears it, and it does not count as content."""
    script = """
        import os, signal
        from keras_vae import files
        with files.atomic("out/weights") as temporary:
            temporary.write_bytes(b"half")
            os.kill(os.getpid(), signal.SIGKILL)
    """
    subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], cwd=tmp_path, timeout=300, check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert len(os.listdir(tmp_path / "out")) == 1, "the test left something to remove"
    files.check_output_folder(tmp_path / "out", "run.json")
    assert os.listdir(tmp_path / "out") == []


def test_many_writers_of_one_file_leave_one_whole_content(tmp_path):
    script = "from keras_vae import files\nfor _ in range(50): files.write_text('target', '{}' * 10_000)"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script.format(letter)], cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        for letter in "ab"
    ]  # fmt: skip
    assert [process.wait(60) for process in processes] == [0, 0]
    content = (tmp_path / "target").read_text()
    assert content in ("a" * 10_000, "b" * 10_000)
    assert os.listdir(tmp_path) == ["target"]
    assert np.unique(list(content)).size == 1


def test_a_writer_that_was_killed_between_its_two_renames(tmp_path):
    """What stood there is aside, what replaces it is whole, and neither has its name."""
    scratch = tmp_path / ".keras_vae-killed"
    for name, text in (("replaced", "old"), ("bundle", "new")):
        (scratch / name).mkdir(parents=True)
        (scratch / name / "bundle.json").write_text(text)
    (scratch / ".lock").touch()
    files.check_output_folder(tmp_path / "bundle", "bundle.json")
    assert (tmp_path / "bundle" / "bundle.json").read_text() == "new"
    assert os.listdir(tmp_path) == ["bundle"]


WRITER = """
    import os, signal, sys
    from keras_vae import files
    with files.atomic("here/a") as temporary:
        temporary.write_text("whole")
        print("writing", flush=True)
        sys.stdin.readline()
"""


@pytest.mark.parametrize("end", ["goes on", "is killed"])
def test_only_what_is_left_by_processes_that_are_gone_is_swept(tmp_path, end):
    """By the next writer of the same folder; a second `train` used to remove what the first was writing."""
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(WRITER)], cwd=tmp_path, text=True, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert process.stdout.readline() == "writing\n"
    if end == "is killed":
        process.kill()
        process.wait()
    files.check_output_folder(tmp_path / "here", "a", overwrite=True)
    files.write_text(tmp_path / "here/b", "")
    process.communicate("\n" if end == "goes on" else None, timeout=300)
    assert sorted(os.listdir(tmp_path / "here")) == (["a", "b"] if end == "goes on" else ["b"])
    assert process.returncode == (0 if end == "goes on" else -signal.SIGKILL)


def test_a_scratch_folder_without_a_lock_is_swept_when_it_is_old(tmp_path):
    """Of an earlier version; or of a writer that is about to take its lock."""
    for name in (".keras_vae-new", ".keras_vae-old"):
        (tmp_path / name).mkdir()
    os.utime(tmp_path / ".keras_vae-old", (0, 0))
    (tmp_path / ".keras_vae-link").symlink_to(tmp_path / ".keras_vae-old")
    files.write_text(tmp_path / "a", "")
    assert sorted(os.listdir(tmp_path)) == [".keras_vae-link", ".keras_vae-new", "a"]


def test_a_pipe_is_not_waited_for(tmp_path):
    """Whatever reads a path: an array, weights, a prior, results of a benchmark, a bundle, a checkpoint."""
    from keras_vae import priors, weights
    from keras_vae.benchmarking.comparing import read_results
    from keras_vae.runtimes.bundle import read_bundle
    from keras_vae.zoo import checkpoints

    for name in ("a.npy", "bundle.json", checkpoints.NAME):
        os.mkfifo(tmp_path / name)
    readers = [
        (files.read_array, "a.npy"), (lambda path: weights.read(path, None), "a.npy"), (priors.load, "a.npy"),
        (read_results, "a.npy"), (lambda path: weights.check_hdf5(path, 1), "a.npy"), (read_bundle, "."),
        (lambda path: checkpoints.latest(path, {"model": {}, "data": {}, "training": {}}), "."),
    ]  # fmt: skip
    for reader, name in readers:
        with pytest.raises(UserError):
            reader(tmp_path / name)


def test_two_writers_of_one_folder(tmp_path):
    """Exports, demos, benchmarks: the second is refused at once, and the first is whole."""
    with files.atomic_folder(tmp_path / "bundle") as temporary:
        (temporary / "a").write_text("first")
        with (
            pytest.raises(UserError, match=rf"^Another process writes here \(pid {os.getpid()} on "),
            files.atomic_folder(tmp_path / "bundle"),
        ):
            pass
    assert (tmp_path / "bundle/a").read_text() == "first"
    assert os.listdir(tmp_path) == ["bundle"]
