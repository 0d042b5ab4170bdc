"""Export: write a bundle, open it in its runtimes, compare with Keras, and only then move it into place."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_vae import checks, files, progress
from keras_vae.core.graphs import graphs_of
from keras_vae.errors import ExportError, UnavailableError, UserError
from keras_vae.export import cases as trials
from keras_vae.export.examples import LEFT_OUT, CheckedExamples, checked_examples, require_calibration
from keras_vae.export.facts import as_text, facts_of
from keras_vae.export.formats import FORMATS
from keras_vae.export.graphs import TracedGraph, as_float32, trace
from keras_vae.export.latent import latent_facts
from keras_vae.export.parity import (
    Case,
    golden_cases,
    golden_limits,
    int8_limits,
    lifted,
    limits,
    measure,
    require,
    statistics,
)
from keras_vae.export.quality import loses_too_much, measure_quality, require_quality
from keras_vae.export.remedies import refused
from keras_vae.export.support import OPSET, check_opset
from keras_vae.export.work import Work
from keras_vae.registry import choose
from keras_vae.runtimes import registry
from keras_vae.runtimes.bundle import (
    GOLDEN,
    MANIFEST,
    SCHEMA,
    Bundle,
    FormatEntry,
    Parity,
    Quality,
    digest,
    fingerprints,
    manifest_text,
)
from keras_vae.types import Examples

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from keras_vae.core import VAE
    from keras_vae.priors.base import FittedPrior
    from keras_vae.runtimes.base import Runtime

Limits = dict[str, dict[str, dict[str, dict[str, float]]]]  # graph -> output -> precision -> statistic -> limit


@progress.listening("")
def export(
    model: "VAE",
    output: str | Path,
    formats: Sequence[str] = ("saved_model", "onnx"),
    examples: "Examples | ArrayLike | None" = None,
    overwrite: bool = False,
    opset: int = OPSET,
    batch: int | None = None,
    sampler: bool = False,
    elbo: bool = False,
    force: bool = False,
    prior: "FittedPrior | None" = None,
) -> Bundle:
    """Write a model's encoder and decoder to `output`, and verify that each installed runtime agrees with Keras.

    Graphs: `encoder`, x -> the posterior's parameters; `decoder`, z -> the likelihood's parameters and `mean`, an
    image. They hold no random op. The folder is written atomically.

    The same weights and versions give the same bytes of `onnx`, `onnx_fp16`, `onnx_int8`, `openvino` and `golden.json`,
    whatever the process did before. `saved_model`, `litert` and `keras` hold names that TensorFlow and Keras number by
    counters of the process, so their bytes may differ; `bundle.json` holds measured differences.

    Args:
      model: a `keras_vae.models.VAE`; one of mixed precision is exported with the same weights in float32.
      output: a folder that is new, empty, or a bundle, which is replaced.
      formats: any of `"saved_model"`, `"onnx"`, `"onnx_fp16"`, `"onnx_int8"`, `"litert"`, `"openvino"`, `"keras"`.
      examples: real x of the model, or `Examples` with their conditions, origin and licence. The first half is for
        golden.json, parity, the statistics of codes and the cost of a precision; int8 is calibrated on the other half.
        By default those of the recipe, for a model of `keras_vae.zoo.load`. Without examples int8 is refused, costs and
        statistics are left out, and golden.json holds generated inputs.
      overwrite: replace a folder with other contents.
      opset: of the ONNX files, 13 to 21.
      batch: a fixed batch size of the files; by default it is open, the symbolic dimension `batch`.
      sampler: also write a graph `sampler`, x and eps -> a draw `z` of a Gaussian posterior.
      elbo: also write a graph `elbo`, x and eps -> `elbo`, `log_px` and `kl` of each x, nats, from that draw; not for
        conditional models.
      force: write int8 that loses more than 1 nat of ELBO or 2% of reconstruction error.
      prior: of `keras_vae.priors`, fitted to this model, to draw codes outside of Python: an autoregressive prior
        adds `prior_row` and `prior_step`, which cache activations, so that a draw costs as much as one pass of its
        network, and `prior_sampler`, noise -> `codes`, the whole draw.

    Returns:
      The bundle; its `parity` has a row for each runtime, graph, case, batch size and output.

    Raises:
      UserError: an unknown format or opset, examples that do not fit the model, a folder with other contents or that
        another process writes, or a full disk.
      UnavailableError: no installed runtime can check a format.
      ExportError: an operation that a format cannot hold, outputs that differ from Keras's, int8 without examples, or
        a reduced precision that loses too much.
    """
    formats = _checked_formats(formats)
    check_opset(opset)
    batch = None if batch is None else checks.check_whole_number(batch, "batch")
    folder = files.check_output_folder(Path(output).resolve(), MANIFEST, overwrite)
    model = as_float32(model)
    real = checked_examples(model, examples)
    if "onnx_int8" in formats:
        with _refusing("onnx_int8"):
            require_calibration(real)
    graphs = [trace(graph, batch) for graph in graphs_of(model, sampler, prior, elbo)]
    cases = trials.cases_for(graphs, model, real, prior)
    _require_public(model, graphs, cases)
    facts = facts_of(model, prior, real)
    calibration = trials.calibration_for(graphs, model, real, cases) if real and "onnx_int8" in formats else {}
    work = Work(graphs, model, as_text(facts), opset, prior, calibration)
    source = real.origin if real else "inputs that were generated in the likelihood's support"
    with files.atomic_folder(folder) as temporary:
        manifest: dict[str, Any] = {
            "schema": SCHEMA,
            **facts,
            "batch": batch,
            "graphs": {traced.name: traced.description() for traced in graphs},
            "formats": {name: _written(name, work, temporary) for name in formats},
        }
        held = trials.golden(graphs, cases)
        golden: dict[str, object] = {
            "about": f"Outputs of Keras on {source}, and on codes of the prior.",
            "graphs": held,
        }
        if real and real.labels is not None:
            golden["labels"] = real.labels[: held["encoder"]["inputs"]["x"]["shape"][0]].tolist()
        (temporary / GOLDEN).write_text(json.dumps(golden, separators=(",", ":")) + "\n", encoding="utf-8")
        manifest["examples"] = real.description() if real else None
        manifest["left_out"] = {} if real else dict(LEFT_OUT)
        manifest["latent"] = latent_facts(model, real.measured if real else None, prior)
        manifest["files"] = fingerprints(temporary)
        parity, manifest["limits"] = _proven(Bundle(temporary, manifest), work, cases, real, force)
        rows = [list(row._replace(max_error=_short(row.max_error), tolerance=_short(row.tolerance))) for row in parity]
        manifest |= {"parity_inputs": source, "parity": rows}
        manifest["digest"] = digest(manifest)
        (temporary / MANIFEST).write_text(manifest_text(manifest), encoding="utf-8")
    return Bundle(folder, manifest)


def _checked_formats(formats: Sequence[str]) -> list[str]:
    names = [formats] if isinstance(formats, str) else list(dict.fromkeys(formats))
    if not names:
        raise UserError(f"export needs at least one format. Given: none. Known: {', '.join(FORMATS)}.")
    installed = registry.installed()
    for name in names:
        choose("export format", name, FORMATS)
        able = [runtime for runtime in registry.names() if name in registry.formats_of(runtime)]
        if not any(installed[runtime].version for runtime in able):
            raise UnavailableError(
                f"A file is exported only if an installed runtime can check it. Given: the format {name!r}. "
                f"{' '.join(str(installed[runtime].reason) for runtime in able)}"
            )
    return names


def _proven(
    bundle: Bundle, work: Work, cases: Mapping[str, Sequence[Case]], examples: CheckedExamples | None, force: bool
) -> tuple[list[Parity], Limits]:
    """Return the rows of every installed runtime that has a file, all within tolerance, and the bundle's limits.

    With examples, a format or mode of reduced precision gets its `quality` in the manifest.
    """
    rows: list[Parity] = []
    golden = golden_cases(bundle)
    allowed = golden_limits(bundle.graphs, golden)
    for format_name, entry in bundle.formats.items():
        for name in registry.names():
            if format_name not in registry.formats_of(name) or not registry.installed()[name].version:
                continue
            progress.say(f"comparing {format_name} on {name} with Keras")
            with refused(name, format_name, " that were written, so they were removed"):
                runtime = registry.open(bundle, name, format_name=format_name)
                measured = measure(runtime, cases)
                if examples and "precision" in entry:
                    entry["quality"] = _quality(work, runtime, examples)
                if entry.get("precision") == "int8":
                    measured = _int8(entry, runtime, measured, golden, allowed, force)
                rows += measured
                for mode in registry.KNOWN[name].on_request:
                    if examples and format_name == registry.formats_of(name)[0]:
                        reduced = registry.open(bundle, name, format_name=format_name, mode=mode)
                        entry.setdefault("modes", {})[mode] = {"quality": _quality(work, reduced, examples)}
        if entry.get("precision") == "int8" and "quality" in entry and not force:
            with _refusing(format_name):
                require_quality(entry["quality"], f"{type(work.model).__name__} in int8")
    require(
        rows,
        "The exported files do not agree with the model, and were removed",
        "Leave that format out, or export where that runtime is not installed. Large weights round more: train with "
        "weight_decay= in the optimizer, or at a lower learning rate.",
    )
    return rows, allowed


def _int8(
    entry: FormatEntry,
    runtime: "Runtime",
    rows: list[Parity],
    golden: Mapping[str, Sequence[Case]],
    allowed: Limits,
    force: bool,
) -> list[Parity]:
    """Add the limits of int8 to `allowed`, and `forced` to `entry`; return the rows, lifted if it was forced."""
    quality = entry.get("quality")
    assert quality is not None  # int8 is refused without examples
    beyond = not all(row.passed for row in rows)
    quality["forced"] = force and (beyond or loses_too_much(quality))
    for graph, outputs in int8_limits(runtime, golden, quality["forced"]).items():
        for output, statistic in outputs.items():
            allowed[graph][output]["int8"] = statistic
    return lifted(rows) if force and beyond else rows


def _written(name: str, work: Work, folder: Path) -> FormatEntry:
    progress.say(f"writing {name}")
    with _refusing(name):
        return FORMATS[name](work, folder)


@contextmanager
def _refusing(format_name: str) -> Iterator[None]:
    """Set the format of an ExportError that is raised inside."""
    try:
        yield
    except ExportError as error:
        error.format_name = format_name
        raise


def _short(number: float) -> float:
    return float(f"{number:.3g}")


def _quality(work: Work, runtime: "Runtime", examples: CheckedExamples) -> Quality:
    quality = measure_quality(work.model, work.graphs, runtime, examples.measured)
    quality["forced"] = False
    return quality


def _require_public(model: "VAE", graphs: Sequence[TracedGraph], cases: Mapping[str, Sequence[Case]]) -> None:
    """Raise ExportError unless graphs agree with the model's public methods, on the first case of each.

    All later comparisons are with the graphs, so a graph that differs from the model would go unnoticed.
    """
    for traced in graphs:
        if traced.graph.signature not in ("encode", "reconstruct", "decode"):
            continue
        case = cases[traced.name][0]
        for output, array in _public(model, traced, case).items():
            allowed = limits(traced.description(), output, case)["max"]
            difference = statistics(array, case.outputs[output])["max"]
            if not difference <= allowed:
                raise ExportError(
                    f"An exported graph must compute the same as the model. Given: {output!r} of the {traced.name} "
                    f"differs from {type(model).__name__}.{traced.graph.signature} by {difference:.3g}. Allowed: "
                    f"{allowed:.3g}. Look for a network with state, or an overridden method."
                )


def _public(model: "VAE", traced: TracedGraph, case: Case) -> dict[str, np.ndarray]:
    """Return the outputs, by name, of the public method of a graph's signature."""
    condition = trials.condition_of(model, case.inputs)
    if traced.graph.signature == "encode":
        outputs = model.encode(case.inputs["x"], condition)
    elif traced.graph.signature == "reconstruct":
        outputs = model.reconstruct(case.inputs["x"], condition)
    else:
        codes = {name: case.inputs[name] for name in model.latent_spec()}
        outputs = model.decode(codes if len(codes) > 1 else next(iter(codes.values())), condition)
    return dict(outputs) if isinstance(outputs, Mapping) else {traced.graph.result: outputs}
