"""The kit in export/python gives what the library gives, and imports neither keras_vae nor TensorFlow."""

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from keras_vae import export
from tests import toys
from tests.conformance.cases import make
from tests.export.bundles import stirred

KIT = Path(__file__).parents[2] / "export" / "python" / "vae.py"


@pytest.fixture(scope="module")
def model():
    return toys.toy()


@pytest.fixture(scope="module")
def bundle(model, tmp_path_factory):
    return export.export(model, tmp_path_factory.mktemp("kit") / "bundle", formats=("onnx",)).path


def kit(*words, cwd):
    # -I: neither the checkout nor PYTHONPATH is on the path, so an import of keras_vae from either would fail.
    return subprocess.run([sys.executable, "-I", KIT, *words], cwd=cwd, capture_output=True, text=True)


def test_it_encodes_and_decodes_as_the_model_does(model, bundle, tmp_path):
    x = toys.binary(5)
    np.save(tmp_path / "x.npy", x)
    assert kit(bundle, "encoder", "x.npy", "z.npy", cwd=tmp_path).returncode == 0
    assert kit(bundle, "decoder", "z.npy", "images.npy", cwd=tmp_path).returncode == 0
    # The tolerance of an export: float32 sums in another order.
    np.testing.assert_allclose(np.load(tmp_path / "z.npy"), model.encode(x), rtol=0, atol=1e-5)
    np.testing.assert_allclose(np.load(tmp_path / "images.npy"), model.reconstruct(x), rtol=0, atol=1e-5)


def test_another_shape_gets_a_sentence(bundle, tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((2, 3), "float32"))
    done = kit(bundle, "encoder", "x.npy", "z.npy", cwd=tmp_path)
    assert done.returncode != 0 and not (tmp_path / "z.npy").exists()
    assert "x must have shape [None, 4, 4, 1]. Given: (2, 3)." in done.stderr


def test_a_file_that_was_not_exported_is_not_opened(bundle, tmp_path):
    np.save(tmp_path / "x.npy", toys.binary(1))
    out = Path(shutil.copytree(bundle, tmp_path / "out"))
    (out / "encoder.onnx").write_bytes((out / "encoder.onnx").read_bytes() + b"\n")
    done = kit(out, "encoder", "x.npy", "z.npy", cwd=tmp_path)
    assert "encoder.onnx is not the file that was exported" in done.stderr and "Traceback" not in done.stderr
    assert done.returncode == 1 and not (tmp_path / "z.npy").exists()


@pytest.mark.parametrize("spelled", ["further", "../out/further", "{out}/further"])
def test_weights_in_further_files_are_not_read(spelled, bundle, tmp_path):
    """Even where bundle.json has the hash of such a file: what it names may be any file of the computer."""
    out = Path(shutil.copytree(bundle, tmp_path / "out"))
    np.save(out / "x.npy", toys.binary(1))
    weights = {"save_as_external_data": True, "location": "further", "size_threshold": 64}
    onnx.save(onnx.load(out / "encoder.onnx"), out / "encoder.onnx", **weights)
    onnxruntime.InferenceSession(out / "encoder.onnx")  # which by default opens it
    proto = onnx.load(out / "encoder.onnx", load_external_data=False)
    entries = [each for tensor in proto.graph.initializer for each in tensor.external_data if each.key == "location"]
    for each in entries:
        each.value = spelled.format(out=out)
    assert entries and (out / "further").is_file()
    (out / "encoder.onnx").write_bytes(proto.SerializeToString())
    manifest = json.loads((out / "bundle.json").read_text())
    manifest["files"]["encoder.onnx"]["sha256"] = hashlib.sha256((out / "encoder.onnx").read_bytes()).hexdigest()
    (out / "bundle.json").write_text(json.dumps(manifest))
    done = kit(out, "encoder", "x.npy", "z.npy", cwd=out)
    assert done.returncode == 1 and "External data path" in done.stderr and not (out / "z.npy").exists()


def test_words_that_say_nothing_get_the_usage(bundle, tmp_path):
    for words in ((bundle,), (bundle, "encode", "x.npy", "z.npy")):
        done = kit(*words, cwd=tmp_path)
        assert (
            done.returncode == 1
            and "python vae.py out/ (encoder|decoder)" in done.stderr
            and "Traceback" not in done.stderr
        )


@pytest.mark.parametrize("name", ["CVAE", "HierarchicalVAE", "VQVAE"])
def test_conditions_levels_and_integer_codes(name, tmp_path):
    model, x = stirred(make(name)), toys.binary(5)
    out, condition = tmp_path / "out", np.array([0, 1, -1, 1, 0]) if model.conditional else None
    export.export(model, out, formats=("onnx",))
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", [0, 1, -1, 1, 0])
    further = ["condition=y.npy"] if model.conditional else []
    codes = "codes.npz" if name == "HierarchicalVAE" else "codes.npy"
    for words in (("encoder", "x.npy", codes, *further), ("decoder", codes, "images.npy", *further)):
        done = kit(out, *words, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(np.load(tmp_path / "images.npy"), model.reconstruct(x, condition), rtol=0, atol=1e-5)
    if model.conditional:
        assert (
            "condition must have shape [None]. Given: None." in kit(out, "encoder", "x.npy", codes, cwd=tmp_path).stderr
        )
        np.save(tmp_path / "y.npy", [0, 1, 2, 1, 0])
        wrong = kit(out, "encoder", "x.npy", "wrong.npy", *further, cwd=tmp_path)
        assert "condition must be whole numbers from -1 to 1." in wrong.stderr and not (tmp_path / "wrong.npy").exists()
    if name == "VQVAE":
        np.save(tmp_path / "codes.npy", np.full((2, 3), -1))
        assert (
            "codes must be whole numbers from 0 to 4." in kit(out, "decoder", codes, "wrong.npy", cwd=tmp_path).stderr
        )


def test_it_has_fewer_than_forty_lines_and_imports_numpy_and_onnxruntime_only():
    names = {
        line.split()[1].split(".")[0] for line in KIT.read_text().splitlines() if line.startswith(("import", "from"))
    }
    assert names == {"hashlib", "json", "sys", "pathlib", "numpy", "onnxruntime"}
    assert len(KIT.read_text().splitlines()) < 40


@pytest.mark.parametrize("place", ["../encoder.onnx", "/dev/zero", "sub/encoder.onnx"])
def test_a_file_of_another_folder_is_not_read(place, bundle, tmp_path):
    np.save(tmp_path / "x.npy", toys.binary(1))
    out = Path(shutil.copytree(bundle, tmp_path / "out"))
    (out / "sub").mkdir()
    for folder in (tmp_path, out / "sub"):
        shutil.copyfile(bundle / "encoder.onnx", folder / "encoder.onnx")
    manifest = json.loads((out / "bundle.json").read_text())
    manifest["formats"]["onnx"]["files"]["encoder"] = place
    manifest["files"][place] = manifest["files"]["encoder.onnx"]
    (out / "bundle.json").write_text(json.dumps(manifest))
    done = kit(out, "encoder", "x.npy", "z.npy", cwd=tmp_path)
    assert f"{place} is not the file that was exported" in done.stderr and "Traceback" not in done.stderr
