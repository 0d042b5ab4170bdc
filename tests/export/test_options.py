"""The options of an export: opset, a batch of one size, a graph that draws; and what the files say of themselves."""

import json
import os
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
import pytest

from keras_vae import runtimes
from keras_vae.errors import ExportError, UserError
from keras_vae.export import check, export
from keras_vae.models import AE, CVAE, VAE, HypersphericalVAE, VampVAE
from tests.export.bundles import DENSE, bundle_of, model_of, stirred
from tests.toys import SHAPE, mlp

pytestmark = pytest.mark.slow  # many exports; test_export.py has the fast ones

TOY = {"image_shape": SHAPE, "latent_dim": 3, "encoder": mlp(), "decoder": mlp()}


def session(path):
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("opset", [13, 17, 21])
def test_opset_is_the_one_asked_for(opset, tmp_path):
    bundle = export(model_of("colour"), tmp_path / "out", "onnx", opset=opset)
    for name in ("encoder.onnx", "decoder.onnx"):
        assert {each.domain: each.version for each in onnx.load(bundle.path / name).opset_import}[""] == opset
    assert bundle.manifest["formats"]["onnx"]["opset"] == opset


@pytest.mark.parametrize("opset", [12, 22, True, "18"])
def test_opsets_that_cannot_be_written(opset, tmp_path):
    with pytest.raises(UserError, match="opset must"):
        export(model_of("colour"), tmp_path / "out", "onnx", opset=opset)
    assert not list(tmp_path.iterdir())


def test_every_fact_is_in_the_onnx_file_too():
    """What `bundle.json` says of model, preprocessing, licences and graphs, a reader of the file alone can read."""
    manifest = bundle_of("conv").manifest
    for graph in ("encoder", "decoder"):
        told = session(bundle_of("conv").path / f"{graph}.onnx").get_modelmeta().custom_metadata_map
        assert told["keras_vae.graph"] == graph
        for part in ("inputs", "outputs"):
            assert json.loads(told[f"keras_vae.{part}"]) == manifest["graphs"][graph][part]
        for part in ("preprocessing", "licences"):
            assert json.loads(told[f"keras_vae.{part}"]) == manifest[part]
        for name, value in manifest["model"].items():
            text = told.get(f"keras_vae.{name}")
            assert text == (None if value is None else value if isinstance(value, str) else json.dumps(value))
        for package in ("keras_vae", "tensorflow", "keras", "tf2onnx", "onnx", "onnxruntime"):
            assert told[f"version.{package}"] == manifest["versions"][package]


@pytest.mark.parametrize(
    ("model", "prior", "labels"),
    [
        (VAE(**TOY), "standard normal", None),
        (CVAE(num_classes=2, learned_prior=True, **TOY), "Independent", ["0", "1"]),
        (CVAE(num_classes=2, **TOY), "standard normal", ["0", "1"]),
        (HypersphericalVAE(**TOY), "SphericalUniform", None),
        (VampVAE(pseudo_inputs=2, **TOY), "GaussianMixture", None),
        (AE(**TOY), None, None),
    ],
    ids=["VAE", "CVAE, learned prior", "CVAE", "HypersphericalVAE", "VampVAE", "AE"],
)
def test_prior_and_labels_are_named(model, prior, labels):
    from keras_vae.export.facts import facts_of

    described = facts_of(stirred(model))
    assert (described["model"]["prior"], described["model"]["labels"]) == (prior, labels)
    assert described["licences"]["images"] is None  # no digits in its golden.json


@pytest.fixture(scope="module")
def static(tmp_path_factory):
    folder = tmp_path_factory.mktemp("static") / "out"
    return export(model_of("colour"), folder, ("saved_model", "onnx", "litert"), batch=4)


def test_a_batch_of_one_size_is_in_the_files(static):
    for graph in ("encoder", "decoder"):
        proto = onnx.load(static.path / f"{graph}.onnx")
        sizes = [each.type.tensor_type.shape.dim[0] for each in [*proto.graph.input, *proto.graph.output]]
        assert [(size.dim_value, size.dim_param) for size in sizes] == [(4, "")] * len(sizes)
        assert static.graphs[graph]["outputs"]["mean"]["shape"][0] == 4
    assert static.batch == 4 and static.formats["onnx"]["batch_dimension"] is None


@pytest.mark.parametrize("runtime", ["saved_model", "onnxruntime", "openvino", "litert"])
@pytest.mark.parametrize("count", [0, 3, 4, 9])
def test_a_batch_of_one_size_still_takes_any_number(static, runtime, count):
    model, opened = model_of("colour"), runtimes.open(static, runtime)
    x = np.random.default_rng(0).random((9, 8, 8, 3), dtype="float32")[:count]
    # Sums of float32 in another order: the design's 1e-5.
    np.testing.assert_allclose(opened.encode(x), model.encode(x), rtol=0, atol=1e-5)
    codes = model.encode(x)
    np.testing.assert_allclose(opened.decode(codes), model.decode(codes), rtol=0, atol=1e-5)


