"""The comparison of a runtime's outputs with Keras's, on arrays, without TensorFlow."""

import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from keras_vae.errors import CorruptFileError, ExportError, UnavailableError, UserError
from keras_vae.export.remedies import refused
from keras_vae.runtimes import registry
from keras_vae.runtimes.bundle import Bundle, GraphEntry, Parity, read_bundle
from keras_vae.runtimes.notebooks import html_table

if TYPE_CHECKING:
    from keras_vae.runtimes.base import Runtime

TOLERANCE = 1e-5
INPUTS = 784  # the numbers of a digit; TOLERANCE is for sums of so many
# Sums round relative to their terms, whatever the inputs: two results, each within four units in the last place of the
# largest output, differ by eight. The logistic function's slope is 1/4 at most: a quarter of a logit's error remains.
UNITS = 8 * 2.0**-24
# Relative rounding is 2**-11 = 5e-4 in float16 and 2**-8 = 4e-3 in bfloat16: a few roundings that add up.
REDUCED = {"float16": 2e-3, "bfloat16": 2e-2}
CODES = 0.05  # the share of integers that may differ in a reduced precision
# int8: limits of |difference| of images in [0, 1], on average and at the 99th percentile: five grey levels of 255, and
# a difference that only edges reach.
IMAGES = {"mean": 0.02, "p99": 0.25}
SPREAD = 0.5  # for other numbers, the average as a share of their mean absolute deviation over the examples
INTEGERS = 0.25  # for integers, the share that may differ
BATCHES = (1, 3, 64)
GOLDEN_BATCHES = (1, 16)  # golden.json holds 16 examples, fewer if they are large
GOLDEN_CASE = "golden"


@dataclasses.dataclass(frozen=True)
class Case:
    """Inputs of a graph, and Keras's outputs for them.

    Args:
      name: such as `"digits"`.
      ordinary: whether the inputs are typical of the model; the others are extremes.
      inputs: by name, `(examples, ...)`.
      outputs: by name, Keras's.
    """

    name: str
    ordinary: bool
    inputs: Mapping[str, np.ndarray]
    outputs: Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True, repr=False)
class Report:
    """The result of `check`: a row for each runtime, graph and output, and the runtimes that were skipped."""

    rows: Sequence[Parity]
    skipped: Mapping[str, str]  # runtime -> the reason
    digest: str  # of the bundle
    forced: Sequence[str] = ()  # formats that are compared with looser limits, which their export was told to accept

    def __repr__(self) -> str:
        runtimes = ", ".join(dict.fromkeys(row.runtime for row in self.rows))
        skipped = f"; not tried: {', '.join(self.skipped)}" if self.skipped else ""
        passed = sum(row.passed for row in self.rows)
        return f"<Report: {passed} of {len(self.rows)} comparisons within tolerance, on {runtimes or 'none'}{skipped}>"

    def _repr_html_(self) -> str:
        rows = [
            [row.runtime, row.format, f"{row.graph}.{row.output}", f"{row.max_error:.1e}", f"{row.tolerance:.1e}"]
            for row in worst(self.rows)
        ]
        return html_table(["runtime", "format", "output", "error", "allowed"], rows, repr(self).strip("<>"))


