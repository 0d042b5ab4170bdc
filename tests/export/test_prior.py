"""An autoregressive prior leaves Python: step by step and whole, a draw from the same noise is the same codes."""

import json

import numpy as np
import pytest

from keras_vae import export, runtimes, zoo
from keras_vae.core.graphs import graphs_of
from keras_vae.errors import ExportError, UserError
from keras_vae.export.formats import onnx_file
from keras_vae.export.graphs import trace
from keras_vae.export.work import Work
from keras_vae.models import VQVAE
from keras_vae.priors import AutoregressivePrior, MixturePrior
from keras_vae.runtimes.raster import draw_codes
from tests.conformance.cases import make
from tests.export.bundles import stirred
from tests.export.test_commands import run
from tests.toys import SHAPE, binary, mlp, toy

pytestmark = pytest.mark.slow  # graphs with loops are converted

ENTRIES, CODE = 5, (3, 4)
FORMATS = ("saved_model", "onnx", "litert", "openvino", "keras")


def model_of(shape=CODE, entries=ENTRIES):
    networks = {"encoder": mlp(), "decoder": mlp()}
    return stirred(VQVAE(image_shape=SHAPE, code_shape=shape, entries=entries, embedding_dim=2, **networks))


def prior_of(shape=CODE, entries=ENTRIES, seed=0):
    """A prior whose probabilities are far from uniform, without a training."""
    prior = AutoregressivePrior(filters=6, blocks=3, kernel_size=3, epochs=1, batch_size=8)
    prior.fit_codes(np.random.default_rng(seed).integers(0, entries, (8, *shape)), entries)
    stirred(prior.network, seed)
    return prior


def gumbel(count, shape=CODE, entries=ENTRIES):
    return np.random.default_rng(3).gumbel(size=(count, *shape, entries)).astype("float32")


def by_the_whole_network(prior, noise):
    """Keras's draw from this noise: the network is called on whole codes, once for each place."""
    count, (height, width) = len(noise), prior._grid()
    codes, noise = np.zeros((count, height, width), "int32"), noise.reshape(count, height, width, -1)
    for row, column in np.ndindex(height, width):
        codes[:, row, column] = np.argmax(prior.network(codes)[:, row, column] + noise[:, row, column], -1)
    return codes.reshape(count, *prior.shape)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return export.export(model_of(), tmp_path_factory.mktemp("prior") / "bundle", FORMATS, prior=prior_of())


@pytest.mark.parametrize("name", ["keras", "saved_model", "onnxruntime", "openvino", "litert"])
def test_the_same_noise_gives_the_codes_that_keras_draws(bundle, name):
    noise, runtime = gumbel(9), runtimes.open(bundle, name)
    expected = by_the_whole_network(prior_of(), noise)
    assert len(np.unique(expected)) > 2
    np.testing.assert_array_equal(runtime.run("prior_sampler", {"noise": noise})["codes"], expected)
    places = noise.reshape(9, -1, ENTRIES)
    found = draw_codes(runtime, 9, lambda logits, place: np.argmax(logits + places[:, place], -1))
    np.testing.assert_array_equal(found, expected)


def test_the_logits_of_given_codes_are_their_log_probability(bundle):
    """`choose` may return what is known: then the steps measure it."""
    codes, found = np.random.default_rng(0).integers(0, ENTRIES, (7, *CODE)), np.zeros(7)

    def known(logits, place):
        own, each = codes.reshape(7, -1)[:, place], logits.astype("float64")
        found.__iadd__(each[np.arange(7), own] - np.logaddexp.reduce(each, axis=1))
        return own

    np.testing.assert_array_equal(draw_codes(runtimes.open(bundle, "onnxruntime"), 7, known), codes)
    np.testing.assert_allclose(found, prior_of().log_prob(codes), rtol=1e-5)


def test_a_code_of_one_axis_is_one_row(tmp_path):
    model, prior = model_of((6,)), prior_of((6,))
    bundle = export.export(model, tmp_path / "out", ("onnx", "onnx_fp16"), force=True, prior=prior)
    assert "prior_step" not in bundle.formats["onnx_fp16"]["files"]
    noise, runtime = gumbel(3, (6,)), runtimes.open(bundle, "onnxruntime")
    np.testing.assert_array_equal(
        runtime.run("prior_sampler", {"noise": noise})["codes"], by_the_whole_network(prior, noise)
    )
    reduced = runtimes.open(bundle, "onnxruntime", format_name="onnx_fp16")
    with pytest.raises(UserError, match=r"no autoregressive prior in the format onnx_fp16.*prior="):
        draw_codes(reduced, 3, lambda logits, _: logits.argmax(-1))


