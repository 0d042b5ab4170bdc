"""What a bundle holds: names, shapes, metadata, no randomness, the same bytes again; and what export refuses."""

import inspect
import json

import keras
import numpy as np
import onnx
import onnxruntime
import pytest
import tensorflow as tf

from keras_vae import data, zoo
from keras_vae.errors import ExportError, UserError
from keras_vae.export import Examples, export, read_bundle
from keras_vae.export.formats import FORMATS
from keras_vae.export.work import Work
from keras_vae.models import VAE
from keras_vae.runtimes import keras_bundle
from tests.export.bundles import ALL, DENSE, KINDS, REDUCED, bundle_of, digits, model_of, stirred


@pytest.fixture(params=["mlp", "conv"])
def kind(request):
    return request.param


def outputs_of(kind):
    return {"encoder": {"mean", "log_var"}, "decoder": {"mlp": {"logits", "mean"}, "conv": {"mean", "log_var"}}[kind]}


def test_default_formats_are_saved_model_and_onnx():
    assert inspect.signature(export).parameters["formats"].default == ("saved_model", "onnx")
    assert set(FORMATS) == {*ALL, *REDUCED}


def test_onnx_names_dimensions_and_opset(kind):
    bundle = bundle_of(kind)
    for graph, given in (("encoder", "x"), ("decoder", "z")):
        proto = onnx.load(bundle.path / f"{graph}.onnx", load_external_data=False)
        assert [each.name for each in proto.graph.input] == [given]
        assert {each.name for each in proto.graph.output} == outputs_of(kind)[graph]
        dimensions = [
            each.type.tensor_type.shape.dim[0].dim_param for each in [*proto.graph.input, *proto.graph.output]
        ]
        assert set(dimensions) == {"batch"}
        assert {each.domain: each.version for each in proto.opset_import}[""] == 18
        assert not any(tensor.external_data for tensor in proto.graph.initializer)


def test_onnx_metadata_describe_the_model():
    session = onnxruntime.InferenceSession(bundle_of("conv").path / "decoder.onnx", providers=["CPUExecutionProvider"])
    metadata = session.get_modelmeta().custom_metadata_map
    assert metadata["keras_vae.class"] == "VAE"
    assert metadata["keras_vae.likelihood"] == "gaussian"
    assert metadata["keras_vae.latent_dim"] == "4"
    assert json.loads(metadata["keras_vae.latents"]) == ["z0", "z1", "z2", "z3"]
    assert json.loads(metadata["keras_vae.preprocessing"])["range"] == [0, 1]
    assert metadata["version.tensorflow"] == tf.__version__


def test_onnx_metadata_name_the_entry_its_weights_and_its_licence(tmp_path):
    model = zoo.load("beta_vae_mnist")
    bundle = export(model, tmp_path / "out", formats=["onnx", "onnx_fp16"])
    for file in ("encoder.onnx", "decoder.onnx", "decoder.fp16.onnx"):
        held = {each.key: each.value for each in onnx.load(bundle.path / file).metadata_props}
        assert held["keras_vae.zoo_name"] == "beta_vae_mnist" and held["version.keras_vae"]
        assert held["keras_vae.weights_sha256"] == zoo.card("beta_vae_mnist").results["weights"]["sha256"]
        assert json.loads(held["keras_vae.licences"])["weights"] == "Apache-2.0"
        assert len(json.loads(held["keras_vae.latents"])) == model.latent_dim
        assert {"keras_vae.preprocessing", "keras_vae.likelihood", "keras_vae.inputs"} <= held.keys()


def test_no_random_operation_in_any_file(kind):
    bundle = bundle_of(kind)
    ops = {
        node.op_type for graph in ("encoder", "decoder") for node in onnx.load(bundle.path / f"{graph}.onnx").graph.node
    }
    assert not {op for op in ops if "Random" in op or op in ("Multinomial", "Bernoulli")}
    for signature in tf.saved_model.load(str(bundle.path / "saved_model")).signatures.values():
        graph = signature.graph.as_graph_def()
        nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
        assert len(nodes) > 5 and not {node.op for node in nodes if "Random" in node.op}


