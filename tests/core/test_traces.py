"""What is traced, and when: each public method once, whatever the seed, the count and the number of examples."""

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python import pywrap_tfe

from keras_vae import backend
from keras_vae.models import CVAE, RAE, VQVAE, HierarchicalVAE, SemiSupervisedVAE
from keras_vae.networks import raster
from keras_vae.networks.pixelcnn import PixelCNN
from keras_vae.priors import AutoregressivePrior, MixturePrior
from tests.export.bundles import stirred
from tests.priors.test_autoregressive import SMALL
from tests.toys import SHAPE, binary, mlp, toy

NETWORKS = {"image_shape": SHAPE, "encoder": mlp(), "decoder": mlp()}
MODELS: dict[str, Any] = {
    "VAE": toy,
    "CVAE": lambda: toy(CVAE, num_classes=2, learned_prior=True),
    "HierarchicalVAE": lambda: HierarchicalVAE((3, 2), 6, **NETWORKS),
    "SemiSupervisedVAE": lambda: toy(SemiSupervisedVAE, num_classes=2, classifier=mlp()),
    "VQVAE": lambda: VQVAE((3,), 5, 2, **NETWORKS),
}


@pytest.fixture
def traces(monkeypatch):
    """Counts how often the Python functions behind compiled ones run: once for each trace, and each eager call."""
    count, compiled = [0], backend.compiled

    def counting(function, **options):
        def traced(*arguments, **named):
            count[0] += 1
            return function(*arguments, **named)

        return compiled(traced, **options)

    monkeypatch.setattr(backend, "compiled", counting)

    def of(call):
        before = count[0]
        call()
        return count[0] - before

    return of


@pytest.mark.parametrize("kind", MODELS)
def test_a_method_is_one_graph_and_traced_for_one_example_and_for_many(traces, kind):
    """The second size of a batch makes the batch open, and that is all."""
    model, x = MODELS[kind](), binary(9)
    y = np.arange(9) % 2 if kind == "CVAE" else None
    codes = model.encode(x, y)
    labels = np.arange(9) % 2 if model.conditional else None

    def rows(values, count):
        return {name: rows(level, count) for name, level in values.items()} if isinstance(values, dict) else (
            None if values is None else values[:count]
        )  # fmt: skip

    calls = {
        "reconstruct": lambda count, seed: model.reconstruct(x[:count], rows(y, count)),
        "decode": lambda count, seed: model.decode(rows(codes, count), rows(labels, count)),
        "sample": lambda count, seed: model.sample(count, seed, rows(labels, count)),
    }
    for name, call in calls.items():
        first = traces(lambda call=call: call(1, 0))
        assert first == 1, name
        second = traces(lambda call=call: call(2, 1))
        # A count is a tensor: only a condition for each draw has a batch.
        assert second == (0 if name == "sample" and not model.conditional else 1), name
        assert traces(lambda call=call: [call(count, 5) for count in (1, 3, 9)]) == 0, name
    many = np.tile(labels, 60)[:300] if labels is not None else None
    assert traces(lambda: model.sample(300, 1, many)) <= 2, "codes, and the same decoder"
    assert traces(lambda: model.sample(300, 2, many)) == 0


def test_reconstruct_is_decode_of_encode():
    for kind, make in MODELS.items():
        model, x = stirred(make()), binary(9)
        y = np.arange(9) % 2 if model.conditional else None
        expected = model.decode(model.encode(x, y), y)
        np.testing.assert_allclose(model.reconstruct(x, y), expected, rtol=0, atol=1e-6, err_msg=kind)


@pytest.mark.parametrize("method", ["encode", "elbo", "log_prob", "reconstruct", "sample"])
def test_one_example_is_one_call_of_tensorflow(monkeypatch, method):
    """Of a graph: the single operations that fold a seed take three times as long as the ELBO of an image."""
    model, calls = toy(), []
    arguments = [1] if method == "sample" else [binary(1)]

    def counting(name, call):
        def counted(*arguments):
            calls.append(name)
            return call(*arguments)

        return counted

    getattr(model, method)(*arguments)
    for name in ("TFE_Py_Execute", "TFE_Py_FastPathExecute"):  # of graphs, and of single operations
        monkeypatch.setattr(pywrap_tfe, name, counting(name, getattr(pywrap_tfe, name)))
    getattr(model, method)(*arguments)
    assert calls == ["TFE_Py_Execute"]


