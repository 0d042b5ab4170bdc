"""Every model on every kind of data through every command and runtime, at toy size: it runs or says why not.

python benchmarks/kinds.py [--models VAE IWAE] [--kinds table counts] [--again] [--output FILE]

In one process. The result is written after each model and kind, and the same call goes on with what is missing.
"""

import argparse
import contextlib
import csv
import io
import json
import os
import re
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
FILE = Path(__file__).with_suffix(".json")
ROWS = 240
RUNS = "runs"  # the outcome of a call that ended well
FAULT = "FAULT"  # the beginning of one that neither ran nor said why in one line
# The runtimes, and the format that each reads.
FORMATS = {"onnxruntime": "onnx", "openvino": "openvino", "litert": "litert", "saved_model": "saved_model",
           "keras": "keras"}  # fmt: skip


class Kind(NamedTuple):
    """A kind of data: what it is, its file, and what a recipe says of it."""

    title: str
    file: str
    write: Callable[[Path], object]
    data: dict[str, Any]  # keys of [data] beside the path
    model: dict[str, Any]  # arguments of the model


def rows(words: bool) -> list[list[object]]:
    """A table of four columns and a label: real numbers; or columns that differ, with empty cells."""
    draw = np.random.default_rng(0)
    size = draw.normal(size=ROWS)
    columns: list[np.ndarray] = [
        100 + 5 * size,
        np.exp(size),
        size + draw.normal(size=ROWS),
        draw.normal(size=ROWS),
    ]
    if words:
        columns[2:] = [draw.poisson(3.0, ROWS), np.where(size > 0, "red", "blue")]
    cells = [[("" if words and (i + j) % 5 == 0 else value) for j, value in enumerate(row)]
             for i, row in enumerate(zip(*columns, strict=True))]  # fmt: skip
    return [["a", "b", "c", "d", "label"], *([*row, "xy"[i % 2]] for i, row in enumerate(cells))]


