"""The layout of the x that a bundle reads, by which files of examples are read."""

from typing import NamedTuple

import numpy as np

from keras_vae.runtimes.bundle import Bundle, example_shape


class Column(NamedTuple):
    """A column of a table: its name; and of a column of classes, their names, whose numbers are 0, 1, ..."""

    name: str
    classes: tuple[str, ...] = ()


class Layout(NamedTuple):
    """An x as a bundle describes it."""

    shape: tuple[int, ...]  # of one example
    pixels: bool  # an image: levels from 0 to 255 become [0, 1]
    crop: bool = False  # whether pictures of another shape are cut, and not squeezed in
    columns: tuple[Column, ...] = ()  # of the numbers of a row, in order; none where the bundle has no names


def layout_of(bundle: Bundle) -> Layout:
    """Return the layout of the encoder's x; names of columns only where there is one for each number of a row."""
    spec, facts = bundle.graphs["encoder"]["inputs"]["x"], bundle.manifest["preprocessing"]
    shape, names, classes = example_shape(spec), facts.get("columns", ()), facts.get("classes", {})
    columns = tuple(Column(name, tuple(classes.get(name, ()))) for name in names)
    crop = facts.get("crop", False)
    return Layout(shape, spec["kind"] == "image", crop, columns if shape == (len(columns),) else ())


def scaled(x: np.ndarray, layout: Layout) -> np.ndarray:
    """Return float32 numbers: those of uint8, the type of pixels in files, divided by 255 where x is an image."""
    if x.dtype.kind not in "uifb":
        raise ValueError(f"its type is {x.dtype}, not numbers")
    if x.dtype != "uint8" or not layout.pixels:
        return np.asarray(x, "float32")
    numbers = x.astype("float32")
    numbers /= np.float32(255)
    return numbers
