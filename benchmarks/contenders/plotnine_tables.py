"""Tables that plotnine brings, written as arrays: numbers, classes, and where they come from. Imports no keras_vae.

python benchmarks/contenders/plotnine_tables.py diamonds FILE.npz
"""

# The extra `peers`, which may be in another environment.
# pyright: reportMissingImports=false

import sys

import numpy as np
from plotnine import data

BODY = ["bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g"]


def diamonds() -> tuple[np.ndarray, np.ndarray]:
    """Nine numbers, grades in their order among them, and the grade of the cut."""
    frame = data.diamonds.copy()
    for name in ("cut", "color", "clarity"):
        frame[name] = frame[name].cat.codes
    classes = frame.pop("cut")
    return frame.to_numpy("float64"), classes.to_numpy("int64")


def penguins() -> tuple[np.ndarray, np.ndarray]:
    """Four measures of a body, of those that were measured, and the species."""
    frame = data.penguins.dropna(subset=BODY)
    return frame[BODY].to_numpy("float64"), frame["species"].cat.codes.to_numpy("int64")


if __name__ == "__main__":
    rows, classes = {"diamonds": diamonds, "penguins": penguins}[sys.argv[1]]()
    np.savez(sys.argv[2], rows=rows, classes=classes)