def test_saved_model_signatures():
    signatures = tf.saved_model.load(str(bundle_of("mlp").path / "saved_model")).signatures
    assert set(signatures) == {"encode", "decode", "reconstruct"}
    x = data.load_arrays("mnist", "test[:5]", binarize="static")
    model = model_of("mlp")
    # float32 sums of 784 products of order 1: two orders of summation differ by some 1e-6.
    np.testing.assert_allclose(signatures["reconstruct"](x=x)["mean"], model.reconstruct(x), rtol=0, atol=1e-5)


@pytest.mark.parametrize("batch", [1, 3, 64, 300])
def test_onnx_gives_what_the_model_gives_at_any_batch(kind, batch):
    """Outside the library's own comparison: onnxruntime's session against the model's public methods."""
    model, folder = model_of(kind), bundle_of(kind).path
    encoder, decoder = (
        onnxruntime.InferenceSession(folder / f"{each}.onnx", providers=["CPUExecutionProvider"])
        for each in ("encoder", "decoder")
    )
    x = data.load_arrays("mnist", f"test[:{batch}]")
    codes = encoder.run(["mean"], {"x": x})[0]
    np.testing.assert_allclose(codes, model.encode(x), rtol=0, atol=1e-5)
    np.testing.assert_allclose(decoder.run(["mean"], {"z": codes})[0], model.decode(codes), rtol=0, atol=1e-5)
    assert np.ptp(codes, axis=0).min() > 0.01 or batch == 1  # they depend on the digit, a thousand tolerances and more


def test_decoder_parameters_are_the_likelihoods():
    z = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")
    session = onnxruntime.InferenceSession(bundle_of("conv").path / "decoder.onnx", providers=["CPUExecutionProvider"])
    log_var = session.run(["log_var"], {"z": z})[0]
    scale = np.asarray(model_of("conv").likelihood(z).distribution.scale)
    # log_var is softly bounded by sums with 10 and log(0.01**2): numbers near 20, rounded to 2e-6 in two steps.
    np.testing.assert_allclose(np.exp(0.5 * log_var), scale, rtol=1e-5)


def test_manifest_describes_the_bundle():
    bundle = read_bundle(bundle_of("mlp").path)
    manifest = bundle.manifest
    assert manifest["model"] == {
        "class": "BetaVAE",
        "zoo_name": None,
        "weights_sha256": None,
        "likelihood": "bernoulli",
        "latent_dim": 3,
        "latents": ["z0", "z1", "z2"],
        "prior": "standard normal",
        "labels": None,
        "image_shape": [28, 28, 1],
    }
    assert manifest["licences"] == {"software": "Apache-2.0", "weights": None, "images": "CC-BY-SA-3.0"}
    assert manifest["batch"] is None
    assert manifest["preprocessing"]["binarized"] is True
    assert bundle_of("conv").manifest["preprocessing"]["binarized"] is False
    assert manifest["graphs"]["encoder"]["inputs"]["x"]["shape"] == [None, 28, 28, 1]
    assert manifest["graphs"]["decoder"]["outputs"]["mean"]["shape"] == [None, 28, 28, 1]
    assert manifest["versions"]["tensorflow"] == tf.__version__
    on_disk = {path.relative_to(bundle.path).as_posix() for path in bundle.path.rglob("*") if path.is_file()}
    assert set(manifest["files"]) == on_disk - {"bundle.json"}
    assert bundle.manifest == json.loads((bundle.path / "bundle.json").read_text())


def test_golden_holds_what_the_model_gives(kind):
    model, golden = model_of(kind), bundle_of(kind).golden()
    images, codes = golden["encoder"]["inputs"]["x"], golden["decoder"]["inputs"]["z"]
    real = data.load_arrays("mnist", "test[:16]", binarize="static" if kind == "mlp" else None)
    np.testing.assert_allclose(images, real, atol=1e-7)
    # The file's rounding, 5e-8 below 1 and 7 digits above, comes on top of float32's own.
    np.testing.assert_allclose(golden["encoder"]["outputs"]["mean"], model.encode(images), rtol=1e-6, atol=2e-6)
    np.testing.assert_allclose(golden["decoder"]["outputs"]["mean"], model.decode(codes), rtol=1e-6, atol=2e-6)
    assert codes.shape == (16, model.latent_dim)
    assert np.abs(codes).max() < 6 and 0.5 < codes.std() < 1.5


