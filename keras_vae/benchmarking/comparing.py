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
)
from keras_vae.benchmarking.rows import label
from keras_vae.errors import UserError
from keras_vae.export.bounds import loses_too_much, losses
from keras_vae.registry import choose

GOALS = ("latency", "throughput")
_TIE = 1.05  # within this factor of the best, the more precise is recommended
_PRECISIONS = ("float32", "float16", "bfloat16", "int8")
_MACHINE = ("processor", "processors", "flags", "quota", "governor", "system", "python", "environment")
_NAMED = ("mode", "precision")  # settings that a row's own name says


def require_comparable(results: ResultsLike) -> None:
    """Raise UserError if rows that were timed cannot be compared, by the settings that the runtimes themselves report.

    All must have had equal threads on the same processors, and each the precision that it is listed with; rows of one
    runtime and mode must agree in every other setting too, such as ONNX Runtime's spinning.

    Args:
      results: what `benchmark` or `join` returned.
    """
    timed: list[Row] = [row for row in results["rows"] if row["status"] == "ok"]
    _require_one("threads", {_place(row): row["settings"]["threads"] for row in timed})
    _require_one("processors", {_place(row): row["processors"] for row in timed})
    for row in timed:
        if row["precision"] != row["settings"]["precision"]:
            raise UserError(
                f"A row is compared by the precision that it computed in. Given: {_place(row)}, listed as "
                f"{row['precision']}, which computed in {row['settings']['precision']}. Time it again."
            )
    for kind in dict.fromkeys((row["runtime"], row["mode"]) for row in timed):
        alike = [row for row in timed if (row["runtime"], row["mode"]) == kind]
        for name in dict.fromkeys(name for row in alike for name in row["settings"] if name not in _NAMED):
            _require_one(name, {_place(row): row["settings"].get(name) for row in alike})


def _require_one(what: str, values: Mapping[str, object]) -> None:
    found = {json.dumps(value): name for name, value in values.items()}
    if len(found) > 1:
        said = ", ".join(f"{name} with {what} {value}" for value, name in found.items())
        raise UserError(f"Only rows of equal settings are compared. Given: {said}. Time them again together.")


def _place(row: Row) -> str:
    return f"{row['bundle']}, {label(row)}" if "bundle" in row else label(row)


