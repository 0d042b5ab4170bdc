"""Pictures, written as PNG files: images in [0, 1] as they are, curves in colours that everybody can tell apart."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg", force=False)

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from keras_vae.errors import UserError
from keras_vae.files import atomic

# Okabe and Ito 2008, https://jfly.uni-koeln.de/color/
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKS = ("o", "^", "s")


def save(figure: Figure, path: str | Path) -> None:
    """Write a figure as PNG, atomically."""
    with atomic(path) as temporary:
        figure.savefig(temporary, format="png", dpi=100, bbox_inches="tight", metadata={"Software": None})


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


def grid(images: np.ndarray, path: str | Path, columns: int = 16) -> None:
    """A picture of images `(count, height, width, channels)` in rows."""
    _show(mosaic(images, columns), path)


def reconstructions(images: np.ndarray, means: np.ndarray, path: str | Path) -> None:
    """A picture of images in one row and of their reconstructions in the row below."""
    _show(mosaic(np.concatenate([images, means]), len(images)), path, ["image", "reconstruction"])


def labelled_rows(rows: np.ndarray, labels: Sequence[str], path: str | Path, columns: Sequence[str] = ()) -> None:
    """A picture of `(rows, columns, height, width, channels)`, each row with its label before it, and `columns` above.

    Raises:
      UserError: not one label for each row.
    """
    if len(labels) != len(rows):
        raise UserError(f"There is one label for each row. Given: {len(labels)} for {len(rows)} rows.")
    _show(mosaic(rows.reshape(-1, *rows.shape[2:]), rows.shape[1]), path, labels, columns)


def curves(history: Mapping[str, Sequence[float]], path: str | Path) -> None:
    """Training curves: each metric with its `val_` twin over the epochs; losses and the ELBO's parts in nats."""
    names = [name for name in history if not name.startswith("val_")]
    columns = min(len(names), 4)
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(3.2 * columns, 2.6 * rows), layout="constrained")
    every = np.ravel(figure.subplots(rows, columns))
    for axes in every[len(names) :]:
        axes.remove()
    for axes, name in zip(every, names, strict=False):
        for label, key, colour in (("training", name, COLOURS[0]), ("held out", f"val_{name}", COLOURS[1])):
            if key in history:
                axes.plot(np.arange(1, len(history[key]) + 1), history[key], label=label, color=colour)
        nats = name in ("elbo", "log_px", "kl") or name.endswith("loss")
        axes.set(title=f"{name}, nats" if nats else name, xlabel="epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[0].legend(frameon=False)
    save(figure, path)


def rows(
    images: np.ndarray,
    path: str | Path,
    labels: Sequence[str] = (),
    gap: int = 1,
    columns: Sequence[str] = (),
    below: str = "",
) -> None:
    """A picture of `(rows, columns, height, width, channels)`: interpolations, attributes, or a plane of codes.

    Args:
      images: in [0, 1].
      path: the PNG file.
      labels: before the rows.
      gap: pixels between images.
      columns: labels above the columns.
      below: what is said below all of it.
    """
    _show(mosaic(images.reshape(-1, *images.shape[2:]), images.shape[1], gap), path, labels, columns, below)


def scatter(points: np.ndarray, path: str | Path, labels: ArrayLike | None = None, title: str = "") -> None:
    """Codes in the plane, `(examples, 2)`; classes have a colour and a mark of their own, so that either tells them."""
    figure = Figure(figsize=(6, 5), layout="constrained")
    axes: Any = figure.subplots()
    classes = [None] if labels is None else np.unique(labels).tolist()
    for number, each in enumerate(classes):
        chosen = points if each is None else points[np.asarray(labels) == each]
        colour, mark = COLOURS[number % len(COLOURS)], MARKS[number // len(COLOURS) % len(MARKS)]
        axes.scatter(*chosen.T, s=10, color=colour, marker=mark, alpha=0.6, linewidths=0.8, label=f"{each}")
    if labels is not None:
        axes.legend(frameon=False, markerscale=2, bbox_to_anchor=(1, 1), loc="upper left")
    axes.set(title=title, xticks=[], yticks=[], aspect="equal")
    save(figure, path)


def bars(values: Sequence[float], path: str | Path, labels: Sequence[str], y: str, line: float | None = None) -> None:
    """A bar for each value: KL of each dimension in nats, or how often each entry of a codebook is used.

    Args:
      values: in the order they are drawn.
      path: the PNG file.
      labels: one for each bar; left out where there are more than 40.
      y: what the values are, with their unit.
      line: a level to compare with, drawn across.
    """
    figure = Figure(figsize=(max(4.0, min(12.0, 0.45 * len(values))), 3), layout="constrained")
    axes: Any = figure.subplots()
    axes.bar(np.arange(len(values)), values, color=COLOURS[0], width=0.8 if len(values) <= 40 else 1.0)
    if line is not None:
        axes.axhline(line, color=COLOURS[1], linestyle="--", linewidth=1)
    axes.set(ylabel=y)
    axes.margins(x=0.01)
    axes.set_xticks(np.arange(len(values)) if len(values) <= 40 else [], labels if len(values) <= 40 else [])
    axes.spines[["top", "right"]].set_visible(False)
    save(figure, path)


def detections(judged: Mapping[str, Any], path: str | Path) -> None:
    """How scores of normal images and of anomalies lie, a row for each score: histograms with the threshold; the ROC
    curve with the point that the threshold gives; and calibration.

    Calibration: a threshold that lets a stated share of the images it was set on pass for anomalies, and the share of
    the other normal images that it does so with.

    Args:
      judged: what the score is, with its unit -> `keras_vae.tasks.anomaly.Judged`.
      path: the PNG file.
    """
    from sklearn.metrics import roc_curve

    figure = Figure(figsize=(11, 3.2 * len(judged)), layout="constrained")
    every = figure.subplots(len(judged), 3, squeeze=False)
    for (left, middle, right), (score, (found, set_on, normal, anomalous)) in zip(every, judged.items(), strict=True):
        joined = np.concatenate([normal, anomalous])
        edges = np.linspace(joined.min(), max(np.percentile(joined, 99.5), found.threshold), 41)
        for scores, label, colour in ((normal, "normal", COLOURS[0]), (anomalous, "anomalies", COLOURS[1])):
            left.hist(np.clip(scores, None, edges[-1]), edges, density=True, histtype="step", color=colour, label=label)
        left.axvline(found.threshold, color="black", linestyle="--", linewidth=1, label="threshold")
        left.set(xlabel=score, ylabel="density")
        truth = np.repeat([0, 1], [len(normal), len(anomalous)])
        middle.plot(*roc_curve(truth, joined)[:2], color=COLOURS[0])
        middle.plot(found.false_positive_rate, found.true_positive_rate, "o", color=COLOURS[1])
        middle.set(xlabel="false positive rate", ylabel="true positive rate")
        middle.set_title(f"AUROC {found.auroc:.3f}")
        right.plot(*_calibration(set_on, normal), color=COLOURS[0])
        right.set(xlabel="false positive rate, stated", ylabel="false positive rate, found", title="calibration")
        for axes in (middle, right):
            axes.plot([0, 1], [0, 1], color="grey", linestyle=":", linewidth=1)
            axes.set(aspect="equal", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        for axes in (left, middle, right):
            axes.spines[["top", "right"]].set_visible(False)
    every[0, 0].legend(frameon=False)
    save(figure, path)


def left_out(judged: Mapping[Any, Mapping[str, Any]], path: str | Path) -> None:
    """AUROC of each class that a model was trained without, by score, with standard errors; and calibration, as in
    `detections`: the mean of the rates found, over classes.

    Args:
      judged: class -> score -> `keras_vae.tasks.anomaly.Judged`.
      path: the PNG file.
    """
    figure = Figure(figsize=(max(8.0, min(12.0, 5.0 + 0.6 * len(judged))), 3.4), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[1.6, 1])
    scores = list(next(iter(judged.values())))
    for number, score in enumerate(scores):
        style = {"color": COLOURS[number % len(COLOURS)], "marker": MARKS[number % len(MARKS)]}
        found = [each[score] for each in judged.values()]
        places = np.arange(len(found)) + 0.2 * (number - (len(scores) - 1) / 2)
        areas, errors = ([getattr(each.detection, field) for each in found] for field in
                         ("auroc", "auroc_standard_error"))  # fmt: skip
        errors = [0.0 if error is None else error for error in errors]
        left.errorbar(places, areas, errors, linestyle="", label=score, **style)
        rates = [_calibration(each.set_on, each.normal) for each in found]
        right.plot(rates[0][0], np.mean([rate for _, rate in rates], axis=0), color=style["color"])
    left.axhline(0.5, color="grey", linestyle=":", linewidth=1)
    left.set_xticks(np.arange(len(judged)), [str(each) for each in judged])
    left.set(xlabel="class left out", ylabel="AUROC")
    left.legend(frameon=False)
    right.plot([0, 1], [0, 1], color="grey", linestyle=":", linewidth=1)
    right.set(xlabel="false positive rate, stated", ylabel="false positive rate, found", aspect="equal")
    right.set_title("calibration, mean over classes")
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    save(figure, path)


def _calibration(set_on: np.ndarray, normal: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rates that thresholds set on some scores state, and the rates of other scores that exceed them."""
    stated = np.linspace(0.0, 1.0, 101)
    return stated, np.array([np.mean(normal > level) for level in np.quantile(set_on, 1.0 - stated)])


def _show(
    image: np.ndarray,
    path: str | Path,
    row_labels: Sequence[str] = (),
    column_labels: Sequence[str] = (),
    below: str = "",
) -> None:
    height, width, channels = image.shape
    scale = 900 / max(width, 450)  # dots for each pixel, so that digits are large enough to look at
    figure = Figure(figsize=(width * scale / 100, height * scale / 100))
    axes: Any = figure.add_axes((0.0, 0.0, 1.0, 1.0))
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
    save(figure, path)
