"""NaN, a missing number, means in every format what it means in Keras."""

import numpy as np
import pytest

from keras_vae import runtimes
from keras_vae.errors import UserError
from keras_vae.export import export
from keras_vae.export.cases import generated
from keras_vae.models import VAE
from tests.export.bundles import stirred
from tests.toys import SHAPE, mlp

FORMATS = ("onnx", "litert", "openvino", "saved_model")


@pytest.mark.parametrize("kind", [pytest.param("image", marks=pytest.mark.slow), "numbers"])
def test_every_format_reads_nan_as_missing(kind, tmp_path):
    shape = {"image_shape": SHAPE} if kind == "image" else {"x_shape": (5,), "likelihood": "normal"}
    model = stirred(VAE(latent_dim=2, encoder=mlp(), decoder=mlp(), missing="mask", **shape))
    x = generated(model)[:40]
    assert np.isnan(x).any()
    bundle = export(model, tmp_path / "out", FORMATS, x, elbo=True)  # which holds log p(x_o|z)
    assert all(row.passed for row in bundle.parity)
    assert bundle.manifest["preprocessing"]["rule"].endswith("NaN is a missing number")
    whole = np.nan_to_num(x)
    for name in FORMATS:
        runtime = runtimes.open(bundle.path, {"onnx": "onnxruntime"}.get(name, name))
        np.testing.assert_allclose(runtime.encode(x), model.encode(x), atol=1e-5)
        assert np.abs(runtime.encode(x) - runtime.encode(whole)).max() > 1e-3
        with pytest.raises(UserError, match=r"must be finite|must lie in"):
            runtime.encode(np.where(np.isnan(x), np.inf, x))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("network", "formats"),
    [("gru", ("onnx",)), ("causal", ("litert",)),
     *(pytest.param(name, FORMATS, marks=pytest.mark.slow) for name in ("gru", "causal"))],
)  # fmt: skip
def test_every_format_reads_a_series_to_its_end(network, formats, tmp_path):
    """The steps of a recurrent network are written out for LiteRT."""
    spec = {"name": network, **({"units": 4, "unroll": True} if network == "gru" else {"channels": 4})}
    likelihood = {"name": "normal", "standardize": "channel"}
    model = stirred(
        VAE(x_shape=(5, 2), latent_dim=2, encoder=spec, decoder=spec, missing="mask", likelihood=likelihood)
    )
    x = np.random.default_rng(0).normal(size=(40, 5, 2)).astype("float32")
    x[np.arange(5) >= (np.arange(40) % 6)[:, None]] = np.nan
    model.likelihood_family.adapt(x)
    bundle = export(model, tmp_path / "out", formats, x, elbo=True)
    assert all(row.passed for row in bundle.parity)
    for name in formats:
        runtime = runtimes.open(bundle.path, {"onnx": "onnxruntime"}.get(name, name))
        np.testing.assert_allclose(runtime.encode(x), model.encode(x), atol=1e-5)
        np.testing.assert_allclose(runtime.decode(model.encode(x)), model.decode(model.encode(x)), atol=1e-5)
