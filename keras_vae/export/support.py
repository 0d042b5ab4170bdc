"""Which model can be exported to which format, and which runtimes prove it: the table of README.md.

A plain "yes" is what `export` does without further words: tests/conformance/test_support.py exports every cell so, and
asserts every refusal. `NEEDS` and `WITHOUT_SAMPLER` are the exceptions, and all of them.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from keras_vae import runtimes
from keras_vae.export.remedies import remedy

FORMATS = ("saved_model", "onnx", "onnx_fp16", "onnx_int8", "litert", "openvino", "keras")
SAMPLER = "a posterior that is no Gaussian of its encoder's outputs has no sampler"
# Their posterior is no Gaussian that the encoder's mean and log_var describe, or they have none.
WITHOUT_SAMPLER = frozenset(
    ("AAE", "AE", "FlowVAE", "FSQVAE", "HypersphericalVAE", "RAE", "ResidualVQVAE", "VQVAE", "WAE")
)


class Need(NamedTuple):
    """What has to be chosen for a cell, and what the error says of a model without it."""

    words: str
    arguments: Mapping[str, Any]  # by name of a constructor's argument, what to add to it
    op: str  # that the format has no counterpart of, as the error names it

    @property
    def remedy(self) -> str:
        """What the error tells to write instead."""
        return remedy([self.op])


NEEDS: dict[tuple[str, str], Need] = {
    ("SequenceVAE", "litert"): Need(
        "with `unroll=True` in its encoder", {"encoder": {"unroll": True}}, "TensorListReserve"
    )
}


class Cell(NamedTuple):
    """One claim."""

    model: str
    format: str
    runtime: str
    need: Need | None  # what has to be chosen for it; None: nothing


def cells(models: Iterable[str]) -> list[Cell]:
    """A cell for each model, format and runtime that opens the format."""
    return [
        Cell(model, each, runtime, NEEDS.get((model, each)))
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
    titles.append("--sampler")
    rows = [[f"`{model}`", *(_word(model, each) for each in FORMATS), _sampler(model)] for model in models]
    lines = [titles, ["---"] * len(titles), *rows]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    notes = [f"* `{model}` in {each} without it: no {need.op}. {need.remedy}" for (model, each), need in NEEDS.items()]
    notes.append(f"* No sampler: {SAMPLER}; the error says so.")
    notes.append(
        "* onnx_int8 is yes as long as it loses at most 1 nat of test ELBO and 2% of reconstruction error, which is "
        "measured at every export; beyond, it is refused, and written only with `--force`."
    )
    return f"{table}\n\n" + "\n".join(notes)


def _word(model: str, format_name: str) -> str:
    need = NEEDS.get((model, format_name))
    return "yes" if need is None else f"yes {need.words}"


def _sampler(model: str) -> str:
    return "no" if model in WITHOUT_SAMPLER else "yes"
