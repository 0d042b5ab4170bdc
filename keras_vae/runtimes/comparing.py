"""Which rows of a benchmark may be compared, and which of them to deploy."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from keras_vae.errors import UserError
from keras_vae.naming import choose
from keras_vae.runtimes.rounds import SCHEMA, SIGNATURES, label

GOALS = ("latency", "throughput")
_TIE = 1.05  # within this factor of the best, the more precise is recommended
_PRECISIONS = ("float32", "float16", "bfloat16", "int8")
_MACHINE = ("processor", "processors", "system", "python")


def require_comparable(results: Mapping[str, Any]) -> None:
    """Raise UserError if the rows that were timed had other threads, or another number of processors, than each other.

    Args:
      results: what `benchmark` or `join` returned.
    """
    timed = [row for row in results["rows"] if row["status"] == "ok"]
    for what, of in (
        ("threads", lambda row: row["settings"]["threads"]),
        ("processors", lambda row: row["processors"] and len(row["processors"])),
    ):
        found = {of(row): label(row) for row in timed}
        if len(found) > 1:
            said = ", ".join(f"{name} with {value}" for value, name in found.items())
            raise UserError(
                f"Only rows of equal settings are compared. Given: {said} {what}. Time them again together."
            )


def join(results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
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
                        f"{_name(first)}, and {theirs!r} for {_name(other)}. Time them again together."
                    )
    joined = {
        "schema": first["schema"],
        "bundles": [each["bundle"] for each in results],
        "machine": first["machine"],
        "settings": first["settings"],
        "seconds": round(sum(each["seconds"] for each in results), 1),
        "rows": [{"bundle": _name(each), **row} for each in results for row in each["rows"]],
    }
    require_comparable(joined)
    return joined


def read_results(path: str | Path) -> dict[str, Any]:
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
    return results


def recommend(results: Mapping[str, Any], goal: str) -> dict[str, Any]:
    """Which runtime and precision to deploy: of one bundle's results, for each call the best row.

    Args:
      results: what `benchmark` returned.
      goal: `"latency"`: the smallest p90 of single_stream; `"throughput"`: the most offline images a second. Of rows
        within 5% of the best, the most precise.

    Returns:
      `goal`, and for encode and decode: `runtime`, `mode`, `format`, `precision`, the figure, and `largest_error`.

    Raises:
      UserError: an unknown goal, nothing was timed, or rows of unequal settings.
    """
    choose("goal", goal, dict.fromkeys(GOALS))
    require_comparable(results)
    timed = [row for row in results["rows"] if row["status"] == "ok"]
    if not timed:
        raise UserError("There is nothing to recommend: no runtime was timed.")
    chosen: dict[str, Any] = {"goal": goal}
    for signature in SIGNATURES:
        costs = {label(row): _cost(row, signature, goal) for row in timed}
        close = [row for row in timed if costs[label(row)] <= _TIE * min(costs.values())]
        best = min(close, key=lambda row: (_PRECISIONS.index(row["precision"]), costs[label(row)]))
        scenario = "single_stream" if goal == "latency" else "offline"
        chosen[signature] = {
            **{name: best[name] for name in ("runtime", "mode", "format", "precision")},
            scenario: best["scenarios"][signature][scenario],
            "largest_error": max(best["errors"].values()),
        }
    return chosen


def sentence(chosen: Mapping[str, Any]) -> str:
    """What `recommend` returned, for people."""
    said = []
    for signature in SIGNATURES:
        row = chosen[signature]
        if chosen["goal"] == "latency":
            figure = f"p90 {row['single_stream']['p90_us']:,.0f} µs"
        else:
            offline = row["offline"]
            figure = f"{offline['images_per_second']:,.0f} images/s at batch {offline['batch']}"
        said.append(f"{signature} with {label(row)}, the file format {row['format']}, {row['precision']}: {figure}")
    return f"For {chosen['goal']}: {'; '.join(said)}."


def _cost(row: Mapping[str, Any], signature: str, goal: str) -> float:
    scenarios = row["scenarios"][signature]
    if goal == "latency":
        return scenarios["single_stream"]["p90_us"]
    return 1.0 / scenarios["offline"]["images_per_second"]


def _name(results: Mapping[str, Any]) -> str:
    bundle = results["bundle"]
    return bundle["zoo_name"] or bundle["path"]
