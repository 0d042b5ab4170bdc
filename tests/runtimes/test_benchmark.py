"""The benchmark's figures, its rows for what cannot be timed, and the end of its workers, however they end."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from keras_vae import runtimes
from keras_vae.errors import UserError
from keras_vae.runtimes import rounds, workers
from tests.export.bundles import bundle_of, copied

SHORT = {"batch_sizes": (1, 8), "rounds": 2, "calls": 40, "seconds": 0.001, "threads": 1}


@pytest.fixture(scope="module")
def results():
    return runtimes.benchmark(bundle_of("colour"), **SHORT)


def rows_of(results):
    return {row["runtime"]: row for row in results["rows"]}


def test_every_runtime_has_a_row(results):
    rows = rows_of(results)
    assert list(rows) == runtimes.names()
    assert {name: row["status"] for name, row in rows.items()} == {
        "keras": "no file",
        "saved_model": "no file",
        "onnxruntime": "ok",
        "openvino": "ok",
        "litert": "no file",
    }
    assert "--format litert" in rows["litert"]["reason"]


def test_figures_are_of_the_calls_asked_for(results):
    for name in ("onnxruntime", "openvino"):
        row = rows_of(results)[name]
        for signature in ("encode", "decode"):
            assert set(row[signature]) == {"1", "8"}
            one, eight = row[signature]["1"], row[signature]["8"]
            assert one["calls"] >= 40 and eight["calls"] >= 6
            assert 0 < one["p50_us"] <= one["p90_us"] <= one["p99_us"]
            # Both are of the same calls, so the rate lies near batch / median; a loaded machine can double the mean.
            assert 0.1 < eight["images_per_second"] * eight["p50_us"] / 8e6 < 3


def test_conditions_are_recorded(results):
    assert results["schema"] == "keras_vae.benchmark/2"
    assert results["settings"]["threads"] == 1
    for name in ("onnxruntime", "openvino"):
        row = rows_of(results)[name]
        assert row["settings"]["threads"] == 1 and row["settings"]["precision"] == "float32"
        assert max(row["errors"].values()) < 1e-5
        assert row["version"] == runtimes.installed()[name].version
    assert rows_of(results)["onnxruntime"]["settings"]["spinning"] is True
    assert results["machine"]["processors"] >= 1 and results["machine"]["processor"]
    json.dumps(results, allow_nan=False)


def test_summary_against_hand_computed_figures():
    # Two turns at batch 10: calls of 1 to 100 us, and 100 calls of 50 us.
    turns = [[1000 * microseconds for microseconds in range(1, 101)], [50_000] * 100]
    summary = rounds._summary(turns, 10)
    assert summary["calls"] == 200
    assert summary["p50_us"] == 50
    assert summary["p99_us"] == pytest.approx(np.percentile([*range(1, 101), *[50] * 100], 99), abs=0.01)
    # 1,000 images in 5,050 us, and 1,000 in 5,000 us: the median of two rates is their mean.
    assert summary["images_per_second"] == pytest.approx((1000 / 5.05e-3 + 1000 / 5e-3) / 2, abs=0.1)


def test_a_runtime_that_is_not_installed_is_a_row(monkeypatch):
    there = runtimes._is_there
    monkeypatch.setattr(runtimes, "_is_there", lambda module: module != "openvino" and there(module))
    row = rows_of(runtimes.benchmark(bundle_of("colour"), runtimes=["openvino"], **SHORT))["openvino"]
    assert row["status"] == "unavailable" and "pip install openvino" in row["reason"]


@pytest.fixture
def started(monkeypatch):
    """Every worker process that the test has started."""
    found = []
    original = workers.WorkerProcess.__init__

    def remember(self, *arguments):
        original(self, *arguments)
        found.append(self._process)

    monkeypatch.setattr(workers.WorkerProcess, "__init__", remember)
    return found


def during_the_third_turn(monkeypatch, action):
    turns = []
    original = rounds._Bench._turn

    def turn(self, worker, row, *arguments):
        turns.append(row["runtime"])
        if len(turns) == 3:
            action(worker)
        original(self, worker, row, *arguments)

    monkeypatch.setattr(rounds._Bench, "_turn", turn)


def test_a_worker_that_crashes_is_a_row(monkeypatch, started):
    during_the_third_turn(monkeypatch, lambda worker: os.kill(worker._process.pid, signal.SIGKILL))
    rows = rows_of(runtimes.benchmark(bundle_of("colour"), runtimes=["onnxruntime", "openvino"], **SHORT))
    assert rows["onnxruntime"]["status"] == "failed"
    assert "its process ended with status -9" in rows["onnxruntime"]["reason"]
    assert "encode" not in rows["onnxruntime"]
    assert rows["openvino"]["status"] == "ok"
    assert all(process.poll() is not None for process in started)


def test_a_worker_that_hangs_is_given_up(monkeypatch, started):
    during_the_third_turn(monkeypatch, lambda worker: os.kill(worker._process.pid, signal.SIGSTOP))
    before = time.monotonic()
    rows = rows_of(runtimes.benchmark(bundle_of("colour"), runtimes=["onnxruntime"], timeout=5, **SHORT))
    assert "no answer in 5 s" in rows["onnxruntime"]["reason"]
    assert time.monotonic() - before < 30
    assert all(process.poll() is not None for process in started)


def test_ctrl_c_ends_the_workers(monkeypatch, started):
    def interrupt(worker):
        raise KeyboardInterrupt

    during_the_third_turn(monkeypatch, interrupt)
    with pytest.raises(KeyboardInterrupt):
        runtimes.benchmark(bundle_of("colour"), runtimes=["onnxruntime", "openvino"], **SHORT)
    assert len(started) == 2 and all(process.poll() is not None for process in started)


def test_a_worker_ends_with_its_input():
    process = subprocess.Popen(
        [sys.executable, "-m", "keras_vae.runtimes.worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    process.communicate(timeout=60)
    assert process.returncode == 0


def test_wrong_outputs_are_not_timed(tmp_path):
    from tests.export.test_parity import resealed

    folder = copied("colour", tmp_path)

    def nudge(graphs):
        graphs["encoder"]["outputs"]["mean"]["data"][0] += 1e-3

    resealed(folder, nudge)
    row = rows_of(runtimes.benchmark(folder, runtimes=["onnxruntime"], **SHORT))["onnxruntime"]
    assert row["status"] == "failed" and "encode" not in row
    assert "not timed, because its outputs are wrong: on onnxruntime, the encoder's 'mean' differs" in row["reason"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_sizes": ()}, "at least one batch size"),
        ({"batch_sizes": (0,)}, "batch_sizes must be a whole number"),
        ({"threads": -1}, "threads must be a whole number"),
        ({"runtimes": ["torch"]}, "Unknown runtime 'torch'"),
    ],
)
def test_arguments_that_do_not_fit(arguments, message):
    with pytest.raises(UserError, match=message):
        runtimes.benchmark(bundle_of("colour"), **arguments)


def test_markdown_has_a_line_for_each_call_and_each_reason(results):
    text = runtimes.markdown(results)
    row = rows_of(results)["onnxruntime"]["encode"]
    latency = " | ".join(f"{row['1'][key]:,.0f}" for key in ("p50_us", "p90_us", "p99_us"))
    assert f"| onnxruntime | encode | {latency} | {row['8']['images_per_second']:,.0f} |" in text
    assert "* keras: no file." in text
    assert "1 threads, float32" in text
    widths = {line.count("|") for line in text.splitlines() if line.startswith("|")}
    assert widths == {7, 9}  # the table of times, and the table of costs
    size = rows_of(results)["onnxruntime"]["file_bytes"] / 1e6
    assert f"| onnxruntime | float32 | {size:.2f} |" in text


def test_the_picture_is_written_whole(results, tmp_path):
    from matplotlib.image import imread

    path = runtimes.plot(results, tmp_path / "bench.png")
    pixels = imread(path)
    blue, orange = (np.array([int(code[i : i + 2], 16) for i in (1, 3, 5)]) / 255 for code in ("#0072B2", "#E69F00"))
    for colour in (blue, orange):  # the bars of encode and of decode
        assert (np.abs(pixels[..., :3] - colour).max(axis=-1) < 0.01).sum() > 500
    assert [each.name for each in tmp_path.iterdir()] == ["bench.png"]


def test_nothing_timed_is_nothing_to_draw(results, tmp_path):
    with pytest.raises(UserError, match=r"no runtime was timed. litert: no file"):
        runtimes.plot({**results, "rows": [rows_of(results)["litert"]]}, tmp_path / "bench.png")
