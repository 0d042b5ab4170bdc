"""A bundle that was damaged, edited or is none: said before anything runs."""

import json
import os
import re

import pytest

from keras_vae import runtimes
from keras_vae.errors import CorruptFileError, UserError
from keras_vae.export import export, read_bundle
from keras_vae.models import CVAE
from keras_vae.runtimes.bundle import digest, manifest_text
from keras_vae.types import Spec
from tests.export.bundles import DENSE, bundle_of, copied

FILES = {
    "keras": ["keras/config.json", "keras/model.safetensors"],
    "saved_model": ["saved_model/saved_model.pb", "saved_model/variables/variables.data-00000-of-00001"],
    "onnxruntime": ["encoder.onnx", "decoder.onnx"],
    "openvino": ["openvino/encoder.xml", "openvino/encoder.bin", "openvino/decoder.bin"],
    "litert": ["encoder.tflite", "decoder.tflite"],
}


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def truncate(path):
    path.write_bytes(path.read_bytes()[:-100])


@pytest.mark.parametrize("damage", [flip_a_bit, truncate])
@pytest.mark.parametrize(("runtime", "file"), [(runtime, file) for runtime, files in FILES.items() for file in files])
def test_a_damaged_file_is_named_with_both_hashes(runtime, file, damage, tmp_path):
    folder = copied("mlp", tmp_path)
    damage(folder / file)
    expected = bundle_of("mlp").manifest["files"][file]["sha256"]
    with pytest.raises(
        CorruptFileError, match=rf"{file} is not .*Expected: sha256 {expected}.*Given: sha256 .*export NAME"
    ):
        runtimes.open(folder, runtime)


@pytest.mark.parametrize(("runtime", "file"), [(runtime, files[-1]) for runtime, files in FILES.items()])
def test_a_missing_file_is_named(runtime, file, tmp_path):
    folder = copied("mlp", tmp_path)
    (folder / file).unlink()
    with pytest.raises(CorruptFileError, match=f"{file} must be readable. Given: no such file"):
        runtimes.open(folder, runtime)


def test_damage_elsewhere_does_not_stop_a_runtime(tmp_path):
    folder = copied("mlp", tmp_path)
    flip_a_bit(folder / "decoder.tflite")
    assert runtimes.open(folder, "onnxruntime").name == "onnxruntime"


def edited(folder, reseal=False, **changes):
    manifest = json.loads((folder / "bundle.json").read_text()) | changes
    if reseal:
        manifest["digest"] = digest(manifest)
    (folder / "bundle.json").write_text(manifest_text(manifest))


def test_the_manifest_has_each_list_of_numbers_on_one_line():
    manifest = {"parity": [["a", 1]], "shape": [None, 28], "latent": [[1e-05, -2.5], [0.25, 3]], "text": "[ 1,\n 2 ]"}
    text = manifest_text(manifest)
    assert json.loads(text) == manifest
    lines = [line.strip().rstrip(",") for line in text.splitlines()]
    assert {'"shape": [null, 28]', "[1e-05, -2.5]", "[0.25, 3]", '["a", 1]'} <= set(lines)


def test_an_edited_manifest_is_refused(tmp_path):
    folder = copied("mlp", tmp_path)
    edited(folder, preprocessing={"range": [0, 255]})
    with pytest.raises(CorruptFileError, match=r"bundle\.json was changed after the export: .*digest"):
        read_bundle(folder)


def test_a_manifest_of_another_version_is_refused(tmp_path):
    folder = copied("mlp", tmp_path)
    edited(folder, reseal=True, schema="keras_vae.bundle/9")
    with pytest.raises(CorruptFileError, match=r"schema 'keras_vae.bundle/1'. Given: 'keras_vae.bundle/9'"):
        read_bundle(folder)


@pytest.mark.parametrize("name", ["../secret.onnx", "/etc/passwd", "a\\..\\b"])
def test_files_outside_the_bundle_are_refused(name, tmp_path):
    folder = copied("mlp", tmp_path)
    edited(folder, reseal=True, files={name: {"sha256": "0", "bytes": 0}})
    with pytest.raises(CorruptFileError, match="outside the bundle"):
        read_bundle(folder)


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("../outside/encoder.xml", "outside the bundle"),
        ("/etc/passwd", "outside the bundle"),
        (".", "outside the bundle"),
        ("openvino/other.xml", "does not list"),
    ],
)
def test_a_format_names_listed_files_only(place, message, tmp_path):
    folder = copied("mlp", tmp_path)
    formats = json.loads((folder / "bundle.json").read_text())["formats"]
    formats["openvino"]["files"]["encoder"] = place
    edited(folder, reseal=True, formats=formats)
    with pytest.raises(CorruptFileError, match=message):
        read_bundle(folder)


