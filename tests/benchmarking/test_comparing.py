"""Modes and precisions as rows; cold start, memory and size; what may be compared; what is recommended."""

import json

import pytest

from keras_vae import runtimes
from keras_vae.benchmarking import comparing, rounds, tables, worker
from keras_vae.benchmarking import rows as rows_of_a_benchmark
from keras_vae.errors import UserError
from keras_vae.export import export
from tests.benchmarking.test_benchmark import SHORT
from tests.export.bundles import bundle_of, model_of
from tests.toys import grey


@pytest.fixture(scope="module")
def reduced(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reduced") / "out"
    formats = ("onnx", "onnx_fp16", "onnx_int8", "keras")
    return export(model_of("colour"), folder, formats, grey(200, (8, 8, 3)), force=True)


@pytest.fixture(scope="module")
def results(reduced):
    return runtimes.benchmark(reduced, runtimes=["onnxruntime"], **SHORT)


@pytest.mark.slow
def test_each_precision_is_a_row(reduced, results):
    assert [rows_of_a_benchmark.label(row) for row in results["rows"]] == [
        "onnxruntime",
        "onnxruntime (float16)",
        "onnxruntime (int8)",
    ]
    for row in results["rows"]:
        assert row["status"] == "ok" and row["settings"]["precision"] == row["precision"]
        on_disk = sum((reduced.path / name).stat().st_size for name in reduced.formats[row["format"]]["files"].values())
        assert row["file_bytes"] == on_disk
        assert row["cold_start_seconds"] > 0 and row["open_seconds"] > 0
        assert 20 < row["peak_memory_mb"] < 2000  # onnxruntime and numpy; an import of TensorFlow is 400 and more
    errors = [max(row["errors"].values()) for row in results["rows"]]
    assert errors[0] < errors[1] < errors[2]
    assert results["rows"][0]["quality"] is None
    assert results["rows"][2]["quality"] == reduced.formats["onnx_int8"]["quality"]
    json.dumps(results, allow_nan=False)


@pytest.mark.slow
def test_scenarios_are_of_the_smallest_and_of_the_best_batch(results):
    for row in results["rows"]:
        for signature in ("encode", "decode"):
            found, at = row["scenarios"][signature], row[signature]
            percentiles = {key: at["1"][key] for key in ("calls", "p50_us", "p90_us", "p99_us", "bare_p50_us")}
            assert found["single_stream"] == {"batch": 1} | percentiles
            best = max(("1", "8"), key=lambda size: at[size]["images_per_second"])
            assert found["offline"] == {"batch": int(best), "images_per_second": at[best]["images_per_second"]}


@pytest.mark.slow
def test_keras_runs_eagerly_as_a_function_and_under_xla(reduced):
    rows = runtimes.benchmark(reduced, runtimes=["keras"], **SHORT)["rows"]
    assert [rows_of_a_benchmark.label(row) for row in rows] == ["keras (tf.function)", "keras (eager)", "keras (XLA)"]
    assert all(row["status"] == "ok" and row["settings"]["mode"] == row["mode"] for row in rows), rows
    assert max(max(row["errors"].values()) for row in rows) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["eager", "XLA"])
def test_modes_of_keras_agree(reduced, mode):
    opened = runtimes.open(reduced, "keras", mode=mode)
    x = reduced.golden()["encoder"]["inputs"]["x"]
    assert opened.settings["mode"] == mode
    # Sums of float32 in another order: the design's 1e-5.
    assert abs(opened.encode(x) - model_of("colour").encode(x)).max() <= 1e-5


@pytest.mark.slow
def test_openvino_computes_in_bfloat16_only_if_asked(reduced):
    usual = runtimes.open(reduced, "openvino")
    assert usual.settings["precision"] == "float32" and usual.mode is None
    asked = runtimes.open(reduced, "openvino", mode="bfloat16")
    # It says what it does: a processor that cannot computes in float32 all the same.
    assert asked.settings["precision"] in ("bfloat16", "float32")
    assert [row["mode"] for row in rows_of_a_benchmark.first_rows(reduced, None) if row["runtime"] == "openvino"] == [
        None
    ]
    row = rows_of_a_benchmark.first_rows(reduced, ["openvino:bfloat16"])[0]
    assert row["mode"] == row["precision"] == "bfloat16" and rows_of_a_benchmark.label(row) == "openvino (bfloat16)"


@pytest.mark.slow
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

    code = "from keras_vae.benchmarking import worker; print(worker.peak_memory())"
    held = bytearray(400_000_000)
    held[::4096] = b"x" * len(held[::4096])
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": "."}
    )
    assert 5 < float(done.stdout) < 200
    mine = worker.peak_memory()
    assert mine is not None and mine > 400


def quality(elbo, reconstruction=0.0):
    return {"examples": 1000, "elbo_change": elbo, "reconstruction_change": reconstruction}


LITTLE = quality(-0.1)


