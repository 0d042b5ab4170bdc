"""`keras-vae export`, `check` and `bench`: what they print, for people and for machines, and their exit status."""

import json

import numpy as np
import pytest

from keras_vae import cli, zoo
from keras_vae.errors import ExportError, UserError
from tests.export.bundles import bundle_of, copied, model_of
from tests.toys import grey


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
    out = " ".join(out.split())
    assert "Largest difference from Keras, on inputs that were generated in the likelihood's support" in out
    assert (
        "Left out: quality, as what a reduced precision costs is measured on examples, and the export had none." in out
    )
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


def test_export_of_a_reduced_precision_says_what_it_costs(loading, tmp_path, capsys):
    np.save(tmp_path / "x.npy", grey(40, (8, 8, 3)))
    # A name of the zoo: a file of examples is read by what its card says of x.
    words = ["export", "vae_mnist", tmp_path / "out", "-f", "onnx", "-f", "onnx_int8", "--force", "--opset", 17]
    status, out, err = run(capsys, *words)
    assert status == 1 and not out and "--examples FILE.npy" in err and not (tmp_path / "out").exists()
    status, out, _ = run(capsys, *words, "--examples", tmp_path / "x.npy")
    assert status == 0
    out = " ".join(out.split())
    assert "onnx_int8: 0.01 MB, ELBO " in out and "reconstruction error" in out and "on 20 examples." in out
    assert "Largest difference from Keras, on the file x.npy" in out and "Left out" not in out
    status, _, err = run(capsys, *words, "--examples", tmp_path / "x.npy", "--labels", tmp_path / "x.npy")
    assert status == 1 and "takes no condition" in err
    status, _, err = run(capsys, *words, "--labels", tmp_path / "x.npy")
    assert status == 1 and "--labels are the conditions of --examples" in err


@pytest.fixture
def two_models(monkeypatch):
    """A zoo of two models, one of which cannot be loaded."""

    def load(name):
        if name == "broken":
            raise UserError("The weights of broken are not those of the card. Repair it.")
        return model_of("colour")

    monkeypatch.setattr(zoo, "load", load)
    monkeypatch.setattr(zoo, "names", lambda: ["broken", "fine"])


def test_export_all_reports_the_one_that_fails_and_writes_the_others(two_models, tmp_path, capsys):
    status, out, _ = run(capsys, "export", "--all", "--output", tmp_path, "-f", "onnx")
    assert status == 1
    assert "broken: The weights of broken are not those of the card." in out and "failed" in out
    assert [path.name for path in tmp_path.iterdir()] == ["fine"]
    status, out, _ = run(capsys, "export", "--all", "--output", tmp_path, "-f", "onnx", "--json")
    document = json.loads(out)
    assert status == 1 and document["passed"] is False
    assert [(row["name"], row["error"] is None) for row in document["models"]] == [("broken", False), ("fine", True)]
    assert document["models"][1]["comparisons"] > 10 and document["seconds"] >= document["models"][1]["seconds"]


def test_export_all_leaves_out_what_a_format_cannot_hold(two_models, monkeypatch, tmp_path, capsys):
    from keras_vae.export.formats import FORMATS

    def refuses(work, folder):
        raise ExportError("Converting the encoder to LiteRT failed: it has no counterpart of Erfc. Use another.")

    monkeypatch.setattr(zoo, "names", lambda: ["fine"])
    monkeypatch.setitem(FORMATS, "litert", refuses)
    status, out, _ = run(capsys, "export", "--all", "--output", tmp_path, "-f", "onnx", "-f", "litert")
    assert status == 0 and "fine without litert: Converting the encoder to LiteRT failed" in " ".join(out.split())
    assert (tmp_path / "fine" / "encoder.onnx").is_file()
    status, out, _ = run(capsys, "export", "--all", "--output", tmp_path, "-f", "litert")
    assert status == 1 and "0 models exported" in out


def test_export_all_survives_an_error_of_a_library(two_models, monkeypatch, tmp_path, capsys):
    def load(name):
        if name == "broken":
            raise RuntimeError("a bug somewhere")
        return model_of("colour")

    monkeypatch.setattr(zoo, "load", load)
    status, out, _ = run(capsys, "export", "--all", "--output", tmp_path, "-f", "onnx")
    assert status == 1 and "broken: RuntimeError: a bug somewhere" in out and "1 models exported in" in out
    assert (tmp_path / "fine" / "bundle.json").is_file()


def test_export_all_succeeds(two_models, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(zoo, "names", lambda: ["fine"])
    status, out, _ = run(capsys, "export", "--all", "--output", tmp_path, "-f", "onnx")
    assert status == 0 and "fine" in out and "of 1.0e-05" in out and "1 models exported in " in out
    assert status == 0 and (tmp_path / "fine" / "bundle.json").is_file()


@pytest.mark.parametrize(
    "words",
    [[], ["a_model"], ["a_model", "out", "--output", "out"], ["a_model", "--all"], ["--all", "--examples", "x"]],
)
def test_export_of_nothing_in_particular(words, capsys):
    status, _, err = run(capsys, "export", *words)
    assert status == 1 and err.count("\n") == 1 and "--all" in err


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


@pytest.mark.slow
def test_bench_writes_table_json_and_picture(tmp_path, capsys):
    words = ["bench", bundle_of("colour").path, "--batch", 1, "--batch", 4, "--calls", 20, "--runtime", "onnxruntime"]
    status, out, _ = run(capsys, *words, "--output", tmp_path / "bench")
    assert status == 0
    assert {each.name for each in (tmp_path / "bench").iterdir()} == {"bench.json", "bench.md", "bench.png"}
    results = json.loads((tmp_path / "bench" / "bench.json").read_text())
    assert results["rows"][0]["encode"]["1"]["calls"] >= 20
    assert f"{results['rows'][0]['encode']['1']['p50_us']:,.0f}" in out
    written = tmp_path / "bench" / "bench.json"
    status, out, _ = run(capsys, "bench", written, written, "--output", tmp_path / "two")
    assert status == 0 and out.count("encode") >= 2, "both files"
    status, out, _ = run(capsys, *words, "--output", tmp_path / "bench", "--recommend", "latency")
    said = "For latency: encode with onnxruntime, the file format onnx, float32: single_stream p90 "
    assert status == 0 and said in " ".join(out.split())
    status, out, _ = run(capsys, *words, "--output", tmp_path / "bench", "--json")
    assert status == 0 and json.loads(out) == json.loads((tmp_path / "bench" / "bench.json").read_text())


@pytest.mark.parametrize("command", ["export", "check", "bench"])
def test_help_teaches(command, capsys):
    status, out, _ = run(capsys, command, "--help")
    assert status == 0 and "keras-vae" in out and len(out.splitlines()) > 15