def test_same_weights_give_the_same_onnx_bytes(tmp_path):
    # In one process, after other exports: the counters that number names have moved on.
    again = export(model_of("mlp"), tmp_path / "again", ("onnx",), digits("mlp"))
    for name in ("encoder.onnx", "decoder.onnx", "golden.json"):
        assert again.manifest["files"][name] == bundle_of("mlp").manifest["files"][name]


def test_other_weights_give_other_bytes(tmp_path):
    cls, arguments, _ = KINDS["mlp"]
    other = export(stirred(cls(**arguments), seed=1), tmp_path / "other", "onnx")
    assert other.manifest["files"]["encoder.onnx"] != bundle_of("mlp").manifest["files"]["encoder.onnx"]


def test_renaming_reaches_the_bodies_of_loops():
    """A GRU exports as a Loop, whose body refers to weights outside it."""
    from keras_vae.export.formats import onnx_file
    from keras_vae.export.graphs import trace
    from keras_vae.types import Graph, Spec

    layer = keras.layers.GRU(3)
    layer.build((None, 5, 2))
    graph = Graph("steps", "steps", {"x": Spec((5, 2), "float32", "code")}, lambda x: {"mean": layer(x)})
    proto = onnx_file.convert(trace(graph), Work([], None, {}))
    assert any(node.op_type == "Loop" for node in proto.graph.node)
    assert "unk__" not in str(proto) and "gru" not in str(proto)  # names that number by counters of the process
    onnx.checker.check_model(proto, full_check=True)
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    x = np.random.default_rng(0).normal(size=(4, 5, 2)).astype("float32")
    np.testing.assert_allclose(session.run(["mean"], {"x": x})[0], layer(x), atol=1e-6)


_INSTANCES = ["Reshape", "InstanceNormalization", "Reshape", "Mul", "Add"]


@pytest.mark.parametrize(
    ("layer", "shape", "opset", "expected"),
    [
        (keras.layers.LayerNormalization(), (5, 12), 18, ["LayerNormalization"]),
        (keras.layers.LayerNormalization(), (12,), 17, ["LayerNormalization"]),
        (keras.layers.LayerNormalization(), (12,), 16, 13),
        (keras.layers.GroupNormalization(4), (4, 4, 8), 18, ["Transpose", *_INSTANCES, "Transpose"]),
        (keras.layers.GroupNormalization(4), (4, 4, 8), 13, ["Transpose", *_INSTANCES, "Transpose"]),
        (keras.layers.GroupNormalization(-1), (4, 4, 8), 21, ["Transpose", "GroupNormalization", "Transpose"]),
    ],
)
def test_normalisations_have_the_operator_where_the_opset_does(layer, shape, opset, expected):
    from keras_vae.export.formats import onnx_file
    from keras_vae.export.graphs import trace
    from keras_vae.types import Graph, Spec

    layer.build((None, *shape))
    stirred(layer)
    graph = Graph("norm", "norm", {"x": Spec(shape, "float32", "code")}, lambda x: {"mean": layer(x)})
    traced = trace(graph)
    proto = onnx_file.convert(traced, Work([traced], None, {}, opset))
    found = [node.op_type for node in proto.graph.node]
    assert found == expected or len(found) == expected
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    x = np.random.default_rng(0).normal(size=(4, *shape)).astype("float32")
    np.testing.assert_allclose(session.run(["mean"], {"x": x})[0], layer(x), atol=2e-6)


def test_without_examples_inputs_are_generated_and_said_to_be():
    bundle = bundle_of("colour")
    assert "generated" in bundle.manifest["parity_inputs"]
    assert bundle.golden()["encoder"]["inputs"]["x"].shape == (16, 8, 8, 3)
    assert "test digits" in bundle_of("mlp").manifest["parity_inputs"]


def test_mixed_precision_is_exported_in_float32(tmp_path):
    arguments = {"image_shape": (8, 8, 1), "latent_dim": 2, "encoder": DENSE, "decoder": DENSE}
    mixed = stirred(VAE(dtype="mixed_bfloat16", **arguments))
    single = VAE(**arguments)
    single.set_weights(mixed.get_weights())
    bundle = export(mixed, tmp_path / "out", "onnx")
    x = np.random.default_rng(0).integers(0, 2, (5, 8, 8, 1)).astype("float32")
    from keras_vae import runtimes

    given = runtimes.open(bundle, "onnxruntime").encode(x)
    np.testing.assert_allclose(given, single.encode(x), rtol=0, atol=1e-5)
    assert (
        np.abs(given - mixed.encode(x)).max() > 1e-4
    )  # bfloat16 keeps 8 bits: the export is not a copy of its rounding