def limits(graph: GraphEntry, output: str, case: Case, precision: str = "float32") -> dict[str, float]:
    """Return the limit of each statistic of |difference| from Keras.

    `max` is 1e-5, plus 1e-5 times the largest |value| for logits and on extremes. For inputs with more than the 784
    numbers of a digit it is larger: by the square root of the ratio, as rounding grows with a sum, and on extremes by
    the ratio, since the terms of a flat picture are all rounded the same way. It is at least `UNITS` times the largest
    |value|, for a `mean` beside logits a quarter of the largest |logit|. It is 2e-3 in float16 and 2e-2 in bfloat16,
    plus the same times the largest |value|; for integers, `max` is the share that differ, 0.05.

    In 8 bits arithmetic does not bound the largest difference. On ordinary inputs the `mean` of an image may differ by
    0.02 on average and by 0.25 at the 99th percentile, another output on average by half as much as a constant would,
    and a quarter of integers may differ. On extremes int8 has no limits: they lie beyond the calibrated ranges.

    Args:
      graph: the manifest's entry.
      output: its name.
      case: its inputs and Keras's outputs.
      precision: the runtime's.
    """
    expected = case.outputs[output]
    integers = expected.dtype.kind in "iu"
    largest = float(np.max(np.abs(expected), initial=0.0))
    absolute = graph["outputs"][output]["tolerance"] == "absolute"
    if precision in REDUCED:
        return {"max": CODES if integers else REDUCED[precision] * (1.0 + largest)}
    if precision == "int8":
        if not case.ordinary:
            return {}
        if integers:
            return {"mean": INTEGERS}
        if absolute and output == "mean" and expected.ndim == 4:
            return dict(IMAGES)
        spread = np.abs(expected - expected.mean(axis=0), dtype="float64").mean() if expected.size else 0.0
        return {"mean": TOLERANCE + SPREAD * float(spread)}
    logits = np.abs(case.outputs.get("logits", 0.0)) if output == "mean" else 0.0
    rounding = UNITS * max(largest, 0.25 * float(np.max(logits, initial=0.0)))
    ratio = max(1.0, max((np.prod(array.shape[1:]) for array in case.inputs.values()), default=1) / INPUTS)
    scale = TOLERANCE * float(ratio**0.5 if case.ordinary else ratio)
    return {"max": max(scale if case.ordinary and absolute else scale + scale * largest, rounding)}


def statistics(array: np.ndarray | None, expected: np.ndarray, precision: str = "float32") -> dict[str, float]:
    """Return `max`, `mean` and `p99` of |difference|; infinite for other shapes and numbers that are not finite.

    For integers of a reduced precision all three are the share that differ, where one may differ for free: a code
    between two entries may fall to either, and in a batch of one image a code may be a third of all.
    """
    if array is None or array.shape != expected.shape:
        return dict.fromkeys(("max", "mean", "p99"), float("inf"))
    if expected.dtype.kind in "iu" and precision != "float32":
        others = max(int(np.count_nonzero(array != expected)) - 1, 0)
        return dict.fromkeys(("max", "mean", "p99"), others / max(expected.size, 1))
    error = np.abs(array.astype("float64") - expected.astype("float64"))
    if not np.isfinite(error).all():
        return dict.fromkeys(("max", "mean", "p99"), float("inf"))
    if not error.size:
        return dict.fromkeys(("max", "mean", "p99"), 0.0)
    return {"max": float(error.max()), "mean": float(error.mean()), "p99": float(np.percentile(error, 99))}


def measure(runtime: "Runtime", cases: Mapping[str, Iterable[Case]], batches: Sequence[int] = BATCHES) -> list[Parity]:
    """Compare a runtime with Keras on the first examples of each case, at each batch size: a row for each limit.

    The limits are those of `limits`; on golden.json's case also the bundle's, where they are stricter.

    Args:
      runtime: a `Runtime`.
      cases: graph -> its cases; graphs that the runtime does not hold are left out.
      batches: batch sizes.
    """
    rows: list[Parity] = []
    precision = runtime.settings["precision"]
    for graph in runtime.graphs:
        described = runtime.bundle.graphs[graph]
        for case in cases.get(graph, ()):
            examples = len(next(iter(case.inputs.values())))
            for batch in sorted({min(batch, examples) for batch in batches}):
                outputs = runtime.run(graph, {name: array[:batch] for name, array in case.inputs.items()})
                for name in described["outputs"]:
                    allowed = limits(described, name, case, precision)
                    if case.name == GOLDEN_CASE:
                        allowed = _stricter(runtime, graph, name, precision, allowed)
                    measured = statistics(outputs.get(name), case.outputs[name][:batch], precision)
                    rows += [
                        Parity(
                            runtime.name,
                            runtime.format_name,
                            graph,
                            case.name,
                            batch,
                            name,
                            measured[statistic],
                            limit,
                            statistic,
                        )
                        for statistic, limit in allowed.items()
                    ]
    return rows


def _stricter(
    runtime: "Runtime", graph: str, output: str, precision: str, allowed: dict[str, float]
) -> dict[str, float]:
    """Return the bundle's limits, none looser than those that are allowed but in int8 that was forced."""
    stored = runtime.bundle.limits(graph, output, precision)
    if stored and runtime.format_name in runtime.bundle.forced:
        return stored
    return {name: min(limit, allowed.get(name, limit)) for name, limit in {**allowed, **stored}.items()}