def test_the_steps_are_of_one_size_however_many_rows_there_are():
    """So that a draw is linear in places: a step has the nodes and the state of one place, a row those of one row."""
    found = []
    for height in (2, 8):
        traced = [trace(graph) for graph in prior_of((height, 4)).export_graphs(model_of((height, 4)))[:2]]
        protos = [onnx_file.convert(each, Work(traced, None, {})) for each in traced]
        found.append(
            [
                (sorted(node.op_type for node in proto.graph.node), [str(each.type) for each in proto.graph.input])
                for proto in protos
            ]
        )
    assert found[0] == found[1]


def test_the_bundle_says_what_its_prior_is_and_check_repeats_it(bundle):
    assert bundle.manifest["model"]["prior"] == "AutoregressivePrior"
    assert bundle.manifest["latent"]["prior"] == {"name": "graph", "noise": "gumbel"}
    assert bundle.graphs["prior_step"]["inputs"]["last"]["classes"] == ENTRIES + 1
    graphs = {"encoder", "decoder", "prior_row", "prior_step", "prior_sampler"}
    assert {row.graph for row in export.check(bundle, ["onnxruntime"]).rows} == graphs
    assert set(bundle.golden()) == graphs
    # The decoder was tried on codes of this prior, not of the uniform one.
    codes = bundle.golden()["decoder"]["inputs"]["codes"]
    assert prior_of().log_prob(codes).mean() > -len(codes[0].ravel()) * np.log(ENTRIES)


def test_a_hierarchy_is_drawn_from_noise_for_each_level(tmp_path):
    """From the prior and from the posterior, ancestrally, by hand: mean + deviation * noise, the top level first."""
    model = stirred(make("HierarchicalVAE"))
    bundle = export.export(model, tmp_path / "out", ("saved_model", "onnx", "litert"), sampler=True)
    assert bundle.manifest["latent"]["prior"] == {"name": "graph", "noise": "normal"}
    generator, x = np.random.default_rng(0), binary(4)
    noise = {f"eps_{name}": generator.normal(size=(4, size)).astype("float32") for name, size in (("z1", 3), ("z2", 2))}
    for graph, inputs, ladder in (
        ("prior_sampler", noise, model.prior()),
        ("sampler", {"x": x, **noise}, model.posterior(x)),
    ):
        z2 = ladder.level("z2", {})
        top = z2.mean().numpy() + z2.stddev().numpy() * noise["eps_z2"]
        z1 = ladder.level("z1", {"z2": top})
        expected = {"z2": top, "z1": z1.mean().numpy() + z1.stddev().numpy() * noise["eps_z1"]}
        for name in ("saved_model", "onnxruntime", "openvino", "litert"):
            given = runtimes.open(bundle, name).run(graph, inputs)
            for level in ("z1", "z2"):
                np.testing.assert_allclose(given[level], expected[level], rtol=1e-5, atol=1e-5)


def test_a_hierarchy_whose_top_is_a_mixture_has_no_graph_of_noise():
    model = make("HierarchicalVAE", pseudo_inputs=3)
    assert [graph.name for graph in graphs_of(model)] == ["encoder", "decoder", "reconstruction"]
    with pytest.raises(ExportError, match="A sampler draws from the Gaussian"):
        graphs_of(model, sampler=True)


def test_what_cannot_be_exported_is_refused(tmp_path):
    with pytest.raises(ExportError, match=r"AutoregressivePrior has\. Given: a MixturePrior for VAE\. Export without"):
        model = toy()
        export.export(model, tmp_path / "out", "onnx", prior=MixturePrior(2).fit(model, binary(40)))
    with pytest.raises(UserError, match=r"of 4 entries, and a model of codes of shape \(3, 4\) of 5 entries"):
        export.export(model_of(), tmp_path / "out", "onnx", prior=prior_of(entries=4))
    assert not list(tmp_path.iterdir())


def test_from_the_command_line(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(zoo, "load", lambda name: model_of((4,)))
    prior_of((4,)).save(tmp_path / "prior.npz")
    status, out, _ = run(
        capsys, "export", "a_model", tmp_path / "out", "-f", "onnx", "--prior", tmp_path / "prior.npz", "--json"
    )
    assert status == 0 and "prior_sampler" in json.loads(out)["formats"]["onnx"]["files"]
    status, _, err = run(capsys, "export", "--all", "--prior", tmp_path / "prior.npz")
    assert status == 1 and "--all exports every model" in err
