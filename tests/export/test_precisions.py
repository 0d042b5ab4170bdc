"""float16 and int8: what is in the files, how far they are off, what that costs, and when it is refused."""

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from keras_vae import data, runtimes
from keras_vae.core.graphs import graphs_of
from keras_vae.errors import ExportError
from keras_vae.export import Bundle, check, export, read_bundle
from keras_vae.export.graphs import trace
from keras_vae.export.parity import Case, limits
from keras_vae.export.quality import measure_quality, require_quality
from keras_vae.models import AE, CVAE, VAE, HypersphericalVAE
from tests.export.bundles import DENSE, digits, model_of, stirred
from tests.toys import SHAPE, binary, grey, mlp

pytestmark = pytest.mark.slow  # many exports; the conformance of formats is in test_export.py

FORMATS = ("onnx", "onnx_fp16", "onnx_int8")


@pytest.fixture(scope="module", params=["mlp", "conv"])
def reduced(request, tmp_path_factory) -> tuple[str, Bundle]:
    # Random weights are no trained model: what 8 bits lose of its ELBO is no matter here.
    return request.param, export(
        model_of(request.param),
        tmp_path_factory.mktemp("reduced") / "out",
        FORMATS,
        digits(request.param),
        force=True,
    )


def weights(bundle, name):
    return [numpy_helper.to_array(each) for each in onnx.load(bundle.path / name).graph.initializer]


def test_float16_holds_float16_and_speaks_float32(reduced):
    _, bundle = reduced
    for graph in ("encoder", "decoder"):
        large = [array for array in weights(bundle, f"{graph}.fp16.onnx") if array.size > 16]
        assert large and all(array.dtype == np.float16 for array in large)
        proto = onnx.load(bundle.path / f"{graph}.fp16.onnx")
        assert {each.type.tensor_type.elem_type for each in [*proto.graph.input, *proto.graph.output]} == {1}
        half, whole = (bundle.manifest["files"][f"{graph}{suffix}.onnx"]["bytes"] for suffix in (".fp16", ""))
        assert half < 0.75 * whole


def test_int8_weights_have_a_scale_a_channel_and_seven_bits(reduced):
    kind, bundle = reduced
    proto = onnx.load(bundle.path / "encoder.int8.onnx")
    known = {each.name: numpy_helper.to_array(each) for each in proto.graph.initializer}
    dequantised = [node for node in proto.graph.node if node.op_type == "DequantizeLinear" and node.input[0] in known]
    assert len(dequantised) >= 2
    for node in dequantised:
        weight, scale = known[node.input[0]], known[node.input[1]]
        if weight.dtype == np.int32:  # a bias, whose scale is that of the product
            continue
        axis = next(each.i for each in node.attribute if each.name == "axis")
        assert weight.dtype == np.int8 and np.abs(weight.astype(int)).max() <= 64
        assert scale.shape == (weight.shape[axis],) and len(set(scale.tolist())) > 1
    products = {"mlp": {"MatMul", "Gemm"}, "conv": {"Conv"}}[kind]
    assert products & {node.op_type for node in proto.graph.node}
    assert {each.key for each in proto.metadata_props} >= {"keras_vae.class", "keras_vae.graph", "keras_vae.inputs"}


def test_errors_are_of_the_precisions_size(reduced):
    _, bundle = reduced
    worst = {
        name: max(row.max_error for row in bundle.parity if row.format == name and row.output == "mean")
        for name in FORMATS
    }
    # Rounding to 24, 11 and 7 bits: each far above the one before, or the file does not hold what its name says.
    assert worst["onnx"] < 1e-4 < worst["onnx_fp16"] * 10 and worst["onnx_fp16"] < worst["onnx_int8"]
    assert all(row.passed for row in bundle.parity)


def test_check_repeats_every_precision(reduced):
    _, bundle = reduced
    found = check(bundle, ["onnxruntime"]).rows
    assert {row.format for row in found} == set(FORMATS) and all(row.passed for row in found)
    by_precision = {runtimes.open(bundle, "onnxruntime", format_name=name).settings["precision"] for name in FORMATS}
    assert by_precision == {"float32", "float16", "int8"}


