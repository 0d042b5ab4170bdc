"""Figures of images and numbers, returned and, where a path is given, written as PNG files.

Images are in [0, 1] and shown as they are; curves have colours that everybody can tell apart. The figures are made
without pyplot, so neither its backend nor its list of open figures changes.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike
from PIL import Image

from keras_vae.errors import UserError
from keras_vae.files import atomic

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito 2008, https://jfly.uni-koeln.de/color/
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKS = ("o", "^", "s")
_WITH_LABELS = 40  # bars at most that have a label each


class Detection(Protocol):
    """How well scores tell anomalies from normal images: `keras_vae.tasks.anomaly.Detection`."""

    @property
    def auroc(self) -> float: ...
    @property
    def auroc_standard_error(self) -> float | None: ...
    @property
    def threshold(self) -> float: ...
    @property
    def false_positive_rate(self) -> float: ...
    @property
    def true_positive_rate(self) -> float: ...


class Judged(Protocol):
    """A detection with the scores behind it: `keras_vae.tasks.anomaly.Judged`."""

    @property
    def detection(self) -> Detection: ...
    @property
    def set_on(self) -> np.ndarray: ...
    @property
    def normal(self) -> np.ndarray: ...
    @property
    def anomalous(self) -> np.ndarray: ...


def save(figure: Figure, path: str | Path, colours: int = 0) -> None:
    """Write a figure as PNG, atomically.

    Args:
      figure: to write.
      path: of the file.
      colours: of a palette, for lines on white, whose file is a third as large with 64; 0: all colours.
    """
    with atomic(path) as temporary:
        figure.savefig(temporary, format="png", dpi=100, bbox_inches="tight", metadata={"Software": None})
        if colours:
            with Image.open(temporary) as image:
                image.convert("RGB").quantize(colours).save(temporary, "png", optimize=True)


def pixels(figure: Figure) -> np.ndarray:
    """A figure as an image: uint8 `(height, width, 3)`."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]


