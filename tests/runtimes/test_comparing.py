"""Modes and precisions as rows; cold start, memory and size; what may be compared; what is recommended."""

import json

import pytest

from keras_vae import runtimes
from keras_vae.errors import UserError
from keras_vae.export import export
from keras_vae.runtimes import comparing, rounds, tables, worker
from tests.export.bundles import bundle_of, model_of
from tests.runtimes.test_benchmark import SHORT

pytestmark = pytest.mark.slow  # each case times runtimes


@pytest.fixture(scope="module")
def reduced(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reduced") / "out"
    return export(model_of("colour"), folder, ("onnx", "onnx_fp16", "onnx_int8", "keras"), force=True)


@pytest.fixture(scope="module")
def results(reduced):
    return runtimes.benchmark(reduced, runtimes=["onnxruntime"], **SHORT)


def test_each_precision_is_a_row(reduced, results):
    assert [rounds.label(row) for row in results["rows"]] == [
        "onnxruntime",
        "onnxruntime (float16)",
        "onnxruntime (int8)",
    ]
    for row in results["rows"]:
        assert row["status"] == "ok" and row["settings"]["precision"] == row["precision"]
        on_disk = sum((reduced.path / name).stat().st_size for name in reduced.formats[row["format"]]["files"].values())
        assert row["file_bytes"] == on_disk
        assert row["cold_start_seconds"] >= row["open_seconds"] > 0
        assert 20 < row["peak_memory_mb"] < 2000  # onnxruntime and numpy; an import of TensorFlow is 400 and more
    errors = [max(row["errors"].values()) for row in results["rows"]]
    assert errors[0] < errors[1] < errors[2]
    assert results["rows"][0]["quality"] is None
    assert results["rows"][2]["quality"] == reduced.formats["onnx_int8"]["quality"]
    json.dumps(results, allow_nan=False)


def test_scenarios_are_of_the_smallest_and_of_the_best_batch(results):
    for row in results["rows"]:
        for signature in ("encode", "decode"):
            found, at = row["scenarios"][signature], row[signature]
            percentiles = {key: at["1"][key] for key in ("p50_us", "p90_us", "p99_us")}
            assert found["single_stream"] == {"batch": 1} | percentiles
            best = max(("1", "8"), key=lambda size: at[size]["images_per_second"])
            assert found["offline"] == {"batch": int(best), "images_per_second": at[best]["images_per_second"]}


@pytest.mark.slow
def test_keras_runs_eagerly_as_a_function_and_under_xla(reduced):
    rows = runtimes.benchmark(reduced, runtimes=["keras"], **SHORT)["rows"]
    assert [rounds.label(row) for row in rows] == ["keras (tf.function)", "keras (eager)", "keras (XLA)"]
    assert all(row["status"] == "ok" and row["settings"]["mode"] == row["mode"] for row in rows), rows
    assert max(max(row["errors"].values()) for row in rows) < 1e-5


@pytest.mark.parametrize("mode", ["eager", "XLA"])
def test_modes_of_keras_agree(reduced, mode):
    opened = runtimes.open(reduced, "keras", mode=mode)
    x = reduced.golden()["encoder"]["inputs"]["x"]
    assert opened.settings["mode"] == mode
    # Sums of float32 in another order: the design's 1e-5.
    assert abs(opened.encode(x) - model_of("colour").encode(x)).max() <= 1e-5


def test_openvino_computes_in_bfloat16_only_if_asked(reduced):
    usual = runtimes.open(reduced, "openvino")
    assert usual.settings["precision"] == "float32" and usual.mode is None
    asked = runtimes.open(reduced, "openvino", mode="bfloat16")
    assert asked.settings["precision"] == "bfloat16"
    assert [row["mode"] for row in rounds._first_rows(reduced, None) if row["runtime"] == "openvino"] == [None]
    row = rounds._first_rows(reduced, ["openvino:bfloat16"])[0]
    assert row["mode"] == row["precision"] == "bfloat16" and rounds.label(row) == "openvino (bfloat16)"


def test_unknown_modes(reduced):
    with pytest.raises(UserError, match=r"'keras' has the modes: tf.function, eager, XLA. Given: mode='jit'"):
        runtimes.open(reduced, "keras", mode="jit")
    with pytest.raises(UserError, match=r"'litert' has the modes: none. Given: 'litert:fast'"):
        runtimes.benchmark(reduced, runtimes=["litert:fast"], **SHORT)


def test_peak_memory_is_this_process():
    """Not its parent's: a process that is forked from a large one begins with that one's maximum in getrusage."""
    import os
    import subprocess
    import sys

    code = "from keras_vae.runtimes import worker; print(worker.peak_memory())"
    held = bytearray(400_000_000)
    held[::4096] = b"x" * len(held[::4096])
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": "."}
    )
    assert 5 < float(done.stdout) < 200
    mine = worker.peak_memory()
    assert mine is not None and mine > 400


def fake(name, p90, rate, precision="float32", error=1e-6, threads=2, processors=(0, 1)):
    """A row as `benchmark` gives it, with figures of the test's choice for both calls."""
    scenarios = {
        "single_stream": {"batch": 1, "p50_us": p90 / 2, "p90_us": p90, "p99_us": p90 * 2},
        "offline": {"batch": 256, "images_per_second": rate},
    }
    return {
        "runtime": name,
        "mode": None,
        "format": "onnx",
        "precision": precision,
        "status": "ok",
        "settings": {"threads": threads},
        "processors": list(processors),
        "errors": {"decoder.mean": error},
        "scenarios": {"encode": scenarios, "decode": scenarios},
    }


