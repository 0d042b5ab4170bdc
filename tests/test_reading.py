"""Readers of files turn whatever another library raises into one error, with the file and a remedy."""

import io
import json
import struct
import zipfile

import numpy as np
import pytest

from keras_vae import cli, files, priors
from keras_vae.benchmarking.comparing import read_results
from keras_vae.errors import CorruptFileError, ExportError, UserError, reading
from keras_vae.runtimes import keras_bundle
from keras_vae.runtimes.bundle import MANIFEST, digest, read_bundle
from tests.export.bundles import copied

DEEP = "[" * 100_000


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RecursionError("maximum recursion depth exceeded"), "it is nested too deeply"),
        (MemoryError(), "it would take more memory than there is"),
        (KeyError("shape"), "it has no shape"),
        (struct.error("unpack requires a buffer"), "unpack requires a buffer"),
        (zipfile.BadZipFile("File is not a zip file."), "File is not a zip file"),
        (OverflowError(), "OverflowError"),
        (OSError(2, "No such file or directory"), "No such file or directory"),
        (ValueError("one\nof several lines"), "one"),
        (ValueError("A" * 1000), "A" * 300 + "…"),
    ],
)
def test_a_foreign_exception_becomes_one_sentence(error, reason):
    with pytest.raises(CorruptFileError) as raised, reading("a.bin", "is no file of ours", "Make another."):
        raise error
    assert str(raised.value) == f"a.bin is no file of ours: {reason}. Make another."
    assert raised.value.__cause__ is error


@pytest.mark.parametrize("error", [UserError("ours"), AssertionError("a fault of ours"), NameError("and this")])
def test_what_is_of_this_library_passes(error):
    with pytest.raises(type(error), match=str(error)), reading("a.bin", "is no file of ours", "Make another."):
        raise error


def test_an_array_whose_header_lies(tmp_path):
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000,)}\n"
    (tmp_path / "a.npy").write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    with pytest.raises(UserError, match=r"Cannot read an array of numbers from .*a\.npy: "):
        files.read_array(tmp_path / "a.npy")


def prior_file(path, **changes):
    prior = priors.MixturePrior(components=2)
    prior.fit_codes(np.random.default_rng(0).normal(size=(100, 2)))
    head = {"format": 1, "prior": "MixturePrior", "arguments": prior.get_config(), "shape": [2], "classes": 0}
    arrays = {f"array/{name}": array for name, array in prior.arrays().items()}
    buffer = io.BytesIO()
    text = changes.pop("text", None) or json.dumps({**head, **changes.pop("head", {})})
    np.savez(buffer, head=np.array(text), **{**arrays, **changes})
    path.write_bytes(buffer.getvalue())
    return path


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"text": DEEP}, "is not the file of a fitted prior: it is nested too deeply"),
        ({"head": {"shape": "x"}}, "is not the file of a fitted prior: its head.shape is not a list, but 'x'"),
        ({"head": {"arguments": {"components": -1}}}, "is not a whole MixturePrior: components must be a whole number"),
        ({"array/means": np.full((2, 2), np.nan)}, "is not a whole MixturePrior: its numbers are not finite"),
    ],
)
def test_a_prior_of_another_content(changes, said, tmp_path):
    path = prior_file(tmp_path / "prior.npz", **changes)
    with pytest.raises(CorruptFileError, match=r"prior\.npz") as error:
        priors.load(path)
    assert said in str(error.value)


def resealed(folder, change):
    """Change bundle.json, and make its digest fit."""
    manifest = json.loads((folder / MANIFEST).read_text())
    change(manifest)
    manifest["digest"] = digest(manifest)
    (folder / MANIFEST).write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda one: one.update(graphs=3), "it.graphs is not a mapping, but 3"),
        (lambda one: one["graphs"]["decoder"].pop("result"), "it.graphs.decoder has no 'result'"),
        (lambda one: one["graphs"]["decoder"]["inputs"]["z"].update(kind="x"), "kind is not one of"),
        (lambda one: one["formats"]["onnx"].update(files=[]), "it.formats.onnx.files is not a mapping"),
        (lambda one: one["files"].update(a=None), "it.files.a is not a mapping, but None"),
        (lambda one: one["parity"].append([1]), "does not describe a bundle"),
    ],
)
def test_a_manifest_that_describes_nothing(change, said, tmp_path):
    folder = copied("mlp", tmp_path)
    resealed(folder, change)
    with pytest.raises(CorruptFileError, match=r"bundle\.json does not describe a bundle: ") as error:
        read_bundle(folder)
    assert said in str(error.value)


