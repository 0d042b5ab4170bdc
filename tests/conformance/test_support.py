"""The support table: each claimed cell, a model in a format on a runtime, is exported and compared; so is each refusal.

A registered model is a row of the table, and a row whose claims are not all proven fails here.
"""

import re

import pytest

from keras_vae import export, runtimes
from keras_vae.errors import ExportError
from keras_vae.export import formats, support
from keras_vae.export.parity import BATCHES
from keras_vae.models import MODELS
from tests.conformance.cases import every_model, make


@pytest.mark.slow
@every_model
def test_every_claim_is_proven(name, tmp_path):
    claimed = {(cell.format, cell.runtime) for cell in support.cells([name]) if cell.op is None}
    absent = {runtime for _, runtime in claimed if not runtimes.installed()[runtime].version}
    assert not absent, "a claim can be proven only where its runtime is installed"
    # A toy with random weights has no ELBO worth keeping, so nothing is refused for what it loses of it.
    bundle = export.export(make(name), tmp_path / "bundle", sorted({each for each, _ in claimed}), force=True)
    assert {(row.format, row.runtime) for row in bundle.parity} == claimed
    graphs = {graph for graph, described in bundle.graphs.items() if graph in bundle.formats["onnx"]["files"]}
    for cell in claimed:
        rows = [row for row in bundle.parity if (row.format, row.runtime) == cell]
        assert {row.graph for row in rows} >= graphs and {row.batch for row in rows} == set(BATCHES)
        assert all(row.passed for row in rows), cell
    for cell in bundle.formats:
        assert ("quality" in bundle.formats[cell]) == (cell in ("onnx_fp16", "onnx_int8"))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "format_name"), sorted(support.CANNOT))
def test_every_refusal_names_its_op_and_the_remedy(name, format_name, tmp_path):
    cell = next(cell for cell in support.cells([name]) if cell.format == format_name)
    with pytest.raises(ExportError, match=f"{re.escape(str(cell.op))}.*{re.escape(str(cell.remedy))}"):
        export.export(make(name), tmp_path / "bundle", format_name)
    assert not list(tmp_path.iterdir())


def test_every_model_and_format_is_in_the_table():
    assert tuple(sorted(formats.FORMATS, key=support.FORMATS.index)) == support.FORMATS
    cells = support.cells(MODELS)
    assert {cell.model for cell in cells} == set(MODELS) and {cell.format for cell in cells} == set(formats.FORMATS)
    assert {cell.runtime for cell in cells} == set(runtimes.names())
    assert {name for name, _ in [*support.CANNOT, *support.ONLY]} <= set(MODELS)


def test_the_table_says_what_the_cells_say(monkeypatch):
    monkeypatch.setitem(support.CANNOT, ("VAE", "litert"), "BesselI0e")
    lines = support.markdown(MODELS).splitlines()
    columns = [title.strip() for title in lines[0].split("|")[1:-1]]
    assert columns[0] == "model" and "onnx: onnxruntime, openvino" in columns and "litert" in columns
    rows = {line.split("|")[1].strip(" `"): line.split("|")[2:-1] for line in lines[2 : 2 + len(MODELS)]}
    assert set(rows) == set(MODELS)
    assert rows["VAE"][columns.index("litert") - 1].strip() == "no: BesselI0e"
    assert rows["SequenceVAE"][columns.index("litert") - 1].strip() == "yes with `unroll=True` in its encoder"
    assert "* `VAE` in litert: no BesselI0e. Keep densities with Bessel functions out" in lines[-1]
    refused = next(cell for cell in support.cells(["VAE"]) if cell.format == "litert")
    assert refused.op == "BesselI0e" and "return the parameters" in str(refused.remedy)
