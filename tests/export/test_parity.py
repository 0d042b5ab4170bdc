"""The comparison itself: its tolerances, what it compares, and that it sees what is wrong."""

import json
import subprocess
import sys
from typing import ClassVar

import numpy as np
import pytest

from keras_vae import cli, runtimes
from keras_vae.errors import CorruptFileError, ExportError, UnavailableError, UserError
from keras_vae.export import Parity, check, export, read_bundle
from keras_vae.export.parity import GOLDEN_BATCHES, Case, golden_cases, limits, measure, require, worst
from keras_vae.models import VAE
from tests.export.bundles import DENSE, bundle_of, copied, model_of, sealed, stirred
from tests.toys import grey

RUNTIMES = {"keras", "saved_model", "onnxruntime", "openvino", "litert"}
GRAPH = {"outputs": {"mean": {"tolerance": "absolute"}, "logits": {"tolerance": "relative"}}}


def case(ordinary, **outputs):
    return Case("a case", ordinary, {}, {name: np.array(value, "float32") for name, value in outputs.items()})


@pytest.mark.parametrize(
    ("ordinary", "output", "expected"),
    # 2**-21 of the largest |value|, 40 here, for a mean on ordinary inputs; else 1e-5 + 1e-5 of it.
    [
        (True, "mean", 40 * 2**-21),
        (False, "mean", 1e-5 + 40e-5),
        (True, "logits", 1e-5 + 40e-5),
        (False, "logits", 1e-5 + 40e-5),
    ],
)
def test_tolerances_are_the_designs(ordinary, output, expected):
    allowed = limits(GRAPH, output, case(ordinary, mean=[1, -40], logits=[-40, 2]))
    assert allowed == {"max": pytest.approx(expected)}


def test_sums_of_more_numbers_than_a_digit_has_may_round_more():
    """64x64 pixels are 5.22 times 784: the root is 2.2857. Fewer than a digit's get no less than a digit's.

    An extreme gets 5.22 times what a digit gets: the terms of a sum over a flat picture are all rounded the same way.
    """
    for side, expected, extreme in ((64, 2.2857e-5, 5.2245e-5), (28, 1e-5, 1e-5), (4, 1e-5, 1e-5)):
        images = {"x": np.zeros((2, side, side, 1), "float32")}
        outputs = {"mean": np.ones((2, 3), "float32"), "logits": np.full((2, 3), -2.0, "float32")}
        for ordinary, output, limit in (
            (True, "mean", expected),
            (True, "logits", 3 * expected),
            (False, "mean", 2 * extreme),
            (False, "logits", 3 * extreme),
        ):
            given = Case("a case", ordinary, images, outputs)
            assert limits(GRAPH, output, given) == {"max": pytest.approx(limit, rel=1e-4)}


def test_sums_over_a_flat_picture_round_in_proportion_to_their_terms():
    """What the limit of extremes rests on: in float32, one term after another as runtimes do."""
    relative = []
    for terms in (784, 16 * 784):
        summed = np.cumsum(np.full(terms, 0.1, "float32"), dtype="float32")[-1]
        relative.append(abs(float(summed) / (terms * float(np.float32(0.1))) - 1.0))
    assert relative[1] > 4 * relative[0]  # more than the root of 16


def test_large_outputs_and_the_means_of_large_logits_may_round_more():
    """Eight units in the last place, 2**-21: of a code of 100 it is 4.8e-5, of the mean of a logit of 400 as much."""
    code, logits = np.full((2, 3), -100.0, "float32"), np.full((2, 3), 400.0, "float32")
    images = {"x": np.zeros((2, 28, 28, 1), "float32")}
    assert limits(GRAPH, "mean", Case("a case", True, images, {"mean": code})) == {"max": 100 * 2**-21}
    for ordinary in (True, False):
        outputs = {"mean": np.ones((2, 3), "float32"), "logits": logits}
        assert limits(GRAPH, "mean", Case("a case", ordinary, {"z": code}, outputs)) == {"max": 100 * 2**-21}
        outputs["logits"] = logits / 100
        at_most = 1e-5 if ordinary else 2e-5
        assert limits(GRAPH, "mean", Case("a case", ordinary, {"z": code}, outputs)) == {"max": pytest.approx(at_most)}


class Fake:
    """A runtime that adds an error of the test's choice to what is expected."""

    name, format_name, graphs = "fake", "onnx", {"decoder": None}
    settings: ClassVar = {"precision": "float32"}

    def __init__(self, given):
        self.given = given
        graphs = {"decoder": {"outputs": {"mean": {"tolerance": "absolute"}}}}
        self.bundle = type("Bundle", (), {"graphs": graphs, "limits": lambda *_: {}})

    def run(self, graph, inputs):
        return {"mean": self.given[: len(inputs["z"])]}


