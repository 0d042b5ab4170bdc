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
    assert "every file is the one that bundle.json lists" in " ".join(done.stdout.split())


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
    assert done.returncode == 1 and "the decoder's 'mean' in onnx differs from Keras" in done.stderr


def test_check_fails_there_if_only_tensorflow_was_asked_for(tmp_path):
    done = python(_CHECK, copied("mlp", tmp_path), "--runtime", "keras")
    assert done.returncode == 1 and "Traceback" not in done.stderr and "keras" in done.stderr


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """The zoo's model as `keras-vae export beta_vae_mnist` writes it, in the format that is opened."""
    from keras_vae import export, zoo

    return export.export(zoo.load("beta_vae_mnist"), tmp_path_factory.mktemp("real") / "out", ("onnx",)).path


def test_opening_imports_only_numpy_and_onnxruntime(real):
    """From the start of Python to the first decoded image: other than these two, only Python's own modules and the
    bundle's readers are imported. Counted, as seconds depend on the machine."""
    code = (
        "import numpy, onnxruntime; before = set(sys.modules); from keras_vae import runtimes\n"
        "runtime = runtimes.open(sys.argv[1], 'onnxruntime', threads=1)\n"
        "runtime.decode(numpy.zeros((1, *runtime.bundle.graphs['decoder']['inputs']['z']['shape'][1:])))\n"
        "new = set(sys.modules) - before\n"
        "print(*{name.partition('.')[0] for name in new} - set(sys.stdlib_module_names))\n"
        "print(*{name.split('.')[1] for name in new if name.startswith('keras_vae.')})"
    )
    done = python(code, real)
    assert done.returncode == 0, done.stderr
    imported, rooms = (set(line.split()) for line in done.stdout.splitlines())
    assert imported <= {"keras_vae", "numpy", "onnxruntime"}
    light = {
        "checks",
        "errors",
        "files",
        "lazy",
        "locks",
        "progress",
        "registry",
        "runtimes",
        "schema",
        "supports",
        "types",
    }
    assert rooms <= light


def test_opening_reads_each_file_once(real, monkeypatch):
    from keras_vae import runtimes
    from keras_vae.export import Bundle

    read, original = [], Bundle.read
    monkeypatch.setattr(Bundle, "read", lambda self, name: read.append(name) or original(self, name))
    runtimes.open(real, "onnxruntime")
    assert sorted(read) == ["decoder.onnx", "encoder.onnx"]
