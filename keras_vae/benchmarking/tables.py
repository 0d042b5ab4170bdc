"""A benchmark's results as Markdown."""

from collections.abc import Sequence

from keras_vae.benchmarking.comparing import require_comparable, sentence
from keras_vae.benchmarking.results import SCHEMA, SIGNATURES, ResultsLike, Scenarios, timed_rows
from keras_vae.benchmarking.rows import label, title

ENOUGH = 1000  # calls: with fewer, p99 is one of the ten slowest, and unreliable
_WORDS = ("model", "runtime", "call", "precision", "deploy", "OpenVINO", "process")  # columns that are no numbers


def cells(results: ResultsLike) -> tuple[list[str], list[list[str]]]:
    """Return column titles, and a row for each timed row and signature, by MLPerf's names.

    `single_stream`, microseconds of a single call at the smallest batch, and beside it the median of the runtime's call
    alone; `offline`, images/s at the best batch.

    Raises:
      UserError: rows of unequal settings.
    """
    require_comparable(results)
    several = ["model"] if "bundles" in results else []
    titles = [*several, "runtime", "call", "single_stream p50, µs", "p90, µs", "p99, µs"]
    bare = ["bare call p50, µs"] if results["schema"] == SCHEMA else []  # earlier results are of bare calls alone
    titles += [*bare, "offline, images/s", "at batch"]
    rows = []
    for row in timed_rows(results):
        for signature in SIGNATURES:
            scenarios = row["scenarios"][signature]
            figures = scenario_cells(scenarios)
            figures[3:3] = [f"{scenarios['single_stream']['bare_p50_us']:,.0f}" for _ in bare]
            rows.append([*([row["bundle"]] if "bundle" in row else []), label(row), signature, *figures])
    return titles, rows


def scenario_cells(scenarios: Scenarios) -> list[str]:
    """Return single_stream's p50, p90 and p99, in microseconds, then offline's images/s and batch."""
    single, offline = scenarios["single_stream"], scenarios["offline"]
    rough = "~" if single["calls"] < ENOUGH else ""
    return [
        *(f"{single[key]:,.0f}" for key in ("p50_us", "p90_us")),
        f"{rough}{single['p99_us']:,.0f}",
        f"{offline['images_per_second']:,.0f}",
        str(offline["batch"]),
    ]


def costs(results: ResultsLike) -> tuple[list[str], list[list[str]]]:
    """Return column titles, and a row for each timed row with its sizes, times and errors.

    The last two columns are the changes of test ELBO, in nats, and of reconstruction error of a reduced precision.
    """
    several = ["model"] if "bundles" in results else []
    titles = [*several, "runtime", "precision", "files, MB", "cold start, s", "peak memory, MB", "error"]
    titles += ["ELBO, change", "reconstruction error, change"]
    rows = []
    for row in timed_rows(results):
        quality, memory = row["quality"] or {}, row["peak_memory_mb"]
        elbo, error = quality.get("elbo_change"), quality.get("reconstruction_change")
        rows.append(
            [
                *([row["bundle"]] if "bundle" in row else []),
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


def not_timed(results: ResultsLike) -> list[str]:
    """Return a sentence for each row that was not timed, with the reason."""
    return [
        f"{title(row)}: {row['status']}. {row['reason'].rstrip('.')}."
        for row in results["rows"]
        if row["status"] != "ok"
    ]


def remarks(results: ResultsLike) -> list[str]:
    """Return caveats to the tables, as sentences."""
    timed = timed_rows(results)
    single = [row["scenarios"][signature]["single_stream"] for row in timed for signature in SIGNATURES]
    smallest = {figures["batch"] for figures in single} - {1}
    sentences = list(results["warnings"])
    if smallest:
        sentences.append(f"single_stream is of batch {', '.join(map(str, smallest))}: batch 1 was not timed.")
    if any(figures["calls"] < ENOUGH for figures in single):
        sentences.append(f"~: p99 of fewer than {ENOUGH:,} calls.")
    if any(row["runtime"] == "openvino" for row in timed):
        sentences.append(
            "OpenVINO answers one call at a time, with its hint LATENCY, as the others do; several at once, with its "
            "hint THROUGHPUT, may give more images a second."
        )
    return sentences


def conditions(results: ResultsLike) -> str:
    """Return a description of the benchmark: models, machine, precisions, versions and method."""
    machine, settings = results["machine"], results["settings"]
    bundles = results.get("bundles") or [results["bundle"]]
    timed = timed_rows(results)
    versions = ", ".join(dict.fromkeys(f"{row['runtime']} {row['version']}" for row in timed))
    precisions = ", ".join(dict.fromkeys(row["precision"] for row in timed)) or "nothing"
    sizes = ", ".join(map(str, settings["batch_sizes"]))
    return (
        f"{', '.join(bundle['zoo_name'] or bundle['model'] for bundle in bundles)} on {machine['processor']} "
        f"({', '.join(machine['flags']) or 'no vector instructions known'}), {settings['threads']} threads, "
        f"{precisions} ({versions or 'no runtime'}; keras_vae {machine['keras_vae']}); {settings['timed']}; batches of "
        f"{sizes}; {settings['calls']} or more calls at the smallest batch in {settings['rounds']} rounds; one process "
        f"a row, in turns. Cold start: from the start of a process to the first answers, the best of "
        f"{settings['cold_starts']}, each alone. Outputs were compared with Keras's before."
    )


def markdown(results: ResultsLike) -> str:
    """Return results of `benchmark` or `join` as Markdown: tables, recommendations, and the conditions.

    Raises:
      UserError: rows of unequal settings.
    """
    lists = (
        [sentence(recommendation) for recommendation in results.get("recommended", ())]
        + not_timed(results)
        + remarks(results)
    )
    bullets = "\n".join(f"* {line}" for line in lists)
    parts = [table(*cells(results)), table(*costs(results)), bullets, conditions(results)]
    return "\n\n".join(filter(None, parts)) + "\n"


def table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table, with numbers aligned to the right."""
    lines = [titles, ["---" if title in _WORDS else "---:" for title in titles], *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)
