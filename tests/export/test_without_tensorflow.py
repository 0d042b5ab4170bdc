"""A bundle on another machine: no TensorFlow, no Keras, no onnx, only golden.json to compare with."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.export.bundles import copied

ROOT = Path(__file__).parents[2]
# An import of any of these raises ModuleNotFoundError, as where they are not installed.
_BLOCKED = ("tensorflow", "keras", "tensorflow_probability", "tensorflow_datasets", "tf2onnx", "onnx", "h5py")
_PRELUDE = f"import sys; sys.modules.update(dict.fromkeys({_BLOCKED!r}))\n"


def python(code, *words):
    command = [sys.executable, "-c", _PRELUDE + code, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)})


_CHECK = "from keras_vae.cli import main; main(['check', *sys.argv[1:]])"


def test_check_passes_where_tensorflow_cannot_be_imported(tmp_path):
    done = python(_CHECK, copied("mlp", tmp_path), "--runtime", "onnxruntime", "--runtime", "litert")
    assert done.returncode == 0, done.stderr
    assert "every file is the one that was exported" in " ".join(done.stdout.split())


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_check_fails_there_on_a_changed_file(tmp_path):
    folder = copied("mlp", tmp_path)
    flip_a_bit(folder / "saved_model" / "saved_model.pb")  # not one that onnxruntime opens
    done = python(_CHECK, folder, "--runtime", "onnxruntime")
    assert done.returncode == 1 and not done.stdout
    assert "saved_model.pb is not the file that was exported" in done.stderr and "Traceback" not in done.stderr


def test_check_fails_there_on_outputs_that_differ(tmp_path):
    from tests.export.test_parity import resealed

    folder = copied("mlp", tmp_path)

    def nudge(graphs):
        graphs["decoder"]["outputs"]["mean"]["data"][7] += 5e-5

    resealed(folder, nudge)
    done = python(_CHECK, folder, "--runtime", "onnxruntime")
    assert done.returncode == 1 and "the decoder's 'mean' differs from Keras" in done.stderr


def test_check_fails_there_if_only_tensorflow_was_asked_for(tmp_path):
    done = python(_CHECK, copied("mlp", tmp_path), "--runtime", "keras")
    assert done.returncode == 1 and "Traceback" not in done.stderr and "keras" in done.stderr


@pytest.mark.parametrize("kind", ["mlp", "conv"])
def test_opening_takes_less_than_a_third_of_a_second(kind, tmp_path):
    """Of processor time, beyond the imports of numpy and onnxruntime themselves, and less than those; the best of
    three. Nothing but them is imported that is not Python's own, or ours."""
    code = (
        "import time; first = time.process_time(); import numpy, onnxruntime; second = time.process_time();"
        "before = set(sys.modules); from keras_vae import runtimes;"
        "runtimes.open(sys.argv[1], 'onnxruntime', threads=1);"
        "print(second - first, time.process_time() - second);"
        "print(*{name.partition('.')[0] for name in set(sys.modules) - before} - set(sys.stdlib_module_names))"
    )
    folder, seconds = copied(kind, tmp_path), []
    for _ in range(3):
        times, imported = python(code, folder).stdout.splitlines()
        imports, rest = map(float, times.split())
        seconds.append((rest, rest / imports))
        assert set(imported.split()) <= {"keras_vae", "numpy", "onnxruntime"}
    assert min(seconds)[0] < 0.3 and min(ratio for _, ratio in seconds) < 1, seconds