def mosaic(images: np.ndarray, columns: int, gap: int = 1) -> np.ndarray:
    """Lay images `(count, height, width, channels)` out in rows of `columns`, white between them: one image.

    Raises:
      UserError: no images.
    """
    count, height, width, channels = images.shape
    if not count:
        raise UserError("A picture needs at least one image. Given: none.")
    columns = min(columns, count)
    rows = -(-count // columns)
    canvas = np.ones((rows * (height + gap) - gap, columns * (width + gap) - gap, channels), "float32")
    for number, image in enumerate(images):
        top, left = (number // columns) * (height + gap), (number % columns) * (width + gap)
        canvas[top : top + height, left : left + width] = image
    return canvas


def grid(images: np.ndarray, path: str | Path | None = None, columns: int = 16) -> Figure:
    """A figure of images `(count, height, width, channels)` in rows."""
    return _image_figure(mosaic(images, columns), path)


def reconstructions(images: np.ndarray, means: np.ndarray, path: str | Path | None = None) -> Figure:
    """A figure of images in one row and of their reconstructions in the row below."""
    return _image_figure(mosaic(np.concatenate([images, means]), len(images)), path, ["image", "reconstruction"])


def labelled_rows(
    rows: np.ndarray, labels: Sequence[str], path: str | Path | None = None, columns: Sequence[str] = ()
) -> Figure:
    """A figure of `(rows, columns, height, width, channels)`, with a label before each row, and `columns` above.

    Raises:
      UserError: the number of labels is not the number of rows.
    """
    if len(labels) != len(rows):
        raise UserError(f"There is one label for each row. Given: {len(labels)} for {len(rows)} rows.")
    return _image_figure(mosaic(rows.reshape(-1, *rows.shape[2:]), rows.shape[1]), path, labels, columns)


def curves(history: Mapping[str, Sequence[float]], path: str | Path | None = None) -> Figure:
    """Training curves: each metric and its `val_` twin over the epochs; losses and the terms of the ELBO in nats.

    A metric that never changes, such as a constant beta, has no panel. A panel's range is that of the epochs after the
    first tenth, where all epochs together have one several times as large, in which nothing else could be seen.
    """
    names = [name for name in history if not name.startswith("val_")]
    names = [name for name in names if len(set(history[name])) > 1 or len(history[name]) < 2] or names
    figure, panels = _panels(len(names), 2 if len(names) in (2, 4) else 3)
    for axes, name in zip(panels, names, strict=True):
        lines = {"training": name, "held out": f"val_{name}"}
        lines = {label: np.asarray(history[key], "float64") for label, key in lines.items() if key in history}
        for (label, values), colour in zip(lines.items(), COLOURS, strict=False):
            axes.plot(np.arange(1, len(values) + 1), values, label=label, color=colour)
        late = np.concatenate([values[len(values) // 10 :] for values in lines.values()])
        late = late[np.isfinite(late)]
        if late.size and np.ptp(np.concatenate(list(lines.values()))) > 4 * np.ptp(late) > 0:
            margin = 0.05 * np.ptp(late)
            axes.set_ylim(late.min() - margin, late.max() + margin)
        nats = name in ("elbo", "log_px", "kl") or name.endswith("loss")
        axes.set(title=f"{name}, nats" if nats else name, xlabel="epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)  # pyright: ignore[reportCallIssue] (a MaxNLocator)
        _open_frame(axes)
    figure.axes[0].legend(frameon=False)
    return _finished(figure, path)


def rows(
    images: np.ndarray,
    path: str | Path | None = None,
    labels: Sequence[str] = (),
    gap: int = 1,
    columns: Sequence[str] = (),
    below: str = "",
) -> Figure:
    """A figure of `(rows, columns, height, width, channels)`: interpolations, attributes, or a plane of codes.

    Args:
      images: in [0, 1].
      path: of a PNG file to write as well.
      labels: before the rows.
      gap: pixels between images.
      columns: labels above the columns.
      below: a line of text below all of it.
    """
    return _image_figure(mosaic(images.reshape(-1, *images.shape[2:]), images.shape[1], gap), path, labels, columns,
                         below)  # fmt: skip


def spread(
    runs: Mapping[str, Sequence[Sequence[float]]], path: str | Path | None = None, y: str = "", coloured: int = 6
) -> Figure:
    """Curves of several runs of each kind over the epochs: their mean, and a band from the least to the greatest.

    Args:
      runs: a label -> a curve for each seed, which may end early.
      path: of a PNG file to write as well.
      y: the quantity.
      coloured: kinds with a colour and a label, the first ones; the others are grey, and behind.
    """
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    for number, (label, several) in enumerate(runs.items()):
        longest = max(map(len, several))
        values = [[curve[epoch] for curve in several if epoch < len(curve)] for epoch in range(longest)]
        epochs, front = np.arange(1, longest + 1), number < coloured
        colour, order = COLOURS[number % len(COLOURS)] if front else "lightgrey", 2 if front else 1
        axes.plot(epochs, list(map(np.mean, values)), color=colour, label=label if front else None, zorder=order,
                  marker="o" if longest == 1 else "")  # fmt: skip
        axes.fill_between(epochs, list(map(min, values)), list(map(max, values)), color=colour, alpha=0.2, zorder=order,
                          linewidth=0)  # fmt: skip
    axes.set(xlabel="epoch", ylabel=y)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.legend(frameon=False, loc="outside lower center", ncols=2, fontsize=8)
    _open_frame(axes)
    return _finished(figure, path)


def parallel(columns: Mapping[str, Sequence[float | str | None]], path: str | Path | None = None) -> Figure:
    """Parallel coordinates: an axis for each column, a line for each row, coloured by the last column, numbers.

    Axes of words have a place for each word; numbers above 0 that span a factor of 30 are on a logarithmic scale.
    """
    figure = Figure(figsize=(max(5.0, 1.8 * len(columns)), 4), layout="constrained")
    axes, places = figure.add_subplot(), list[np.ndarray]()
    for number, values in enumerate(columns.values()):
        heights, ticks = _heights(values)
        places.append(heights)
        axes.axvline(number, color="black", linewidth=0.8)
        for word, height in ticks.items():
            axes.annotate(word, (number, height), (3, 0), textcoords="offset points", fontsize=7, va="center",
                          bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5, "alpha": 0.8})  # fmt: skip
    axes.set_xticks(range(len(columns)), [name.split(".")[-1] for name in columns])
    colours = matplotlib.colormaps["viridis"](0.9 * places[-1])
    for row, colour in zip(np.stack(places, axis=1), colours, strict=True):
        axes.plot(row, color=colour, alpha=0.7, linewidth=1.2)
    axes.set(yticks=[], xlim=(-0.1, len(columns) - 0.6))
    axes.spines[:].set_visible(False)
    return _finished(figure, path)


def _heights(values: Sequence[float | str | None]) -> tuple[np.ndarray, dict[str, float]]:
    """Where values are on an axis from 0 to 1, and the ticks of it: words, or the least and the greatest number."""
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    if len(numbers) < len(values):
        words = list(dict.fromkeys("left out" if value is None else str(value) for value in values))
        heights = {word: index / max(1, len(words) - 1) for index, word in enumerate(words)}
        return np.array([heights["left out" if value is None else str(value)] for value in values]), heights
    low, high = min(numbers), max(numbers)
    scaled = np.asarray(numbers, "float64")
    if low > 0 and high >= 30 * low:
        scaled = np.log(scaled)
    ticks = {f"{low:.4g}": 0.0, f"{high:.4g}": 1.0}
    return (scaled - scaled.min()) / (np.ptp(scaled) or 1.0), ticks


def matrix(values: np.ndarray, labels: Sequence[str], path: str | Path | None = None) -> Figure:
    """A square of correlations, each with its number, blue where it is positive and red where it is negative."""
    figure = Figure(figsize=(2.5 + 0.6 * len(labels), 2 + 0.55 * len(labels)), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(values, cmap="RdBu", vmin=-1, vmax=1)
    names = [name.split(".")[-1] for name in labels]
    axes.set_xticks(range(len(labels)), names, rotation=45, ha="right", fontsize=8)
    axes.set_yticks(range(len(labels)), names, fontsize=8)
    for (row, column), value in np.ndenumerate(values):
        axes.annotate(f"{value:.2f}", (column, row), ha="center", va="center", fontsize=8,
                      color="white" if abs(value) > 0.6 else "black")  # fmt: skip
    return _finished(figure, path)


def scatter(
    points: np.ndarray, path: str | Path | None = None, labels: ArrayLike | None = None, title: str = ""
) -> Figure:
    """Codes in the plane, `(examples, 2)`; each class has its colour and its mark, either of which identifies it."""
    figure = Figure(figsize=(6, 5), layout="constrained")
    axes = figure.add_subplot()
    classes = [None] if labels is None else np.unique(labels).tolist()
    for number, label in enumerate(classes):
        of_class = points if label is None else points[np.asarray(labels) == label]
        colour, mark = COLOURS[number % len(COLOURS)], MARKS[number // len(COLOURS) % len(MARKS)]
        axes.scatter(*of_class.T, s=10, color=colour, marker=mark, alpha=0.6, linewidths=0.8, label=f"{label}")
    if labels is not None:
        axes.legend(frameon=False, markerscale=2, bbox_to_anchor=(1, 1), loc="upper left")
    axes.set(title=title, xticks=[], yticks=[], aspect="equal")
    return _finished(figure, path)


def bars(
    values: Sequence[float],
    path: str | Path | None = None,
    labels: Sequence[str] = (),
    y: str = "",
    line: float | None = None,
) -> Figure:
    """A bar for each value: KL of each dimension in nats, or how often each entry of a codebook is used.

    Args:
      values: in the order in which they are drawn.
      path: of a PNG file to write as well.
      labels: one for each bar; left out where there are more than 40.
      y: the quantity, with its unit.
      line: a level to compare with, drawn across.
    """
    figure = Figure(figsize=(max(4.0, min(12.0, 0.45 * len(values))), 3), layout="constrained")
    axes = figure.add_subplot()
    few = len(values) <= _WITH_LABELS
    axes.bar(np.arange(len(values)), values, color=COLOURS[0], width=0.8 if few else 1.0)
    if line is not None:
        axes.axhline(line, color=COLOURS[1], linestyle="--", linewidth=1)
    axes.set(ylabel=y)
    axes.margins(x=0.01)
    axes.set_xticks(np.arange(len(values)) if few and labels else [], labels if few else [])
    _open_frame(axes)
    return _finished(figure, path)


def marginals(numbers: Mapping[str, tuple[np.ndarray, np.ndarray]], path: str | Path | None = None) -> Figure:
    """Histograms of columns: by name, the numbers of real rows and those that a model drew; NaN is left out."""
    figure, panels = _panels(len(numbers), 4)
    for axes, (name, (real, drawn)) in zip(panels, numbers.items(), strict=True):
        real, drawn = (np.asarray(values[~np.isnan(values)], "float64") for values in (real, drawn))
        low, high = np.percentile(real, (0.5, 99.5))
        halves = max(abs(low), abs(high)) < 2**50  # there are such numbers
        if halves and high - low < 24 and (real == np.round(real)).all():  # a bar for each of a few counts or classes
            edges = np.arange(np.floor(low) - 0.5, np.ceil(high) + 1.0)
        else:
            edges = np.linspace(low, max(high, low + max(1e-6, 1e-9 * abs(low))), 25)
        for values, label, colour in ((real, "test", COLOURS[0]), (drawn, "drawn", COLOURS[1])):
            inside = np.clip(values, edges[0], edges[-1])
            axes.hist(inside, edges.tolist(), density=True, histtype="step", label=label, color=colour)
        axes.set(title=name, yticks=[])
        _open_frame(axes)
    figure.axes[0].legend(frameon=False)
    return _finished(figure, path)


def series(
    x: np.ndarray,
    means: np.ndarray,
    path: str | Path | None = None,
    bands: tuple[np.ndarray, np.ndarray] | None = None,
    starts: Sequence[int] = (),
    names: Sequence[str] = (),
) -> Figure:
    """Series `(series, steps, channels)`, a panel each, and their reconstructions, dashed; channels standardised.

    Args:
      x: NaN where nothing is observed, where nothing else is drawn either.
      means: of that shape; NaN where there is none.
      path: of a PNG file to write as well.
      bands: the lower and the upper end of a band around the means, each of that shape.
      starts: of each series, the step from which it is forecast: a dotted line.
      names: of the channels.
    """
    figure, panels = _panels(len(x), 4)
    channels = names or [f"channel {channel}" for channel in range(x.shape[-1])]
    centre, spread = np.nanmean(x, axis=(0, 1)), np.nanstd(x, axis=(0, 1))
    spread = np.where(spread > 0, spread, 1.0)
    steps = np.arange(x.shape[1])
    drawn, dashed, *ends = ((np.where(np.isnan(x), np.nan, y) - centre) / spread for y in (x, means, *(bands or ())))
    for number, axes in enumerate(panels):
        for channel, name in enumerate(channels):
            colour = COLOURS[channel % len(COLOURS)]
            axes.plot(steps, drawn[number, :, channel], "-", color=colour, label=name)
            axes.plot(steps, dashed[number, :, channel], "--", color=colour)
            if ends:
                low, high = (end[number, :, channel] for end in ends)
                axes.fill_between(steps, low, high, color=colour, alpha=0.2, linewidth=0)
        if len(starts):
            axes.axvline(starts[number], color="grey", linestyle=":", linewidth=1)
        axes.set(xlim=(0, x.shape[1] - 1), xlabel="step", ylabel="standard deviations" if number % 4 == 0 else "")
        _open_frame(axes)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=8, frameon=False)
    return _finished(figure, path, colours=64)


def _panels(count: int, columns: int) -> "tuple[Figure, Sequence[Axes]]":
    """A figure of so many panels, and these."""
    columns = min(count, columns)
    rows = -(-count // columns)
    figure = Figure(figsize=(3.2 * columns, 2.6 * rows), layout="constrained")
    panels = np.ravel(figure.subplots(rows, columns))
    for axes in panels[count:]:
        axes.remove()
    return figure, panels[:count].tolist()


def detections(judged: Mapping[str, Judged], path: str | Path | None = None) -> Figure:
    """The scores of normal images and of anomalies, a row for each kind of score.

    From left to right: histograms with the threshold; the ROC curve with the point of that threshold; and calibration,
    the rate of false alarms that a threshold was set for, and the rate on the other normal images.

    Args:
      judged: the kind of score, with its unit -> `keras_vae.tasks.anomaly.Judged`.
      path: of a PNG file to write as well.
    """
    figure = Figure(figsize=(11, 3.2 * len(judged)), layout="constrained")
    panels = figure.subplots(len(judged), 3, squeeze=False)
    for (left, middle, right), (score, result) in zip(panels, judged.items(), strict=True):
        _histograms(left, score, result)
        _roc(middle, result)
        right.plot(*_calibration(result.set_on, result.normal), color=COLOURS[0])
        right.set(xlabel="false positive rate, stated", ylabel="false positive rate, found", title="calibration")
        for axes in (middle, right):
            axes.plot([0, 1], [0, 1], color="grey", linestyle=":", linewidth=1)
            axes.set(aspect="equal", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        for axes in (left, middle, right):
            _open_frame(axes)
    panels[0, 0].legend(frameon=False)
    return _finished(figure, path)


def _histograms(axes: "Axes", score: str, result: Judged) -> None:
    threshold, joined = result.detection.threshold, np.concatenate([result.normal, result.anomalous])
    edges = np.linspace(joined.min(), max(np.percentile(joined, 99.5), threshold), 41)
    for scores, label, colour in (
        (result.normal, "normal", COLOURS[0]),
        (result.anomalous, "anomalies", COLOURS[1]),
    ):
        clipped = np.clip(scores, None, edges[-1])
        axes.hist(clipped, edges.tolist(), density=True, histtype="step", color=colour, label=label)
    axes.axvline(threshold, color="black", linestyle="--", linewidth=1, label="threshold")
    axes.set(xlabel=score, ylabel="density")


def _roc(axes: "Axes", result: Judged) -> None:
    from sklearn.metrics import roc_curve

    truth = np.repeat([0, 1], [len(result.normal), len(result.anomalous)])
    axes.plot(*roc_curve(truth, np.concatenate([result.normal, result.anomalous]))[:2], color=COLOURS[0])
    axes.plot(result.detection.false_positive_rate, result.detection.true_positive_rate, "o", color=COLOURS[1])
    axes.set(xlabel="false positive rate", ylabel="true positive rate", title=f"AUROC {result.detection.auroc:.3f}")


def by_class(judged: Mapping[int, Mapping[str, Judged]], x: str, path: str | Path | None = None) -> Figure:
    """AUROC of each class that a model was trained without, or on alone, by score, with standard errors; calibration.

    Calibration is as in `detections`, with the mean over classes of the rates of false alarms.

    Args:
      judged: class -> score -> `keras_vae.tasks.anomaly.Judged`.
      x: what the classes are, the title of their axis.
      path: of a PNG file to write as well.
    """
    figure = Figure(figsize=(max(8.0, min(12.0, 5.0 + 0.6 * len(judged))), 3.4), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[1.6, 1])
    scores = list(next(iter(judged.values())))
    for number, score in enumerate(scores):
        colour, mark = COLOURS[number % len(COLOURS)], MARKS[number % len(MARKS)]
        results = [of_class[score] for of_class in judged.values()]
        positions = np.arange(len(results)) + 0.2 * (number - (len(scores) - 1) / 2)
        areas = [result.detection.auroc for result in results]
        errors = [result.detection.auroc_standard_error or 0.0 for result in results]
        left.errorbar(positions, areas, errors, linestyle="", label=score, color=colour, marker=mark)
        rates = [_calibration(result.set_on, result.normal) for result in results]
        right.plot(rates[0][0], np.mean([rate for _, rate in rates], axis=0), color=colour)
    left.axhline(0.5, color="grey", linestyle=":", linewidth=1)
    left.set_xticks(np.arange(len(judged)), [str(label) for label in judged])
    left.set(xlabel=x, ylabel="AUROC")
    left.legend(frameon=False)
    right.plot([0, 1], [0, 1], color="grey", linestyle=":", linewidth=1)
    right.set(xlabel="false positive rate, stated", ylabel="false positive rate, found", aspect="equal")
    right.set_title("calibration, mean over classes")
    _open_frame(left)
    _open_frame(right)
    return _finished(figure, path)


def _calibration(set_on: np.ndarray, normal: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rates that thresholds on `set_on` are set for, and the rates of `normal` above these thresholds."""
    stated = np.linspace(0.0, 1.0, 101)
    return stated, np.array([np.mean(normal > level) for level in np.quantile(set_on, 1.0 - stated)])


def _image_figure(
    image: np.ndarray,
    path: str | Path | None,
    row_labels: Sequence[str] = (),
    column_labels: Sequence[str] = (),
    below: str = "",
) -> Figure:
    height, width, channels = image.shape
    scale = 900 / max(width, 450)  # dots for each pixel, so that digits are large enough to look at
    figure = Figure(figsize=(width * scale / 100, height * scale / 100))
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.imshow(image[..., 0] if channels == 1 else image, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set_axis_off()
    for row, label in enumerate(row_labels):
        centre = (row + 0.5) * height / len(row_labels)
        axes.text(-0.01 * width, centre, label, ha="right", va="center", fontsize=9)
    for column, label in enumerate(column_labels):
        axes.annotate(label, ((column + 0.5) * width / len(column_labels), 0), (0, 4), textcoords="offset points",
                      ha="center", va="bottom", fontsize=9)  # fmt: skip
    axes.annotate(below, (0.5 * width, height), (0, -4), textcoords="offset points", ha="center", va="top", fontsize=9,
                  annotation_clip=False)  # fmt: skip
    return _finished(figure, path)


def _open_frame(axes: "Axes") -> None:
    axes.spines[["top", "right"]].set_visible(False)


def _finished(figure: Figure, path: str | Path | None, colours: int = 0) -> Figure:
    if path is not None:
        save(figure, path, *([colours] if colours else []))
    return figure