def measured(given, batches=(1, 3)):
    expected = np.linspace(0, 1, 3, dtype="float32")[:, None]
    return measure(Fake(given), {"decoder": [Case("prior", True, {"z": expected}, {"mean": expected})]}, batches)


def test_measure_takes_the_largest_difference_of_each_batch():
    given = np.linspace(0, 1, 3, dtype="float64")[:, None] + [[0], [2e-6], [-3e-6]]
    rows = measured(given)
    assert [(row.batch, row.output) for row in rows] == [(1, "mean"), (3, "mean")]
    np.testing.assert_allclose([row.max_error for row in rows], [0, 3e-6], rtol=1e-6)
    require(rows, "fine", "")


@pytest.mark.parametrize(
    "given", [np.full((3, 1), np.nan), np.zeros((3, 2)), np.full((3, 1), np.inf), np.zeros((0, 1))]
)
def test_nan_infinity_and_wrong_shapes_never_pass(given):
    with pytest.raises(ExportError, match="differs from Keras by inf"):
        require(measured(given, (3,)), "Wrong", "Mend it.")


def test_the_worst_row_is_named():
    rows = [
        Parity("onnxruntime", "onnx", "encoder", "digits", 3, "mean", 2e-5, 1e-5),
        Parity("litert", "litert", "decoder", "all 6", 64, "logits", 5e-4, 1e-4),
        Parity("litert", "litert", "decoder", "prior", 1, "mean", 1e-6, 1e-5),
    ]
    with pytest.raises(
        ExportError, match=r"litert, the decoder's 'logits' .* 0\.0005 .*'all 6' at batch 64.*1 other.*Mend it\."
    ):
        require(rows, "Wrong", "Mend it.")
    assert worst([*rows, rows[2]._replace(max_error=5e-6)])[-1].max_error == 5e-6


@pytest.mark.parametrize("kind", ["mlp", "conv"])
def test_every_runtime_graph_case_and_batch_is_in_the_bundle(kind):
    rows = bundle_of(kind).parity
    assert {row.runtime for row in rows} == RUNTIMES
    assert {row.batch for row in rows} == {1, 3, 64}
    encoder = {row.case for row in rows if row.graph == "encoder"}
    assert encoder == {"examples", "noise", "all 0", "all 1"}
    assert {row.case for row in rows if row.graph == "decoder"} == {"prior", "all 6", "all -6"}
    assert all(row.passed for row in rows)
    ordinary = [row for row in rows if row.case in ("examples", "prior") and row.output == "mean"]
    assert {row.tolerance for row in ordinary} == {1e-5}
    # Two runtimes that agreed to the last bit everywhere would be one runtime compared with itself.
    assert max(row.max_error for row in rows if row.runtime == "onnxruntime") > 0


def test_check_repeats_it_from_golden_json():
    report = check(bundle_of("mlp"))
    assert {row.runtime for row in report.rows} == RUNTIMES and not report.skipped
    assert {row.batch for row in report.rows} == {1, 16}
    assert all(row.passed for row in report.rows)
    pairs = {(row.runtime, row.format) for row in bundle_of("mlp").parity}
    assert {(row.runtime, row.format) for row in report.rows} == pairs and ("openvino", "onnx") in pairs


def test_a_runtime_that_raises_does_not_keep_the_others_from_being_tried(monkeypatch):
    from keras_vae.runtimes.litert_runtime import LiteRtRuntime
    from keras_vae.runtimes.onnx_runtime import OnnxRuntime

    def too_old(self, graph, file):
        raise RuntimeError("Unsupported model IR version: 14,\n max supported IR version: 10 (op_type:IsInf)")

    tried = []
    call = LiteRtRuntime.call
    monkeypatch.setattr(OnnxRuntime, "load", too_old)
    monkeypatch.setattr(LiteRtRuntime, "call", lambda *given: [tried.append(1), call(*given)][1])
    with pytest.raises(ExportError, match=r"onnxruntime refuses the onnx files of .*IR version: 14.*IsInf") as error:
        check(bundle_of("mlp"))
    assert tried and "\n" not in str(error.value)


@pytest.fixture(scope="module")
def quantised(tmp_path_factory):
    # Random weights have no ELBO worth keeping: it may lose what it likes. Parity is not lifted by that.
    folder = tmp_path_factory.mktemp("int8") / "out"
    return export(model_of("colour"), folder, ("onnx", "onnx_int8"), grey(200, (8, 8, 3)), force=True)