def test_weights_of_openvino_are_verified_unasked(tmp_path):
    folder = copied("mlp", tmp_path)
    formats = json.loads((folder / "bundle.json").read_text())["formats"]
    del formats["openvino"]["with"]
    edited(folder, reseal=True, formats=formats)
    flip_a_bit(folder / "openvino" / "encoder.bin")
    with pytest.raises(CorruptFileError, match=r"encoder\.bin is not the file"):
        runtimes.open(folder, "openvino")


def test_weights_of_openvino_that_are_not_listed_are_refused(tmp_path):
    folder = copied("mlp", tmp_path)
    manifest = json.loads((folder / "bundle.json").read_text())
    del manifest["files"]["openvino/encoder.bin"], manifest["formats"]["openvino"]["with"]
    edited(folder, reseal=True, files=manifest["files"], formats=manifest["formats"])
    with pytest.raises(CorruptFileError, match=r"encoder\.bin is no file of this bundle.*Remove it"):
        runtimes.open(folder, "openvino")


@pytest.mark.parametrize("place", ["encoder.onnx", "saved_model", "saved_model/variables"])
def test_symbolic_links_are_refused(place, tmp_path):
    folder = copied("mlp", tmp_path)
    (folder / place).rename(tmp_path / "elsewhere")
    (folder / place).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CorruptFileError, match=r"no symbolic links.*cp -rL"):
        read_bundle(folder)


def test_a_file_that_a_saved_model_would_open_unseen(tmp_path):
    folder = copied("mlp", tmp_path)
    (folder / "saved_model" / "assets.extra").mkdir()
    (folder / "saved_model" / "assets.extra" / "tf_serving_warmup_requests").write_bytes(b"")
    with pytest.raises(CorruptFileError, match=r"tf_serving_warmup_requests is no file of this bundle"):
        runtimes.open(folder, "saved_model")


@pytest.mark.parametrize("place", ["notes.txt", ".DS_Store", "keras/weights.pkl", "new/folder/a.bin", "a b\n.onnx"])
def test_nothing_that_is_not_listed_is_accepted_anywhere(place, tmp_path):
    folder = copied("mlp", tmp_path)
    (folder / place).parent.mkdir(parents=True, exist_ok=True)
    (folder / place).write_text("beside the files")
    with pytest.raises(CorruptFileError, match=rf"{place} is no file of this bundle.*bundle\.json does not list it"):
        read_bundle(folder)
    with pytest.raises(CorruptFileError, match="is no file of this bundle"):
        runtimes.open(folder, "onnxruntime")


def test_links_and_special_files_are_refused_listed_or_not(tmp_path):
    (tmp_path / "secret").write_text("a stranger's bundle may not publish this")
    folder = copied("mlp", tmp_path)
    (folder / "extra").symlink_to(tmp_path / "secret")
    with pytest.raises(CorruptFileError, match=r"no symbolic links\. Given: .*extra"):
        read_bundle(folder)
    (folder / "extra").unlink()
    (folder / "extra").symlink_to(tmp_path / "nowhere")
    with pytest.raises(CorruptFileError, match=r"no symbolic links\. Given: .*extra"):
        read_bundle(folder)
    (folder / "extra").unlink()
    (folder / "golden.json").rename(tmp_path / "golden.json")
    (folder / "golden.json").hardlink_to(tmp_path / "golden.json")
    with pytest.raises(CorruptFileError, match=r"no names outside of it\. Given: .*golden\.json.*cp -r"):
        read_bundle(folder)
    (tmp_path / "golden.json").unlink()
    read_bundle(folder).verify()
    (folder / "golden.json").unlink()
    os.mkfifo(folder / "golden.json")  # a reader would wait for its writer forever
    with pytest.raises(CorruptFileError, match=r"files and folders only\. Given: .*golden\.json"):
        read_bundle(folder)


