"""What is written beside the runs of a study: the table, a README with its findings, and three pictures."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_vae import files, plots
from keras_vae.errors import NotApplicable
from keras_vae.sweeps import tables
from keras_vae.sweeps.analysis import Interval, rank_correlations, seed_share
from keras_vae.sweeps.progress import Survey
from keras_vae.sweeps.studies import Study
from keras_vae.sweeps.tables import Row

README = "README.md"
_CURVES = ("val_iw_bound", "val_elbo", "val_loss")  # the first of them that there is
_SHOWN = 30  # configurations in the README


def write(study: Study, now: Survey, rows: Sequence[Row], folder: Path) -> list[str]:
    """Write the table, the README and the pictures of a study; return their names."""
    written, ends = [tables.write(rows, folder)], summaries(study, now, rows)
    findings = [f"# {study.name}", study.options.summary, _counts(now), _table(study, ends)]
    if ends:
        labels = [_label(study, row) for row in ends]
        if curve := next((name for name in _CURVES if f"history.{name}" in rows[ends[0]["rows"][0]]), None):
            histories = [[rows[index][f"history.{curve}"] for index in row["rows"]] for row in ends]
            plots.spread(dict(zip(labels, histories, strict=True)), folder / "curves.png", y=curve)
            written.append("curves.png")
        axes = {key: [row[key] for row in ends] for key in [*varying(study, ends), study.options.metrics[0]]}
        if len(axes) > 1:
            plots.parallel(axes, folder / "parallel.png")
            written.append("parallel.png")
    findings += _shares(study, rows)
    try:
        correlations = rank_correlations(rows, study.options.metrics)
    except NotApplicable as error:
        findings += [f"Which metrics agree was not asked: {error}"] if len(study.options.metrics) > 1 else []
    else:
        if correlations:
            findings += _agreement(correlations)
            plots.matrix(
                _square(correlations, study.options.metrics), study.options.metrics, folder / "correlations.png"
            )
            written.append("correlations.png")
    pictures = [f"![{name.removesuffix('.png')}]({name})" for name in written if name.endswith(".png")]
    files.write_text(folder / README, "\n\n".join(filter(None, [*findings, *pictures])) + "\n")
    return [*written, README]


def summaries(study: Study, now: Survey, rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return the finished configurations, the best first: their keys, means of metrics, and the positions of rows."""
    ends = []
    for configuration, outcome in now.outcomes.items():
        if outcome.status == "finished":
            indices = [index for index, row in enumerate(rows) if row["configuration"] == configuration]
            several = {metric: [rows[index].get(metric) for index in indices] for metric in study.options.metrics}
            means = {metric: None if None in values else float(np.mean(values)) for metric, values in several.items()}
            spreads = {
                f"{metric}.spread": float(np.std(values, ddof=1)) if len(values) > 1 and None not in values else None
                for metric, values in several.items()
            }
            keys = {key: rows[indices[0]][key] for key in study.keys}
            ends.append({"configuration": configuration, "rows": indices, **keys, **means, **spreads})
    return sorted(ends, key=lambda row: -study.sign * row[study.options.metrics[0]])


def varying(study: Study, ends: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the keys that differ between configurations."""
    return [key for key in study.keys if len({str(row[key]) for row in ends}) > 1]


def _label(study: Study, row: Mapping[str, Any]) -> str:
    words = [f"{key.split('.')[-1]} {_cell(row[key])}" for key in study.keys if row[key] is not None]
    return ", ".join(words) or f"c{row['configuration']:03d}"


def _cell(value: object) -> str:
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def _counts(now: Survey) -> str:
    statuses = [now.status(run) for run in now.runs]
    counts = ", ".join(f"{statuses.count(status)} {status}" for status in dict.fromkeys(statuses))
    return f"{len(now.runs)} runs of {len({run.configuration for run in now.runs})} configurations: {counts}."


def _table(study: Study, ends: Sequence[Mapping[str, Any]]) -> str:
    if not ends:
        return "No configuration is finished."
    keys = varying(study, ends)
    lines = [
        _line(["configuration", *keys, *study.options.metrics]),
        _line(["---"] * (1 + len(keys)) + ["---:"] * len(study.options.metrics)),
    ]
    for row in ends[:_SHOWN]:
        cells = [_cell(row[metric]) + (f" ± {spread:.2g}" if (spread := row[f"{metric}.spread"]) is not None else "")
                 for metric in study.options.metrics]  # fmt: skip
        lines.append(_line([f"c{row['configuration']:03d}", *(_cell(row[key]) for key in keys), *cells]))
    rest = f" The first {_SHOWN} of {len(ends)}." if len(ends) > _SHOWN else ""
    return (
        "\n".join(lines) + f"\n\nMeans over {len(study.seeds)} seeds, ± their standard deviation; the best first.{rest}"
    )


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _shares(study: Study, rows: Sequence[Row]) -> list[str]:
    lines = ["| metric | by the seed | 95 % interval |", "| --- | ---: | ---: |"]
    try:
        for metric in study.options.metrics:
            share = seed_share(rows, metric)
            lines.append(f"| {metric} | {share.value:.0%} | {share.low:.0%} to {share.high:.0%} |")
    except NotApplicable as error:
        return [f"How much is the seed was not asked: {error}"]
    return [
        "## How much is the seed",
        "The share of a metric's variance over all runs that is between seeds of one configuration.",
        "\n".join(lines),
    ]


def _agreement(correlations: Mapping[tuple[str, str], Interval]) -> list[str]:
    lines = ["| metrics | | rank correlation | 95 % interval |", "| --- | --- | ---: | ---: |"]
    for (a, b), rho in sorted(correlations.items(), key=lambda pair: -pair[1].value):
        lines.append(f"| {a} | {b} | {rho.value:+.2f} | {rho.low:+.2f} to {rho.high:+.2f} |")
    return [
        "## Which metrics agree",
        "Spearman's, over runs; intervals by drawing configurations with all of their seeds.",
        "\n".join(lines),
    ]


def _square(correlations: Mapping[tuple[str, str], Interval], metrics: Sequence[str]) -> np.ndarray:
    square = np.eye(len(metrics))
    for (a, b), rho in correlations.items():
        first, second = metrics.index(a), metrics.index(b)
        square[first, second] = square[second, first] = rho.value
    return square