def fake(name, p90, rate, precision="float32", lost=LITTLE, threads=2, processors=(0, 1), **settings):
    """A row as `benchmark` gives it, with figures of the test's choice for both calls."""
    scenarios = {
        "single_stream": {"batch": 1, "calls": 1000, "p50_us": p90 / 2, "p90_us": p90, "p99_us": p90 * 2}
        | {"bare_p50_us": p90 / 3},
        "offline": {"batch": 256, "images_per_second": rate},
    }
    return {
        "runtime": name,
        "mode": None,
        "format": "onnx",
        "precision": precision,
        "status": "ok",
        "settings": {"threads": threads, "precision": precision} | settings,
        "processors": list(processors),
        "errors": {"decoder.mean": 1e-6},
        "file_bytes": 1000,
        "version": "1",
        "cold_start_seconds": 0.5,
        "peak_memory_mb": 50.0,
        "quality": None if precision == "float32" else lost,
        "scenarios": {"encode": scenarios, "decode": scenarios},
    }


def made(*rows, **changes):
    """Results as `benchmark` gives them, of hand-made rows."""
    machine = {"processor": "6510", "processors": 2, "flags": [], "quota": None, "governor": None, "load": 0.1}
    machine |= {"system": "GEOS", "python": "3", "environment": {}, "keras_vae": "0", "commit": None}
    settings = {"batch_sizes": [1, 256], "threads": 2, "rounds": 1, "calls": 1000, "seconds": 1, "cold_starts": 3}
    return {
        "schema": rounds.SCHEMA,
        "bundle": {"path": "out", "model": "VAE", "zoo_name": None, "sha256": "0"},
        "machine": machine,
        "warnings": [],
        "settings": settings | {"timed": "a call"},
        "seconds": 1.0,
        "rows": list(rows or (fake("a", 9, 9), fake("b", 1, 1e6, "int8"))),
        **changes,
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
        # A ruined model is not deployed for its speed: beyond 1 nat, beyond 2%, or by what nobody knows.
        ([fake("a", 9, 9), fake("b", 1, 1e6, "int8", quality(-1.01))], ("a", "float32"), ("a", "float32")),
        ([fake("a", 9, 9), fake("b", 1, 1e6, "int8", quality(0.0, 0.021))], ("a", "float32"), ("a", "float32")),
        ([fake("a", 9, 9), fake("b", 1, 1e6, "bfloat16", None)], ("a", "float32"), ("a", "float32")),
    ],
)
def test_recommendation(rows, latency, throughput):
    for goal, expected in (("latency", latency), ("throughput", throughput)):
        chosen = runtimes.recommend({"rows": rows}, goal)
        for call in ("encode", "decode"):
            assert (chosen[call]["runtime"], chosen[call]["precision"]) == expected
        assert comparing.sentence(chosen).startswith(f"For {goal}: encode with {expected[0]}")


def test_what_is_ruined_is_named_and_recommended_only_if_asked():
    ruined = {"rows": [fake("a", 9, 9), fake("b", 1, 1e6, "int8", quality(-4.0, 0.1))]}
    chosen = runtimes.recommend(ruined, "latency")
    assert chosen["excluded"] == {"b (int8)": "loses 4.00 nats of ELBO and 10.0% of reconstruction error"}
    assert comparing.sentence(chosen).endswith(
        "Not b (int8), which loses 4.00 nats of ELBO and 10.0% of reconstruction error."
    )
    asked = runtimes.recommend(ruined, "latency", any_quality=True)
    assert asked["encode"]["runtime"] == "b" and asked["encode"]["quality"] == quality(-4.0, 0.1)
    assert "int8, which loses 4.00 nats of ELBO and 10.0% of reconstruction error: " in comparing.sentence(asked)
    with pytest.raises(UserError, match=r"nothing to recommend: b \(int8\) loses 4.00 nats"):
        runtimes.recommend({"rows": ruined["rows"][1:]}, "latency")


def test_a_loss_of_nothing_has_no_sign():
    chosen = runtimes.recommend({"rows": [fake("b", 1, 1, "int8", quality(0.001, -0.0001))]}, "latency")
    assert "int8, which loses 0.00 nats of ELBO and 0.0% of reconstruction error: " in comparing.sentence(chosen)


def test_recommendations_of_several_bundles_survive():
    each = [renamed(name) for name in ("first", "second")]
    for one in each:
        one["recommended"] = [runtimes.recommend(one, "throughput")]
    joined = runtimes.join(each)
    assert [one["bundle"] for one in joined["recommended"]] == ["first", "second"]
    text = runtimes.markdown(joined)
    assert "* first, for throughput: encode with b (int8)" in text
    assert "* second, for throughput: encode with b (int8)" in text
    assert "* For throughput: encode with b (int8)" in runtimes.markdown(each[0])