def test_a_fitted_prior_is_traced_once_until_it_is_fitted_again(traces):
    model, x = toy(), binary(40)
    prior, other = MixturePrior(2).fit(model, x), MixturePrior(3, seed=1).fit(model, x)

    def use(prior, seed=0):
        return (
            model.sample(3, seed, prior=prior),
            model.elbo(x, seed, prior=prior),
            model.log_prob(x, 3, seed, prior=prior),
        )

    assert traces(lambda: use(prior)) > 0
    assert traces(lambda: [use(prior, seed) for seed in (1, 2)]) == 0
    before = use(prior)
    assert traces(lambda: use(other)) > 0
    assert traces(lambda: [use(prior), use(other)]) == 0
    prior.fit(model, 1 - x)
    after = use(prior)
    fresh = use(MixturePrior(2).fit(model, 1 - x))
    for old, new, expected in zip(before, after, fresh, strict=True):
        np.testing.assert_array_equal(new, expected)
        assert np.abs(new - old).max() > 1e-3
    codes = model.encode(x)
    assert traces(lambda: prior.log_prob(codes)) == 1
    assert traces(lambda: prior.log_prob(codes[:7])) == 0


def test_a_pixelcnn_is_traced_once(traces):
    model = MODELS["VQVAE"]()
    prior = AutoregressivePrior(**SMALL).fit(model, binary(64))
    assert traces(lambda: model.sample(1, prior=prior)) > 0
    assert traces(lambda: [model.sample(count, count, prior=prior) for count in (1, 2, 5)]) == 0
    draw = prior.distribution().sample
    assert traces(lambda: draw(4, seed=(0, 1))) == 0, "called by itself it is the same graph"
    assert traces(lambda: [draw(count, seed=(3, count)) for count in (1, 0, 7)]) == 0
    assert traces(lambda: model.elbo(binary(5), prior=prior)) > 0
    assert traces(lambda: model.elbo(binary(6), seed=1, prior=prior)) == 0


def flops(function, *shapes):
    """Floating-point operations of a function of float32 tensors of these shapes, counted by TensorFlow's profiler."""
    graph = tf.function(function).get_concrete_function(*(tf.TensorSpec(shape, dtype) for shape, dtype in shapes)).graph
    options = tf.compat.v1.profiler.ProfileOptionBuilder.float_operation()
    options["output"] = "none"
    return tf.compat.v1.profiler.profile(graph, options=options).total_float_ops


def test_a_draw_of_a_pixelcnn_is_linear_in_the_number_of_codes(monkeypatch):
    """One evaluation of a row's stack for each row, one of a place's for each code, of a cost that the grid does not
    change: together no more than half as much again as one pass of the network, not one pass for each code."""
    network: Any = stirred(PixelCNN(5, filters=8, blocks=3, kernel_size=3))
    calls = {"next_row": 0, "next_place": 0}

    def counted(name):
        function = getattr(raster, name)

        def call(*arguments):
            calls[name] += 1
            return function(*arguments)

        monkeypatch.setattr(raster, name, call)

    counted("next_row")
    counted("next_place")
    tf.config.run_functions_eagerly(True)
    try:
        for height, width in ((1, 4), (2, 4), (4, 4), (4, 8)):
            calls |= dict.fromkeys(calls, 0)
            raster.draw(network, 2, height, width, lambda logits, _: tf.argmax(logits, -1, output_type="int32"))
            assert calls == {"next_row": height, "next_place": height * width}
    finally:
        tf.config.run_functions_eagerly(False)
    costs = []
    for width in (8, 16, 32):
        (kept, _), (left, above) = raster.row_shapes(network, width), raster.place_shapes(network)
        row = flops(
            lambda last, rows: raster.next_row(network, last, rows), ((1, width), "int32"), ((1, *kept), "float32")
        )
        place = flops(
            lambda last, above, left: raster.next_place(network, last, above, left),
            ((1,), "int32"), ((1, *above), "float32"), ((1, *left), "float32"),
        )  # fmt: skip
        whole = flops(network, ((1, width, width), "int32"))
        drawn = width * row + width**2 * place
        costs.append(drawn / width**2)
        assert drawn < 1.5 * whole, (drawn, whole)
    assert max(costs) < 1.02 * min(costs), costs


def test_an_rae_is_sampled_once_its_density_is_fitted(traces):
    model = toy(RAE)
    with pytest.raises(Exception, match="has a density of codes once one is fitted"):
        model.sample(2)
    model.fit_density(binary(40))
    first = model.sample(2)
    model.fit_density(1 - binary(40, seed=3))
    assert traces(lambda: model.sample(2)) == 0
    assert np.abs(model.sample(2) - first).max() > 1e-4, "the density is a variable"
