"""A benchmark's results as a picture."""

import textwrap
from pathlib import Path

from keras_vae import files
from keras_vae.benchmarking.comparing import require_comparable
from keras_vae.benchmarking.results import SIGNATURES, ResultsLike, timed_rows
from keras_vae.benchmarking.rows import title
from keras_vae.benchmarking.tables import ENOUGH, conditions, not_timed, remarks
from keras_vae.errors import UserError

# Okabe and Ito's blue and orange: apart for every kind of colour vision, and in grey.
_COLOURS = {"encode": "#0072B2", "decode": "#E69F00"}


def plot(results: ResultsLike, path: str | Path) -> Path:
    """Draw what `benchmark` returned: MLPerf's single_stream, and offline at the best batch.

    Args:
      results: with at least one timed row.
      path: of the picture, a `.png`, `.svg` or `.pdf`.

    Raises:
      UserError: nothing was timed, rows of unequal settings, or a full disk.
    """
    from matplotlib.figure import Figure

    require_comparable(results)
    rows = timed_rows(results)
    if not rows:
        raise UserError(f"There is nothing to draw: no runtime was timed. {' '.join(not_timed(results))}")
    figure = Figure(figsize=(10, 1.6 + 0.6 * len(rows)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for shift, signature in enumerate(SIGNATURES):
        colour = _COLOURS[signature]
        heights = [index + 0.4 * (shift - 0.5) for index in range(len(rows))]
        for y, row in zip(heights, rows, strict=True):
            single = row["scenarios"][signature]["single_stream"]
            p50, p90, p99 = (single[key] for key in ("p50_us", "p90_us", "p99_us"))
            last = p99 if single["calls"] >= ENOUGH else p90
            left.plot([p50, last], [y, y], color=colour, lw=2)
            left.plot([p90, last], [y, y], "|", color=colour, markersize=8)
            left.plot([p50], [y], "o", color=colour)
            left.annotate(f"{p50:,.0f}", (p50, y), (-6, 0), textcoords="offset points", ha="right", va="center")
        offline = [row["scenarios"][signature]["offline"] for row in rows]
        rates = [best["images_per_second"] for best in offline]
        bars = right.barh(heights, rates, height=0.38, color=colour, label=signature)
        words = [f"{best['images_per_second']:,.0f} at {best['batch']}" for best in offline]
        right.bar_label(bars, words, padding=3)
    left.set_xscale("log")
    left.margins(x=0.3)
    right.set_xlim(0, 1.5 * right.dataLim.xmax)  # room for the words behind the bars
    for axes, heading in (
        (left, "single_stream, µs: p50, p90, p99 (log scale)"),
        (right, "offline, images/s at the best batch"),
    ):
        axes.set_title(heading, fontsize=10)
        axes.set_yticks(range(len(rows)), [title(row) for row in rows])
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.spines[["top", "right"]].set_visible(False)
    figure.legend(*right.get_legend_handles_labels(), loc="outside upper right", ncols=2, frameon=False)
    words = " ".join([conditions(results), *remarks(results), *not_timed(results)])
    figure.supxlabel(textwrap.fill(words, 190), fontsize=7)
    with files.atomic(path) as temporary:
        figure.savefig(temporary, dpi=120)
    return Path(path)
