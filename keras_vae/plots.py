"""Pictures, written as PNG files: images in [0, 1] as they are, curves in colours that everybody can tell apart."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg", force=False)

import numpy as np
from matplotlib.figure import Figure

from keras_vae.errors import UserError
from keras_vae.files import atomic

# Okabe and Ito 2008, https://jfly.uni-koeln.de/color/
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")


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


def traversal(rows: np.ndarray, dimensions: np.ndarray, kl: np.ndarray, path: str | Path) -> None:
    """A picture of `(dimensions, steps, height, width, channels)`, each row with its dimension and KL in nats."""
    labels = [f"z{dimension}  {nats:.2f} nats" for dimension, nats in zip(dimensions, kl, strict=True)]
    _show(mosaic(rows.reshape(-1, *rows.shape[2:]), rows.shape[1]), path, labels)


def curves(history: Mapping[str, Sequence[float]], path: str | Path) -> None:
    """Training curves: each metric with its `val_` twin over the epochs, in nats."""
    names = [name for name in history if not name.startswith("val_")]
    figure = Figure(figsize=(3.2 * len(names), 2.6), layout="constrained")
    for axes, name in zip(np.atleast_1d(figure.subplots(1, len(names))), names, strict=True):
        for label, key, colour in (("training", name, COLOURS[0]), ("held out", f"val_{name}", COLOURS[1])):
            if key in history:
                axes.plot(np.arange(1, len(history[key]) + 1), history[key], label=label, color=colour)
        axes.set(title=name if name == "beta" else f"{name}, nats", xlabel="epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[0].legend(frameon=False)
    save(figure, path)


def _show(image: np.ndarray, path: str | Path, row_labels: Sequence[str] = ()) -> None:
    height, width, channels = image.shape
    scale = 900 / max(width, 450)  # dots for each pixel, so that digits are large enough to look at
    figure = Figure(figsize=(width * scale / 100, height * scale / 100))
    axes: Any = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.imshow(image[..., 0] if channels == 1 else image, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set_axis_off()
    for row, label in enumerate(row_labels):
        centre = (row + 0.5) * height / len(row_labels)
        axes.text(-0.01 * width, centre, label, ha="right", va="center", fontsize=9)
    save(figure, path)
