"""An export that fails leaves nothing, leaves what was there, and says what to do."""

import contextlib
import resource

import keras
import numpy as np
import onnx
import pytest
import tensorflow as tf

from keras_vae.errors import ExportError, UnavailableError, UserError
from keras_vae.export import export
from keras_vae.export.formats import FORMATS
from keras_vae.models import VAE
from keras_vae.runtimes import registry
from tests.export.bundles import ALL, DENSE, model_of

SMALL = {"image_shape": (4, 4, 1), "latent_dim": 2, "encoder": {"name": "mlp", "hidden": (4,)}}


class Ending(keras.layers.Layer):
    """A decoder of one dense layer, with a function of the test's choice at its end."""

    def __init__(self, function):
        super().__init__()
        self.function, self.dense = function, keras.layers.Dense(16)

    def build(self, shape):
        self.dense.build(shape)

    def call(self, inputs, training=False):
        return self.function(keras.ops.reshape(self.dense(inputs), (-1, 4, 4, 1)))


def exact_gelu(x):
    return keras.activations.gelu(x, approximate=False)


def times_argmin(x):
    return x * keras.ops.cast(keras.ops.argmin(x, axis=1, keepdims=True), "float32")


def noisy(x):
    return x + tf.random.normal(tf.shape(x))


def noisy_by_seed(x):
    return x + keras.random.normal(keras.ops.shape(x), seed=1)


@pytest.mark.parametrize(
    ("function", "format_name", "op", "remedy"),
    [
        (exact_gelu, "onnx", "Erfc", "approximate=True"),
        (exact_gelu, "openvino", "Erfc", "approximate=True"),
        (times_argmin, "onnx", "Bitcast", "output_type=tf.int32"),
        pytest.param(times_argmin, "litert", "BitwiseAnd", "output_type=tf.int32", marks=pytest.mark.slow),
        (tf.math.bessel_i0e, "litert", "BesselI0e", "return the parameters"),
        (noisy, "saved_model", "RandomStandardNormal", "noise an input"),
        (noisy_by_seed, "onnx", "StatelessRandomNormalV2", "noise an input"),
    ],
)
def test_unsupported_operation_is_named_with_a_remedy(function, format_name, op, remedy, tmp_path):
    model = VAE(decoder=Ending(function), **SMALL)
    with pytest.raises(ExportError, match=f"decoder.*{op}.*{remedy}"):
        export(model, tmp_path / "out", format_name)
    assert not list(tmp_path.iterdir())


def test_the_elbo_of_counts_can_be_left_out(tmp_path):
    """ONNX has no lgamma, which nobody wrote who asked for `elbo`."""
    model = VAE(x_shape=(5,), latent_dim=2, encoder={"name": "mlp", "hidden": (4,)}, likelihood="poisson",
                decoder={"name": "mlp", "hidden": (4,)})  # fmt: skip
    x = np.random.default_rng(0).poisson(3.0, (4, 5)).astype("float32")
    with pytest.raises(ExportError, match=r"elbo, with Lgamma.*export without --elbo, or with elbo=False\.$") as caught:
        export(model, tmp_path / "out", "onnx", x, elbo=True)
    assert str(caught.value).count("--elbo") == 1
    export(model, tmp_path / "out", "onnx", x, elbo=False)


@pytest.fixture
def small():
    return VAE(decoder=DENSE, **SMALL)


def writing_other_weights(work, folder):
    """A converter that changes a number: what parity is there to catch."""
    dense = work.model.decoder.stack.layers[-2]
    kept = dense.bias.numpy()
    dense.bias.assign(kept + np.float32(3e-4))
    try:
        return FORMATS_KEPT["onnx"](work, folder)
    finally:
        dense.bias.assign(kept)


FORMATS_KEPT = dict(FORMATS)


def test_outputs_that_differ_are_an_error_with_numbers(small, tmp_path, monkeypatch):
    monkeypatch.setitem(FORMATS, "onnx", writing_other_weights)
    with pytest.raises(
        ExportError,
        match=r"on (onnxruntime|openvino), the decoder's '(logits|mean)' in onnx diff.* by \d.*Allowed: \d",
    ) as error:
        export(small, tmp_path / "out", "onnx")
    assert "at batch" in str(error.value) and "case" in str(error.value)
    assert not list(tmp_path.iterdir())


def test_a_file_that_its_runtime_refuses_is_an_error(small, tmp_path, monkeypatch):
    def write_for_a_later_runtime(work, folder):
        entry = FORMATS_KEPT["onnx"](work, folder)
        proto = onnx.load(folder / "decoder.onnx")
        proto.ir_version = 99  # of a later ONNX than the runtime's
        onnx.save(proto, folder / "decoder.onnx")
        return entry

    monkeypatch.setitem(FORMATS, "onnx", write_for_a_later_runtime)
    with pytest.raises(ExportError, match="onnxruntime refuses the onnx files"):
        export(small, tmp_path / "out", "onnx")
    assert not list(tmp_path.iterdir())


def test_ctrl_c_leaves_the_bundle_that_was_there(small, tmp_path, monkeypatch):
    first = export(small, tmp_path / "out", "onnx")

    def interrupted(work, folder):
        FORMATS_KEPT["onnx"](work, folder)
        raise KeyboardInterrupt

    monkeypatch.setitem(FORMATS, "onnx", interrupted)
    with pytest.raises(KeyboardInterrupt):
        export(small, tmp_path / "out", "onnx")
    with pytest.raises(KeyboardInterrupt):
        export(small, tmp_path / "new", "onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    first.verify()


@contextlib.contextmanager
def files_of_at_most(size):
    """As on a full disk: writing beyond `size` bytes fails. Only the soft limit moves, so it can be raised again."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("format_name", ALL)
def test_no_room_for_a_format(format_name, tmp_path):
    # 784 x 16 weights are 50 kB in every format, and no file before them is as large as 30 kB.
    with (
        files_of_at_most(30_000),
        pytest.raises(UserError, match=r"Cannot write .*Nothing was left behind; free some room"),
    ):
        export(model_of("mlp"), tmp_path / "out", format_name)
    assert not list(tmp_path.iterdir())


def test_no_room_for_golden_outputs(tmp_path):
    # The weights have room; golden.json, with the logits and means of 16 digits, has not.
    with files_of_at_most(100_000), pytest.raises(UserError, match=r"Cannot write .*File too large"):
        export(model_of("mlp"), tmp_path / "out", "onnx")
    assert not list(tmp_path.iterdir())


def test_a_folder_with_other_contents_is_refused(small, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(UserError, match=r"bundle\.json.*other contents"):
        export(small, tmp_path, "onnx")
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_a_folder_with_other_contents_is_replaced_if_told_so(small, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old.txt").write_text("old")
    bundle = export(small, tmp_path / "out", "onnx", overwrite=True)
    assert not (bundle.path / "old.txt").exists()
    bundle.verify()


def test_a_bundle_is_replaced_whole(small, tmp_path):
    export(small, tmp_path / "out", ("onnx", "keras"))
    bundle = export(small, tmp_path / "out", "onnx")
    assert not (bundle.path / "keras").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_format_that_nothing_here_can_prove_is_refused(small, tmp_path, monkeypatch):

    there = registry._is_there
    monkeypatch.setattr(registry, "_is_there", lambda module: module != "ai_edge_litert" and there(module))
    with pytest.raises(
        UnavailableError, match=r"only if an installed runtime can check it.*pip install ai-edge-litert"
    ):
        export(small, tmp_path / "out", ("onnx", "litert"))
    assert not list(tmp_path.iterdir())
