"""A benchmark's results as Markdown."""

from collections.abc import Mapping
from typing import Any

from keras_vae.runtimes.comparing import require_comparable
from keras_vae.runtimes.rounds import SIGNATURES, label


def cells(results: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """The table as text: column titles, and a row for each timed row and signature. Microseconds, and images/s.

    Raises:
      UserError: rows of unequal settings.
    """
    require_comparable(results)
    first, *others = map(str, results["settings"]["batch_sizes"])
    several = ["model"] if "bundles" in results else []
    titles = [*several, "runtime", "call", *(f"p{p} µs, batch {first}" for p in (50, 90, 99))]
    titles += [f"images/s, batch {size}" for size in others]
    rows = []
    for row in results["rows"]:
        for signature in SIGNATURES if row["status"] == "ok" else ():
            at = row[signature]
            latency = [f"{at[first][key]:,.0f}" for key in ("p50_us", "p90_us", "p99_us")]
            rates = [f"{at[size]['images_per_second']:,.0f}" for size in others]
            rows.append([*(row["bundle"] for _ in several), label(row), signature, *latency, *rates])
    return titles, rows


def costs(results: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """A row for each timed row: what it is, what it takes, and what a reduced precision costs.

    The last two columns are the change of the test ELBO in nats, and of the reconstruction error. No rows of results
    that are older than these figures.
    """
    several = ["model"] if "bundles" in results else []
    titles = [*several, "runtime", "precision", "files, MB", "cold start, s", "memory, MB", "error"]
    titles += ["ELBO, change", "error, change"]
    rows = []
    for row in results["rows"]:
        if row["status"] == "ok" and "scenarios" in row:
            quality = row.get("quality") or {}
            elbo, error = quality.get("elbo_change"), quality.get("reconstruction_change")
            memory = row.get("peak_memory_mb")
            rows.append(
                [
                    *(row["bundle"] for _ in several),
                    label(row),
                    row["precision"],
                    f"{row['file_bytes'] / 1e6:.2f}",
                    f"{row['cold_start_seconds']:.2f}",
                    "" if memory is None else f"{memory:,.0f}",
                    f"{max(row['errors'].values()):.1e}",
                    "" if elbo is None else f"{elbo:+.3f}",
                    "" if error is None else f"{error:+.2%}",
                ]
            )
    return titles, rows


def not_timed(results: Mapping[str, Any]) -> list[str]:
    """A sentence for each row that was not timed: why."""
    return [
        f"{label(row)}: {row['status']}. {row['reason'].rstrip('.')}."
        for row in results["rows"]
        if row["status"] != "ok"
    ]


def conditions(results: Mapping[str, Any]) -> str:
    """One sentence on what was timed, and where."""
    machine, settings = results["machine"], results["settings"]
    bundles = results.get("bundles") or [results["bundle"]]
    timed = [row for row in results["rows"] if row["status"] == "ok"]
    versions = ", ".join(dict.fromkeys(f"{row['runtime']} {row['version']}" for row in timed))
    precisions = ", ".join(dict.fromkeys(row.get("precision", "float32") for row in timed)) or "float32"
    return (
        f"{', '.join(bundle['zoo_name'] or bundle['model'] for bundle in bundles)} on {machine['processor']}, "
        f"{settings['threads']} threads, {precisions} ({versions or 'no runtime'}); "
        f"{settings['timed']}; {settings['calls']} or more calls at the smallest batch in {settings['rounds']} rounds; "
        f"outputs compared with Keras's before."
    )


def markdown(results: Mapping[str, Any]) -> str:
    """Markdown tables of what `benchmark` returned, with the conditions below them.

    Raises:
      UserError: rows of unequal settings.
    """
    tables = [_table(*cells(results)), _table(*costs(results)) if costs(results)[1] else ""]
    reasons = "\n".join(f"* {reason}" for reason in not_timed(results))
    return "\n\n".join(filter(None, [*tables, reasons, conditions(results)])) + "\n"


def _table(titles: list[str], rows: list[list[str]]) -> str:
    words = sum(title in ("model", "runtime", "call", "precision") for title in titles)
    lines = [titles, ["---"] * words + ["---:"] * (len(titles) - words), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)