def test_recommendations_that_cannot_be_made():
    with pytest.raises(UserError, match=r"Unknown goal 'latencey'.*'latency'"):
        runtimes.recommend({"rows": [fake("a", 1, 1)]}, "latencey")
    with pytest.raises(UserError, match="no runtime was timed"):
        runtimes.recommend({"rows": [{**fake("a", 1, 1), "status": "no file"}]}, "latency")


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"threads": 1}, r"a with threads 2, b with threads 1"),
        ({"processors": (0,)}, r"a with processors \[0, 1\], b with processors \[0\]"),
        ({"processors": (1, 2)}, r"a with processors \[0, 1\], b with processors \[1, 2\]"),
        ({"precision": "float16", "name": "a", "spinning": False}, r"with spinning true, .*with spinning false"),
    ],
)
def test_rows_of_unequal_settings_are_never_compared(other, message):
    unequal = made(fake("a", 1, 1, spinning=True), fake(**{"name": "b", "p90": 1, "rate": 1, **other}))
    for reader in (
        tables.cells,
        runtimes.markdown,
        lambda r: runtimes.plot(r, "x.png"),
        lambda r: runtimes.recommend(r, "latency"),
    ):
        with pytest.raises(UserError, match=message):
            reader(unequal)


def renamed(name, **changes):
    bundle = {"path": "out", "model": "VAE", "zoo_name": name, "sha256": "0"}
    return made(**{"bundle": bundle, **changes})


def test_a_row_is_compared_by_the_precision_that_it_computed_in():
    row = fake("openvino", 1, 1, "bfloat16")
    row["settings"]["precision"] = "float32"
    with pytest.raises(UserError, match=r"openvino \(bfloat16\), listed as bfloat16, which computed in float32"):
        tables.cells(made(row))


@pytest.mark.slow
def test_a_precision_that_the_processor_has_not_is_a_failed_row(reduced):
    asked = runtimes.open(reduced, "openvino", mode="bfloat16").settings["precision"]
    (row,) = runtimes.benchmark(reduced, runtimes=["openvino:bfloat16"], **SHORT)["rows"]
    if asked == "bfloat16":
        assert row["status"] == "ok"
    else:
        assert row["reason"] == "asked for bfloat16, it computes in float32" and row["status"] == "failed"


def test_several_bundles_are_one_table():
    joined = runtimes.join([renamed("first"), renamed("second")])
    assert [bundle["zoo_name"] for bundle in joined["bundles"]] == ["first", "second"]
    titles, rows = tables.cells(joined)
    assert titles[0] == "model" and {row[0] for row in rows} == {"first", "second"}
    assert len(rows) == 2 * len(tables.cells(made())[1])
    assert "first, second on" in runtimes.markdown(joined)


def test_one_model_in_two_folders_is_two_names():
    bundles = [{"path": path, "model": "VAE", "zoo_name": "vae_mnist", "sha256": "0"} for path in ("out/a", "out/b")]
    joined = runtimes.join([made(bundle=bundle) for bundle in bundles])
    assert {row["bundle"] for row in joined["rows"]} == {"out/a", "out/b"}
    again = runtimes.join([made(), made()])
    assert {row["bundle"] for row in again["rows"]} == {"out, 1", "out, 2"}


@pytest.mark.parametrize(
    ("part", "name", "value"),
    [
        ("settings", "threads", 7),
        ("settings", "calls", 9),
        ("machine", "processor", "6502"),
        ("machine", "python", "2"),
        ("machine", "flags", ["mmx"]),
        ("machine", "governor", "powersave"),
        ("machine", "quota", 0.5),
    ],
)
def test_results_of_other_settings_or_machines_are_not_joined(part, name, value):
    other = renamed("second", **{part: {**made()[part], name: value}})
    with pytest.raises(UserError, match=rf"equal settings are compared. Given: {name} .* for first.*second"):
        runtimes.join([renamed("first"), other])


def test_the_load_of_the_machine_is_no_setting():
    other = renamed("second", machine={**made()["machine"], "load": 99.0})
    assert len(runtimes.join([renamed("first"), other])["bundles"]) == 2


def test_results_are_read_again(tmp_path):
    path = tmp_path / "bench.json"
    path.write_text(json.dumps(made()))
    assert comparing.read_results(path) == made()
    path.write_text(json.dumps({**made(), "schema": "keras_vae.benchmark/1"}))
    with pytest.raises(UserError, match=r"benchmark/4'. Given: 'keras_vae.benchmark/1'"):
        comparing.read_results(path)
    path.write_text("[")
    with pytest.raises(UserError, match="Cannot read a benchmark's results"):
        comparing.read_results(path)


def test_a_bundle_without_files_for_a_runtime_is_one_row():
    rows = rows_of_a_benchmark.first_rows(bundle_of("colour"), ["keras", "litert"])
    assert [(row["runtime"], row["status"]) for row in rows] == [("keras", "no file"), ("litert", "no file")]