def test_quality_is_measured_by_hand_too(reduced):
    """The ELBO's change against the same sum written with numpy, over the files' own sessions."""
    kind, bundle = reduced
    if kind != "mlp":
        pytest.skip("the hand computation is of a Bernoulli likelihood")
    x = data.load_arrays("mnist", "test[:1000]", binarize="static").astype("float64")
    eps = np.random.default_rng(2).normal(size=(1000, 3)).astype("float32")
    elbo, error = {}, {}
    for name in ("onnx", "onnx_int8"):
        opened = runtimes.open(bundle, "onnxruntime", format_name=name)
        code = opened.run("encoder", {"x": x})
        mean, log_var = code["mean"], code["log_var"]
        z = mean + np.exp(0.5 * log_var) * eps
        logits = opened.run("decoder", {"z": z})["logits"].astype("float64")
        log_px = (x * logits - np.logaddexp(0, logits)).sum(axis=(1, 2, 3))
        log_p, log_q = -0.5 * z**2, -0.5 * eps.astype("float64") ** 2 - 0.5 * log_var
        elbo[name] = (log_px + (log_p - log_q).sum(axis=-1)).mean()
        error[name] = ((opened.decode(mean) - x) ** 2).sum(axis=(1, 2, 3)).mean()
    measured = bundle.manifest["formats"]["onnx_int8"]["quality"]
    # float32 sums over 784 pixels of some 500 nats, and Keras's own float32 in place of onnxruntime's: 1e-3 nats.
    assert measured["elbo"] == pytest.approx(elbo["onnx"], abs=2e-3)
    assert measured["elbo_change"] == pytest.approx(elbo["onnx_int8"] - elbo["onnx"], abs=2e-3)
    assert measured["reconstruction_error"] == pytest.approx(error["onnx"], rel=1e-5)
    assert measured["reconstruction_change"] == pytest.approx(error["onnx_int8"] / error["onnx"] - 1, abs=1e-5)
    assert measured["examples"] == 1000


def test_a_precision_that_loses_too_much_is_refused_and_leaves_nothing(tmp_path):
    # A narrow Gaussian makes nats of the smallest differences of a pixel: 1 / (2 * 0.01**2) of them a square.
    arguments = {"image_shape": (8, 8, 1), "latent_dim": 2, "encoder": DENSE, "decoder": DENSE}
    model = stirred(VAE(likelihood={"name": "gaussian", "scale": 0.01}, **arguments), seed=2)
    with pytest.raises(ExportError, match=r"may lose 1 nat.*VAE in int8, which loses .* nats of ELBO.*--force"):
        export(model, tmp_path / "out", ("onnx", "onnx_int8"), grey(200, (8, 8, 1)))
    assert not list(tmp_path.iterdir())
    forced = export(model, tmp_path / "out", ("onnx", "onnx_int8"), grey(200, (8, 8, 1)), force=True)
    quality = read_bundle(forced.path).manifest["formats"]["onnx_int8"]["quality"]
    assert quality["forced"] is True and quality["elbo_change"] < -1


@pytest.mark.parametrize(
    ("elbo_change", "reconstruction_change", "refused"),
    [
        (-0.99, 0.0, False),
        (-1.01, 0.0, True),
        (+5.0, 0.0, False),
        (None, 0.019, False),
        (None, 0.021, True),
        (-0.1, 0.021, True),
        (float("nan"), 0.0, True),
        (None, float("nan"), True),
        (None, None, True),
        (-0.5, None, False),
    ],
)
def test_the_bounds(elbo_change, reconstruction_change, refused):
    measured = {"elbo_change": elbo_change, "reconstruction_change": reconstruction_change, "examples": 10}
    if refused:
        with pytest.raises(ExportError, match="on 10 examples"):
            require_quality(measured, "a model in int8")
    else:
        require_quality(measured, "a model in int8")


class Same:
    """Keras itself as a runtime, with an error of the test's choice on the decoder's mean."""

    def __init__(self, graphs, shift):
        self.graphs, self.shift = {each.name: each for each in graphs}, shift

    def run(self, graph, inputs):
        outputs = self.graphs[graph].run(inputs)
        return {**outputs, "mean": outputs["mean"] + self.shift} if graph == "decoder" else outputs


