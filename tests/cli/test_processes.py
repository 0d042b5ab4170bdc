"""The command line as a process: what starts at once, and what a shell sees."""

import os
import resource
import sys

import pytest

from tests import toy_runs


def seconds_of_processor(words, folder):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = toy_runs.cli(words, folder)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_list_answers_at_once(tmp_path):
    """In processor time, and the least of five: on a busy machine the wall clock measures the neighbours."""
    assert min(seconds_of_processor(["list"], tmp_path) for _ in range(5)) < 0.5


def test_a_mistake_in_a_real_process_is_one_line(tmp_path):
    """TensorFlow is imported and in use by then: nothing that it says of processors and drivers is shown."""
    toy_runs.write_recipe(tmp_path / "toy.toml", {"training.batch_size": 5000})
    done = toy_runs.cli(["train", "toy.toml"], tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "Error: Training needs at least one full batch: 5000 examples. Given: 1000. Lower batch_size.\n"
    )
    assert os.listdir(tmp_path) == ["toy.toml"]
    done = toy_runs.cli(["show", "nonsense", "--debug"], tmp_path)
    assert done.returncode == 1 and "Traceback (most recent call last)" in done.stderr


@pytest.mark.slow
def test_sampling_in_a_real_process(run, tmp_path):
    done = toy_runs.cli(["sample", str(run), "--count", "4", "--output", "a.npy", "--json"], tmp_path)
    assert done.returncode == 0 and done.stderr == ""
    assert done.stdout == '{\n  "file": "a.npy",\n  "shape": [\n    4,\n    28,\n    28,\n    1\n  ]\n}\n'


def test_a_reader_that_leaves_early(tmp_path):
    """`keras-vae list | head -n 0`: no traceback."""
    script = "import sys; from keras_vae.cli import main; main(['list'])"
    done = toy_runs.python(
        ["-c", f"import subprocess, sys; p = subprocess.Popen([{sys.executable!r}, '-c', {script!r}], "
               "stdout=subprocess.PIPE, stderr=subprocess.PIPE); p.stdout.close(); "
               "sys.stdout.write(p.stderr.read().decode()); p.wait()"],
        tmp_path,
    )  # fmt: skip
    assert "Traceback" not in done.stdout
