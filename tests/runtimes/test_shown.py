"""Bundles, reports and results in a terminal and a notebook: short, and escaped."""

import dataclasses

from keras_vae import runtimes
from keras_vae.export import check
from tests.benchmarking.test_benchmark import SHORT
from tests.export.bundles import bundle_of


def test_a_bundle_is_a_line_and_a_table():
    bundle = bundle_of("mlp")
    assert len(repr(bundle)) < 300 and "BetaVAE" in repr(bundle) and str(bundle.path) in repr(bundle)
    assert all(name in repr(bundle) for name in ("encoder", "decoder", "onnx", "saved_model"))
    table = bundle._repr_html_()
    assert table.count("<tr>") == 1 + len(bundle.formats) and "openvino" in table and len(table) < 3000
    model = bundle.manifest["model"] | {"zoo_name": "<script>"}
    assert "<script>" not in dataclasses.replace(bundle, manifest=bundle.manifest | {"model": model})._repr_html_()


def test_a_report_is_a_line_and_a_table():
    report = check(bundle_of("colour"))
    count = len(report.rows)
    assert repr(report).startswith(
        f"<Report: {count} of {count} comparisons within tolerance, on onnxruntime, openvino"
    )
    assert "not tried: keras" in repr(report) and len(repr(report)) < 300
    assert "encoder.mean" in report._repr_html_()


def test_results_are_a_line_and_a_table():
    results = runtimes.benchmark(bundle_of("colour"), runtimes=["onnxruntime", "litert"], **SHORT)
    assert "1 of 2 rows timed" in repr(results) and len(repr(results)) < 300
    assert "single_stream" in results._repr_html_()
    joined = runtimes.join([results, results])
    assert "2 of 4 rows timed" in repr(joined) and "<table>" in joined._repr_html_()
