"""Do a runtime's outputs agree with Keras's? Measured on arrays, so that it needs no TensorFlow."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_vae import runtimes as known_runtimes
from keras_vae.errors import ExportError, UnavailableError
from keras_vae.export.bundle import Bundle, Parity, read_bundle

TOLERANCE = 1e-5
# What float16 keeps is 2**-11, 5e-4; ten roundings in a row. bfloat16 keeps 2**-8.
REDUCED = {"float16": 5e-3, "bfloat16": 4e-2}
CODES = 0.05  # the share of a reduced precision's integer codes that may be others
BATCHES = (1, 3, 64)
GOLDEN_BATCHES = (1, 16)  # golden.json holds 16 examples


@dataclasses.dataclass(frozen=True)
class Case:
    """Inputs that a graph is tried on, with what Keras made of them.

    Args:
      name: such as `"digits"`.
      ordinary: inputs the model was made for; the others are extremes.
      inputs: by name, `(examples, ...)`.
      outputs: by name, Keras's.
    """

    name: str
    ordinary: bool
    inputs: Mapping[str, np.ndarray]
    outputs: Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Report:
    """What `check` found: a row for each runtime, graph and output, and the runtimes that could not be tried."""

    rows: Sequence[Parity]
    skipped: Mapping[str, str]  # runtime -> why


def tolerance(graph: Mapping[str, Any], output: str, case: Case, precision: str = "float32") -> float:
    """The largest |difference| allowed: 1e-5, plus, for logits and on extremes, 1e-5 times the largest |value|.

    In float16, 5e-3 and in bfloat16, 4e-2, plus as much times the largest |value|. The difference of integer codes in
    these is the share of them that are others, at most 0.05.

    Args:
      graph: the manifest's entry.
      output: its name.
      case: its inputs and Keras's outputs.
      precision: that the runtime computes in.
    """
    if precision in REDUCED:
        if case.outputs[output].dtype.kind in "iu":
            return CODES
        return REDUCED[precision] * (1.0 + float(np.max(np.abs(case.outputs[output]), initial=0.0)))
    if case.ordinary and graph["outputs"][output]["tolerance"] == "absolute":
        return TOLERANCE
    return TOLERANCE + TOLERANCE * float(np.max(np.abs(case.outputs[output]), initial=0.0))


def measure(runtime: Any, cases: Mapping[str, Iterable[Case]], batches: Sequence[int] = BATCHES) -> list[Parity]:
    """Run a runtime on the first examples of each case, at each batch size, and compare.

    8 bits have no tolerance that arithmetic gives: what they may lose is bounded in nats when they are exported. There,
    an output is allowed twice its largest difference, whatever that is; later, what it was allowed then.

    Args:
      runtime: a `Runtime`.
      cases: graph -> its cases; graphs that the runtime does not hold are left out.
      batches: how many examples at a time.
    """
    rows: list[Parity] = []
    precision = runtime.settings["precision"]
    exact = precision == "float32"
    for graph in runtime.graphs:
        described = runtime.bundle.graphs[graph]
        for case in cases.get(graph, ()):
            for batch in batches:
                given = runtime.run(graph, {name: array[:batch] for name, array in case.inputs.items()})
                for name in described["outputs"]:
                    error = _max_error(given.get(name), case.outputs[name][:batch], exact)
                    limit = float("inf") if precision == "int8" else tolerance(described, name, case, precision)
                    rows.append(Parity(runtime.name, runtime.format_name, graph, case.name, batch, name, error, limit))
    return _with_known_limits(rows, runtime.bundle) if precision == "int8" else rows


def _with_known_limits(rows: Sequence[Parity], bundle: Bundle) -> list[Parity]:
    """Each output allowed what the bundle says, or, in one that does not say it yet, twice its largest difference."""
    known = bundle.parity if "parity" in bundle.manifest else rows
    limits: dict[tuple[str, ...], float] = {}
    for row in known:
        key = (row.format, row.graph, row.output)
        allowed = 2.0 * row.max_error if known is rows else row.tolerance
        limits[key] = max(allowed, limits.get(key, TOLERANCE))
    return [row._replace(tolerance=limits[row.format, row.graph, row.output]) for row in rows]


def require(rows: Sequence[Parity], what: str) -> None:
    """Raise ExportError unless every row is within its tolerance.

    Args:
      rows: measured.
      what: the sentence that starts the message.
    """
    failed = [row for row in rows if not row.passed]
    if failed:
        worst = max(failed, key=lambda row: row.max_error / row.tolerance)
        others = f" {len(failed) - 1} other comparisons failed too." if len(failed) > 1 else ""
        raise ExportError(
            f"{what}: on {worst.runtime}, the {worst.graph}'s {worst.output!r} differs from Keras by "
            f"{worst.max_error:.3g} in the case {worst.case!r} at batch {worst.batch}. Allowed: {worst.tolerance:.3g}."
            f"{others}"
        )


def worst(rows: Iterable[Parity]) -> list[Parity]:
    """For each runtime, format, graph and output, the row that came nearest to its tolerance."""
    chosen: dict[tuple[str, ...], Parity] = {}
    for row in rows:
        key = (row.runtime, row.format, row.graph, row.output)
        if key not in chosen or row.max_error / row.tolerance > chosen[key].max_error / chosen[key].tolerance:
            chosen[key] = row
    return list(chosen.values())


def check(bundle: Bundle | str | Path, runtimes: Sequence[str] | None = None) -> Report:
    """Verify a bundle's files, and compare every installed runtime with `golden.json`, as Keras answered it.

    TensorFlow is imported only for runtimes that are TensorFlow.

    Args:
      bundle: its folder, or what `export` returned.
      runtimes: names, all that are installed by default; naming one that cannot be tried is an error.

    Raises:
      CorruptFileError: a file is not the one that was exported.
      ExportError: a runtime's outputs differ by more than the tolerance.
      UnavailableError: a runtime asked for, or every one, is not installed or has no file in the bundle.
    """
    bundle = read_bundle(bundle)
    bundle.verify()
    cases = golden_cases(bundle)
    rows: list[Parity] = []
    skipped: dict[str, str] = {}
    for name in known_runtimes.names() if runtimes is None else runtimes:
        for format_name in known_runtimes.held(bundle, name) or [None]:
            try:
                runtime = known_runtimes.open(bundle, name, format_name=format_name)
            except UnavailableError as error:
                if runtimes is not None:
                    raise
                skipped[name] = str(error)
                break
            rows += measure(runtime, cases, GOLDEN_BATCHES)
    if not rows:
        raise UnavailableError(f"No runtime here can open {bundle.path}. {' '.join(skipped.values())}")
    require(rows, f"{bundle.path} does not hold what it promises")
    return Report(rows, skipped)


def golden_cases(bundle: Bundle) -> dict[str, list[Case]]:
    """The cases that `golden.json` holds.

    Raises:
      CorruptFileError: it is missing or was changed.
    """
    return {
        graph: [Case("golden", True, parts["inputs"], parts["outputs"])] for graph, parts in bundle.golden().items()
    }


def _max_error(given: Any, expected: np.ndarray, exact: bool = True) -> float:
    if given is None or given.shape != expected.shape:
        return float("inf")
    if expected.dtype.kind in "iu" and not exact:
        return float(np.mean(given != expected)) if expected.size else 0.0
    error = np.abs(given.astype("float64") - expected.astype("float64"))
    return float(np.max(error, initial=0.0)) if np.isfinite(error).all() else float("inf")
