"""Every model leaves Python: the exported files give what the model gives; all formats are in test_support.py."""

from types import SimpleNamespace

import numpy as np
import pytest

from keras_vae import export, runtimes
from keras_vae.core.graphs import graphs_of
from keras_vae.export.graphs import trace
from keras_vae.export.quality import measure_quality
from tests.conformance.cases import every_model_slowly, examples, labels, make

# The design's tolerance for codes and mean images of ordinary inputs: float32 sums in another order.
TOLERANCE = 1e-5


def agrees(name, folder, formats):
    model = make(name)
    bundle = export.export(model, folder, formats=formats)
    assert {row.format for row in bundle.parity} == set(formats)
    assert all(row.max_error <= row.tolerance for row in bundle.parity)
    condition = labels(model)
    further = {} if condition is None else {"condition": condition}
    codes = model.encode(examples(model), condition)
    for format_name in formats:
        for each in runtimes.names():
            if format_name in runtimes.formats_of(each) and runtimes.installed()[each].version:
                runtime = runtimes.open(bundle, each, format_name=format_name)
                first, *others = codes if isinstance(codes, dict) else ["z"]  # the names of levels
                code = codes[first] if isinstance(codes, dict) else codes
                np.testing.assert_allclose(runtime.encode(examples(model), **further), code, rtol=0, atol=TOLERANCE)
                images = runtime.decode(code, **{level: codes[level] for level in others}, **further)
                rtol = TOLERANCE if model.x_spec().kind == "numbers" else 0.0  # a mean count may be above 1
                np.testing.assert_allclose(images, model.decode(codes, condition), rtol=rtol, atol=TOLERANCE)


@every_model_slowly
def test_onnx_and_saved_model(name, tmp_path):
    agrees(name, tmp_path / "bundle", ("saved_model", "onnx"))


@every_model_slowly
def test_the_cost_of_a_precision_is_measured_in_the_models_own_units(name):
    """Keras as its own runtime costs nothing; the ELBO is the model's own, but for the noise of one draw an example."""
    model = make(name)
    graphs = [trace(graph) for graph in graphs_of(model)]
    traced = {each.name: each for each in graphs}
    itself = SimpleNamespace(run=lambda graph, given: traced[graph].run(given))
    condition = labels(model)
    inputs = {"x": examples(model)} | ({} if condition is None else {"condition": condition})
    measured = measure_quality(model, graphs, itself, inputs)
    assert measured["examples"] == len(examples(model))
    if not model.stochastic:
        assert measured["elbo"] is None and measured["reconstruction_change"] == 0
        return
    assert measured["elbo_change"] == 0
    own = model.elbo(examples(model), condition=condition)
    # Both are means of one draw an example; five standard errors, of the spread over examples and of noise.
    assert measured["elbo"] == pytest.approx(own.mean(), abs=1e-4 + 5 * own.std() / np.sqrt(len(own)))
