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


@pytest.mark.parametrize("kind", ["image", "numbers"])
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
