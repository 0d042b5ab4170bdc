"""Which model can be exported to which format, and which runtimes prove it: the table of README.md.

A cell is claimed unless `CANNOT` says otherwise; tests/conformance/test_support.py proves every claim, and every entry
of `CANNOT`.
"""

from collections.abc import Iterable
from typing import NamedTuple

from keras_vae import runtimes
from keras_vae.export.remedies import remedy

FORMATS = ("saved_model", "onnx", "onnx_fp16", "onnx_int8", "litert", "openvino", "keras")
# (model, format) -> the op that the format has no counterpart of, as the error names it
CANNOT: dict[tuple[str, str], str] = {}
# (model, format) -> what has to be chosen for it; without it, the error says so: tests/export/test_steps.py
ONLY = {("SequenceVAE", "litert"): "with `unroll=True` in its encoder"}


class Cell(NamedTuple):
    """One claim."""

    model: str
    format: str
    runtime: str
    op: str | None  # what stands in the way; None: it works

    @property
    def remedy(self) -> str | None:
        """What to write instead."""
        return None if self.op is None else remedy([self.op])


def cells(models: Iterable[str]) -> list[Cell]:
    """A cell for each model, format and runtime that opens the format."""
    return [
        Cell(model, each, runtime, CANNOT.get((model, each)))
        for model in models
        for each in FORMATS
        for runtime in runtimes.names()
        if each in runtimes.formats_of(runtime)
    ]


def markdown(models: Iterable[str]) -> str:
    """The table: a row for each model, a column for each format and the runtimes that were compared with Keras."""
    models = list(models)
    columns = {each: [cell.runtime for cell in cells(models[:1]) if cell.format == each] for each in FORMATS}
    titles = ["model", *(f"{each}: {', '.join(names)}" if names != [each] else each for each, names in columns.items())]
    rows = [[f"`{model}`", *(_word(model, each) for each in FORMATS)] for model in models]
    lines = [titles, ["---"] * len(titles), *rows]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    reasons = [f"* `{model}` in {each}: no {op}. {remedy([op])}" for (model, each), op in CANNOT.items()]
    return "\n\n".join(filter(None, [table, "\n".join(reasons)]))


def _word(model: str, format_name: str) -> str:
    op = CANNOT.get((model, format_name))
    return " ".join(filter(None, ["yes", ONLY.get((model, format_name))])) if op is None else f"no: {op}"