def test_check_and_bench_know_a_batch_of_one_size(static):
    assert all(row.passed for row in check(static, ["onnxruntime"]).rows)
    short = {"runtimes": ["onnxruntime"], "rounds": 1, "calls": 5, "seconds": 0.001, "threads": 1}
    assert runtimes.benchmark(static, **short)["settings"]["batch_sizes"] == [4]
    with pytest.raises(UserError, match=r"takes batches of 4 only.*Given: 1, 4"):
        runtimes.benchmark(static, batch_sizes=(1, 4), **short)


@pytest.fixture(scope="module")
def drawing(tmp_path_factory):
    model = stirred(CVAE(num_classes=2, **TOY))
    formats = ("saved_model", "onnx", "litert")
    return model, export(model, tmp_path_factory.mktemp("sampler") / "out", formats, sampler=True)


@pytest.mark.parametrize("runtime", ["saved_model", "onnxruntime", "openvino", "litert"])
def test_the_sampler_is_mean_plus_deviation_times_noise(drawing, runtime):
    model, bundle = drawing
    generator = np.random.default_rng(0)
    x, condition = generator.integers(0, 2, (5, *SHAPE)).astype("float32"), np.array([0, 1, -1, 0, 1], "int32")
    eps = generator.normal(size=(5, 3)).astype("float32")
    given = runtimes.open(bundle, runtime).run("sampler", {"x": x, "eps": eps, "condition": condition})
    posterior = model.posterior(x, condition).distribution
    np.testing.assert_allclose(given["mean"], posterior.loc, rtol=0, atol=1e-5)
    np.testing.assert_allclose(given["z"], posterior.loc + posterior.scale * eps, rtol=1e-5, atol=1e-5)
    with pytest.raises(UserError, match="eps"):
        runtimes.open(bundle, runtime).run("sampler", {"x": x, "eps": eps[:, :2], "condition": condition})


def test_a_posterior_that_is_no_gaussian_has_no_sampler(tmp_path):
    for model in (AE(**TOY), HypersphericalVAE(**TOY)):
        with pytest.raises(ExportError, match=r"A sampler draws from the Gaussian.*Leave the sampler out"):
            export(model, tmp_path / "out", "onnx", sampler=True)
    assert not list(tmp_path.iterdir())


_AGAIN = """
import sys
import numpy as np
from keras_vae import priors
from keras_vae.export import export
from keras_vae.models import VAE, VQVAE, SequenceVAE
for waste in range(int(sys.argv[2])):
    VAE(image_shape=(4, 4, 1), latent_dim=2)  # moves the counters that number names
convolutions = {"name": "conv", "filters": (4, 8), "dense": 8}
model = VAE(latent_dim=3, encoder=convolutions, decoder={"name": "mlp", "hidden": (8,)})
x = (np.random.default_rng(0).random((20, 28, 28, 1)) < 0.3).astype("float32")
bundle = export(model, sys.argv[1], ("onnx", "onnx_fp16", "onnx_int8"), x, force=True, sampler=True)
gru = {"name": "gru", "units": 6, "embedding_dim": 3}  # which is a loop
words = SequenceVAE(length=5, vocabulary_size=4, latent_dim=2, encoder=gru, decoder=gru, seed=3)
words = export(words, sys.argv[1] + "-words", ("onnx", "onnx_fp16", "openvino"))
dense = {"name": "mlp", "hidden": (8,)}
model = VQVAE(image_shape=(4, 4, 1), code_shape=(3,), entries=5, embedding_dim=2, encoder=dense, decoder=dense)
prior = priors.AutoregressivePrior(filters=4, blocks=1, kernel_size=3, epochs=1, batch_size=8)
drawn = export(model, sys.argv[1] + "-drawn", "onnx", prior=prior.fit(model, np.zeros((8, 4, 4, 1), "float32")))
for each in (bundle, words, drawn):
    for name, entry in each.manifest["files"].items():
        print(name, entry["sha256"])
"""


@pytest.mark.slow
def test_fresh_processes_write_the_same_bytes(tmp_path):
    """Three precisions and a sampler; loops, of a GRU and, one in another, of a prior's draw; golden.json."""
    said = []
    for number in range(2):
        words = [sys.executable, "-c", _AGAIN, tmp_path / str(number), str(number)]
        done = subprocess.run(words, capture_output=True, text=True, env={**os.environ, "PYTHONHASHSEED": str(number)})
        assert done.returncode == 0, done.stderr[-2000:]
        said.append(done.stdout)
    assert said[0] == said[1]
    named = [line.split()[0] for line in said[0].splitlines()]
    assert {"sampler.int8.onnx", "decoder_step.fp16.onnx", "openvino/decoder.xml", "prior_sampler.onnx"} <= set(named)
    assert len(named) == 10 + (4 + 4 + 8 + 1) + 6


def test_a_dense_model_keeps_its_dense_names():
    """No graph of a bundle keeps a name that Keras or tf2onnx made up."""
    assert DENSE["name"] == "mlp"
    for graph in ("encoder", "decoder"):
        proto = onnx.load(bundle_of("mlp").path / f"{graph}.onnx")
        names = {name for node in proto.graph.node for name in [*node.input, *node.output, node.name]}
        ports = {each.name for each in [*proto.graph.input, *proto.graph.output]}
        assert all(name in ports or name.rsplit("_", 1)[-1].isdigit() for name in names)