def test_a_manifest_is_a_file(tmp_path):
    os.mkfifo(tmp_path / "bundle.json")
    with pytest.raises(CorruptFileError, match="files and folders only"):
        read_bundle(tmp_path)
    (tmp_path / "bundle.json").unlink()
    (tmp_path / "bundle.json").symlink_to(bundle_of("mlp").path / "bundle.json")
    with pytest.raises(CorruptFileError, match="no symbolic links"):
        read_bundle(tmp_path)


def test_a_bundle_by_way_of_a_link_to_its_folder(tmp_path):
    (tmp_path / "current").symlink_to(bundle_of("mlp").path)
    read_bundle(tmp_path / "current").verify()


ODD = ["../../../x", "a/b", "a b", "", "é", "x\n", "\x1b[2J"]


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("what", ["graph", "signature", "result", "inputs", "outputs", "format", "code"])
def test_names_are_words(what, odd, tmp_path):
    folder = copied("colour", tmp_path)
    manifest = json.loads((folder / "bundle.json").read_text())
    encoder = manifest["graphs"]["encoder"]
    if what == "graph":
        manifest["graphs"][odd] = encoder
    elif what == "format":
        manifest["formats"][odd] = manifest["formats"]["onnx"]
    elif what == "code":
        manifest["latent"]["codes"] = {odd: {}}
    elif what in ("inputs", "outputs"):
        encoder[what][odd] = next(iter(encoder[what].values()))
    else:
        encoder[what] = odd
    edited(folder, reseal=True, **manifest)
    with pytest.raises(CorruptFileError, match=f"letters, digits and underscores. Given: {re.escape(repr(odd))}"):
        read_bundle(folder)


def test_a_model_with_odd_names_is_not_exported(tmp_path):
    model = CVAE(num_classes=2, latent_dim=2, encoder=DENSE, decoder=DENSE)
    names = lambda: {"the class": Spec((), "int32", "label", 2)}  # noqa: E731
    model.condition_spec = names
    with pytest.raises(UserError, match=r"letters, digits and underscores\. Given: 'the class'.*Rename"):
        export(model, tmp_path / "out", "onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("change", [{"files": 3}, {"graphs": {"encoder": 3}}, {"formats": None}, {"latent": []}])
def test_a_manifest_of_other_types(change, tmp_path):
    edited(folder := copied("colour", tmp_path), reseal=True, **change)
    with pytest.raises(CorruptFileError, match=r"bundle\.json does not describe a bundle"):
        read_bundle(folder)


@pytest.mark.parametrize("part", ["inputs", "outputs"])
@pytest.mark.parametrize("dtype", ["nul\0l", "object", "<f4", "", 4])
def test_an_array_has_numbers_of_a_type_by_name(part, dtype, tmp_path):
    folder = copied("colour", tmp_path)
    graphs = json.loads((folder / "bundle.json").read_text())["graphs"]
    next(iter(graphs["encoder"][part].values()))["dtype"] = dtype
    edited(folder, reseal=True, graphs=graphs)
    with pytest.raises(CorruptFileError, match=rf"bundle\.json does not describe a bundle: .*{part}.*dtype"):
        read_bundle(folder)


def test_nothing_to_verify_is_no_success(tmp_path):
    with pytest.raises(CorruptFileError, match="no file to be verified"):
        read_bundle(copied("mlp", tmp_path)).verify([])


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "\x00\x01"])
def test_a_manifest_that_is_no_manifest(text, tmp_path):
    (tmp_path / "bundle.json").write_text(text)
    with pytest.raises(CorruptFileError, match=r"bundle\.json (is not JSON|must have the schema)"):
        read_bundle(tmp_path)


def test_a_folder_that_is_no_bundle(tmp_path):
    with pytest.raises(UserError, match=r"A bundle is a folder with bundle\.json.*keras-vae export"):
        read_bundle(tmp_path)
    with pytest.raises(UserError, match="A bundle is a folder"):
        read_bundle(tmp_path / "nowhere")


def test_verify_reads_every_file(tmp_path):
    folder = copied("mlp", tmp_path)
    read_bundle(folder).verify()
    flip_a_bit(folder / "saved_model" / "variables" / "variables.index")
    with pytest.raises(CorruptFileError, match=r"variables\.index"):
        read_bundle(folder).verify()


def test_size_is_that_of_its_files():
    bundle = bundle_of("colour")
    on_disk = sum(
        path.stat().st_size for path in bundle.path.rglob("*") if path.is_file() and path.name != "bundle.json"
    )
    assert bundle.size == on_disk
