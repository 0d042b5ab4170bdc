"""The table of models, kinds of data, commands and runtimes: whole, without a fault, and still true of some cells."""

import json

import pytest

from keras_vae.models import MODELS
from tests.benchmarking.programs import program

kinds = program("kinds")


def recorded():
    return json.loads(kinds.FILE.read_text(encoding="utf-8"))["cells"]


def test_no_cell_is_empty_and_none_is_a_fault():
    """A model that is new has none yet: python benchmarks/kinds.py --models NAME."""
    assert kinds.faults(recorded()) == []


def test_faults_are_seen():
    row = dict.fromkeys(kinds.COLUMNS, kinds.RUNS)
    cells = {model: dict.fromkeys(kinds.KINDS, row) for model in MODELS}
    assert kinds.faults(cells) == []
    cells["VAE"] = {**cells["VAE"], "table": {**row, "steps": "FAULT: Traceback", "verify": "The card lies."}}
    cells["IWAE"] = {kind: {"train": "No."} for kind in kinds.KINDS if kind != "counts"}
    assert kinds.faults(cells) == [
        "VAE table steps: FAULT: Traceback", "VAE table verify: The card lies.", "IWAE counts train: missing",
    ]  # fmt: skip


def test_the_table_says_who_is_left_out_and_why():
    row = dict.fromkeys(kinds.COLUMNS, kinds.RUNS)
    cells = {model: dict.fromkeys(kinds.KINDS, row) for model in ("A", "B", "C", "D")}
    cells["B"] = {**cells["B"], "counts": {"train": "No counts."}}
    cells["C"] = {**cells["C"], "counts": {**row, "steps": "No steps."}}
    for model in cells:
        cells[model] = {**cells[model], "words": {"train": "No words."}}
    lines = kinds.markdown({"cells": cells}).splitlines()
    table = {line.split("|")[1].strip(" `"): [cell.strip() for cell in line.split("|")[2:-1]] for line in lines
             if line.startswith("| `")}  # fmt: skip
    column = list(kinds.KINDS).index("counts")
    assert table["train"][column] == "all but `B` (1)" and table["train"][-1] == "no (2)"
    assert table["steps"][column] == "`A`, `D`; not others (3)" and table["steps"][0] == "all"
    assert table["steps"][-1] == "" and lines[-3:] == ["1. No counts.", "2. No words.", "3. No steps."]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "kind"), [("IWAE", "columns"), ("HierarchicalVAE", "series"), ("VQVAE", "counts"), ("CVAE", "words")]
)
def test_cells_are_as_recorded(model, kind):
    assert kinds.measured(model, kind) == recorded()[model][kind]
