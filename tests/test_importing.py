"""What importing costs: the package without TensorFlow, its names all the same."""

import ast
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import keras_vae


def run(script):
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, timeout=600,
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


def test_the_list_of_the_zoo_imports_few_modules():
    """Most of the time of `keras-vae list` goes into imports: neither arrays nor what computes with them."""
    script = """
        import contextlib, io, sys
        from keras_vae.cli import main
        with contextlib.redirect_stdout(io.StringIO()) as shown, contextlib.suppress(SystemExit):
            main(["list"])
        assert "vae_mnist" in shown.getvalue()
        print(len(sys.modules), [name for name in ("numpy", "keras", "tensorflow", "scipy") if name in sys.modules])
    """
    count, heavy = run(script).split(maxsplit=1)
    assert int(count) < 450 and heavy == "[]\n"


def test_lazy_names():
    for name in ("data", "divergences", "evaluation", "export", "likelihoods", "models", "networks", "priors",
                 "runtimes", "schedules", "zoo"):  # fmt: skip
        assert name in dir(keras_vae) and name in keras_vae.__all__
        assert getattr(keras_vae, name).__name__ == f"keras_vae.{name}"
    with pytest.raises(AttributeError, match="module 'keras_vae' has no attribute 'modles'"):
        keras_vae.modles  # noqa: B018


def imports_of(path):
    """The modules that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names))


def test_the_command_line_holds_arguments_and_printing_only():
    """It imports nothing to compute with, and no other room imports it."""
    package = Path(keras_vae.__file__).parent
    for path in package.rglob("*.py"):
        imported = set(imports_of(path))
        if path.parent == package / "cli":
            assert not {name.partition(".")[0] for name in imported} & {"numpy", "keras", "sklearn"}, path
        elif path != package / "__main__.py":
            assert not any(name.startswith("keras_vae.cli") for name in imported), path