@pytest.mark.parametrize(
    ("rows", "latency", "throughput"),
    [
        # The fastest single call and the highest rate may be different rows.
        ([fake("a", 100, 1000), fake("b", 50, 500)], ("b", "float32"), ("a", "float32")),
        # Within 5% of the best, the more precise; beyond, the faster.
        ([fake("a", 104, 980), fake("b", 100, 1000, "int8")], ("a", "float32"), ("a", "float32")),
        ([fake("a", 106, 940), fake("b", 100, 1000, "int8")], ("b", "int8"), ("b", "int8")),
        ([fake("a", 104, 980, "float16"), fake("b", 100, 1000)], ("b", "float32"), ("b", "float32")),
        # What was not timed is not recommended.
        ([fake("a", 9, 9), {**fake("b", 1, 1e6), "status": "failed"}], ("a", "float32"), ("a", "float32")),
    ],
)
def test_recommendation(rows, latency, throughput):
    for goal, expected in (("latency", latency), ("throughput", throughput)):
        chosen = runtimes.recommend({"rows": rows}, goal)
        for call in ("encode", "decode"):
            assert (chosen[call]["runtime"], chosen[call]["precision"]) == expected
        assert comparing.sentence(chosen).startswith(f"For {goal}: encode with {expected[0]}")


def test_recommendations_that_cannot_be_made():
    with pytest.raises(UserError, match=r"Unknown goal 'latencey'.*'latency'"):
        runtimes.recommend({"rows": [fake("a", 1, 1)]}, "latencey")
    with pytest.raises(UserError, match="no runtime was timed"):
        runtimes.recommend({"rows": [{**fake("a", 1, 1), "status": "no file"}]}, "latency")


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"threads": 1}, r"a with 2, b with 1 threads"),
        ({"processors": (0,)}, r"a with 2, b with 1 processors"),
    ],
)
def test_rows_of_unequal_settings_are_never_compared(results, other, message):
    unequal = {**results, "rows": [fake("a", 1, 1), fake("b", 1, 1, **other)]}
    for reader in (
        tables.cells,
        runtimes.markdown,
        lambda r: runtimes.plot(r, "x.png"),
        lambda r: runtimes.recommend(r, "latency"),
    ):
        with pytest.raises(UserError, match=message):
            reader(unequal)


def renamed(results, name, **changes):
    return {**results, "bundle": {**results["bundle"], "zoo_name": name}, **changes}


def test_several_bundles_are_one_table(results):
    joined = runtimes.join([renamed(results, "first"), renamed(results, "second")])
    assert [bundle["zoo_name"] for bundle in joined["bundles"]] == ["first", "second"]
    titles, rows = tables.cells(joined)
    assert titles[0] == "model" and {row[0] for row in rows} == {"first", "second"}
    assert len(rows) == 2 * len(tables.cells(results)[1])
    assert "first, second on" in runtimes.markdown(joined)


@pytest.mark.parametrize(
    ("part", "name", "value"),
    [
        ("settings", "threads", 7),
        ("settings", "calls", 9),
        ("machine", "processor", "6502"),
        ("machine", "python", "2"),
    ],
)
def test_results_of_other_settings_or_machines_are_not_joined(results, part, name, value):
    other = renamed(results, "second", **{part: {**results[part], name: value}})
    with pytest.raises(UserError, match=rf"equal settings are compared. Given: {name} .* for first.*second"):
        runtimes.join([renamed(results, "first"), other])


def test_the_load_of_the_machine_is_no_setting(results):
    other = renamed(results, "second", machine={**results["machine"], "load": 99.0})
    assert len(runtimes.join([renamed(results, "first"), other])["bundles"]) == 2


def test_results_are_read_again(results, tmp_path):
    path = tmp_path / "bench.json"
    path.write_text(json.dumps(results))
    assert comparing.read_results(path) == results
    path.write_text(json.dumps({**results, "schema": "keras_vae.benchmark/1"}))
    with pytest.raises(UserError, match=r"benchmark/2'. Given: 'keras_vae.benchmark/1'"):
        comparing.read_results(path)
    path.write_text("[")
    with pytest.raises(UserError, match="Cannot read a benchmark's results"):
        comparing.read_results(path)


def test_older_results_are_still_tables(results):
    """Schema 1 has neither scenarios nor precisions; its table is the same, without the second one."""
    old = {"runtime": "onnxruntime", "status": "ok", "version": "1", "processors": [0]}
    old |= {key: results["rows"][0][key] for key in ("settings", "errors", "encode", "decode")}
    text = runtimes.markdown({**results, "rows": [old]})
    assert text.count("| --- |") == 1 and "| onnxruntime | encode |" in text and "threads, float32 (" in text


def test_a_bundle_without_files_for_a_runtime_is_one_row():
    rows = rounds._first_rows(bundle_of("colour"), ["keras", "litert"])
    assert [(row["runtime"], row["status"]) for row in rows] == [("keras", "no file"), ("litert", "no file")]
