"""What another package brings goes through every command, and code is run only where it is allowed."""

import json

import pytest

from tests import plugins, toy_runs

COMMANDS = """
import sys
from keras_vae.cli import main

def call(*words):
    try:
        main([*words])
    except SystemExit as left:
        assert left.code == 0, words

call("train", "rings.toml", "--output", "run")
call("show", "run")
call("evaluate", "run", "--latent")
call("verify", "run")
call("encode", "run", "test", "--output", "z.npy")
call("sample", "run", "--output", "s.npy")
call("report", "run", "--output", "r.html", "--count", "10")
call("anomaly", "run", "--anomalies", "far.npy", "--output", "a.png")
call("export", "run", "bundle", "-f", "saved_model", "-f", "onnx", "-f", "keras")
call("check", "bundle")
call("bench", "bundle", "--runtime", "onnxruntime", "--batch", "1", "--calls", "3", "--output", "bench")
"""


@pytest.mark.slow
def test_every_command_takes_a_model_of_another_package(tmp_path, monkeypatch):
    import numpy as np

    monkeypatch.setenv("PYTHONPATH", str(plugins.install(tmp_path / "site")))
    (tmp_path / "rings.toml").write_text(plugins.RECIPE)
    np.save(tmp_path / "far.npy", np.full((20, 3), 50.0, "float32"))
    listed = toy_runs.cli(["list", "--plugins", "--json"], tmp_path)
    rows = {row["name"]: row for row in json.loads(listed.stdout)}
    assert rows["TiltedVAE"] == {
        "kind": "models", "name": "TiltedVAE", "code": "stranger:TiltedVAE", "package": "stranger 1.2"
    }  # fmt: skip
    assert rows["rings"]["kind"] == "sources"
    done = toy_runs.python(["-c", COMMANDS], tmp_path, timeout=900)
    assert done.returncode == 0, done.stderr[-2000:]
    manifest = json.loads((tmp_path / "bundle/bundle.json").read_text())
    assert manifest["model"]["class"] == "TiltedVAE" and {"saved_model", "onnx", "keras"} <= set(manifest["formats"])
    assert "of `rings`" in (tmp_path / "run/README.md").read_text()


ALLOWED = """
import pytest
from keras_vae import zoo
from keras_vae.errors import UserError
from keras_vae.zoo import loading, recipes

def build(name):
    return loading.build(recipes.read(name + ".toml"))

with pytest.raises(UserError, match=r"names registered classes\\. Given: .*add --allow-code to the command; in Py"):
    build("TiltedVAE")
zoo.allow_code()
assert type(build("TiltedVAE")).__name__ == "TiltedVAE"
with pytest.raises(UserError, match=r"model\\.class is a subclass of keras_vae\\.models\\.VAE"):
    build("Cauchy")
with pytest.raises(UserError, match="The model class 'stranger.nowhere:VAE' cannot be imported: No module named"):
    build("VAE")
"""


def test_a_class_is_imported_only_where_code_is_allowed(tmp_path, monkeypatch):
    """In a process of its own: entry points are looked for once in each, and code that was allowed stays so."""
    monkeypatch.setenv("PYTHONPATH", str(plugins.install(tmp_path / "site")))
    for name in ("stranger:TiltedVAE", "stranger:Cauchy", "stranger.nowhere:VAE"):
        path = tmp_path / f"{name.partition(':')[2]}.toml"
        path.write_text(plugins.RECIPE.replace('"TiltedVAE"', f'"{name}"'))
    done = toy_runs.python(["-c", ALLOWED], tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
