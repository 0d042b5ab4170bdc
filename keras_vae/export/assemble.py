"""From a model to a bundle on disk: written, checked, opened in its runtimes and compared, and only then named."""

import functools
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_vae import checks, files
from keras_vae import runtimes as known_runtimes
from keras_vae.errors import ExportError, UnavailableError, UserError
from keras_vae.export import cases as trials
from keras_vae.export.facts import as_text, facts_of
from keras_vae.export.formats import FORMATS
from keras_vae.export.graphs import TracedGraph, as_float32, graphs_of, trace
from keras_vae.export.latent import latent_facts
from keras_vae.export.parity import (
    Case,
    golden_cases,
    golden_limits,
    int8_limits,
    lifted,
    limits,
    measure,
    refused,
    require,
    statistics,
)
from keras_vae.export.quality import loses_too_much, measure_quality, require_quality
from keras_vae.export.work import OPSET, OPSETS, Work
from keras_vae.registry import choose
from keras_vae.runtimes.bundle import GOLDEN, MANIFEST, SCHEMA, Bundle, Parity, digest, fingerprints, manifest_text

if TYPE_CHECKING:
    from keras_vae.core import VAE
    from keras_vae.priors.base import FittedPrior
    from keras_vae.runtimes.base import Runtime

QUALITY_EXAMPLES = 1000


def export(
    model: "VAE",
    output: str | Path,
    formats: Sequence[str] = ("saved_model", "onnx"),
    overwrite: bool = False,
    opset: int = OPSET,
    batch: int | None = None,
    sampler: bool = False,
    force: bool = False,
    prior: "FittedPrior | None" = None,
) -> Bundle:
    """Write a model's encoder and decoder to `output`, and prove that each runtime here agrees with Keras.

    Graphs: `encoder`, x -> the posterior's parameters; `decoder`, z -> the likelihood's parameters and `mean`, an
    image. They hold no random op. The folder appears whole, or not at all.

    The same weights and versions give the same bytes of `onnx`, `onnx_fp16`, `onnx_int8`, `openvino` and `golden.json`,
    whatever the process did before. `saved_model`, `litert` and `keras` hold names that TensorFlow and Keras number by
    what was built before, and need not be equal byte by byte; `bundle.json` holds measured differences.

    Args:
      model: a `keras_vae.models.VAE`; one of mixed precision is exported with the same weights in float32.
      output: a folder that is new, empty, or a bundle, which is replaced.
      formats: any of `"saved_model"`, `"onnx"`, `"onnx_fp16"`, `"onnx_int8"`, `"litert"`, `"openvino"`, `"keras"`.
      overwrite: replace a folder with other contents.
      opset: of the ONNX files, 13 to 21.
      batch: the only batch size that the files take; by default they take any, the symbolic dimension `batch`.
      sampler: also write a graph `sampler`, x and eps -> a draw `z` of a Gaussian posterior.
      force: write int8 that loses more than 1 nat of ELBO or 2% of reconstruction error.
      prior: of `keras_vae.priors`, fitted to this model, to draw codes from outside of Python: an autoregressive prior
        gives `prior_row` and `prior_step`, which keep what they computed, so that a draw costs what one pass of its
        network does, and `prior_sampler`, noise -> `codes`, the whole draw.

    Returns:
      The bundle; its `parity` has a row for each runtime, graph, case, batch size and output.

    Raises:
      UserError: an unknown format or opset, a folder that is not ours, or no room.
      UnavailableError: no runtime is installed that could check a format.
      ExportError: an operation that a format cannot hold, outputs that differ from Keras's, or a reduced precision
        that loses too much.
    """
    formats = _checked_formats(formats)
    if not OPSETS[0] <= checks.check_whole_number(opset, "opset") <= OPSETS[1]:
        raise UserError(f"opset must lie from {OPSETS[0]} to {OPSETS[1]}. Given: {opset}.")
    batch = None if batch is None else checks.check_whole_number(batch, "batch")
    folder = files.check_output_folder(Path(output).resolve(), MANIFEST, overwrite)
    model = as_float32(model)
    graphs = [trace(graph, batch) for graph in graphs_of(model, sampler, prior)]
    source, images = trials.images_for(model)
    labels = trials.labels_for(model)
    cases = trials.cases_for(graphs, model, images, prior)
    _require_public(model, graphs, cases)
    facts = facts_of(model, prior)
    calibration = trials.calibration_for(graphs, model, cases) if "onnx_int8" in formats else {}
    work = Work(graphs, model, as_text(facts), opset, prior, calibration)
    with files.atomic(folder) as temporary:
        temporary.mkdir()
        manifest: dict[str, Any] = {
            "schema": SCHEMA,
            **facts,
            "batch": batch,
            "graphs": {traced.name: traced.description() for traced in graphs},
            "formats": {name: _written(name, work, temporary) for name in formats},
        }
        golden = {
            "about": f"Outputs of Keras on {source}, and on codes of the prior.",
            "graphs": trials.golden(graphs, cases),
        }
        if labels is not None:
            golden["labels"] = labels[: trials.GOLDEN_EXAMPLES].tolist()
        (temporary / GOLDEN).write_text(json.dumps(golden, separators=(",", ":")) + "\n", encoding="utf-8")
        first = next(iter(images.values()))
        manifest["latent"] = latent_facts(model, first, trials.true_condition(model, labels), prior)
        manifest["files"] = fingerprints(temporary)
        parity, manifest["limits"] = _proven(Bundle(temporary, manifest), work, cases, force)
        rows = [list(row._replace(max_error=_short(row.max_error), tolerance=_short(row.tolerance))) for row in parity]
        manifest |= {"parity_inputs": source, "parity": rows}
        manifest["digest"] = digest(manifest)
        (temporary / MANIFEST).write_text(manifest_text(manifest), encoding="utf-8")
    return Bundle(folder, manifest)


