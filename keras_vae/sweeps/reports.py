"""The files beside the runs of a study: the table, a README with its findings, and three pictures."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from keras_vae import files, plots
from keras_vae.errors import NotApplicable
from keras_vae.registry import nearest
from keras_vae.sweeps import tables
from keras_vae.sweeps.analysis import rank_correlations, seed_share
from keras_vae.sweeps.progress import MEASURED, Survey
from keras_vae.sweeps.studies import Study
from keras_vae.sweeps.tables import Row
from keras_vae.zoo.stopping import BOUNDS
from keras_vae.zoo.wording import table_lines

README = "README.md"
_SHOWN = 30  # configurations in the README


def write(study: Study, now: Survey, rows: Sequence[Row], folder: Path) -> list[str]:
    """Write the table, the README and the pictures of a study; return their names."""
    written, metrics = [tables.write(rows, folder)], study.options.metrics
    ends = [
        [row for row in rows if row["configuration"] == configuration]
        for configuration, outcome in now.outcomes.items()
        if outcome.status == "finished"
    ]
    ranked = [end for end in ends if now.outcomes[end[0]["configuration"]].value is not None]
    ranked.sort(key=lambda end: -study.sign * _mean(end, metrics[0]))
    ends = [*ranked, *(end for end in ends if end not in ranked)]
    for searched in (study.searched, study.keys):  # the second, if the first do not tell configurations apart
        keys = [key for key in searched if len({str(end[0][key]) for end in ends}) > 1]
        if len({str([end[0][key] for key in keys]) for end in ends}) == len(ends):
            break
    shared = [f"history.{name}" for name in (*BOUNDS, "val_loss")]
    shared = [curve for curve in shared if ends and all(curve in row for end in ends for row in end)]
    for curve in shared[:1]:
        curves = {_label(end[0], keys): [row[curve] for row in end] for end in ends}
        plots.spread(curves, folder / "curves.png", y=curve.removeprefix("history."))
        written.append("curves.png")
    if keys and ranked:
        axes = {key: [end[0][key] for end in ranked] for key in keys}
        plots.parallel(axes | {metrics[0]: [_mean(end, metrics[0]) for end in ranked]}, folder / "parallel.png")
        written.append("parallel.png")
    agreement, square = _agreement(rows, measured := [name for name in metrics if any(name in row for row in rows)])
    if square is not None:
        plots.matrix(square, measured, folder / "correlations.png")
        written.append("correlations.png")
    splits = sorted({run.recipe.evaluation.split for run in now.runs})
    parts = [f"# {study.name}", study.options.summary, _counts(now), _table(study, ends, keys, splits)]
    parts += [_absent(ends[len(ranked) :], metrics[0]), _shares(rows, measured)]
    pictures = [f"![{name.removesuffix('.png')}]({name})" for name in written if name.endswith(".png")]
    files.write_text(folder / README, "\n\n".join(filter(None, [*parts, agreement, *pictures])) + "\n")
    return [*written, README]


def _mean(end: Sequence[Row], metric: str) -> float:
    return float(np.mean([row[metric] for row in end]))


def _label(row: Row, keys: Sequence[str]) -> str:
    words = [f"{key.split('.')[-1]} {_cell(row[key])}" for key in keys if row[key] is not None]
    return ", ".join([f"c{row['configuration']:03d}", *words])


def _cell(value: object) -> str:
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def _counts(now: Survey) -> str:
    statuses = [now.status(run) for run in now.runs]
    counts = ", ".join(f"{statuses.count(status)} {status}" for status in sorted(set(statuses)))
    return f"{len(now.runs)} runs of {len({run.configuration for run in now.runs})} configurations: {counts}."


def _markdown(heads: Sequence[str], rows: Iterable[Sequence[str]], words: int) -> str:
    """A table, its columns from `words` on numbers."""
    return "\n".join(table_lines(heads, rows, right=range(words, len(heads))))


def _table(study: Study, ends: Sequence[Sequence[Row]], keys: Sequence[str], splits: Sequence[str]) -> str:
    metrics = study.options.metrics
    if not ends:
        return "No configuration is finished."

    def cell(end: Sequence[Row], metric: str) -> str:
        values = [float(row[metric]) for row in end if row.get(metric) is not None]
        if len(values) < len(end):
            return ""
        spread = f" ± {np.std(values, ddof=1):.2g}" if len(values) > 1 else ""
        return f"{np.mean(values):.4g}{spread}"

    lines = [
        [f"c{end[0]['configuration']:03d}", *(_cell(end[0][key]) for key in keys), *(cell(end, m) for m in metrics)]
        for end in ends[:_SHOWN]
    ]
    rest = f"; the first {_SHOWN} of {len(ends)}" if len(ends) > _SHOWN else ""
    note = f"Means over {len(study.seeds)} seeds, ± their standard deviation. The best first{rest}."
    note += f" Measured on the split {' and '.join(f'`{split}`' for split in splits)}"
    note += ": the number of the best of several is too good for new data." if len(ends) > 1 else "."
    return f"{_markdown(['configuration', *keys, *metrics], lines, 1 + len(keys))}\n\n{note}"


def _absent(ends: Sequence[Sequence[Row]], metric: str) -> str:
    """Which configurations have no value; empty if all have one."""
    if not ends:
        return ""
    names = [f"c{end[0]['configuration']:03d}" for end in ends]
    near = nearest(metric, {name for end in ends for row in end for name in row if name.split(".")[0] in MEASURED})
    rest = ", ..." if len(names) > _SHOWN else ""
    return f"Last, and not ranked, without {metric} in their results: {', '.join(names[:_SHOWN])}{rest}.{near}"


def _shares(rows: Sequence[Row], metrics: Sequence[str]) -> str:
    """How much of the variance of each metric is due to the seed, and why it was not computed where it was not."""
    lines, reasons = list[list[str]](), dict[str, list[str]]()
    for metric in metrics:
        try:
            share = seed_share(rows, metric)
        except NotApplicable as error:
            reasons.setdefault(str(error), []).append(metric)
        else:
            lines.append([metric, f"{share.value:.0%}", f"{share.low:.0%} to {share.high:.0%}"])
    title = (
        "## How much is due to the seed",
        "The share of a metric's variance that is between seeds of one configuration.",
        _markdown(["metric", "due to the seed", "95 % interval"], lines, 1),
    )
    notes = [
        f"The share due to the seed was not computed{of}: {reason}"
        for reason, names in reasons.items()
        for of in [f" of {', '.join(names)}" if len(names) < len(metrics) else ""]
    ]
    return "\n\n".join([*(title if lines else ()), *notes])


def _agreement(rows: Sequence[Row], metrics: Sequence[str]) -> tuple[str, np.ndarray | None]:
    """Which metrics agree, in words and as a matrix; or why that was not computed."""
    if len(metrics) < 2:
        return "", None
    try:
        correlations = rank_correlations(rows, metrics)
    except NotApplicable as error:
        return f"Agreement of metrics was not computed: {error}", None
    square, lines = np.eye(len(metrics)), list[list[str]]()
    for (a, b), rho in sorted(correlations.items(), key=lambda pair: -pair[1].value):
        lines.append([a, b, f"{rho.value:+.2f}", f"{rho.low:+.2f} to {rho.high:+.2f}"])
        first, second = metrics.index(a), metrics.index(b)
        square[first, second] = square[second, first] = rho.value
    text = (
        "## Which metrics agree\n\nSpearman's rank correlation over runs; intervals by drawing configurations with all "
        f"of their seeds.\n\n{_markdown(['metric', 'and', 'correlation', '95 % interval'], lines, 2)}"
    )
    return text, square
