"""benchmarks/inference.py: what is refused is a row, what is done is not done again, and the zoo is one table."""

import importlib.util
import json
import platform
from pathlib import Path

import pytest

from keras_vae import export, files, runtimes, zoo
from keras_vae.benchmarking import machine, tables
from keras_vae.errors import ExportError
from keras_vae.runtimes.bundle import Bundle
from tests.benchmarking.test_comparing import fake, made, quality
from tests.export.bundles import bundle_of

_SCRIPT = Path(__file__).parents[2] / "benchmarks" / "inference.py"
_spec = importlib.util.spec_from_file_location("inference", _SCRIPT)
assert _spec is not None and _spec.loader is not None
inference = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(inference)


def of_the_zoo(name, *rows):
    bundle = {"path": name, "model": "VAE", "zoo_name": name, "sha256": "0"}
    results = made(*rows, bundle=bundle)
    return results | {"recommended": [runtimes.recommend(results, goal) for goal in ("latency", "throughput")]}


def test_one_row_a_model_with_what_is_recommended_and_what_int8_costs():
    quick, ruined = fake("onnxruntime", 4, 10, "int8", quality(-0.21)), fake("b", 1, 9e9, "int8", quality(-3.0))
    for row in (quick, ruined):
        row["format"] = "onnx_int8"
    results = {
        "one_mnist": of_the_zoo("one_mnist", fake("litert", 10, 5000), quick),
        "two_mnist": of_the_zoo("two_mnist", fake("litert", 10, 5000), ruined),
        "three_mnist": of_the_zoo("three_mnist", fake("litert", 10, 5000)),
    }
    results["three_mnist"]["rows"] += inference.refusals({"onnx_int8": "no such operator"})
    text = inference.markdown(results, "decode")
    first, second, third = (line for line in text.splitlines() if line.startswith("| ["))
    # p50 is half of p90 and p99 twice it, in these rows.
    figures = "| onnxruntime, int8 | 2 | 4 | 8 | litert, float32 | 5,000 | 256 | 0.00 | 1.0e-06 | 0.21 nats |"
    assert first == f"| [one_mnist](zoo/one_mnist) {figures}"
    assert second.startswith("| [two_mnist](zoo/two_mnist) | litert, float32 | 5 | 10 | 20 |")
    assert second.endswith("| 3.00 nats |"), "what is not recommended says its cost all the same"
    assert third.endswith("| refused |") and "* three_mnist, onnx_int8: no such operator" in text


def test_a_refusal_is_a_row_of_each_runtime_that_would_open_it():
    rows = inference.refusals({"onnx": "the operation Foo", "onnx_int8": "8 bits"})
    assert [(row["runtime"], row["format"]) for row in rows] == [
        ("onnxruntime", "onnx"),
        ("openvino", "onnx"),
        ("onnxruntime", "onnx_int8"),
    ]
    said = tables.not_timed({"rows": rows})
    assert said[0] == "onnxruntime: refused. the operation Foo."
    assert said[2] == "onnxruntime (int8): refused. 8 bits."


def test_a_refusal_stands_in_place_of_the_missing_file(monkeypatch):
    absent = fake("litert", 1, 1) | {"status": "no file", "reason": "The bundle holds no litert", "format": None}
    other = absent | {"runtime": "openvino"}
    monkeypatch.setattr(runtimes, "benchmark", lambda folder: made(fake("onnxruntime", 1, 1), absent, other))
    monkeypatch.setattr(inference, "weights_of", lambda name: f"weights of {name}")
    result = inference.timed("one", Path("one"), {"litert": "no counterpart of Foo"})
    assert result["bundle"]["weights_sha256"] == "weights of one"
    assert inference.current({"one": result, "two": result}) == {"one": result}, "of weights that are gone"
    rows = result["rows"]
    assert [(row["runtime"], row["status"]) for row in rows] == [
        ("onnxruntime", "ok"),
        ("openvino", "no file"),
        ("litert", "refused"),
    ]


@pytest.fixture
def exports(monkeypatch):
    """An export that takes no time, refuses int8 as outputs that differ, and remembers what it was asked for."""
    asked = []

    def quickly(model, folder, formats, force):
        asked.append(list(formats))
        if "onnx_int8" in formats:
            raise ExportError("The exported files do not agree with the model")
        folder.mkdir(parents=True, exist_ok=True)
        manifest = {"formats": {name: {} for name in formats}, "versions": {"python": platform.python_version()}}
        manifest["model"] = {"weights_sha256": zoo.card("vae_mnist").results["weights"]["sha256"]}
        files.write_json(folder / "bundle.json", manifest)

    monkeypatch.setattr(export, "export", quickly)
    monkeypatch.setattr(zoo, "load", lambda name: None)
    monkeypatch.setattr(
        "keras_vae.runtimes.bundle.read_bundle",
        lambda folder: Bundle(folder, json.loads((folder / "bundle.json").read_text())),
    )
    monkeypatch.setattr(inference, "wanted", lambda: ["onnx", "litert", "onnx_int8"])
    return asked


def test_each_format_is_tried_and_a_bundle_is_taken_again_only_if_nothing_changed(exports, tmp_path):
    folder, reason = tmp_path / "vae_mnist", {"onnx_int8": "The exported files do not agree with the model"}
    assert inference.exported("vae_mnist", folder) == reason
    assert exports == [["onnx", "litert", "onnx_int8"], ["onnx"], ["litert"], ["onnx_int8"], ["onnx", "litert"]]
    assert inference.exported("vae_mnist", folder) == reason and len(exports) == 5
    for key, other in (("versions", {"python": "2.7"}), ("model", {"weights_sha256": "0"}), ("formats", {"onnx": {}})):
        manifest = json.loads((folder / "bundle.json").read_text())
        files.write_json(folder / "bundle.json", manifest | {key: other})
        before = len(exports)
        assert inference.exported("vae_mnist", folder) == reason and len(exports) > before, key


def test_what_was_timed_here_is_not_timed_again():
    bundle = bundle_of("colour")
    found = made(machine=machine.describe())
    found["bundle"]["sha256"] = files.sha256(bundle.path / "bundle.json")
    options = {"runtimes": ["onnxruntime"], "rounds": found["settings"]["rounds"]}
    assert inference.is_done(found, bundle.path, options)
    assert not inference.is_done(None, bundle.path, options)
    assert not inference.is_done(found | {"schema": "keras_vae.benchmark/1"}, bundle.path, options)
    assert not inference.is_done(found, bundle.path, options | {"rounds": 99})
    assert not inference.is_done(found | {"machine": {**found["machine"], "flags": ["mmx"]}}, bundle.path, options)
    assert not inference.is_done(found | {"bundle": {"sha256": "0"}}, bundle.path, options)
    assert not inference.is_done(found | {"warnings": ["The machine was busy."]}, bundle.path, options)


def test_results_are_written_after_each_model(monkeypatch, tmp_path):
    monkeypatch.setattr(zoo, "names", lambda pattern="*": ["one", "two"])
    monkeypatch.setattr(inference, "exported", lambda name, folder: {})

    def timed(name, folder, refused, **options):
        if name == "two":
            raise KeyboardInterrupt
        return of_the_zoo(name, fake("litert", 10, 5000))

    monkeypatch.setattr(inference, "timed", timed)
    monkeypatch.setattr("sys.argv", ["inference.py", "--output", str(tmp_path / "results.json")])
    with pytest.raises(KeyboardInterrupt):
        inference.main()
    assert list(json.loads((tmp_path / "results.json").read_text())) == ["one"]