def _checked_formats(formats: Sequence[str]) -> list[str]:
    names = [formats] if isinstance(formats, str) else list(dict.fromkeys(formats))
    if not names:
        raise UserError(f"export needs at least one format. Given: none. Known: {', '.join(FORMATS)}.")
    installed = known_runtimes.installed()
    for name in names:
        choose("export format", name, FORMATS)
        able = [runtime for runtime in known_runtimes.names() if name in known_runtimes.formats_of(runtime)]
        if not any(installed[runtime].version for runtime in able):
            raise UnavailableError(
                f"A file is exported only if a runtime here can prove it. Given: the format {name!r}. "
                f"{' '.join(str(installed[runtime].reason) for runtime in able)}"
            )
    return names


def _proven(
    bundle: Bundle, work: Work, cases: Mapping[str, Sequence[Case]], force: bool
) -> tuple[list[Parity], dict[str, Any]]:
    """The rows of every runtime that is installed and has a file, all within tolerance; and the bundle's limits.

    A reduced precision, and a way to run that has one, gets its `quality` in the manifest.
    """
    rows: list[Parity] = []
    golden = golden_cases(bundle)
    allowed: dict[str, Any] = golden_limits(bundle.graphs, golden)
    measured_on = functools.cache(lambda: trials.real_inputs(work.model, "test", QUALITY_EXAMPLES, seed=6))
    for format_name, entry in bundle.formats.items():
        for name in known_runtimes.names():
            if format_name not in known_runtimes.formats_of(name) or not known_runtimes.installed()[name].version:
                continue
            with refused(name, format_name, " that were written, so they were removed"):
                runtime = known_runtimes.open(bundle, name, format_name=format_name)
                found = measure(runtime, cases)
                if "precision" in entry:
                    entry["quality"] = _quality(work, runtime, measured_on())
                if entry.get("precision") == "int8":
                    if force and not all(row.passed for row in found):
                        found, entry["quality"]["forced"] = lifted(found), True
                    forced = entry["quality"]["forced"] or (force and loses_too_much(entry["quality"]))
                    entry["quality"]["forced"] = forced
                    for graph, outputs in int8_limits(runtime, golden, forced).items():
                        for output, statistic in outputs.items():
                            allowed[graph][output]["int8"] = statistic
                rows += found
                for mode in known_runtimes.KNOWN[name].on_request:
                    if format_name == known_runtimes.formats_of(name)[0]:
                        reduced = known_runtimes.open(bundle, name, format_name=format_name, mode=mode)
                        entry.setdefault("modes", {})[mode] = {"quality": _quality(work, reduced, measured_on())}
        if entry.get("precision") == "int8" and "quality" in entry and not force:
            with _refusing(format_name):
                require_quality(entry["quality"], f"{type(work.model).__name__} in int8")
    require(rows, "The exported files do not agree with the model, and were removed")
    return rows, allowed


def _written(name: str, work: Work, folder: Path) -> dict[str, Any]:
    with _refusing(name):
        return FORMATS[name](work, folder)


@contextmanager
def _refusing(format_name: str) -> Iterator[None]:
    """Say of an ExportError which format cannot hold the model."""
    try:
        yield
    except ExportError as error:
        error.format_name = format_name
        raise


def _short(number: float) -> float:
    return float(f"{number:.3g}")


def _quality(work: Work, runtime: "Runtime", inputs: Mapping[str, Any]) -> dict[str, Any]:
    return measure_quality(work.model, work.graphs, runtime, inputs) | {"forced": False}


def _require_public(model: "VAE", graphs: Sequence[TracedGraph], cases: Mapping[str, Sequence[Case]]) -> None:
    """The graphs themselves against what `encode` and `decode` give, on each one's first case.

    Everything later is compared with the graphs: one that is not the model would agree with itself everywhere. Examples
    with a label: a model may refuse to decode without one, which a graph cannot.
    """
    for traced in graphs:
        if traced.graph.signature not in ("encode", "reconstruct", "decode"):
            continue
        case = cases[traced.name][0]
        labels = [case.inputs[name] for name, spec in model.condition_spec().items() if spec.kind == "label"]
        if labels:
            labelled = np.all([array >= 0 for array in labels], axis=0)
            parts = ({name: array[labelled] for name, array in each.items()} for each in (case.inputs, case.outputs))
            case = Case(case.name, case.ordinary, *parts)
        condition: Any = model.condition_in(case.inputs)
        if traced.graph.signature in ("encode", "reconstruct"):
            given = getattr(model, traced.graph.signature)(case.inputs["x"], condition)
        else:
            codes = {name: case.inputs[name] for name in model.latent_spec()}
            given = model.decode(codes if len(codes) > 1 else next(iter(codes.values())), condition)
        results = given if isinstance(given, Mapping) else {traced.graph.result: given}
        for output, array in results.items():
            allowed = limits(traced.description(), output, case)["max"]
            found = statistics(np.asarray(array), case.outputs[output])["max"]
            if not found <= allowed:
                raise ExportError(
                    f"An exported graph must give what the model does. Given: the {traced.name}, whose {output!r} "
                    f"differs from {type(model).__name__}.{traced.graph.signature} by {found:.3g}. Allowed: "
                    f"{allowed:.3g}. Its export_graphs, or a network with a state, is at fault."
                )