def join(results: Sequence[ResultsLike]) -> Results:
    """The results of several bundles, or of several runs, as one: `bundles` in place of `bundle`, in each row too.

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
                        f"{name_of(first)}, and {theirs!r} for {name_of(other)}. Time them again together."
                    )
    names = [name_of(each) for each in results]
    if len({*names}) < len(names):  # one model in several folders
        names = [each["bundle"]["path"] for each in results]
    if len({*names}) < len(names):  # one folder, several times
        names = [f"{name}, {place}" for place, name in enumerate(names, 1)]
    named = list(zip(names, results, strict=True))
    joined = {
        "schema": first["schema"],
        "bundles": [each["bundle"] for each in results],
        "machine": first["machine"],
        "warnings": list(dict.fromkeys(said for each in results for said in each["warnings"])),
        "settings": first["settings"],
        "seconds": round(sum(each["seconds"] for each in results), 1),
        "rows": [{"bundle": name, **row} for name, each in named for row in each["rows"]],
        "recommended": [{"bundle": name, **one} for name, each in named for one in each.get("recommended", ())],
    }
    require_comparable(joined)
    return Results(joined)


def read_results(path: str | Path) -> Results:
    """The results of one bundle that `keras-vae bench` wrote.

    Raises:
      UserError: the file is none, or of another version, or holds several bundles.
    """
    try:
        results = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"Cannot read a benchmark's results from {path}: {str(error).splitlines()[0]}.") from error
    if not isinstance(results, dict) or results.get("schema") != SCHEMA or "bundle" not in results:
        given = results.get("schema") if isinstance(results, dict) else type(results).__name__
        raise UserError(
            f"{path} must hold the results of one bundle, with the schema {SCHEMA!r}. Given: {given!r}. Time it again: "
            f"keras-vae bench BUNDLE."
        )
    return Results(results)


def recommend(results: ResultsLike, goal: str, any_quality: bool = False) -> dict[str, Any]:
    """Which runtime and precision to deploy: of one bundle's results, for each call the best row.

    A reduced precision that loses more than `export` allows (1 nat of test ELBO, 2% of reconstruction error), or whose
    loss nobody measured, is not recommended, however fast.

    Args:
      results: what `benchmark` returned.
      goal: `"latency"`: the smallest p90 of single_stream; `"throughput"`: the most offline images a second. Of rows
        within 5% of the best, the most precise.
      any_quality: recommend whatever is fastest, and say what it costs.

    Returns:
      `goal`, `excluded` (a row's label -> why), and for encode and decode: `runtime`, `mode`, `format`, `precision`,
      the scenario's figures, `largest_error`, `file_bytes` and `quality`, the cost of a reduced precision.

    Raises:
      UserError: an unknown goal, nothing that can be recommended was timed, or rows of unequal settings.
    """
    choose("goal", goal, dict.fromkeys(GOALS))
    require_comparable(results)
    timed: list[Row] = [row for row in results["rows"] if row["status"] == "ok"]
    excluded = {} if any_quality else {label(row): why for row in timed if (why := _ruined(row))}
    candidates = [row for row in timed if label(row) not in excluded]
    if not candidates:
        reasons = "; ".join(f"{name} {why}" for name, why in excluded.items()) or "no runtime was timed"
        raise UserError(f"There is nothing to recommend: {reasons}.")
    chosen: dict[str, Any] = {"goal": goal, "excluded": excluded}
    for signature in SIGNATURES:
        costs = {label(row): _cost(row, signature, goal) for row in candidates}
        close = [row for row in candidates if costs[label(row)] <= _TIE * min(costs.values())]
        best = min(close, key=lambda row: (_PRECISIONS.index(row["precision"]), costs[label(row)]))
        chosen[signature] = {
            **{name: best[name] for name in ("runtime", "mode", "format", "precision", "file_bytes", "quality")},
            **best["scenarios"][signature],
            "largest_error": max(best["errors"].values()),
        }
    return chosen


def _ruined(row: Row) -> str | None:
    """Why a row is not recommended; None: it may be."""
    if row["precision"] == "float32" or (row["quality"] and not loses_too_much(row["quality"])):
        return None
    lost = losses(row["quality"]) if row["quality"] else []
    return f"loses {' and '.join(lost)}" if lost else "loses what nobody has measured"


def sentence(chosen: Recommendation) -> str:
    """What `recommend` returned, for people."""
    said = []
    for signature in SIGNATURES:
        row = chosen[signature]
        if chosen["goal"] == "latency":
            figure = f"single_stream p90 {row['single_stream']['p90_us']:,.0f} µs"
        else:
            offline = row["offline"]
            figure = f"offline {offline['images_per_second']:,.0f} images/s at batch {offline['batch']}"
        cost = f", which loses {' and '.join(losses(row['quality']))}" if row["quality"] else ""
        said.append(
            f"{signature} with {label(row)}, the file format {row['format']}, {row['precision']}{cost}: {figure}"
        )
    left_out = "".join(f" Not {name}, which {why}." for name, why in chosen["excluded"].items())
    of = f"{chosen['bundle']}, for" if "bundle" in chosen else "For"
    return f"{of} {chosen['goal']}: {'; '.join(said)}.{left_out}"


def _cost(row: Row, signature: Signature, goal: str) -> float:
    scenarios = row["scenarios"][signature]
    if goal == "latency":
        return scenarios["single_stream"]["p90_us"]
    return 1.0 / scenarios["offline"]["images_per_second"]


def name_of(results: ResultsLike) -> str:
    """Of the bundle that results are of: the zoo's, or its folder."""
    bundle = results["bundle"]
    return bundle["zoo_name"] or bundle["path"]
