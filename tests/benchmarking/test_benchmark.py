"""The benchmark's figures, its rows for what cannot be timed, and the end of its workers, however they end."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from keras_vae import runtimes
from keras_vae.benchmarking import machine, rounds, rows, tables, workers
from keras_vae.errors import UserError
from keras_vae.runtimes import registry
from tests.export.bundles import bundle_of, copied

SHORT = {"batch_sizes": (1, 8), "rounds": 2, "calls": 40, "seconds": 0.001, "threads": 1, "cold_starts": 2}


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
            assert one["bare_p50_us"] > 0 and eight["bare_p50_us"] > 0
            assert eight["images_per_second"] > 0


def test_conditions_are_recorded(results):
    assert results["schema"] == "keras_vae.benchmark/4"
    assert results["settings"]["threads"] == 1
    for name in ("onnxruntime", "openvino"):
        row = rows_of(results)[name]
        assert row["settings"]["threads"] == 1 and row["settings"]["precision"] == "float32"
        assert max(row["errors"].values()) < 1e-5
        assert row["version"] == runtimes.installed()[name].version
    assert rows_of(results)["onnxruntime"]["settings"]["spinning"] is True
    assert results["machine"]["processors"] >= 1 and results["machine"]["processor"]
    assert {"flags", "quota", "governor", "environment", "keras_vae", "commit", "load"} <= set(results["machine"])
    assert results["warnings"] == machine.warnings(results["machine"])
    json.dumps(results, allow_nan=False)


def test_summary_against_hand_computed_figures():
    # Two turns at batch 10: calls of 1 to 100 us, and 100 calls of 50 us.
    turns = [[1000 * microseconds for microseconds in range(1, 101)], [50_000] * 100]
    bare = [[500 * microseconds for microseconds in range(1, 101)], [25_000] * 101]
    summary = rows.summary(turns, bare, 10)
    assert summary["calls"] == 200
    assert summary["p50_us"] == 50 and summary["bare_p50_us"] == 25
    assert summary["p99_us"] == pytest.approx(np.percentile([*range(1, 101), *[50] * 100], 99), abs=0.01)
    # 1,000 images in 5,050 us, and 1,000 in 5,000 us: the median of two rates is their mean.
    assert summary["images_per_second"] == pytest.approx((1000 / 5.05e-3 + 1000 / 5e-3) / 2, abs=0.1)


def test_a_runtime_that_is_not_installed_is_a_row(monkeypatch):
    there = registry._is_there
    monkeypatch.setattr(registry, "_is_there", lambda module: module != "openvino" and there(module))
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

    def turn(self, entry, *arguments):
        turns.append(entry.row["runtime"])
        if len(turns) == 3:
            action(entry.worker)
        original(self, entry, *arguments)

    monkeypatch.setattr(rounds._Bench, "_turn", turn)


def test_a_worker_that_crashes_is_a_row(monkeypatch, started):
    during_the_third_turn(monkeypatch, lambda worker: os.kill(worker._process.pid, signal.SIGKILL))
    rows = rows_of(runtimes.benchmark(bundle_of("colour"), runtimes=["onnxruntime", "openvino"], **SHORT))
    assert rows["onnxruntime"]["status"] == "failed"
    assert "its process ended with status -9" in rows["onnxruntime"]["reason"]
    assert "encode" not in rows["onnxruntime"]
    assert rows["openvino"]["status"] == "ok"
    assert all(process.poll() is not None for process in started)


@pytest.mark.slow
def test_a_worker_that_hangs_is_given_up(monkeypatch, started):
    during_the_third_turn(monkeypatch, lambda worker: os.kill(worker._process.pid, signal.SIGSTOP))
    rows = rows_of(runtimes.benchmark(bundle_of("colour"), runtimes=["onnxruntime"], timeout=5, **SHORT))
    assert "no answer in 5 s" in rows["onnxruntime"]["reason"]
    assert all(process.poll() is not None for process in started)


def test_ctrl_c_ends_the_workers(monkeypatch, started):
    def interrupt(worker):
        raise KeyboardInterrupt

    during_the_third_turn(monkeypatch, interrupt)
    with pytest.raises(KeyboardInterrupt):
        runtimes.benchmark(bundle_of("colour"), runtimes=["onnxruntime", "openvino"], **SHORT)
    assert len(started) == 4 and all(process.poll() is not None for process in started)


def test_a_worker_ends_with_its_input():
    process = subprocess.Popen(
        [sys.executable, "-m", "keras_vae.benchmarking.worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    process.communicate(timeout=300)
    assert process.returncode == 0


def test_wrong_outputs_are_not_timed(tmp_path):
    from tests.export.test_parity import resealed

    folder = copied("colour", tmp_path)

    def nudge(graphs):
        graphs["encoder"]["outputs"]["mean"]["data"][0] += 1e-3

    resealed(folder, nudge)
    row = rows_of(runtimes.benchmark(folder, runtimes=["onnxruntime"], **SHORT))["onnxruntime"]
    assert row["status"] == "failed" and "encode" not in row
    assert (
        "not timed, because its outputs are wrong: on onnxruntime, the encoder's 'mean' in onnx differs"
        in row["reason"]
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_sizes": ()}, "at least one batch size"),
        ({"batch_sizes": (1, 10**9)}, r"batch_sizes examples must fit in memory.*takes [\d,.]+ GB. Take \d+ or fewer"),
        ({"batch_sizes": (0,)}, "batch_sizes must be a whole number"),
        ({"threads": -1}, "threads must be a whole number"),
        ({"threads": 100_000}, r"threads must be at most \d+, the processors.*Given: 100000\. Leave it out"),
        ({"runtimes": ["torch"]}, "Unknown runtime 'torch'"),
    ],
)
def test_arguments_that_do_not_fit(arguments, message):
    with pytest.raises(UserError, match=message):
        runtimes.benchmark(bundle_of("colour"), **arguments)


def test_a_busy_machine_is_said(results):
    described = {**results["machine"], "processors": 4}
    assert machine.warnings({**described, "load": 1.0}) == []
    (said,) = machine.warnings({**described, "load": 1.5})
    assert "busy before the start, with 1.5 of 4 processors at work" in said
    assert said in runtimes.markdown({**results, "warnings": [said]})


def test_each_row_starts_alone_and_every_bundle_takes_part_in_each_round(monkeypatch, tmp_path):
    """A cold start is from the start of a process to its answer, and no other answers meanwhile, however many rows."""
    events = []
    start, ask = workers.WorkerProcess.__init__, workers.WorkerProcess.ask

    def starting(self, *arguments):
        events.append(("starts", self))
        start(self, *arguments)

    def asking(self, do, **arguments):
        events.append((do, self))
        answer = ask(self, do, **arguments)
        events.append((f"{do} answered", self))
        return answer

    monkeypatch.setattr(workers.WorkerProcess, "__init__", starting)
    monkeypatch.setattr(workers.WorkerProcess, "ask", asking)
    both = [bundle_of("colour"), copied("colour", tmp_path)]
    first, second = rounds.benchmark_all(both, runtimes=["onnxruntime", "openvino"], **SHORT)
    assert [row["status"] for each in (first, second) for row in each["rows"]] == ["ok"] * 4

    names = [name for name, _ in events]
    last = max(place for place, name in enumerate(names) if name == "starts")
    opening = [name for name in names[: last + 3] if not name.startswith("compare")]
    assert opening == ["starts", "open", "open answered"] * 8, "four rows, each in two processes, one after the other"
    for place, (name, worker) in enumerate(events):
        if not name.endswith("answered") and name != "starts":
            assert events[place + 1] == (f"{name} answered", worker), "no two workers compute at once"
    # The workers that compare hold golden.json and its outputs; none of them is timed, or asked for its memory.
    compared = {id(worker) for name, worker in events if name == "compare"}
    timed = [id(worker) for name, worker in events if name == "time"]
    assert len(compared) == 4 and not compared & set(timed)
    # Round by round, all four rows in turn.
    assert len(set(timed)) == 4 and timed == timed[:4] * (len(timed) // 4)


def test_the_cold_start_is_the_best_and_counts_the_process_from_its_start(monkeypatch):
    clock = iter(
        [100.0, 0.0, 7.0, 10.0, 13.0, 20.0, 24.0, 200.0, 300.0]
    )  # the whole, then three starts of 7, 3 and 4 s
    monkeypatch.setattr(rounds.time, "perf_counter", lambda: next(clock))
    options = {**SHORT, "cold_starts": 3}
    (row,) = runtimes.benchmark(bundle_of("colour"), runtimes=["onnxruntime"], **options)["rows"]
    assert row["cold_start_seconds"] == 3.0 and row["open_seconds"] > 0


def test_markdown_has_a_line_for_each_call_and_each_reason(results):
    text = runtimes.markdown(results)
    found = rows_of(results)["onnxruntime"]["scenarios"]["encode"]
    single, offline = found["single_stream"], found["offline"]
    latency = f"{single['p50_us']:,.0f} | {single['p90_us']:,.0f} | ~{single['p99_us']:,.0f}"
    latency += f" | {single['bare_p50_us']:,.0f}"
    assert f"| onnxruntime | encode | {latency} | {offline['images_per_second']:,.0f} | {offline['batch']} |" in text
    assert "| single_stream p50, µs | p90, µs | p99, µs | bare call p50, µs | offline, images/s | at batch |" in text
    assert "* ~: p99 of fewer than 1,000 calls." in text
    assert "* OpenVINO answers one call at a time" in text
    assert "* keras: no file." in text
    assert "1 threads, float32" in text
    widths = {line.count("|") for line in text.splitlines() if line.startswith("|")}
    assert widths == {9}  # the table of times, and the table of costs
    size = rows_of(results)["onnxruntime"]["file_bytes"] / 1e6
    assert f"| onnxruntime | float32 | {size:.2f} |" in text


def test_p99_of_enough_calls_is_a_figure_like_the_others():
    figures = {"batch": 1, "calls": 1000, "p50_us": 1.0, "p90_us": 2.0, "p99_us": 3.0}
    offline = {"batch": 32, "images_per_second": 1234.5}
    assert tables.scenario_cells({"single_stream": figures, "offline": offline}) == ["1", "2", "3", "1,234", "32"]
    figures["calls"] = 999
    assert tables.scenario_cells({"single_stream": figures, "offline": offline})[2] == "~3"


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
