"""What importing costs: the package without TensorFlow, its names all the same."""

import os
import subprocess
import sys
import textwrap

import pytest

import keras_vae


def run(script):
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, timeout=120,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_the_package_imports_no_tensorflow():
    heavy = "tensorflow", "keras", "tensorflow_probability", "tensorflow_datasets", "numpy", "matplotlib", "onnxruntime"
    script = f"""
        import sys
        import keras_vae
        assert "models" in dir(keras_vae) and keras_vae.__version__
        import keras_vae.errors, keras_vae.files, keras_vae.registry
        print([name for name in {heavy!r} if name in sys.modules])
    """
    assert run(script) == "[]\n"


def test_lazy_names():
    for name in ("data", "divergences", "evaluation", "export", "likelihoods", "models", "networks", "priors",
                 "runtimes", "schedules", "zoo"):  # fmt: skip
        assert name in dir(keras_vae) and name in keras_vae.__all__
        assert getattr(keras_vae, name).__name__ == f"keras_vae.{name}"
    with pytest.raises(AttributeError, match="module 'keras_vae' has no attribute 'modles'"):
        keras_vae.modles  # noqa: B018
