"""Every likelihood leaves Python: its parameters and `mean` agree in every format, with weights of a trained size."""

import pytest

from keras_vae.export import export
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


def model_with(kind):
    arguments = {"image_shape": SHAPE, "latent_dim": 2, "encoder": mlp(), "decoder": mlp()}
    return stirred(VAE(likelihood=SPECS[kind], **arguments))


def test_every_likelihood_is_here():
    named = {spec if isinstance(spec, str) else spec["name"] for spec in SPECS.values()}
    assert named == set(LIKELIHOODS)


@pytest.mark.parametrize("kind", ["logistic_mixture", "categorical"])
def test_likelihoods_of_grey_levels_in_onnx_and_litert(kind, tmp_path):
    bundle = export(model_with(kind), tmp_path / "out", ("onnx", "onnx_fp16", "litert"), binary(40))
    assert {row.format for row in bundle.parity} == {"onnx", "onnx_fp16", "litert"}
    assert all(row.passed for row in bundle.parity)
    assert bundle.manifest["formats"]["onnx_fp16"]["quality"]["elbo_change"] is not None


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