def lifted(rows: Iterable[Parity]) -> list[Parity]:
    """Return the rows, with the tolerance raised to the error where a finite error exceeds it: for forced files."""
    return [row if row.passed else row._replace(tolerance=max(row.tolerance, row.max_error)) for row in rows]


def golden_limits(
    graphs: Mapping[str, GraphEntry], cases: Mapping[str, Sequence[Case]]
) -> dict[str, dict[str, dict[str, dict[str, float]]]]:
    """Return graph -> output -> precision -> `limits` on golden.json's case, for all precisions but int8."""
    return {
        graph: {
            output: {
                precision: {
                    name: float(f"{limit:.3g}")
                    for name, limit in limits(graphs[graph], output, case, precision).items()
                }
                for precision in ("float32", *REDUCED)
            }
            for output in graphs[graph]["outputs"]
        }
        for graph, (case,) in cases.items()
    }


def int8_limits(
    runtime: "Runtime", cases: Mapping[str, Sequence[Case]], forced: bool = False
) -> dict[str, dict[str, dict[str, float]]]:
    """Return graph -> output -> statistic -> twice its value on golden.json's case, at most the limit of `limits`.

    Twice, since processors differ in how they round sums of 8 bits. A decoder that returns zeros, or one image for all
    codes, or images of other codes, is many times worse.

    Args:
      runtime: an opened runtime of the int8 files, just after they were made.
      cases: graph -> that case alone.
      forced: do not apply the limits of `limits`: the files are written although they exceed them.
    """
    result: dict[str, dict[str, dict[str, float]]] = {}
    for graph in runtime.graphs:
        (case,) = cases[graph]
        for output in runtime.bundle.graphs[graph]["outputs"]:
            expected = case.outputs[output]
            worst: dict[str, float] = dict.fromkeys(("mean", "p99", "max"), 0.0)
            for batch in GOLDEN_BATCHES:
                outputs = runtime.run(graph, {name: array[:batch] for name, array in case.inputs.items()})
                for statistic, value in statistics(outputs.get(output), expected[:batch], "int8").items():
                    worst[statistic] = max(worst[statistic], value)
            integers = expected.dtype.kind in "iu"
            caps = {} if forced else limits(runtime.bundle.graphs[graph], output, case, "int8")
            least = CODES if integers else TOLERANCE
            result.setdefault(graph, {})[output] = {
                statistic: float(f"{min(max(2.0 * value, least), caps.get(statistic, float('inf'))):.3g}")
                for statistic, value in worst.items()
                if not integers or statistic == "mean"
            }
    return result


_SAID = {"max": "", "mean": " on average", "p99": " in 1% of its numbers"}


def require(rows: Sequence[Parity], what: str, remedy: str) -> None:
    """Raise ExportError unless every row is within its tolerance.

    Args:
      rows: measured.
      what: the sentence that starts the message.
      remedy: the sentence that ends it.
    """
    failed = [row for row in rows if not row.passed]
    if failed:
        worst = max(failed, key=lambda row: row.max_error / row.tolerance)
        others = f" {len(failed) - 1} other comparisons failed too." if len(failed) > 1 else ""
        raise ExportError(
            f"{what}: on {worst.runtime}, the {worst.graph}'s {worst.output!r} in {worst.format} differs from Keras by "
            f"{worst.max_error:.3g}{_SAID[worst.statistic]} in the case {worst.case!r} at batch {worst.batch}. "
            f"Allowed: {worst.tolerance:.3g}.{others} {remedy}"
        )


def worst(rows: Iterable[Parity]) -> list[Parity]:
    """Return the row nearest to its tolerance for each runtime, format, graph and output."""
    rows_by_key: dict[tuple[str, ...], Parity] = {}
    for row in rows:
        key = (row.runtime, row.format, row.graph, row.output)  # whatever the statistic
        current = rows_by_key.get(key)
        if current is None or row.max_error / row.tolerance > current.max_error / current.tolerance:
            rows_by_key[key] = row
    return list(rows_by_key.values())