def zeros(array):
    return np.zeros_like(array)


def of_another_example(array):
    return np.roll(array, 1, axis=0)


def the_same_for_all(array):
    return np.broadcast_to(array.mean(axis=0), array.shape)


def turned_round(array):
    return array[..., ::-1]


class Broken:
    """An opened runtime, one graph's outputs of which are spoilt."""

    def __init__(self, opened, spoilt, how):
        self.opened, self.spoilt, self.how = opened, spoilt, how
        self.bundle, self.settings, self.graphs = opened.bundle, opened.settings, opened.graphs
        self.name, self.format_name = opened.name, opened.format_name

    def run(self, graph, inputs):
        outputs = self.opened.run(graph, inputs)
        return {name: self.how(array) for name, array in outputs.items()} if graph == self.spoilt else outputs


@pytest.mark.parametrize("graph", ["encoder", "decoder"])
@pytest.mark.parametrize("how", [zeros, of_another_example, the_same_for_all, turned_round])
def test_int8_that_is_wrong_is_found(quantised, graph, how):
    opened, cases = runtimes.open(quantised, "onnxruntime", format_name="onnx_int8"), golden_cases(quantised)
    require(measure(opened, cases, GOLDEN_BATCHES), "As it was exported", "")
    with pytest.raises(ExportError, match=f"the {graph}'s '.*' in onnx_int8 differs"):
        require(measure(Broken(opened, graph, how), cases, GOLDEN_BATCHES), "Spoilt", "")


def test_limits_are_written_once_for_every_reader(quantised):
    for graph in ("encoder", "decoder"):
        for output in quantised.graphs[graph]["outputs"]:
            said = quantised.limits(graph, output)
            case = golden_cases(quantised)[graph][0]
            assert said == {"max": pytest.approx(limits(quantised.graphs[graph], output, case)["max"], rel=1e-2)}
            assert set(quantised.limits(graph, output, "int8")) == {"max", "mean", "p99"}
            half, brain = (quantised.limits(graph, output, each)["max"] for each in ("float16", "bfloat16"))
            assert half < brain
    # What an image may be off on average, whatever it was when it was exported.
    assert quantised.limits("decoder", "mean", "int8")["mean"] <= 0.02


def test_check_says_what_it_could_not_try():
    report = check(bundle_of("colour").path)
    assert {row.runtime for row in report.rows} == {"onnxruntime", "openvino"}
    assert set(report.skipped) == {"keras", "saved_model", "litert"}
    assert "--format litert" in report.skipped["litert"]
    with pytest.raises(UnavailableError, match="'litert' opens the format litert"):
        check(bundle_of("colour").path, ["litert"])


def resealed(folder, change):
    """Change golden.json and make the manifest match it."""
    golden = json.loads((folder / "golden.json").read_text())
    change(golden["graphs"])
    (folder / "golden.json").write_text(json.dumps(golden))
    sealed(folder)


def test_check_finds_outputs_that_are_not_the_models(tmp_path):
    folder = copied("colour", tmp_path)

    def nudge(graphs):
        graphs["decoder"]["outputs"]["mean"]["data"][7] += 5e-5

    resealed(folder, nudge)
    with pytest.raises(
        ExportError, match=r"the decoder's 'mean' in onnx differs from Keras by (5e|4.99e)-05 in the case 'golden'"
    ):
        check(folder)


def test_limits_in_a_bundle_are_no_looser_than_the_librarys(tmp_path):
    folder = copied("colour", tmp_path)

    def nudge(graphs):
        graphs["decoder"]["outputs"]["mean"]["data"][7] += 5e-3

    limits = json.loads(json.dumps(bundle_of("colour").manifest["limits"]))
    resealed(folder, nudge)
    for changed in ({"max": 1.0}, {"mean": 1.0}, {}):
        limits["decoder"]["mean"]["float32"] = changed
        sealed(folder, limits=limits)
        with pytest.raises(ExportError, match=r"differs from Keras by 0\.005.*Allowed: 1e-05"):
            check(folder, ["onnxruntime"])
    sealed(folder, limits={})
    with pytest.raises(ExportError, match=r"differs from Keras by 0\.005.*Allowed: 1e-05"):
        check(folder, ["onnxruntime"])
    formats = json.loads(json.dumps(bundle_of("colour").formats))
    formats["onnx"]["precision"] = "int8"
    with pytest.raises(CorruptFileError, match=r"The format onnx is in float32\. Given: 'int8'.*other limits"):
        check(sealed(folder, formats=formats))


