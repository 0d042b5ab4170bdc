"""Every runtime means the same by encode, decode and run; refuses what the model refuses; and imports only itself."""

import os
import subprocess
import sys

import numpy as np
import pytest

from keras_vae import data, runtimes
from keras_vae.errors import UnavailableError, UserError
from keras_vae.runtimes import registry
from tests.export.bundles import bundle_of, model_of

NAMES = ["keras", "saved_model", "onnxruntime", "openvino", "litert"]


@pytest.fixture(scope="module", params=NAMES)
def opened(request):
    return runtimes.open(bundle_of("conv").path, request.param)


def test_names_are_the_five():
    assert runtimes.names() == NAMES


# 300 is more than a block of `arrays.in_blocks`; 0 is what an empty selection of images gives.
@pytest.mark.parametrize("count", [0, 1, 3, 300])
def test_encode_and_decode_are_the_models(opened, count):
    model = model_of("conv")
    x = data.load_arrays("mnist", "test[:300]")[:count]
    codes = opened.encode(x)
    assert codes.shape == (count, 4) and codes.dtype == np.float32
    # Sums of float32 in another order: the design's 1e-5.
    np.testing.assert_allclose(codes, model.encode(x), rtol=0, atol=1e-5)
    images = opened.decode(codes)
    assert images.shape == (count, 28, 28, 1) and images.dtype == np.float32
    np.testing.assert_allclose(images, model.decode(codes), rtol=0, atol=1e-5)


def test_run_gives_every_output_by_name(opened):
    z = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")
    given = opened.run("decoder", {"z": z})
    assert set(given) == {"mean", "log_var"}
    np.testing.assert_array_equal(given["mean"], opened.decode(z))
    expected = {name: np.asarray(value) for name, value in model_of("conv").likelihood_parameters(z).items()}
    np.testing.assert_allclose(given["log_var"], expected["log_var"], rtol=0, atol=1e-5 + 1e-5 * 10)


def test_decode_copies_nothing_and_asks_for_one_output(opened, monkeypatch):
    """A block is neither cut nor joined: the runtime gets the caller's array, and the caller the runtime's."""
    calls, call = [], opened.call

    def watched(loaded, inputs, outputs):
        calls.append((inputs, outputs, call(loaded, inputs, outputs)))
        return calls[-1][2]

    monkeypatch.setattr(opened, "call", watched)
    z = np.random.default_rng(0).normal(size=(1, 4)).astype("float32")
    images = opened.decode(z)
    ((inputs, outputs, results),) = calls
    assert inputs["z"] is z and list(outputs) == ["mean"]
    assert images is results["mean"] and list(results) == ["mean"]
    assert set(opened.run("decoder", {"z": z})) == {"mean", "log_var"}


class Counted:
    """An object whose method `name` is counted, with its first argument."""

    def __init__(self, inner, name):
        self.inner, self.name, self.arguments = inner, name, []

    def __getattr__(self, name):
        method = getattr(self.inner, name)
        if name != self.name:
            return method
        return lambda first, *rest: (self.arguments.append(first), method(first, *rest))[1]


def test_onnxruntime_is_asked_for_one_output_once():
    opened = runtimes.open(bundle_of("conv"), "onnxruntime")
    session = opened.graphs["decoder"] = Counted(opened.graphs["decoder"], "run")
    opened.decode(np.zeros((1, 4)))
    assert [list(names) for names in session.arguments] == [["mean"]]


def test_litert_and_openvino_copy_one_output():
    litert, openvino = (runtimes.open(bundle_of("conv"), name) for name in ("litert", "openvino"))
    loaded = litert.graphs["decoder"]
    counted = Counted(loaded.interpreter, "get_tensor")
    litert.graphs["decoder"] = loaded._replace(interpreter=counted)
    litert.decode(np.zeros((1, 4)))
    assert counted.arguments == [loaded.outputs["mean"]]
    compiled, idle, places = openvino.graphs["decoder"]
    idle.append(Counted(compiled.create_infer_request(), "get_output_tensor"))
    openvino.decode(np.zeros((1, 4)))
    (request,) = idle
    assert request.arguments == [places["mean"]]


def test_results_are_the_callers_own(opened):
    """A runtime may reuse its buffers; what it gave before must not change under the caller."""
    z = np.random.default_rng(1).normal(size=(2, 3, 4)).astype("float32")
    first = opened.run("decoder", {"z": z[0]})["mean"]
    kept = first.copy()
    opened.run("decoder", {"z": z[1]})
    np.testing.assert_array_equal(first, kept)


def test_other_dtypes_are_converted(opened):
    z = np.random.default_rng(0).normal(size=(2, 4))
    np.testing.assert_array_equal(opened.decode(z), opened.decode(z.astype("float32")))
    np.testing.assert_array_equal(opened.decode(np.asfortranarray(z)), opened.decode(z))


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((28, 28, 1)), r"Add the batch axis: x\[None\]"),
        (np.zeros((2, 28, 28)), r"Add the channel axis"),
        (np.full((1, 28, 28, 1), 255), r"Pixels of x must lie in \[0, 1\].*divide by 255"),
        (np.full((1, 28, 28, 1), np.nan), "x must be finite"),
        (np.array(["digit"]), "x must be an array of floats"),
    ],
)
def test_images_that_do_not_fit(opened, images, message):
    with pytest.raises(UserError, match=message):
        opened.encode(images)


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        (np.zeros((2, 5)), r"z must have shape \(batch, 4\).*Given: \(2, 5\)"),
        (np.full((1, 4), np.inf), "z must be finite"),
    ],
)
def test_codes_that_do_not_fit(opened, codes, message):
    with pytest.raises(UserError, match=message):
        opened.decode(codes)


