"""`keras-vae data build`: its help, its folder, what it prints, and its errors in one line."""

import inspect
import json

import numpy as np
import pytest

from keras_vae import cli
from keras_vae.cli.build import build_command


@pytest.fixture
def call(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", np.random.default_rng(0).integers(0, 256, (30, 4, 4, 1), dtype="uint8"))

    def called(*words):
        with pytest.raises(SystemExit) as left:
            cli.main(["data", "build", *words])
        return left.value.code, *capsys.readouterr()

    return called


def test_it_builds_refuses_and_goes_on(call, tmp_path):
    code, out, err = call("x.npy", "shards", "--shard-rows", "20")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "20 of 30 examples", "30 of 30 examples", "Written: shards/, 30 examples of 4x4x1 uint8 in 2 shards.",
    ]  # fmt: skip
    code, out, err = call("x.npy", "shards", "--shard-rows", "20", "--resume", "--json")
    assert code == 0 and json.loads(out)["rows"] == 30
    code, out, err = call("x.npy", "shards")
    assert (code, out) == (1, "")
    assert err.startswith("Error: Shards are built into a new folder. Given: shards, which has contents.")
    assert err.count("\n") == 1
    for words, message in (
        (("missing.npy", "other"), "missing.npy is no array of numbers: No such file"),
        (("x.npy", "other", "--grey"), "grey is not of this source. Given: x.npy. Leave it out."),
        (("x.npy", "other", "--shard-rows", "0"), "shard_rows must be"),
    ):
        code, out, err = call(*words)
        assert code == 1 and message in err and err.count("\n") == 1, err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["shards", "x.npy"]


def test_help_is_shown_in_whole_paragraphs(call, monkeypatch):
    monkeypatch.setenv("COLUMNS", "2000")
    code, out, _ = call("--help")
    assert code == 0
    for paragraph in (inspect.getdoc(build_command) or "").split("\n\n"):
        assert " ".join(paragraph.split()) in [line.strip() for line in out.splitlines()]
