"""A benchmark's results as Markdown."""

from collections.abc import Mapping
from typing import Any

from keras_vae.runtimes.rounds import SIGNATURES


def cells(results: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """The table as text: column titles, and a row for each timed runtime and signature. Microseconds, and images/s."""
    first, *others = map(str, results["settings"]["batch_sizes"])
    titles = ["runtime", "call", *(f"p{p} µs, batch {first}" for p in (50, 90, 99))]
    titles += [f"images/s, batch {size}" for size in others]
    rows = []
    for row in results["rows"]:
        for signature in SIGNATURES if row["status"] == "ok" else ():
            at = row[signature]
            latency = [f"{at[first][key]:,.0f}" for key in ("p50_us", "p90_us", "p99_us")]
            rates = [f"{at[size]['images_per_second']:,.0f}" for size in others]
            rows.append([row["runtime"], signature, *latency, *rates])
    return titles, rows


def not_timed(results: Mapping[str, Any]) -> list[str]:
    """A sentence for each runtime that was not timed: why."""
    return [
        f"{row['runtime']}: {row['status']}. {row['reason'].rstrip('.')}."
        for row in results["rows"]
        if row["status"] != "ok"
    ]


def conditions(results: Mapping[str, Any]) -> str:
    """One sentence on what was timed, and where."""
    machine, settings, bundle = results["machine"], results["settings"], results["bundle"]
    versions = ", ".join(f"{row['runtime']} {row['version']}" for row in results["rows"] if row["status"] == "ok")
    return (
        f"{bundle['zoo_name'] or bundle['model']} on {machine['processor']}, {settings['threads']} threads, float32 "
        f"({versions or 'no runtime'}); "
        f"{settings['timed']}; {settings['calls']} or more calls at the smallest batch in {settings['rounds']} rounds; "
        f"outputs compared with Keras's before."
    )


def markdown(results: Mapping[str, Any]) -> str:
    """A Markdown table of what `benchmark` returned, with the conditions below it."""
    titles, rows = cells(results)
    lines = [titles, ["---", "---", *["---:"] * (len(titles) - 2)], *rows]
    table = "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)
    reasons = "\n".join(f"* {reason}" for reason in not_timed(results))
    return "\n\n".join(filter(None, [table, reasons, conditions(results)])) + "\n"