def table(words: bool = False) -> Callable[[Path], object]:
    def write(path: Path) -> None:
        with open(path, "w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows(rows(words))

    return write


def arrays(make: Callable[[np.random.Generator], np.ndarray]) -> Callable[[Path], object]:
    def write(path: Path) -> None:
        x = make(np.random.default_rng(0)).astype("float32")
        np.savez(path, x=x, label=np.arange(ROWS) % 2)
        np.save(path.with_suffix(".npy"), x)

    return write


def waves(draw: np.random.Generator) -> np.ndarray:
    x = np.sin(draw.uniform(0, 6, (ROWS, 1, 1)) + np.arange(6)[:, None] + np.arange(2))
    return np.where(np.arange(6)[:, None] < draw.integers(3, 7, (ROWS, 1, 1)), x, np.nan)


def pictures(draw: np.random.Generator) -> np.ndarray:
    """Colour gradients with noise, in [0, 1]: `(ROWS, 8, 8, 3)`."""
    slope = draw.uniform(0, 1, (ROWS, 1, 1, 3)) * np.linspace(0, 1, 8)[:, None]
    return np.clip(slope + 0.05 * draw.normal(size=(ROWS, 8, 8, 3)), 0, 1)


def words(path: Path) -> None:
    draw = np.random.default_rng(0)
    path.write_text("\n".join("".join(draw.choice([*"abc"], draw.integers(1, 5))) for _ in range(ROWS)))


_NORMAL = {"name": "normal", "standardize": True}
_ARRAY = {"source": "array", "label": "label"}
_KINDS = {"a": "real", "b": "positive", "c": "count", "d": {"categorical": ["blue", "red"]}}
KINDS: dict[str, Kind] = {
    "images": Kind("colour pictures", "x.npz", arrays(pictures), _ARRAY,
                   {"image_shape": [8, 8, 3], "likelihood": {"name": "gaussian", "scale": 1.0}}),
    "table": Kind("a table of real numbers", "x.csv", table(), {"source": "table", "label": "label"},
                  {"x_shape": [4], "likelihood": _NORMAL}),
    "columns": Kind(
        "a table of columns that differ, with empty cells",
        "x.csv",
        table(words=True),
        {"source": "table", "label": "label", "kinds": _KINDS, "missing": True},
        {"x_shape": [4], "likelihood": "mixed", "missing": "mask"},
    ),
    "counts": Kind("counts", "x.npz", arrays(lambda draw: draw.negative_binomial(2, 0.3, (ROWS, 4))), _ARRAY,
                   {"x_shape": [4], "likelihood": "negative_binomial"}),
    "series": Kind("series of several lengths", "x.npz", arrays(waves), _ARRAY,
                   {"x_shape": [6, 2], "likelihood": {"name": "normal", "scale": "channel"}, "missing": "mask",
                    "encoder": {"name": "causal", "channels": 4}, "decoder": {"name": "causal", "channels": 4}}),
    "words": Kind("words", "x.txt", words, {"source": "text", "alphabet": "abc", "length": 5},
                  {"length": 5, "vocabulary_size": 4}),
}  # fmt: skip


def commands(kind: str) -> dict[str, list[str]]:
    """Command -> its words, in a folder with the data and the run."""
    file = f"./{KINDS[kind].file}".replace(".npz", ".npy")
    return {
        "train": ["train", "r.toml", "--output", "run", "--quick", "--json"],
        "verify": ["verify", "run", "--json"],
        "evaluate": ["evaluate", "run", "--samples", "2", "--json"],
        "sample": ["sample", "run", "--count", "4", "--output", "s.npy", "--json"],
        "encode": ["encode", "run", "test[:9]", "--json"],
        "embed": ["embed", "run", "--count", "20", "--json"],
        "anomaly": ["anomaly", "run", "--count", "20", "--samples", "2", "--anomalies", file, "--json"],
        "steps": ["steps", "run", "test[:9]", "--samples", "2", "--json"],
        "impute": ["impute", "run", file, "--samples", "5", "--json"],
        "report": ["report", "run", "--count", "20", "--json"],
        "traverse": ["traverse", "run", "--json"],
        "interpolate": ["interpolate", "run", "--count", "2", "--json"],
        "manifold": ["manifold", "run", "--side", "3", "--json"],
        "attribute": ["attribute", "run", "--json"],
        "classify": ["classify", "run", "--labels", "4", "--epochs", "1", "--json"],
        "compress": ["compress", "run", "--count", "9", "--samples", "2", "--json"],
    }  # fmt: skip


COLUMNS = (*commands("table"), *FORMATS)


def outcome(call: Sequence[str]) -> str:
    """What a command did: `RUNS`, the sentence of its refusal, or `FAULT` and what there is of it."""
    from keras_vae.cli import main

    out, err = io.StringIO(), io.StringIO()
    code: object = None
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(list(call))
        except SystemExit as left:
            code = left.code
    if code == 0:
        return RUNS
    text = err.getvalue().strip()
    said = [line.removeprefix("Error: ") for line in text.splitlines() if line.startswith("Error: ")]
    fault = "Traceback" in text or "met what it does not know" in text or len(said) != 1 or code != 1
    return f"{FAULT}: {text[-1000:]}" if fault else said[0]


def recipe(model: str, kind: str) -> dict[str, Any]:
    """The changes of the tests' toy recipe that make it one of a model and a kind."""
    from tests.conformance.cases import CASES

    arguments = {name: value for name, value in CASES[model].items() if name != "seed"}
    if kind != "words":
        arguments.pop("image_shape", None)
    if kind == "series":  # whose networks are others
        arguments |= {name: KINDS[kind].model[name] for name in ("encoder", "decoder")}
    return {
        "model": {"class": model, **arguments, **KINDS[kind].model},
        "data": {**KINDS[kind].data, "path": KINDS[kind].file},
        "training.epochs": 1, "training.batch_size": 40, "training.optimizer": "adam",
        "evaluation.split": "test", "evaluation.samples": 2,
    }  # fmt: skip


def measured(model: str, kind: str, columns: Sequence[str] = COLUMNS) -> dict[str, str]:
    """The outcome of each column, in an empty folder; of what is not trained, that of `train` alone."""
    from tests import toy_runs

    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            KINDS[kind].write(Path(KINDS[kind].file))
            toy_runs.write_recipe(Path("r.toml"), recipe(model, kind))
            row = {}
            for command, call in commands(kind).items():
                if command in columns:
                    row[command] = _worded(outcome(call), model, folder)
                if row.get("train", RUNS) != RUNS:
                    return row
            runtimes = [name for name in columns if name in FORMATS]
            whole = exported(*(FORMATS[name] for name in runtimes))
            # Where one is refused, they are tried one by one.
            each = {name: RUNS if whole == RUNS else exported(FORMATS[name]) for name in runtimes}
            return row | {name: _worded(text, model, folder) for name, text in each.items()}
        finally:
            os.chdir(before)


def exported(*formats: str) -> str:
    """The outcome of an export to some formats, and of the check of the bundle."""
    folder = "-".join(formats)
    done = outcome(["export", "run", folder, *(word for name in formats for word in ("--format", name)), "--json"])
    return done if done != RUNS else outcome(["check", folder, "--json"])


def _worded(text: str, model: str, folder: str) -> str:
    """A message without what differs from model to model and from run to run."""
    text = text.replace(os.path.realpath(folder), ".").replace(folder, ".")
    return re.sub(rf"\b{model}\b", "MODEL", text)


def faults(cells: dict[str, dict[str, dict[str, str]]]) -> list[str]:
    """The cells that are missing, and those that neither run nor are refused."""
    from keras_vae.models import MODELS

    lines = []
    for model in MODELS:
        for kind in KINDS:
            row = cells.get(model, {}).get(kind, {})
            needed = COLUMNS if row.get("train") == RUNS else ("train",)
            lines += [f"{model} {kind} {name}: missing" for name in needed if not row.get(name)]
            lines += [f"{model} {kind} {name}: {said}" for name, said in row.items() if said.startswith(FAULT)]
            if row.get("verify", RUNS) != RUNS:  # what a card says can be measured again
                lines.append(f"{model} {kind} verify: {row['verify']}")
    return lines


def markdown(results: dict[str, Any]) -> str:
    """The table: a row for each command or runtime, a column for each kind, and the reasons below."""
    cells, reasons = results["cells"], {}

    def note(said: str) -> str:
        return f"({reasons.setdefault(said, len(reasons) + 1)})"

    def cell(kind: str, name: str) -> str:
        of_models = {model: of[kind].get(name) for model, of in cells.items()}
        tried = {model: said for model, said in of_models.items() if said is not None}
        run = [model for model, said in tried.items() if said == RUNS]
        refused: dict[str, list[str]] = {}
        for model, said in tried.items():
            if said != RUNS:
                refused.setdefault(note(said), []).append(model)
        parts = [f"{', '.join(f'`{model}`' for model in models)} {mark}" for mark, models in refused.items()]
        if not tried:
            return ""
        if not run:
            return f"no {' '.join(refused)}"
        if not refused:
            return "all" if len(run) > 1 else f"`{run[0]}`"
        if len(run) <= 2:
            return f"{', '.join(f'`{model}`' for model in run)}; not others {' '.join(refused)}"
        return f"all but {', '.join(parts)}"

    lines = [f"| | {' | '.join(kind.title for kind in KINDS.values())} |", "| --- |" + " --- |" * len(KINDS)]
    lines += [f"| `{name}` | {' | '.join(cell(kind, name) for kind in KINDS)} |" for name in COLUMNS]
    notes = [f"{number}. {said}" for said, number in reasons.items()]
    head = f"{len(cells)} models. `train` says which of them take the kind; the rows below are of these.\n\n"
    return head + "\n".join(lines) + "\n\n" + "\n".join(notes)


def main() -> int:
    from keras_vae.models import MODELS

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--again", action="store_true", help="also what is there")
    parser.add_argument("--output", type=Path, default=FILE)
    arguments = parser.parse_args()
    from keras_vae import files

    file = arguments.output
    cells = json.loads(file.read_text(encoding="utf-8"))["cells"] if file.is_file() else {}
    for kind in arguments.kinds:
        for model in arguments.models:
            if arguments.again or kind not in cells.get(model, {}):
                cells.setdefault(model, {})[kind] = measured(model, kind)
                print(
                    model,
                    kind,
                    {name: said[:80] for name, said in cells[model][kind].items() if said != RUNS},
                    flush=True,
                )
                files.write_json(file, {"cells": {name: cells[name] for name in sorted(cells)}})
    print("\n".join(faults(cells)) or "No cell is empty, and none is a fault.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