def test_a_layer_of_its_own_precision_is_refused(tmp_path):
    half = keras.Sequential(
        [keras.layers.Flatten(dtype="mixed_bfloat16"), keras.layers.Dense(4, dtype="mixed_bfloat16")]
    )
    model = VAE(image_shape=(4, 4, 1), latent_dim=2, encoder=half, decoder=DENSE)
    with pytest.raises(ExportError, match=r"compute in float32.*16 bits.*dtype='float32'"):
        export(model, tmp_path / "out", "onnx")
    assert not list(tmp_path.iterdir())


def test_keras_format_is_data(tmp_path):
    folder = bundle_of("mlp").path
    config = json.loads((folder / "keras" / "config.json").read_text())
    assert config["class"] == "BetaVAE" and config["config"]["latent_dim"] == 3
    again = keras_bundle.read(folder)
    for mine, theirs in zip(again.get_weights(), model_of("mlp").get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_keras_format_refuses_networks_given_as_layers(tmp_path):
    own = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(4)])
    model = VAE(image_shape=(4, 4, 1), latent_dim=2, encoder=own, decoder=DENSE)
    with pytest.raises(ExportError, match=r"given as a layer.*config.encoder, a Sequential.*leave 'keras' out"):
        export(model, tmp_path / "out", ("onnx", "keras"))
    assert not list(tmp_path.iterdir())
    assert export(model, tmp_path / "out", "onnx").graphs.keys() == {"encoder", "decoder", "reconstruction"}


def test_keras_configuration_never_names_a_class(tmp_path):
    (tmp_path / "keras").mkdir()
    evil = {"class": "VAE", "config": {"encoder": {"class_name": "Lambda", "config": {"function": "os.system"}}}}
    (tmp_path / "keras" / "config.json").write_text(json.dumps(evil))
    with pytest.raises(UserError, match="plain arguments"):
        keras_bundle.read(tmp_path)


@pytest.mark.parametrize(
    ("formats", "message"),
    [("onxx", r"Unknown export format 'onxx'.*Did you mean 'onnx'"), ((), "at least one format")],
)
def test_unknown_formats(formats, message, tmp_path):
    with pytest.raises(UserError, match=message):
        export(model_of("mlp"), tmp_path / "out", formats)
    assert not list(tmp_path.iterdir())


def test_words_have_the_alphabet_and_licence_of_their_examples():
    """A vocabulary of 27 tokens may be another alphabet: only who gives the examples knows."""
    from keras_vae.export.examples import checked_examples
    from keras_vae.export.facts import facts_of
    from keras_vae.models import SequenceVAE

    small = {"encoder": {"name": "gru", "units": 3}, "decoder": {"name": "gru", "units": 3}, "latent_dim": 2}
    model = SequenceVAE(length=16, vocabulary_size=27, **small)
    x = data.load_arrays("words", "test[:4]")
    real = checked_examples(model, Examples(x, licence="LicenseRef-SCOWL", alphabet=data.words.ALPHABET))
    described = facts_of(model, None, real)
    assert described["licences"]["images"] == "LicenseRef-SCOWL"
    assert described["preprocessing"]["alphabet"] == data.words.ALPHABET
    assert facts_of(model)["licences"]["images"] is None and "alphabet" not in facts_of(model)["preprocessing"]


def test_a_graph_that_is_not_the_model_is_refused(tmp_path):
    class Other(VAE):
        """Whose graph of the encoder adds a hundredth to what the model gives."""

        def encode(self, x, condition=None, out=None):
            return super().encode(x, condition, out) + np.float32(0.01)

    model = stirred(Other(image_shape=(4, 4, 1), latent_dim=2, encoder=DENSE, decoder=DENSE))
    with pytest.raises(ExportError, match=r"must compute the same as the model.*'mean' of the encoder .* by 0\.01"):
        export(model, tmp_path / "out", "onnx")
    assert not list(tmp_path.iterdir())
