"""quickstart: the main job in one command, and its report."""

import json
import os
import re
import resource

import matplotlib.image
import pytest

from keras_vae.benchmarking.rows import label
from keras_vae.cli import main
from keras_vae.pages import quickstart
from tests import toy_runs
from tests.pages.test_html import Balanced

PICTURES = ["curves.png", "reconstructions.png", "samples.png", "traversal.png"]


def check(folder, printed):
    """What both the toy's and the real quickstart leave."""
    summary = json.loads((folder / "quickstart.json").read_text())
    assert json.loads(printed) == summary, "one JSON document on standard output, the same as the file"
    assert sorted(os.listdir(folder)) == sorted(
        [*PICTURES, "bench.json", "bench.png", "bundle", "quickstart.json", "report.html"]
    )
    for name in [*PICTURES, "bench.png"]:
        height, width = matplotlib.image.imread(folder / name).shape[:2]
        assert height > 50 and width > 200, name
    text = (folder / "report.html").read_text(encoding="utf-8")
    page = Balanced(text)
    assert len([1 for tag, name, value in page.attributes if (tag, name) == ("img", "src")]) == 5
    assert all(value.startswith("data:image/png;base64,") for _, name, value in page.attributes if name == "src")
    assert not re.search(r'(src|href)\s*=\s*"(?!data:)', text), "the page loads nothing"
    for metric, row in summary["verified"].items():
        assert metric in page.of("td") and f"{row['measured']:.4f}" in page.of("td")
    for row in summary["benchmark"]["rows"]:
        if row["status"] == "ok":
            assert label(row) in page.of("td")
    return summary


@pytest.fixture
def toy_quickstart(run, monkeypatch, tmp_path):
    """The toy run in place of the real model; ONNX only, and few calls."""
    from keras_vae import runtimes as known
    from keras_vae.benchmarking import rounds

    def few(bundle, runtimes):
        assert {name.partition(":")[0] for name in runtimes} == set(known.names())
        return rounds.benchmark(bundle, batch_sizes=(1, 8), runtimes=["onnxruntime"], calls=20)

    monkeypatch.setattr(known, "benchmark", few, raising=False)
    monkeypatch.setattr(quickstart, "MODEL", str(run))
    monkeypatch.setattr(quickstart, "formats_here", lambda: ("onnx",))
    monkeypatch.chdir(tmp_path)


def test_the_pieces_with_a_toy(toy_quickstart, run, capsys, tmp_path, monkeypatch):
    with pytest.raises(SystemExit) as left:
        main(["quickstart", "--json"])
    printed = capsys.readouterr()
    assert left.value.code == 0, printed.err
    folder = tmp_path / "runs/quickstart"
    summary = check(folder, printed.out)
    assert summary["model"] == "toy" and summary["report"] == "runs/quickstart/report.html"
    assert os.listdir(tmp_path / "runs") == ["quickstart"]

    # No room for the report: the folder stays as the first run left it.
    from keras_vae import files

    write_text = files.write_text

    def limited(path, text):
        if str(path).endswith("report.html"):
            resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, resource.RLIM_INFINITY))
        try:
            write_text(path, text)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    before = {name: (folder / name).stat().st_mtime_ns for name in os.listdir(folder)}
    monkeypatch.setattr(files, "write_text", limited)
    with pytest.raises(SystemExit) as left:
        main(["quickstart", "--json"])
    printed = capsys.readouterr()
    assert left.value.code == 1 and printed.out == ""
    assert re.fullmatch(r"Error: Cannot write \S*report\.html: File too large\. .*\n", printed.err)
    assert {name: (folder / name).stat().st_mtime_ns for name in os.listdir(folder)} == before
    assert os.listdir(tmp_path / "runs") == ["quickstart"], "no hidden temporary folder"


def test_a_foreign_folder_is_refused(toy_quickstart, capsys, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis/chapter.tex").write_text("precious")
    with pytest.raises(SystemExit) as left:
        main(["quickstart", "--output", "thesis"])
    assert left.value.code == 1
    assert "(with quickstart.json in it). Given: thesis, which has other contents." in capsys.readouterr().err
    assert os.listdir(tmp_path / "thesis") == ["chapter.tex"]


@pytest.mark.slow
def test_the_whole_command(tmp_path):
    """As `make quickstart` runs it."""
    done = toy_runs.cli(["quickstart", "--json"], tmp_path, timeout=900)
    assert done.returncode == 0, done.stderr[-3000:]
    # TensorFlow Lite says which delegate it made, whatever its log level.
    assert [line for line in done.stderr.splitlines() if not line.startswith("INFO: ")] == []
    summary = check(tmp_path / "runs/quickstart", done.stdout)
    assert summary["model"] == "beta_vae_mnist"
    assert summary["seconds"] > 0
    timed = {row["runtime"] for row in summary["benchmark"]["rows"] if row["status"] == "ok"}
    assert {"keras", "saved_model", "onnxruntime"} <= timed
    for row in summary["verified"].values():
        assert abs(row["difference"]) <= row["tolerance"]