@pytest.mark.parametrize("cls", [VAE, CVAE, AE])
def test_a_shift_of_every_pixel_has_the_cost_that_algebra_gives(cls):
    """mean + s: the squared error of an image grows by 2 s sum(mean - x) + 16 s**2; the ELBO, of the logits, stays."""
    toy = {"image_shape": SHAPE, "latent_dim": 3, "encoder": mlp(), "decoder": mlp()}
    model = stirred(cls(**toy, **({"num_classes": 2} if cls is CVAE else {})))
    graphs = [trace(graph) for graph in graphs_of(model)]
    inputs = {"x": binary(50)} | ({"condition": np.arange(50, dtype="int32") % 2} if cls is CVAE else {})
    measured = measure_quality(model, graphs, Same(graphs, 0.1), inputs)
    mean = model.reconstruct(inputs["x"], inputs.get("condition"))
    error = ((mean - inputs["x"]) ** 2).sum(axis=(1, 2, 3)).mean()
    grown = (0.2 * (mean - inputs["x"]) + 0.01).sum(axis=(1, 2, 3)).mean()
    assert measured["reconstruction_error"] == pytest.approx(error, rel=1e-5)
    assert measured["reconstruction_change"] == pytest.approx(grown / error, rel=1e-4)
    if cls is AE:
        assert measured["elbo"] is None and measured["elbo_change"] is None
    else:
        assert measured["elbo_change"] == 0
        # One sample of 50 examples: the same bound as the model's own, with other noise.
        own = model.elbo(inputs["x"], condition=inputs.get("condition"))
        assert measured["elbo"] == pytest.approx(own.mean(), abs=5 * own.std() / np.sqrt(50))


def test_a_direction_that_rounding_turned_is_one():
    """Keras's draw is moved by the difference of the codes, and put back on the sphere that `decode` takes."""
    model = stirred(HypersphericalVAE(image_shape=SHAPE, latent_dim=3, encoder=mlp(), decoder=mlp()))
    graphs, seen = [trace(graph) for graph in graphs_of(model)], []

    class Turned(Same):
        def run(self, graph, inputs):
            outputs = super().run(graph, inputs)
            if graph == "encoder":
                mean = outputs["mean"] + np.float32([0.2, 0.0, 0.0])
                return {**outputs, "mean": mean / np.linalg.norm(mean, axis=-1, keepdims=True)}
            seen.append(np.linalg.norm(inputs["z"], axis=-1))
            return outputs

    measured = measure_quality(model, graphs, Turned(graphs, 0.0), {"x": binary(50)})
    assert len(seen) == 2 and np.isfinite(measured["elbo"]) and measured["elbo_change"] != 0
    np.testing.assert_allclose(seen, 1.0, rtol=0, atol=1e-6)


def test_tolerances_by_precision():
    graph = {"outputs": {"mean": {"tolerance": "absolute"}, "codes": {"tolerance": "absolute"}}}
    case = Case("a case", True, {}, {"mean": np.array([0.5, -3.0]), "codes": np.array([1, 2], "int32")})
    assert limits(graph, "mean", case) == {"max": 1e-5}
    assert limits(graph, "mean", case, "float16") == {"max": pytest.approx(2e-3 * 4)}
    assert limits(graph, "mean", case, "bfloat16") == {"max": pytest.approx(2e-2 * 4)}
    assert limits(graph, "codes", case, "float16") == {"max": 0.05}
    assert limits(graph, "codes", case, "int8") == {"mean": 0.25}
    assert limits(graph, "mean", Case("an extreme", False, {}, case.outputs), "int8") == {}
    images = Case("images", True, {}, {"mean": np.zeros((2, 4, 4, 1))})
    assert limits(graph, "mean", images, "int8") == {"mean": 0.02, "p99": 0.25}


@pytest.mark.parametrize("opset", [13, 18, 21])
def test_group_normalisation_in_every_precision(opset, tmp_path):
    """Written otherwise below opset 21; what is compared with Keras is in the bundle, or there would be none."""
    network = {"name": "residual", "filters": (8, 16), "groups": 4}
    model = stirred(VAE(latent_dim=4, encoder=network, decoder=network))
    bundle = export(model, tmp_path / "out", FORMATS, digits("mlp"), opset=opset, force=True)
    assert {row.format for row in bundle.parity} == set(FORMATS)
    operator = "GroupNormalization" if opset == 21 else "InstanceNormalization"
    for graph in ("encoder", "decoder"):
        types = [node.op_type for node in onnx.load(bundle.path / f"{graph}.onnx").graph.node]
        assert types.count(operator) == 5 and len(types) < 100  # tf2onnx leaves 144 and 152