def test_nesting_without_end(tmp_path):
    folder = copied("mlp", tmp_path)
    (folder / MANIFEST).write_text(DEEP)
    with pytest.raises(CorruptFileError, match=r"bundle\.json is not JSON: it is nested too deeply\. Export"):
        read_bundle(folder)
    (folder / "keras/config.json").write_text(DEEP)
    with pytest.raises(CorruptFileError, match=r"config\.json is not JSON: it is nested too deeply\. Export"):
        keras_bundle.read(folder)
    (tmp_path / "bench.json").write_text(DEEP)
    with pytest.raises(UserError, match=r"Cannot read a benchmark's results from .*: it is nested too deeply\."):
        read_results(tmp_path / "bench.json")


def replaced(folder, file, content):
    """Put other contents into a file of a bundle, and make every digest fit."""
    import hashlib

    (folder / file).write_bytes(content)
    entry = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    resealed(folder, lambda manifest: manifest["files"].update({file: entry}))


@pytest.mark.parametrize(
    ("runtime", "file"),
    [("onnxruntime", "decoder.onnx"), ("litert", "decoder.tflite"), ("openvino", "openvino/decoder.bin")],
)
def test_a_file_that_its_runtime_cannot_use(runtime, file, tmp_path):
    """Every digest fits: the runtime finds out, in words of its own."""
    from keras_vae import runtimes

    folder = copied("mlp", tmp_path)
    replaced(folder, file, b"")
    with pytest.raises(UserError, match=r"Export the model again|Do not open"):
        runtimes.open(folder, runtime).decode(np.zeros((1, 3), "float32"))


def test_outputs_that_are_no_numbers(tmp_path):
    import onnx
    from onnx import numpy_helper

    from keras_vae import runtimes

    folder = copied("mlp", tmp_path)
    model = onnx.load(folder / "decoder.onnx")
    for tensor in model.graph.initializer:
        array = numpy_helper.to_array(tensor)
        if array.dtype == np.float32 and array.size > 1:
            tensor.CopyFrom(numpy_helper.from_array(np.full_like(array, np.nan), tensor.name))
    replaced(folder, "decoder.onnx", model.SerializeToString())
    with pytest.raises(ExportError, match=r"The decoder of .* must give finite numbers for each example\. Given: onnx"):
        runtimes.open(folder, "onnxruntime").decode(np.zeros((1, 3), "float32"))


def test_golden_examples_that_are_none(tmp_path):
    folder = copied("mlp", tmp_path)
    golden = json.loads((folder / "golden.json").read_text())
    golden["graphs"]["decoder"]["inputs"]["z"]["dtype"] = "nonsense"
    replaced(folder, "golden.json", json.dumps(golden).encode())
    with pytest.raises(CorruptFileError, match=r"golden\.json does not hold the outputs of Keras: .*nonsense"):
        read_bundle(folder).golden()


def test_the_last_resort_of_the_command_line(monkeypatch, capsys):
    """One line, with the way to report it; --debug shows the traceback."""

    def unforeseen(**_):
        raise AttributeError("'NoneType' object has\nno attribute 'x'")

    monkeypatch.setattr(cli, "app", lambda **_: unforeseen())
    with pytest.raises(SystemExit) as left:
        cli.main(["list"])
    assert left.value.code == 1
    said = capsys.readouterr().err
    assert said.startswith("Error: keras-vae met what it does not know, AttributeError: 'NoneType' object has. ")
    assert said.count("\n") == 1 and "Please report it" in said and "--debug" in said
    with pytest.raises(AttributeError):
        cli.main(["list", "--debug"])
