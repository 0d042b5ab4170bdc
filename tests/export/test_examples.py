"""Export is told its data: what is calibrated, compared, kept and priced is of the caller's examples, or left out."""

import json
from pathlib import Path

import numpy as np
import pytest

from keras_vae import runtimes
from keras_vae.errors import ExportError, UnavailableError, UserError
from keras_vae.export import Examples, cases, check, export
from keras_vae.models import CVAE, VAE
from keras_vae.types import Provenance
from tests.export.bundles import DENSE, stirred
from tests.toys import SHAPE, binary, grey, mlp

TOY = {"image_shape": SHAPE, "latent_dim": 2, "encoder": mlp(), "decoder": mlp(), "seed": 1}


def toy(cls=VAE, **arguments):
    return stirred(cls(**{**TOY, **arguments}))


def of_digits_shape():
    return stirred(VAE(latent_dim=2, encoder=DENSE, decoder=DENSE))


def test_a_model_of_the_shape_of_digits_is_not_taken_for_one_of_digits(tmp_path):
    """28x28x1 may be garments: neither MNIST's licence nor its digits are in the bundle."""
    bundle = export(of_digits_shape(), tmp_path / "out", "onnx")
    assert bundle.manifest["licences"]["images"] is None and bundle.manifest["examples"] is None
    golden = json.loads(bundle.read("golden.json"))
    assert "labels" not in golden and "MNIST" not in golden["about"] and "generated" in golden["about"]
    assert "digits" not in bundle.manifest["parity_inputs"]


def test_of_large_images_fewer_golden_examples_are_stored(tmp_path, monkeypatch):
    """As many as have `GOLDEN_NUMBERS` in the largest array; of 256x256 in colour, one, and not 60 MB of JSON."""
    assert 16 * 64 * 64 <= cases.GOLDEN_NUMBERS < 2 * 256 * 256 * 3
    x = binary(50)
    monkeypatch.setattr(cases, "GOLDEN_NUMBERS", 3 * x[0].size + 1)
    examples = Examples(x, origin="stripes of a test", labels=np.arange(50))
    bundle = export(toy(), tmp_path / "few", "onnx", examples)
    for parts in bundle.golden().values():
        assert {len(array) for arrays in parts.values() for array in arrays.values()} == {3}
    assert json.loads(bundle.read("golden.json"))["labels"] == [0, 1, 2]
    assert {row.batch for row in check(bundle, ["onnxruntime"]).rows} == {1, 3}
    monkeypatch.setattr(cases, "GOLDEN_NUMBERS", 1)
    assert len(export(toy(), tmp_path / "one", "onnx", examples).golden()["encoder"]["inputs"]["x"]) == 1


def test_golden_outputs_are_of_the_examples(tmp_path):
    x = binary(50)
    examples = Examples(x, origin="stripes of a test", licence="CC0-1.0", labels=np.arange(50))
    bundle = export(toy(), tmp_path / "out", "onnx", examples)
    np.testing.assert_array_equal(bundle.golden()["encoder"]["inputs"]["x"], x[:16])
    golden = json.loads(bundle.read("golden.json"))
    assert golden["labels"] == list(range(16)) and "stripes of a test" in golden["about"]
    assert bundle.manifest["licences"]["images"] == "CC0-1.0"
    assert bundle.manifest["parity_inputs"] == "stripes of a test"
    assert {row.case for row in bundle.parity if row.graph == "encoder"} == {"examples", "noise", "all 0", "all 1"}
    assert bundle.manifest["left_out"] == {}


def test_statistics_of_codes_are_of_the_examples_that_are_measured_on(tmp_path):
    model, x = toy(), binary(50)
    latent = export(model, tmp_path / "out", "onnx", x).manifest["latent"]
    codes = model.encode(x[:25])
    np.testing.assert_allclose(latent["codes"]["z"]["mean"], codes.mean(axis=0), rtol=1e-3, atol=1e-5)


def test_a_64_by_64_model_is_priced_on_its_examples_and_not_on_noise(tmp_path):
    """The reconstruction error in the bundle is that of the squares it was given; of noise it is many times larger."""
    model = stirred(VAE(image_shape=(64, 64, 1), latent_dim=2, encoder=mlp(), decoder=mlp()))
    x = np.zeros((40, 64, 64, 1), "float32")
    for row, image in enumerate(x):
        image[row : row + 9, 5:14] = 1.0
    bundle = export(model, tmp_path / "out", ("onnx", "onnx_fp16"), x)
    quality = bundle.manifest["formats"]["onnx_fp16"]["quality"]
    error = np.square(model.reconstruct(x[:20]) - x[:20]).sum(axis=(1, 2, 3)).mean()
    assert quality["reconstruction_error"] == pytest.approx(error, rel=1e-5) and quality["examples"] == 20
    own = model.elbo(x[:20])
    # One draw an example, of other noise than the model's own.
    assert quality["elbo"] == pytest.approx(own.mean(), abs=1 + 5 * own.std() / np.sqrt(20))


