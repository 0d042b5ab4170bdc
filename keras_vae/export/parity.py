"""Do a runtime's outputs agree with Keras's? Measured on arrays, so that it needs no TensorFlow."""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from keras_vae.errors import ExportError, UnavailableError, UserError
from keras_vae.export.remedies import in_one_line, ops_in, remedy
from keras_vae.runtimes import registry
from keras_vae.runtimes.bundle import Bundle, GraphEntry, Parity, read_bundle
from keras_vae.runtimes.notebooks import html_table

if TYPE_CHECKING:
    from keras_vae.runtimes.base import Runtime

TOLERANCE = 1e-5
INPUTS = 784  # the numbers of a digit, whose sums TOLERANCE is for
# float16 keeps 2**-11 = 5e-4 of a number, bfloat16 2**-8 = 4e-3: a handful of roundings in a row, all one way.
REDUCED = {"float16": 2e-3, "bfloat16": 2e-2}
CODES = 0.05  # the share of a reduced precision's integers that may be others
# int8: of images of [0, 1], what |difference| may be on average, and what 99% of it stay below: five grey levels of
# 255, and what only edges reach.
IMAGES = {"mean": 0.02, "p99": 0.25}
SPREAD = 0.5  # of other numbers: the average, as a share of how far they lie from their average over the examples
INTEGERS = 0.25  # and of integers, the share that may be others
BATCHES = (1, 3, 64)
GOLDEN_BATCHES = (1, 16)  # golden.json holds 16 examples
GOLDEN_CASE = "golden"


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


@dataclasses.dataclass(frozen=True, repr=False)
class Report:
    """The result of `check`: a row for each runtime, graph and output, and the runtimes that could not be tried."""

    rows: Sequence[Parity]
    skipped: Mapping[str, str]  # runtime -> why

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
        return html_table(repr(self).strip("<>"), ["runtime", "format", "output", "error", "allowed"], rows)


def limits(graph: GraphEntry, output: str, case: Case, precision: str = "float32") -> dict[str, float]:
    """Statistic -> what it may be, of |difference| from Keras. This is the one place where the rule is.

    `max`: 1e-5, plus, for logits and on extremes, 1e-5 times the largest |value|; for inputs of more than the 784
    numbers of a digit, 1e-5 times the root of how many more, as rounding grows with a sum. In float16 2e-3 and in
    bfloat16 2e-2, plus as much times the largest |value|; of integers, `max` is the share that are others, 0.05.

    8 bits have no largest difference that arithmetic gives. On ordinary inputs the `mean` of an image differs by 0.02
    on average and by 0.25 at the 99th percentile at most, another output on average by half of what a constant
    would, and a quarter of integers are others at most. Beyond the inputs that it was calibrated on, int8 promises
    nothing: there are no limits on extremes.

    Args:
      graph: the manifest's entry.
      output: its name.
      case: its inputs and Keras's outputs.
      precision: that the runtime computes in.
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
    if case.ordinary and absolute:
        terms = max((int(np.prod(array.shape[1:])) for array in case.inputs.values()), default=1)
        return {"max": TOLERANCE * max(1.0, (terms / INPUTS) ** 0.5)}
    return {"max": TOLERANCE + TOLERANCE * largest}


def statistics(array: np.ndarray | None, expected: np.ndarray, precision: str = "float32") -> dict[str, float]:
    """`max`, `mean` and `p99` of |difference|, infinite where a shape is another or a number is not finite.

    Integers of a reduced precision: the share of them that are others, one not counted, for all three. A code between
    two entries may fall to either, and of a batch of one image one code may be a third of all.
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
    """Run a runtime on the first examples of each case, at each batch size, and compare: a row for each limit.

    On golden.json's case the limits are those that the bundle has, elsewhere those of `limits`.

    Args:
      runtime: a `Runtime`.
      cases: graph -> its cases; graphs that the runtime does not hold are left out.
      batches: how many examples at a time.
    """
    rows: list[Parity] = []
    precision = runtime.settings["precision"]
    for graph in runtime.graphs:
        described = runtime.bundle.graphs[graph]
        for case in cases.get(graph, ()):
            for batch in batches:
                given = runtime.run(graph, {name: array[:batch] for name, array in case.inputs.items()})
                for name in described["outputs"]:
                    known = runtime.bundle.limits(graph, name, precision) if case.name == GOLDEN_CASE else {}
                    allowed = known or limits(described, name, case, precision)
                    found = statistics(given.get(name), case.outputs[name][:batch], precision)
                    rows += [
                        Parity(
                            runtime.name, runtime.format_name, graph, case.name, batch, name, found[each], limit, each
                        )
                        for each, limit in allowed.items()
                    ]
    return rows


def lifted(rows: Iterable[Parity]) -> list[Parity]:
    """The rows, those that are beyond their limits and finite being allowed what they are: of files that are forced."""
    return [row if row.passed else row._replace(tolerance=max(row.tolerance, row.max_error)) for row in rows]


