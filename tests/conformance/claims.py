"""Which model can be exported to which format, and which runtimes prove it: the table of docs/benchmarks/formats.md.

A plain "yes" needs no further arguments of `export`: test_support.py exports every cell, and asserts every refusal. The
only exceptions are `NEEDS`, and models with `has_sampler = False`.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from keras_vae.core import VAE
from keras_vae.export.remedies import remedy
from keras_vae.export.support import FORMATS
from keras_vae.runtimes import registry

SAMPLER = "a posterior that is no Gaussian of its encoder's outputs has no sampler"


class Need(NamedTuple):
    """An argument that a cell needs, and the op that the error names without it."""

    words: str
    arguments: Mapping[str, Mapping[str, object]]  # constructor's argument -> what to add to it
    op: str  # the format has no counterpart of it; the error names it so

    @property
    def remedy(self) -> str:
        """The remedy that the error suggests."""
        return remedy([self.op])


NEEDS: dict[tuple[str, str], Need] = {
    ("SequenceVAE", "litert"): Need(
        "with `unroll=True` in its encoder", {"encoder": {"unroll": True}}, "TensorListReserve"
    )
}


class Cell(NamedTuple):
    """One claim: a model can be exported to a format, and a runtime agrees with Keras."""

    model: str
    format: str
    runtime: str
    need: Need | None  # None: it needs nothing


def cells(models: Iterable[str]) -> list[Cell]:
    """Return a cell for each model, format and runtime that opens the format."""
    return [
        Cell(model, format_name, runtime, NEEDS.get((model, format_name)))
        for model in models
        for format_name in FORMATS
        for runtime in registry.names()
        if format_name in registry.formats_of(runtime)
    ]


def markdown(models: Mapping[str, type[VAE]]) -> str:
    """Return the table in Markdown: a row for each model, a column for each format and its runtimes."""
    of_one = cells(list(models)[:1])
    columns = {name: [cell.runtime for cell in of_one if cell.format == name] for name in FORMATS}
    titles = ["model", *(f"{name}: {', '.join(them)}" if them != [name] else name for name, them in columns.items())]
    titles.append("--sampler")
    rows = [
        [f"`{name}`", *(_word(name, format_name) for format_name in FORMATS), "yes" if model.has_sampler else "no"]
        for name, model in models.items()
    ]
    lines = [titles, ["---"] * len(titles), *rows]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    notes = [
        f"* `{name}` in {format_name} without it: no {need.op}. {need.remedy}"
        for (name, format_name), need in NEEDS.items()
    ]
    notes.append(f"* No sampler: {SAMPLER}; the error says so.")
    notes.append(
        "* onnx_int8 is yes as long as it loses at most 1 nat of test ELBO and 2% of reconstruction error, which is "
        "measured at every export; beyond, it is refused, and written only with `--force`."
    )
    return f"{table}\n\n" + "\n".join(notes)


def _word(model: str, format_name: str) -> str:
    need = NEEDS.get((model, format_name))
    return "yes" if need is None else f"yes {need.words}"