def test_forced_int8_keeps_its_limits_and_the_report_says_so(tmp_path, capsys):
    model = stirred(VAE(image_shape=(8, 8, 1), latent_dim=2, encoder=DENSE, decoder=DENSE,
                        likelihood={"name": "gaussian", "scale": 0.01}), seed=2)  # fmt: skip
    forced = export(model, tmp_path / "out", ("onnx", "onnx_int8"), grey(200, (8, 8, 1)), force=True)
    assert check(forced.path, ["onnxruntime"]).forced == ["onnx_int8"]
    with pytest.raises(SystemExit, match="0"):
        cli.main(["check", str(forced.path), "--runtime", "onnxruntime"])
    said = " ".join(capsys.readouterr().out.split())
    assert "onnx_int8 was exported with --force: its limits are not the library's." in said and forced.digest in said


def no_examples(graphs):
    for array in (*graphs["decoder"]["inputs"].values(), *graphs["decoder"]["outputs"].values()):
        array["shape"][0], array["data"] = 0, []


@pytest.mark.parametrize(
    "change", [no_examples, lambda graphs: graphs.pop("decoder"), lambda graphs: graphs["decoder"]["outputs"].clear()]
)
def test_nothing_to_compare_is_no_agreement(change, tmp_path):
    resealed(folder := copied("colour", tmp_path), change)
    with pytest.raises(
        CorruptFileError, match=r"golden\.json must have examples of every .*too little for the decoder"
    ):
        check(folder, ["onnxruntime"])


def test_a_graph_that_promises_nothing_is_refused(tmp_path):
    graphs = json.loads(json.dumps(bundle_of("colour").graphs))
    graphs["decoder"]["outputs"] = {}
    folder = sealed(copied("colour", tmp_path), graphs=graphs)
    resealed(folder, lambda golden: golden["decoder"]["outputs"].clear())
    with pytest.raises(CorruptFileError, match="too little for the decoder"):
        check(folder, ["onnxruntime"])


def test_a_digest_from_elsewhere_is_that_of_every_file(tmp_path, capsys):
    folder, digest = copied("colour", tmp_path), bundle_of("colour").digest
    assert check(folder, ["onnxruntime"], digest.upper()).digest == digest
    with pytest.raises(SystemExit, match="0"):
        cli.main(["check", str(folder), "--runtime", "onnxruntime", "--digest", digest, "--json"])
    assert json.loads(capsys.readouterr().out)["digest"] == digest
    for wrong in ("", digest[:8], digest + "0", "g" * 64):
        with pytest.raises(UserError, match=r"64 hexadecimal digits.*Given: "):
            check(folder, digest=wrong)
    (folder / "decoder.onnx").write_bytes((folder / "encoder.onnx").read_bytes())
    sealed(folder)  # all digests inside fit
    with pytest.raises(CorruptFileError, match=rf"another bundle\. Expected: digest {digest}\. Given: (?!{digest})"):
        check(folder, digest=digest)
    with pytest.raises(SystemExit, match="1"):
        cli.main(["check", str(folder), "--digest", digest])
    assert "is another bundle" in capsys.readouterr().err


def test_a_size_that_the_manifest_lies_about(tmp_path):
    folder = copied("colour", tmp_path)
    files = json.loads(json.dumps(bundle_of("colour").manifest["files"]))
    files["golden.json"]["bytes"] = 1
    with pytest.raises(CorruptFileError, match=r"golden\.json is not the file .* 1 bytes"):
        check(sealed(folder, files=files))


def test_check_refuses_a_changed_golden_json(tmp_path):
    folder = copied("colour", tmp_path)
    text = (folder / "golden.json").read_text()
    (folder / "golden.json").write_text(text.replace("1", "2", 1))
    with pytest.raises(CorruptFileError, match=r"golden\.json is not the file that was exported"):
        check(folder)


def test_check_on_onnxruntime_imports_no_tensorflow_and_no_keras():
    code = (
        "import sys; from keras_vae import export; report = export.check(sys.argv[1], ['onnxruntime']);"
        "assert len(report.rows) == 8, report.rows;"
        "print([name for name in ('tensorflow', 'keras', 'onnx', 'tensorflow_probability') if name in sys.modules])"
    )
    command = [sys.executable, "-c", code, str(bundle_of("mlp").path)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.stdout.strip() == "[]", result.stderr


def test_golden_alone_decides(tmp_path):
    """A bundle that has moved, read from its folder: the model is nowhere near."""
    moved = read_bundle(copied("colour", tmp_path))
    assert len(check(moved, ["onnxruntime"]).rows) == 2 * (2 + 1)  # batches 1 and 16: mean, log_var; mean
    assert model_of("colour").latent_dim == moved.manifest["model"]["latent_dim"]