def test_unknown_graphs_and_inputs(opened):
    with pytest.raises(UserError, match="holds the graphs encoder, decoder"):
        opened.run("critic", {})
    with pytest.raises(UserError, match=r"The decoder takes the inputs z\. Given: x"):
        opened.run("decoder", {"x": np.zeros((1, 4))})


def test_precision_and_threads_are_recorded(opened):
    assert opened.settings["precision"] == "float32"
    assert opened.settings["threads"] == opened.threads >= 1


def test_threads_are_set():
    for name in ("onnxruntime", "openvino", "litert"):
        assert runtimes.open(bundle_of("conv"), name, threads=1).settings["threads"] == 1
    compiled = runtimes.open(bundle_of("conv"), "openvino", threads=1).graphs["encoder"][0]
    assert compiled.get_property("INFERENCE_NUM_THREADS") == 1
    assert "float32" in str(compiled.get_property("INFERENCE_PRECISION_HINT")) or "f32" in str(
        compiled.get_property("INFERENCE_PRECISION_HINT")
    )
    with pytest.raises(UserError, match="threads must be a whole number, 1 or more"):
        runtimes.open(bundle_of("conv"), "onnxruntime", threads=0)


def test_threads_of_a_running_tensorflow_cannot_change():
    model_of("conv").decode(np.zeros((1, 4)))
    with pytest.raises(
        UserError, match=r"takes its number of threads before its first operation.*threads=1.*new process"
    ):
        runtimes.open(bundle_of("conv"), "saved_model", threads=1)


@pytest.mark.parametrize("name", NAMES)
def test_more_threads_than_processors_are_refused(name):
    with pytest.raises(UserError, match=r"threads must be at most \d+, the processors.*Given: 100000\. Leave it out"):
        runtimes.open(bundle_of("conv"), name, threads=100_000)


def test_openvino_opens_onnx_where_it_has_no_file_of_its_own():
    assert runtimes.open(bundle_of("conv"), "openvino").format_name == "openvino"
    assert runtimes.open(bundle_of("colour"), "openvino").format_name == "onnx"


def test_unknown_runtime():
    with pytest.raises(UserError, match=r"Unknown runtime 'onnx'. Did you mean 'onnxruntime'"):
        runtimes.open(bundle_of("conv"), "onnx")


def test_a_format_that_the_bundle_lacks():
    with pytest.raises(
        UnavailableError, match=r"opens the format litert. Given: .*, which holds onnx\..*--format litert"
    ):
        runtimes.open(bundle_of("colour"), "litert")


@pytest.fixture
def without_openvino(monkeypatch):
    there = registry._is_there
    monkeypatch.setattr(registry, "_is_there", lambda module: module != "openvino" and there(module))


def test_installed_names_versions_and_reasons(without_openvino):
    import onnxruntime

    found = runtimes.installed()
    assert found["onnxruntime"] == (onnxruntime.__version__, None)
    assert found["openvino"].version is None
    assert found["openvino"].reason == (
        "The runtime 'openvino' is not installed: there is no module openvino. Install it: pip install openvino."
    )


def test_a_runtime_that_is_not_installed_says_so(without_openvino):
    with pytest.raises(UnavailableError, match=r"'openvino' is not installed.*pip install openvino"):
        runtimes.open(bundle_of("conv"), "openvino")


def loaded_by(code, *arguments):
    """Which of the heavy modules a fresh Python has imported after `code`."""
    heavy = ("tensorflow", "keras", "tensorflow_probability", "onnx", "openvino", "ai_edge_litert", "matplotlib")
    probe = f"import sys; {code}; print(*[name for name in {heavy!r} if name in sys.modules])"
    command = [sys.executable, "-c", probe, *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": "."})
    assert result.returncode == 0, result.stderr
    return result.stdout.split()


def test_onnxruntime_needs_numpy_and_itself():
    code = (
        "import numpy as np; from keras_vae import runtimes; r = runtimes.open(sys.argv[1], 'onnxruntime');"
        "assert r.encode(r.decode(np.zeros((2, 4)))).shape == (2, 4)"
    )
    assert loaded_by(code, bundle_of("conv").path) == []


def test_litert_and_openvino_need_no_tensorflow():
    code = "from keras_vae import runtimes; [runtimes.open(sys.argv[1], name) for name in ('litert', 'openvino')]"
    assert set(loaded_by(code, bundle_of("conv").path)) == {"openvino", "ai_edge_litert"}


def test_listing_imports_nothing():
    assert loaded_by("from keras_vae import runtimes; runtimes.installed(); dir(runtimes); runtimes.benchmark") == []