def check(bundle: Bundle | str | Path, runtimes: Sequence[str] | None = None, digest: str | None = None) -> Report:
    """Verify a bundle's files, and compare every installed runtime with `golden.json`, as Keras answered it.

    TensorFlow is imported only for runtimes that are TensorFlow.

    Args:
      bundle: its folder, or the result of `export`.
      runtimes: names, all that are installed by default. One that is not installed is an error only if named.
      digest: of the bundle, from elsewhere than the bundle: 64 hexadecimal digits, which `export` printed. Whoever
        changes a bundle can make the digests inside of it fit, but not this one.

    Raises:
      CorruptFileError: a file is not the one that was exported; it could do more than compute; or the bundle is
        another than that of `digest`.
      ExportError: a runtime refuses its files, or its outputs differ by more than the tolerance; raised when all were
        tried.
      UnavailableError: a named runtime, or every one, is not installed or has no file in the bundle.
    """
    bundle = read_bundle(bundle)
    if digest is not None:
        _require_digest(bundle, digest)
    bundle.verify()
    cases = golden_cases(bundle)
    _require_complete(bundle, cases)
    if isinstance(runtimes, str) or not isinstance(runtimes, Sequence | None):
        raise UserError(f"runtimes is a list of names, such as ['onnxruntime']. Given: {runtimes!r}.")
    rows: list[Parity] = []
    skipped: dict[str, str] = {}
    failed: list[str] = []
    for name in registry.names() if runtimes is None else runtimes:
        # Every file that the runtime opens: `held` leaves out those of a precision that it has already.
        for format_name in [other for other in registry.formats_of(name) if other in bundle.formats] or [None]:
            try:
                with refused(name, format_name or "", f" of {bundle.path}"):
                    runtime = registry.open(bundle, name, format_name=format_name)
                    rows += measure(runtime, cases, GOLDEN_BATCHES)
            except UnavailableError as error:
                if runtimes is not None:
                    raise
                skipped[name] = str(error)
                break
            except ExportError as error:
                failed.append(str(error))
    if not rows and not failed:
        raise UnavailableError(f"No runtime here can open {bundle.path}. {' '.join(skipped.values())}")
    try:
        require(
            rows,
            f"{bundle.path} does not give the outputs of its model",
            "Fetch or export it again; if that differs too, run it on another runtime.",
        )
    except ExportError as error:
        failed.insert(0, str(error))
    if failed:
        raise ExportError(" ".join(failed))
    return Report(rows, skipped, bundle.digest, bundle.forced)


def _require_digest(bundle: Bundle, digest: str) -> None:
    """Raise CorruptFileError unless a bundle has this digest."""
    if not re.fullmatch(r"[0-9a-fA-F]{64}", digest):
        raise UserError(f"A digest has 64 hexadecimal digits, as export prints them. Given: {digest!r}.")
    if digest.lower() != bundle.digest:
        raise CorruptFileError(
            f"{bundle.path} is another bundle. Expected: digest {digest.lower()}. Given: {bundle.digest}. Fetch "
            f"it again."
        )


def _require_complete(bundle: Bundle, cases: Mapping[str, Sequence[Case]]) -> None:
    """Raise CorruptFileError unless golden.json has an example of every output: nothing compared is no agreement."""
    for graph, described in bundle.graphs.items():
        if described["signature"] == "reconstruct":  # the decoder of the encoder, which both are compared
            continue
        case = cases[graph][0] if graph in cases else Case("", True, {}, {})
        whole = described["result"] in described["outputs"]
        for part, arrays in ((described["inputs"], case.inputs), (described["outputs"], case.outputs)):
            whole &= set(part) == set(arrays) and all(array.ndim and len(array) for array in arrays.values())
        if not whole:
            raise CorruptFileError(
                f"golden.json must have examples of every input and output in {bundle.path}. Given: too little for the "
                f"{graph}. Export the model again."
            )


def golden_cases(bundle: Bundle) -> dict[str, list[Case]]:
    """Return the cases of `golden.json`.

    Raises:
      CorruptFileError: the file is missing or was changed.
    """
    return {
        graph: [Case(GOLDEN_CASE, True, parts["inputs"], parts["outputs"])] for graph, parts in bundle.golden().items()
    }