def test_int8_is_calibrated_on_other_examples_than_it_is_priced_on(tmp_path, monkeypatch):
    from keras_vae.export.formats import onnx_int8

    seen = {}
    reader = onnx_int8._reader
    monkeypatch.setattr(onnx_int8, "_reader", lambda inputs, batch: [seen.update(inputs), reader(inputs, batch)][1])
    x = grey(41)
    bundle = export(toy(likelihood="gaussian"), tmp_path / "out", ("onnx", "onnx_int8"), x, force=True)
    calibrated = {image.tobytes() for image in seen["x"]}
    assert calibrated == {image.tobytes() for image in x[21:]}
    assert bundle.manifest["formats"]["onnx_int8"]["quality"]["examples"] == 21
    assert bundle.manifest["examples"] == {
        "origin": "examples of no recorded origin",
        "licence": None,
        "measured": 21,
        "calibration": 20,
    }


def test_int8_without_examples_is_refused_with_the_remedy(tmp_path):
    with pytest.raises(ExportError, match=r"onnx_int8 is calibrated on examples.*examples=.*--examples"):
        export(toy(), tmp_path / "out", ("onnx", "onnx_int8"), force=True)
    with pytest.raises(ExportError, match=r"onnx_int8 needs 2 examples.*Given: 1"):
        export(toy(), tmp_path / "out", ("onnx", "onnx_int8"), binary(1))
    assert not list(tmp_path.iterdir())


def test_a_bundle_without_examples_says_what_it_lacks(tmp_path):
    bundle = export(toy(), tmp_path / "out", ("onnx", "onnx_fp16"))
    assert set(bundle.manifest["left_out"]) == {"quality", "latent.codes"}
    assert all("examples" in why for why in bundle.manifest["left_out"].values())
    assert "quality" not in bundle.formats["onnx_fp16"] and "codes" not in bundle.manifest["latent"]
    assert bundle.manifest["latent"]["prior"]["name"] == "normal"
    assert {row.case for row in bundle.parity if row.graph == "encoder"} == {"generated", "noise", "all 0", "all 1"}
    assert runtimes.open(bundle, "onnxruntime").encode(binary(3)).shape == (3, 2)


def test_generated_inputs_lie_in_the_likelihoods_support(tmp_path):
    for likelihood in ("bernoulli", {"name": "categorical", "levels": 4}, "gaussian"):
        model = toy(likelihood=likelihood)
        bundle = export(model, tmp_path / "out", "onnx")
        x = bundle.golden()["encoder"]["inputs"]["x"]
        model.likelihood_family.check(x)
        assert len(np.unique(x)) == {"bernoulli": 2, "gaussian": len(np.unique(x))}.get(str(likelihood), 4)


def test_examples_of_a_conditional_model_keep_their_conditions(tmp_path):
    model, x = toy(CVAE, num_classes=3), binary(20)
    labels = np.arange(20, dtype="int32") % 3
    bundle = export(model, tmp_path / "out", "onnx", Examples(x, labels))
    golden = bundle.golden()["encoder"]
    np.testing.assert_array_equal(golden["inputs"]["condition"][:10], labels[:10])
    np.testing.assert_allclose(golden["outputs"]["mean"][:10], model.encode(x[:10], labels[:10]), atol=2e-6)
    assert json.loads(bundle.read("golden.json"))["labels"][:10] == labels[:10].tolist()


@pytest.mark.parametrize(
    ("model", "examples", "message"),
    [
        (toy, binary(4, (5, 5, 1)), "shape"),
        (toy, grey(4), "0 or 1"),
        (toy, np.full((4, *SHAPE), np.nan, "float32"), "finite|NaN"),
        (toy, binary(0), "at least one example"),
        (toy, Examples(binary(4), np.zeros(4, "int32")), "takes no condition"),
        (lambda: toy(CVAE, num_classes=3), binary(4), r"condition.*Examples\(x, condition"),
        (lambda: toy(CVAE, num_classes=3), Examples(binary(4), np.zeros(3, "int32")), "one condition for each"),
        (toy, Examples(binary(4), labels=np.zeros(3, "int32")), "one label for each"),
    ],
)
def test_examples_that_do_not_fit_the_model_are_refused(model, examples, message, tmp_path):
    with pytest.raises(UserError, match=message):
        export(model(), tmp_path / "out", "onnx", examples)
    assert not list(tmp_path.iterdir())


def test_examples_of_the_zoo_are_read_when_a_model_is_exported_and_give_way_to_the_callers(tmp_path):
    reads = []

    def read():
        reads.append(1)
        return Examples(binary(12), origin="its recipe", licence="CC0-1.0")

    model = toy()
    model.record_provenance(Provenance("toy", Path("toy"), "0" * 64, read))
    assert reads == []
    bundle = export(model, tmp_path / "out", "onnx", binary(8, seed=1))
    assert reads == [] and bundle.manifest["licences"]["images"] is None
    bundle = export(model, tmp_path / "out", "onnx")
    assert reads == [1] and bundle.manifest["parity_inputs"] == "its recipe"
    assert bundle.manifest["model"]["zoo_name"] == "toy" and bundle.manifest["licences"]["images"] == "CC0-1.0"


def test_a_model_whose_own_data_are_not_here_is_exported_with_the_callers(tmp_path):
    def read():
        raise UnavailableError("The dataset 'toys' is not prepared.")

    model = toy()
    model.record_provenance(Provenance("toy", Path("toy"), "0" * 64, read))
    with pytest.raises(UnavailableError, match=r"'toys' is not prepared\. Or export with examples of your own: exampl"):
        export(model, tmp_path / "out", "onnx")
    assert not list(tmp_path.iterdir())
    assert export(model, tmp_path / "out", "onnx", binary(8)).manifest["examples"]["measured"] == 4
