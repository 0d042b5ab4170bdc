"""The rows of a benchmark: before anything is timed, and the figures that durations become."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_vae import checks
from keras_vae.benchmarking.results import Figures, Row, Scenarios
from keras_vae.errors import UserError
from keras_vae.export.parity import REDUCED
from keras_vae.registry import choose
from keras_vae.runtimes import registry
from keras_vae.runtimes.bundle import Bundle, example_shape

BATCH_SIZES = (1, 32, 256)


def label(row: Row | Mapping[str, object]) -> str:
    """Return the name of a row: the runtime, its mode, and its precision if that is not float32."""
    precision, mode = row["precision"], row["mode"]
    parts = [str(part) for part in (mode, None if precision in ("float32", mode) else precision) if part]
    return f"{row['runtime']} ({', '.join(parts)})" if parts else str(row["runtime"])


def title(row: Row | Mapping[str, object]) -> str:
    """Return the label of a row, after its bundle where the results are of several."""
    return f"{row['bundle']}, {label(row)}" if "bundle" in row else label(row)


def sizes_for(bundle: Bundle, batch_sizes: Sequence[int] | None) -> list[int]:
    """Return batch sizes in ascending order: `batch_sizes`, a bundle's only one, or 1, 32 and 256."""
    requested = batch_sizes if batch_sizes is not None else (bundle.batch,) if bundle.batch else BATCH_SIZES
    sizes = sorted({checks.check_whole_number(size, "batch_sizes") for size in requested})
    if not sizes:
        raise UserError("benchmark needs at least one batch size. Given: none.")
    if bundle.batch and sizes != [bundle.batch]:
        raise UserError(
            f"{bundle.path} takes batches of {bundle.batch} only. Given: {', '.join(map(str, sizes))}. Leave the batch "
            f"sizes out, or export it without a batch."
        )
    for graph in bundle.graphs.values():
        arrays = [*graph["inputs"].values(), *graph["outputs"].values()]
        checks.check_memory(sizes[-1], 4 * sum(math.prod(example_shape(one)) for one in arrays), "batch_sizes")
    return sizes


def first_rows(bundle: Bundle, names: Sequence[str] | None) -> list[dict[str, Any]]:
    """Return a row for each runtime, mode and precision, with the reason if it cannot be timed."""
    rows: dict[str, dict[str, Any]] = {}
    for requested in registry.names() if names is None else names:
        name, _, mode = requested.partition(":")
        runtime, status = choose("runtime", name, registry.KNOWN), registry.installed()[name]
        if mode and mode not in runtime.modes:
            modes = ", ".join(f"{name}:{other}" for other in runtime.modes if other) or "none"
            raise UserError(f"The runtime {name!r} has the modes: {modes}. Given: {requested!r}.")
        row: dict[str, Any] = {"runtime": name, "mode": None, "status": "ok", "version": status.version}
        nothing = {"format": None, "precision": None}
        formats = registry.held(bundle, name)
        if status.reason:
            new_rows = [row | nothing | {"status": "unavailable", "reason": status.reason}]
        elif not formats:
            reason = f"The bundle holds no {' or '.join(runtime.formats)}; export it with --format {runtime.formats[0]}"
            new_rows = [row | nothing | {"status": "no file", "reason": reason}]
        else:
            modes = [mode] if mode else [usual for usual in runtime.modes if usual not in runtime.on_request]
            new_rows = [row | {"mode": way} | _file(bundle, held, way) for way in modes for held in formats]
        rows |= {label(new): new for new in new_rows}
    return list(rows.values())


def _file(bundle: Bundle, format_name: str, mode: str | None) -> dict[str, Any]:
    """Return the columns of a row that describe its files."""
    entry = bundle.formats[format_name]
    modes = entry.get("modes", {})
    costs = modes.get(mode or "", entry)  # a mode in another precision has another cost
    return {
        "format": format_name,
        "precision": mode if mode in REDUCED else bundle.precision_of(format_name),
        "file_bytes": bundle.size_of(format_name),
        "quality": costs.get("quality"),
    }


def summary(turns: Sequence[Sequence[int]], bare: Sequence[Sequence[int]], size: int) -> Figures:
    """Return a row's figures at one batch size, from the nanoseconds of each call and each bare call in each turn."""
    every = np.concatenate([np.asarray(turn, "float64") for turn in turns])
    rates = [size * len(turn) / (sum(turn) / 1e9) for turn in turns]
    p50, p90, p99 = (round(float(value) / 1e3, 2) for value in np.percentile(every, (50, 90, 99)))
    return {
        "calls": len(every),
        "p50_us": p50,
        "p90_us": p90,
        "p99_us": p99,
        "bare_p50_us": round(float(np.median(np.concatenate([np.asarray(turn) for turn in bare]))) / 1e3, 2),
        "images_per_second": round(float(np.median(rates)), 1),
    }


def scenarios(sizes: Mapping[str, Figures]) -> Scenarios:
    """Return MLPerf's single_stream and offline, from one signature's figures by batch size."""
    smallest, best = min(sizes, key=int), max(sizes, key=lambda size: sizes[size]["images_per_second"])
    first = sizes[smallest]
    return {
        "single_stream": {
            "batch": int(smallest),
            "calls": first["calls"],
            "p50_us": first["p50_us"],
            "p90_us": first["p90_us"],
            "p99_us": first["p99_us"],
            "bare_p50_us": first["bare_p50_us"],
        },
        "offline": {"batch": int(best), "images_per_second": sizes[best]["images_per_second"]},
    }
