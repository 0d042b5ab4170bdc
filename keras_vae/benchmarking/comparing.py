"""Which rows of a benchmark may be compared, and which of them to deploy."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from keras_vae.benchmarking.results import (
    SCHEMA,
    SIGNATURES,
    Recommendation,
    Results,
    ResultsLike,
    Row,
    Signature,
    timed_rows,
)
from keras_vae.benchmarking.rows import label, title
from keras_vae.errors import UserError, reason_of, require_file
from keras_vae.export.bounds import loses_too_much, losses
from keras_vae.registry import choose

GOALS = ("latency", "throughput")
_TIE = 1.05  # rows within this factor of the best are tied; the most precise is recommended
_PRECISIONS = ("float32", "float16", "bfloat16", "int8")
_MACHINE = ("processor", "processors", "flags", "quota", "governor", "system", "python", "environment")
_NAMED = ("mode", "precision")  # settings that are in a row's label already


def require_comparable(results: ResultsLike) -> None:
    """Raise UserError if timed rows are not comparable, by the settings that the runtimes report.

    All rows must have equal threads on the same processors, and compute in the precision that they are listed with;
    rows of one runtime and mode must agree in every other setting too, such as ONNX Runtime's spinning.

    Args:
      results: what `benchmark` or `join` returned.
    """
    timed = timed_rows(results)
    _require_one("threads", {title(row): row["settings"]["threads"] for row in timed})
    _require_one("processors", {title(row): row["processors"] for row in timed})
    for row in timed:
        if row["precision"] != row["settings"]["precision"]:
            raise UserError(
                f"A row must be listed with the precision that it computed in. Given: {title(row)}, listed as "
                f"{row['precision']}, which computed in {row['settings']['precision']}. Time it again."
            )
    for kind in dict.fromkeys((row["runtime"], row["mode"]) for row in timed):
        group = [row for row in timed if (row["runtime"], row["mode"]) == kind]
        for name in dict.fromkeys(name for row in group for name in row["settings"] if name not in _NAMED):
            _require_one(name, {title(row): row["settings"].get(name) for row in group})


def _require_one(what: str, values: Mapping[str, object]) -> None:
    distinct = {json.dumps(value): name for name, value in values.items()}
    if len(distinct) > 1:
        listed = ", ".join(f"{name} with {what} {value}" for value, name in distinct.items())
        raise UserError(f"Only rows of equal settings are compared. Given: {listed}. Time them again together.")


def join(results: Sequence[ResultsLike]) -> Results:
    """Join results of several bundles or runs, with `bundles` in place of `bundle`, and a bundle in each row.

    Raises:
      UserError: they come from other machines or other settings, or there are none.
    """
    if not results:
        raise UserError("join needs the results of one benchmark or more. Given: none.")
    first = results[0]
    for other in results[1:]:
        for part, names in (("machine", _MACHINE), ("settings", tuple(first["settings"]))):
            for name in names:
                mine, theirs = first[part].get(name), other[part].get(name)
                if mine != theirs:
                    raise UserError(
                        f"Only results of one machine and equal settings are compared. Given: {name} {mine!r} for "
                        f"{Results(first).name}, and {theirs!r} for {Results(other).name}. Time them again together."
                    )
    names = [Results(result).name for result in results]
    if len({*names}) < len(names):  # one model in several folders
        names = [result["bundle"]["path"] for result in results]
    if len({*names}) < len(names):  # one folder, several times
        names = [f"{name}, {number}" for number, name in enumerate(names, 1)]
    named = list(zip(names, results, strict=True))
    joined = {
        "schema": first["schema"],
        "bundles": [result["bundle"] for result in results],
        "machine": first["machine"],
        "warnings": list(dict.fromkeys(warning for result in results for warning in result["warnings"])),
        "settings": first["settings"],
        "seconds": round(sum(result["seconds"] for result in results), 1),
        "rows": [{"bundle": name, **row} for name, result in named for row in result["rows"]],
        "recommended": [{"bundle": name, **one} for name, result in named for one in result.get("recommended", ())],
    }
    require_comparable(joined)
    return Results(joined)


def read_results(path: str | Path) -> Results:
    """Read the results of one bundle that `keras-vae bench` wrote.

    Raises:
      UserError: the file is missing, of another version, or holds several bundles.
    """
    try:
        require_file(path)
        results = json.loads(Path(path).read_text(encoding="utf-8"))
    except Exception as error:
        raise UserError(f"Cannot read a benchmark's results from {path}: {reason_of(error)}.") from error
    if not isinstance(results, dict) or results.get("schema") != SCHEMA or "bundle" not in results:
        schema = results.get("schema") if isinstance(results, dict) else type(results).__name__
        raise UserError(
            f"{path} must hold the results of one bundle, with the schema {SCHEMA!r}. Given: {schema!r}. Time it "
            f"again: keras-vae bench BUNDLE."
        )
    return Results(results)


def recommend(results: ResultsLike, goal: str, any_quality: bool = False) -> dict[str, Any]:
    """Return the runtime and precision to deploy, the best row of one bundle's results for each call.

    A reduced precision that loses more than `export` allows (1 nat of test ELBO, 2% of reconstruction error), or that
    was never measured, is not recommended, however fast.

    Args:
      results: what `benchmark` returned.
      goal: `"latency"`: the smallest p90 of single_stream; `"throughput"`: the most offline images a second. Of rows
        within 5% of the best, the most precise.
      any_quality: recommend the fastest row in any case, with its cost.

    Returns:
      `goal`, `excluded` (a row's label -> why), and for encode and decode: `runtime`, `mode`, `format`, `precision`,
      the scenario's figures, `largest_error`, `file_bytes` and `quality`, the cost of a reduced precision.

    Raises:
      UserError: an unknown goal, no row that can be recommended, or rows of unequal settings.
    """
    choose("goal", goal, dict.fromkeys(GOALS))
    require_comparable(results)
    timed = timed_rows(results)
    excluded = {} if any_quality else {label(row): why for row in timed if (why := _ruined(row))}
    candidates = [row for row in timed if label(row) not in excluded]
    if not candidates:
        reasons = "; ".join(f"{name} {why}" for name, why in excluded.items()) or "no runtime was timed"
        raise UserError(f"There is nothing to recommend: {reasons}.")
    recommendation: dict[str, Any] = {"goal": goal, "excluded": excluded}
    for signature in SIGNATURES:
        costs = {label(row): _cost(row, signature, goal) for row in candidates}
        close = [row for row in candidates if costs[label(row)] <= _TIE * min(costs.values())]
        best = min(close, key=lambda row: (_PRECISIONS.index(row["precision"]), costs[label(row)]))
        recommendation[signature] = {
            **{name: best[name] for name in ("runtime", "mode", "format", "precision", "file_bytes", "quality")},
            **best["scenarios"][signature],
            "largest_error": max(best["errors"].values()),
        }
    return recommendation


def _ruined(row: Row) -> str | None:
    """Return the reason not to recommend a row, or None."""
    if row["precision"] == "float32" or (row["quality"] and not loses_too_much(row["quality"])):
        return None
    lost = losses(row["quality"]) if row["quality"] else []
    return f"loses {' and '.join(lost)}" if lost else "was not measured for what it loses"


def sentence(recommendation: Recommendation) -> str:
    """Return a recommendation of `recommend` as a sentence."""
    choices = []
    for signature in SIGNATURES:
        row = recommendation[signature]
        if recommendation["goal"] == "latency":
            figure = f"single_stream p90 {row['single_stream']['p90_us']:,.0f} µs"
        else:
            offline = row["offline"]
            figure = f"offline {offline['images_per_second']:,.0f} images/s at batch {offline['batch']}"
        cost = f", which loses {' and '.join(losses(row['quality']))}" if row["quality"] else ""
        choices.append(
            f"{signature} with {label(row)}, the file format {row['format']}, {row['precision']}{cost}: {figure}"
        )
    left_out = "".join(f" Not {name}, which {why}." for name, why in recommendation["excluded"].items())
    of = f"{recommendation['bundle']}, for" if "bundle" in recommendation else "For"
    return f"{of} {recommendation['goal']}: {'; '.join(choices)}.{left_out}"


def _cost(row: Row, signature: Signature, goal: str) -> float:
    scenarios = row["scenarios"][signature]
    if goal == "latency":
        return scenarios["single_stream"]["p90_us"]
    return 1.0 / scenarios["offline"]["images_per_second"]
