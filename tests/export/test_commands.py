"""`keras-vae export`, `check` and `bench`: what they print, for people and for machines, and their exit status."""

import json

import pytest

from keras_vae import cli, zoo
from tests.export.bundles import bundle_of, copied, model_of


def run(capsys, *words):
    """The exit status, stdout and stderr of a command."""
    try:
        cli.main([str(word) for word in words])
        status = 0
    except SystemExit as end:
        status = end.code or 0
    captured = capsys.readouterr()
    return status, captured.out, captured.err


@pytest.fixture
def loading(monkeypatch):
    monkeypatch.setattr(zoo, "load", lambda name: model_of("colour"))


def test_export_prints_the_differences(loading, tmp_path, capsys):
    status, out, _ = run(capsys, "export", "a_model", tmp_path / "out", "--format", "onnx")
    assert status == 0
    assert "Largest difference from Keras, on random images of shape 8x8x3" in " ".join(out.split())
    assert "encoder.log_var" in out and "onnxruntime (onnx)" in out and "all within tolerance" in out
    assert (tmp_path / "out" / "decoder.onnx").is_file()


def test_export_json_is_one_document(loading, tmp_path, capsys):
    status, out, _ = run(capsys, "export", "a_model", tmp_path / "out", "-f", "onnx", "--json")
    document = json.loads(out)
    assert status == 0
    assert document["formats"]["onnx"]["files"] == {"encoder": "encoder.onnx", "decoder": "decoder.onnx"}
    assert all(row["max_error"] <= row["tolerance"] for row in document["parity"])


def test_export_refuses_a_foreign_folder_before_loading(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(zoo, "load", lambda name: pytest.fail("loaded"))
    (tmp_path / "mine.txt").write_text("mine")
    status, out, err = run(capsys, "export", "a_model", tmp_path)
    assert status == 1 and not out
    assert err.count("\n") == 1 and "other contents" in err


def test_check_prints_a_row_a_runtime(capsys):
    status, out, _ = run(capsys, "check", bundle_of("colour").path)
    assert status == 0
    assert "onnxruntime (onnx)" in out and "openvino (onnx)" in out and "--format" in out
    status, out, _ = run(capsys, "check", bundle_of("colour").path, "--json")
    assert json.loads(out)["passed"] is True and set(json.loads(out)["skipped"]) == {"keras", "saved_model", "litert"}


def test_check_fails_on_a_changed_file(tmp_path, capsys):
    folder = copied("colour", tmp_path)
    (folder / "encoder.onnx").write_bytes(b"")
    status, out, err = run(capsys, "check", folder, "--json")
    assert status == 1 and not out
    assert err.startswith("Error: ") and "encoder.onnx is not the file that was exported" in err


def test_bench_writes_table_json_and_picture(tmp_path, capsys):
    words = ["bench", bundle_of("colour").path, "--batch", 1, "--batch", 4, "--calls", 20, "--runtime", "onnxruntime"]
    status, out, _ = run(capsys, *words, "--output", tmp_path / "bench")
    assert status == 0
    assert {each.name for each in (tmp_path / "bench").iterdir()} == {"bench.json", "bench.md", "bench.png"}
    results = json.loads((tmp_path / "bench" / "bench.json").read_text())
    assert results["rows"][0]["encode"]["1"]["calls"] >= 20
    assert f"{results['rows'][0]['encode']['1']['p50_us']:,.0f}" in out
    status, out, _ = run(capsys, *words, "--output", tmp_path / "bench", "--json")
    assert status == 0 and json.loads(out) == json.loads((tmp_path / "bench" / "bench.json").read_text())


@pytest.mark.parametrize("command", ["export", "check", "bench"])
def test_help_teaches(command, capsys):
    status, out, _ = run(capsys, command, "--help")
    assert status == 0 and "keras-vae" in out and len(out.splitlines()) > 15
