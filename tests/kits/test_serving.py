"""export/serving: the layout loads, its signatures are the bundle's, and its requests give the golden outputs."""

import http.server
import json
import re
import runpy
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tests.export.bundles import bundle_of, copied

pytestmark = pytest.mark.slow  # TensorFlow's command line, in processes of its own

KIT = Path(__file__).parents[2] / "export" / "serving"


def kit(script, *words):
    # -I: neither the checkout nor PYTHONPATH is on the path, so an import of keras_vae from either would fail.
    return subprocess.run([sys.executable, "-I", KIT / script, *map(str, words)], capture_output=True, text=True)


@pytest.fixture(scope="module")
def bundle():
    return bundle_of("mlp")


@pytest.fixture(scope="module")
def served(bundle, tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    done = kit("layout.py", bundle.path, folder, "toy")
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def loaded(served):
    return tf.saved_model.load(str(served / "models" / "toy" / "1")).signatures


def answer(loaded, body):
    """What the loaded model makes of a request's body, as TensorFlow Serving answers it: one output has no name."""
    function = loaded[body["signature_name"]]
    _, specs = function.structured_input_signature
    outputs = function(**{name: tf.constant(body["inputs"][name], spec.dtype) for name, spec in specs.items()})
    lists = {name: value.numpy().tolist() for name, value in outputs.items()}
    return {"outputs": lists if len(lists) > 1 else next(iter(lists.values()))}


@pytest.mark.parametrize("signature", ["encode", "decode"])
def test_the_example_requests_give_the_golden_outputs(signature, served, loaded, bundle):
    body = json.loads((served / "requests" / "toy" / f"{signature}.json").read_text())
    graph = bundle.graph_of("saved_model", signature)
    golden = bundle.golden()[graph]
    assert set(body["inputs"]) == set(golden["inputs"])
    for name, array in golden["inputs"].items():
        np.testing.assert_array_equal(np.array(body["inputs"][name], array.dtype), array[:2])
    outputs = answer(loaded, body)["outputs"]
    for name, array in golden["outputs"].items():
        np.testing.assert_allclose(outputs[name], array[:2], rtol=1e-5, atol=1e-5)


def test_saved_model_cli_shows_the_signatures_of_the_bundle(served, bundle):
    words = [Path(sys.executable).parent / "saved_model_cli", "show", "--dir", served / "models" / "toy" / "1", "--all"]
    shown = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    signatures = {}
    for part in re.split(r"signature_def\['", shown)[1:]:
        inputs, outputs = part.split("The given SavedModel SignatureDef contains the following output(s):")
        for text, kind in ((inputs, "inputs"), (outputs.split("Concrete Functions")[0], "outputs")):
            tensors = re.findall(rf"{kind}\['(\w+)'\] tensor_info:\s+dtype: DT_(\w+)\s+shape: \((.*?)\)", text)
            found = {name: (dtype.lower(), [int(size) for size in shape.split(", ")]) for name, dtype, shape in tensors}
            signatures.setdefault(part.split("'")[0], {})[kind] = found
    signatures.pop("__saved_model_init_op", None)
    short = {"float32": "float", "int32": "int32"}
    assert signatures == {
        graph["signature"]: {
            kind: {
                name: (short[spec["dtype"]], [-1 if size is None else size for size in spec["shape"]])
                for name, spec in graph[kind].items()
            }
            for kind in ("inputs", "outputs")
        }
        for graph in bundle.graphs.values()
    }


def test_the_client_compares_a_servers_answers_with_keras(served, loaded, tmp_path):
    """The server is this test's, around the loaded SavedModel; TensorFlow Serving itself is not on PyPI."""
    shift = 0.0

    class Server(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            if self.path != "/v1/models/toy:predict":
                return self.send_error(404)
            given = answer(loaded, json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            if "log_var" in given["outputs"]:
                given["outputs"]["log_var"][0][0] += shift
            body = json.dumps(given).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format, *args):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Server) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            words = (f"http://127.0.0.1:{server.server_port}", "toy", served / "requests" / "toy")
            agreed = kit("client.py", *words)
            shift = 1e-3
            differed = kit("client.py", *words)
            unknown = kit("client.py", words[0], "other", words[2])
        finally:
            server.shutdown()
            thread.join()
    assert agreed.returncode == 0, agreed.stderr
    lines = {line.split(",")[0] for line in agreed.stdout.splitlines()}
    assert lines == {f"{name}: agrees" for name in ("decode.logits", "decode.mean", "encode.log_var", "encode.mean")}
    assert differed.returncode == 1 and "encode.log_var: DIFFERS, by 1.0e-03" in differed.stdout
    assert unknown.returncode == 1 and "The server refused other: HTTP 404" in unknown.stderr
    nobody = kit("client.py", *words)
    assert nobody.returncode == 1 and nobody.stderr.startswith(f"No server answered at {words[0]}")
    nothing = kit("client.py", *words[:2], tmp_path)
    assert nothing.returncode == 1 and "has no requests" in nothing.stderr


def test_what_cannot_be_laid_out_is_refused(served, bundle, tmp_path):
    again = kit("layout.py", bundle.path, served, "toy")
    assert again.returncode == 1 and "1 exists" in again.stderr and "Say another version: 2." in again.stderr
    none = kit("layout.py", bundle_of("colour").path, served, "other")
    assert none.returncode == 1 and "--format saved_model" in none.stderr
    assert {path.name for path in (served / "models").iterdir()} == {"toy"}
    for words, said in ((("toy", "0"), "whole number above 0"), (("toy", "x"), "Given: x"), (("../toy",), "no path")):
        wrong = kit("layout.py", bundle.path, tmp_path, *words)
        assert wrong.returncode == 1 and said in wrong.stderr and "Traceback" not in wrong.stderr
    assert list(tmp_path.iterdir()) == []
    nothing = kit("layout.py", tmp_path, tmp_path / "served", "toy")
    assert nothing.returncode == 1 and "is no bundle" in nothing.stderr


def test_models_and_versions_stand_beside_each_other(bundle, tmp_path):
    """And what an interrupted run left does not get into a version."""
    left = tmp_path / "models" / "b" / ".copying-2"
    left.mkdir(parents=True)
    (left / "left.over").write_text("half")
    for words in (("a",), ("b",), ("b", "2")):
        done = kit("layout.py", bundle.path, tmp_path, *words)
        assert done.returncode == 0, done.stderr
    versions = {path.relative_to(tmp_path).as_posix() for path in tmp_path.glob("models/*/*")}
    assert versions == {"models/a/1", "models/b/1", "models/b/2"}
    assert not list(tmp_path.rglob("left.over"))
    names = {"encode.json", "encode.expected.json", "decode.json", "decode.expected.json"}
    for model in "ab":
        assert {path.name for path in (tmp_path / "requests" / model).iterdir()} == names
    assert {path.name for path in (tmp_path / "requests").iterdir()} == {"a", "b"}


def odd_signature(folder, manifest):
    manifest["graphs"]["encoder"]["signature"] = "../../../x"
    return "Given: '../../../x'"


def odd_graph(folder, manifest):
    manifest["graphs"]["../x"] = manifest["graphs"]["encoder"]
    return "Given: '../x'"


def link(folder, manifest):
    (folder / "saved_model" / "more").symlink_to(folder.parent / "secret")
    return "no links"


def folder_that_is_a_link(folder, manifest):
    (folder / "saved_model" / "assets").rmdir()
    (folder / "saved_model" / "assets").symlink_to(folder.parent)
    return "no links"


def unlisted(folder, manifest):
    (folder / "saved_model" / "more").write_text("x")
    return "is no file of this bundle"


def changed(folder, manifest):
    (folder / "saved_model" / "fingerprint.pb").write_bytes(b"x")
    return "is not the file that was exported"


@pytest.mark.parametrize("forge", [odd_signature, odd_graph, link, folder_that_is_a_link, unlisted, changed])
def test_what_a_stranger_forged_writes_nothing(forge, tmp_path):
    (tmp_path / "secret").write_text("secret")
    folder = copied("mlp", tmp_path / "given")
    manifest = json.loads((folder / "bundle.json").read_text())
    said = forge(folder, manifest)
    (folder / "bundle.json").write_text(json.dumps(manifest))
    done = kit("layout.py", folder, tmp_path / "served", "toy")
    assert done.returncode == 1 and said in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "served").exists() and {path.name for path in tmp_path.iterdir()} == {"secret", "given"}


def test_a_request_has_nan_for_what_is_missing():
    """TensorFlow Serving's JSON has the word NaN, and refuses null."""
    scope = runpy.run_path(str(KIT / "layout.py"))
    values = scope["nested"]({"shape": [3, 2], "data": [0, None, 1.5, 2, None, 3]})
    assert json.dumps(values) == "[[0, NaN], [1.5, 2]]"