def golden_limits(
    graphs: Mapping[str, GraphEntry], cases: Mapping[str, Sequence[Case]]
) -> dict[str, dict[str, dict[str, dict[str, float]]]]:
    """graph -> output -> precision -> `limits` on golden.json's case, of what arithmetic gives: not of int8."""
    return {
        graph: {
            output: {
                each: {name: float(f"{limit:.3g}") for name, limit in limits(graphs[graph], output, case, each).items()}
                for each in ("float32", *REDUCED)
            }
            for output in graphs[graph]["outputs"]
        }
        for graph, (case,) in cases.items()
    }


def int8_limits(
    runtime: "Runtime", cases: Mapping[str, Sequence[Case]], forced: bool = False
) -> dict[str, dict[str, dict[str, float]]]:
    """graph -> output -> statistic -> twice what it is on golden.json's case, and no more than `limits` allows.

    Twice, since processors round sums of 8 bits in their own ways. A decoder that gives zeros, or one image for all
    codes, or images of other codes, is many times further off.

    Args:
      runtime: that has opened the int8 files, just after they were made.
      cases: graph -> that case alone.
      forced: twice what it is, whatever that is: the files were written against advice.
    """
    found: dict[str, dict[str, dict[str, float]]] = {}
    for graph in runtime.graphs:
        (case,) = cases[graph]
        for output in runtime.bundle.graphs[graph]["outputs"]:
            expected = case.outputs[output]
            worst: dict[str, float] = dict.fromkeys(("mean", "p99", "max"), 0.0)
            for batch in GOLDEN_BATCHES:
                given = runtime.run(graph, {name: array[:batch] for name, array in case.inputs.items()})
                for each, figure in statistics(given.get(output), expected[:batch], "int8").items():
                    worst[each] = max(worst[each], figure)
            integers = expected.dtype.kind in "iu"
            caps = {} if forced else limits(runtime.bundle.graphs[graph], output, case, "int8")
            least = CODES if integers else TOLERANCE
            found.setdefault(graph, {})[output] = {
                each: float(f"{min(max(2.0 * figure, least), caps.get(each, float('inf'))):.3g}")
                for each, figure in worst.items()
                if not integers or each == "mean"
            }
    return found


@contextmanager
def refused(runtime: str, format_name: str, consequence: str) -> Iterator[None]:
    """Turn whatever a runtime raises into an ExportError that names the ops and a remedy; a UserError passes.

    Args:
      runtime: its name.
      format_name: of what it opens.
      consequence: what becomes of the files, such as "so they were removed".
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        ops = ops_in(str(error))
        named = f" Operations: {', '.join(ops)}." if ops else ""
        raise ExportError(
            f"{runtime} refuses the {format_name} files{consequence}: {in_one_line(error)}.{named} "
            f"{remedy(ops or [''])}"
        ) from error


_SAID = {"max": "", "mean": " on average", "p99": " in 1% of its numbers"}


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
            f"{what}: on {worst.runtime}, the {worst.graph}'s {worst.output!r} in {worst.format} differs from Keras by "
            f"{worst.max_error:.3g}{_SAID[worst.statistic]} in the case {worst.case!r} at batch {worst.batch}. "
            f"Allowed: {worst.tolerance:.3g}.{others}"
        )


def worst(rows: Iterable[Parity]) -> list[Parity]:
    """For each runtime, format, graph and output, the row that came nearest to its tolerance."""
    chosen: dict[tuple[str, ...], Parity] = {}
    for row in rows:
        key = (row.runtime, row.format, row.graph, row.output)  # whatever the statistic
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
      ExportError: a runtime refuses its files, or its outputs differ by more than the tolerance; said when all were
        tried.
      UnavailableError: a runtime asked for, or every one, is not installed or has no file in the bundle.
    """
    bundle = read_bundle(bundle)
    bundle.verify()
    cases = golden_cases(bundle)
    rows: list[Parity] = []
    skipped: dict[str, str] = {}
    failed: list[str] = []
    for name in registry.names() if runtimes is None else runtimes:
        # Every file that the runtime opens: `held` leaves out those of a precision that it has already.
        for format_name in [each for each in registry.formats_of(name) if each in bundle.formats] or [None]:
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
        require(rows, f"{bundle.path} does not hold what it promises")
    except ExportError as error:
        failed.insert(0, str(error))
    if failed:
        raise ExportError(" ".join(failed))
    return Report(rows, skipped)


def golden_cases(bundle: Bundle) -> dict[str, list[Case]]:
    """The cases that `golden.json` holds.

    Raises:
      CorruptFileError: it is missing or was changed.
    """
    return {
        graph: [Case(GOLDEN_CASE, True, parts["inputs"], parts["outputs"])] for graph, parts in bundle.golden().items()
    }
