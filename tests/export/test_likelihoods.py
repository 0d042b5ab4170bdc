"""Every likelihood leaves Python: its parameters and `mean` agree in every format, with weights of a trained size."""

import numpy as np
import pytest

from keras_vae import runtimes
from keras_vae.errors import UserError
from keras_vae.export import export
from keras_vae.export.cases import generated
from keras_vae.export.formats import FORMATS
from keras_vae.likelihoods import LIKELIHOODS
from keras_vae.models import VAE
from tests.export.bundles import stirred
from tests.toys import SHAPE, binary, mlp

SPECS = {
    "bernoulli": "bernoulli",
    "continuous_bernoulli": "continuous_bernoulli",
    "gaussian": "gaussian",
    "gaussian, global": {"name": "gaussian", "scale": "global"},
    "gaussian, pixel": {"name": "gaussian", "scale": "pixel"},
    "laplace": "laplace",
    "laplace, pixel": {"name": "laplace", "scale": "pixel"},
    "logistic_mixture": "logistic_mixture",
    "categorical": "categorical",
}
NUMBERS = {
    "normal": {"name": "normal", "scale": "feature"},
    "normal, example": {"name": "normal", "scale": "example"},
    "student_t": "student_t",
    "log_normal": "log_normal",
    "poisson": "poisson",
    "binomial": {"name": "binomial", "trials": 7},
    "multinomial": {"name": "multinomial", "total": 9},
    "negative_binomial": {"name": "negative_binomial", "dispersion": "feature"},
    "negative_binomial, observed library": {"name": "negative_binomial", "library": "observed", "total": 9},
    "mixed": {
        "name": "mixed",
        "columns": {"a": {"categorical": 3}, "b": "positive", "c": "overdispersed", "d": "real", "e": {"ordinal": 4}},
    },
    "zero_inflated_negative_binomial": {"name": "zero_inflated_negative_binomial", "dispersion": "example"},
}

FAST = ("normal", "negative_binomial")


def model_with(kind):
    shape = {"x_shape": (5,)} if kind in NUMBERS else {"image_shape": SHAPE}
    spec = {**SPECS, **NUMBERS}[kind]
    return stirred(VAE(likelihood=spec, latent_dim=2, encoder=mlp(), decoder=mlp(), **shape))


def test_every_likelihood_is_here():
    named = {spec if isinstance(spec, str) else spec["name"] for spec in [*SPECS.values(), *NUMBERS.values()]}
    assert named == set(LIKELIHOODS)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["logistic_mixture", "categorical"])
def test_likelihoods_of_grey_levels_in_onnx_and_litert(kind, tmp_path):
    bundle = export(model_with(kind), tmp_path / "out", ("onnx", "onnx_fp16", "litert"), binary(40))
    assert {row.format for row in bundle.parity} == {"onnx", "onnx_fp16", "litert"}
    assert all(row.passed for row in bundle.parity)
    assert bundle.manifest["formats"]["onnx_fp16"]["quality"]["elbo_change"] is not None


@pytest.mark.parametrize(
    "kind", [kind if kind in FAST else pytest.param(kind, marks=pytest.mark.slow) for kind in NUMBERS]
)
def test_rows_of_numbers_leave_python(kind, tmp_path):
    """With examples and without; the runtimes read rows, keep to the support, and give what the model gives."""
    model = model_with(kind)
    x = 3 * generated(model) if kind in ("normal", "poisson", "negative_binomial") else generated(model)
    bundle = export(model, tmp_path / "out", ("saved_model", "onnx"), x)
    assert {row.format for row in bundle.parity} == {"saved_model", "onnx"} and all(row.passed for row in bundle.parity)
    runtime = runtimes.open(tmp_path / "out", "onnxruntime")
    z = model.encode(x)
    np.testing.assert_allclose(runtime.encode(x), z, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(runtime.decode(z), model.decode(z), rtol=1e-4, atol=1e-4)
    outputs = runtime.run("decoder", {"z": z})
    parameters = model.likelihood_parameters(z)
    assert outputs.keys() == parameters.keys()
    for name, array in outputs.items():
        np.testing.assert_allclose(array, parameters[name], rtol=1e-4, atol=1e-4)
    bad, message = (
        (-x - 0.5, "counts, whole numbers")
        if bundle_support(bundle) == "counts"
        else (np.full_like(x, np.nan), "finite")
    )
    for read in (runtime.encode, model.encode):
        with pytest.raises(UserError, match=message):
            read(bad)
    with pytest.raises(UserError, match=r"x must have shape \(batch, 5\)\. Given: \(5,\)\. Add the batch axis"):
        runtime.encode(x[0])


def bundle_support(bundle):
    return bundle.manifest["graphs"]["encoder"]["inputs"]["x"]["support"]


def test_rows_are_exported_without_examples(tmp_path):
    bundle = export(model_with("binomial"), tmp_path / "out", ("onnx",))
    assert bundle.manifest["graphs"]["encoder"]["inputs"]["x"] == {
        "shape": [None, 5], "dtype": "float32", "kind": "numbers", "classes": 8, "support": "counts"
    }  # fmt: skip
    with pytest.raises(UserError, match="at most 7"):
        runtimes.open(tmp_path / "out", "onnxruntime").encode(np.full((1, 5), 8.0))


@pytest.mark.slow
@pytest.mark.parametrize("kind", list(SPECS))
def test_every_likelihood_in_every_format(kind, tmp_path):
    # Random weights have no ELBO worth keeping: int8 may lose what it likes.
    bundle = export(model_with(kind), tmp_path / "out", tuple(FORMATS), binary(40), force=True)
    assert {row.format for row in bundle.parity} == set(FORMATS) and all(row.passed for row in bundle.parity)
    assert all(
        quality["elbo_change"] is not None
        for quality in (bundle.manifest["formats"][each]["quality"] for each in REDUCED)
    )


REDUCED = ("onnx_fp16", "onnx_int8")
