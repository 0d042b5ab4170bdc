"""The support table: each claimed cell, a model in a format on a runtime, is exported and compared; so is each refusal.

A registered model is a row of the table, and a row whose claims are not all proven fails here.
"""

import re

import pytest

from keras_vae import export, runtimes
from keras_vae.core.graphs import graphs_of
from keras_vae.errors import ExportError
from keras_vae.export import formats, support
from keras_vae.export.parity import BATCHES
from keras_vae.models import MODELS
from tests.conformance import claims
from tests.conformance.cases import CASES, every_model, examples, labels, make


@pytest.mark.slow
@every_model
def test_every_claim_is_proven(name, tmp_path):
    """Without force: what the table calls "yes" is what `export` does when nothing else is said."""
    claimed = {(cell.format, cell.runtime) for cell in claims.cells([name])}
    absent = {runtime for _, runtime in claimed if not runtimes.installed()[runtime].version}
    assert not absent, "a claim can be proven only where its runtime is installed"
    sampler = MODELS[name].has_sampler
    model = make(name)
    real = export.Examples(examples(model), labels(model), origin="the conformance tests")
    bundle = export.export(model, tmp_path / "bundle", sorted({each for each, _ in claimed}), real, sampler=sampler)
    assert {(row.format, row.runtime) for row in bundle.parity} == claimed
    graphs = {graph for graph in bundle.graphs if graph in bundle.formats["onnx"]["files"]}
    assert ("sampler" in graphs) == sampler
    for cell in claimed:
        rows = [row for row in bundle.parity if (row.format, row.runtime) == cell]
        assert {row.graph for row in rows} >= graphs and {row.batch for row in rows} == set(BATCHES)
        assert all(row.passed for row in rows), cell
    for each, entry in bundle.formats.items():
        assert ("quality" in entry) == (each in ("onnx_fp16", "onnx_int8"))
    assert export.check(bundle).rows


@pytest.mark.slow
@pytest.mark.parametrize(("name", "format_name"), sorted(claims.NEEDS))
def test_without_what_a_cell_needs_the_error_names_the_op_and_the_remedy(name, format_name, tmp_path):
    need = claims.NEEDS[name, format_name]
    lacking = {
        argument: {key: value for key, value in CASES[name][argument].items() if key not in added}
        for argument, added in need.arguments.items()
    }
    assert all(CASES[name][argument].items() >= added.items() for argument, added in need.arguments.items())
    with pytest.raises(ExportError, match=f"{re.escape(need.op)}.*{re.escape(need.remedy)}"):
        export.export(make(name, **lacking), tmp_path / "bundle", format_name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("model", sorted(MODELS))
def test_a_sampler_is_what_the_table_says(model):
    if not MODELS[model].has_sampler:
        with pytest.raises(ExportError, match=r"A sampler draws from the Gaussian.*Leave the sampler out"):
            graphs_of(make(model), sampler=True)
    else:
        assert "sampler" in [graph.name for graph in graphs_of(make(model), sampler=True)]


def test_every_model_and_format_is_in_the_table():
    assert tuple(sorted(formats.FORMATS, key=support.FORMATS.index)) == support.FORMATS
    cells = claims.cells(MODELS)
    assert {cell.model for cell in cells} == set(MODELS) and {cell.format for cell in cells} == set(formats.FORMATS)
    assert {cell.runtime for cell in cells} == set(runtimes.names())
    assert {name for name, _ in claims.NEEDS} <= set(MODELS)


def test_the_table_says_what_the_cells_say():
    lines = claims.markdown(MODELS).splitlines()
    columns = [title.strip() for title in lines[0].split("|")[1:-1]]
    assert columns[0] == "model" and "onnx: onnxruntime, openvino" in columns and columns[-1] == "--sampler"
    rows = {line.split("|")[1].strip(" `"): line.split("|")[2:-1] for line in lines[2 : 2 + len(MODELS)]}
    assert set(rows) == set(MODELS)
    for name, row in rows.items():
        words = [word.strip() for word in row]
        assert words[-1] == ("yes" if MODELS[name].has_sampler else "no")
        for cell in claims.cells([name]):
            said = words[[title.split(":")[0] for title in columns].index(cell.format) - 1]
            assert said == ("yes" if cell.need is None else f"yes {cell.need.words}")
    assert "* `SequenceVAE` in litert without it: no TensorListReserve." in "\n".join(lines) and "--force" in lines[-1]
