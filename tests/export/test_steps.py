"""A decoder of tokens leaves Python whole, for the greedy sequence, and step by step, for any other search."""

import numpy as np
import pytest

from keras_vae import export, runtimes
from keras_vae.errors import ExportError, UserError
from tests.sequences import LENGTH, VALID, Z, tiny

pytestmark = pytest.mark.slow  # graphs of recurrent networks are converted


@pytest.fixture(scope="module")
def model():
    return tiny()


@pytest.fixture(scope="module")
def bundle(model, tmp_path_factory):
    return export.export(model, tmp_path_factory.mktemp("steps") / "bundle", formats=("onnx",))


def test_a_search_on_the_exported_step_is_the_models_own(model, bundle):
    """Greedy, and the log-probability of every sequence, from the two small graphs alone."""
    runtime = runtimes.open(bundle, "onnxruntime")
    state, token, written = runtime.run("decoder_start", {"z": Z})["state"], np.zeros(2, "int32"), []
    for _ in range(LENGTH):
        outputs = runtime.run("decoder_step", {"token": token, "state": state, "z": Z})
        ended = (token == 0) & (len(written) > 0)
        token, state = np.where(ended, 0, outputs["logits"].argmax(-1)).astype("int32"), outputs["next_state"]
        written.append(token)
    np.testing.assert_array_equal(np.stack(written, 1), model.decode(Z))
    z = np.repeat(Z[:1], len(VALID), axis=0)
    state, log_p = runtime.run("decoder_start", {"z": z})["state"], np.zeros(len(VALID))
    for place in range(LENGTH):
        previous = VALID[:, place - 1] if place else np.zeros(len(VALID), "int32")
        outputs = runtime.run("decoder_step", {"token": previous, "state": state, "z": z})
        logits, state = outputs["logits"].astype("float64"), outputs["next_state"]
        own = np.take_along_axis(logits, VALID[:, place, None], 1)[:, 0] - np.logaddexp.reduce(logits, axis=1)
        log_p += np.where((previous == 0) & (place > 0), 0.0, own)
    np.testing.assert_allclose(log_p, model.likelihood(z).log_prob(VALID), rtol=1e-4, atol=1e-5)


def test_the_manifest_says_what_x_and_the_graphs_are(model, bundle):
    assert bundle.graphs["encoder"]["inputs"]["x"] == {
        "shape": [None, LENGTH],
        "dtype": "int32",
        "kind": "tokens",
        "classes": 3,
    }
    assert bundle.graphs["decoder"]["result"] == "tokens" and bundle.graphs["decoder_step"]["signature"] == "step"
    assert bundle.manifest["preprocessing"]["dtype"] == "int32"
    assert bundle.manifest["preprocessing"]["range"] == [0, 2]
    assert "alphabet" not in bundle.manifest["preprocessing"]  # which only a model of 27 tokens has
    runtime = runtimes.open(bundle, "onnxruntime")
    np.testing.assert_array_equal(runtime.decode(Z), model.decode(Z))
    np.testing.assert_allclose(runtime.encode(VALID), model.encode(VALID), atol=1e-5)
    for bad in (np.full((1, LENGTH), 3), np.zeros((1, LENGTH)), np.array([[0, 1, 0, 0]])):
        with pytest.raises(UserError, match=r"tokens|token ids|Token 0"):
            runtime.encode(bad)


@pytest.mark.slow
def test_a_loop_that_litert_cannot_hold_is_named_with_its_remedy(model, tmp_path):
    with pytest.raises(
        ExportError, match=r"encoder to LiteRT failed: .*TensorListReserve.* unroll=True .*or export to"
    ):
        export.export(model, tmp_path / "bundle", formats=("litert",))
    assert not list(tmp_path.iterdir())
    unrolled = tiny(encoder={"name": "gru", "units": 5, "embedding_dim": 3, "unroll": True})
    bundle = export.export(unrolled, tmp_path / "bundle", formats=("litert",))
    runtime = runtimes.open(bundle, "litert")
    np.testing.assert_array_equal(runtime.decode(Z), model.decode(Z))
    np.testing.assert_allclose(runtime.encode(VALID), model.encode(VALID), atol=1e-5)
