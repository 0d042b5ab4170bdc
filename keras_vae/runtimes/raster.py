"""Sampling from an exported autoregressive prior, position by position, in numpy."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from keras_vae.errors import UserError
from keras_vae.runtimes.bundle import example_shape

if TYPE_CHECKING:
    from keras_vae.runtimes.base import Runtime

Choose = Callable[[np.ndarray, int], np.ndarray]


def draw_codes(runtime: "Runtime", count: int, choose: Choose) -> np.ndarray:
    """Draw `count` codes from a bundle's prior, int32 `(count, *code shape)`, in one small call for each position.

    `runtime.run("prior_sampler", {"noise": noise})` draws in a single call. Here `choose` may sample at a lower
    temperature, keep observed codes, or decode a compressed stream.

    Args:
      runtime: an opened `Runtime` of a bundle that was exported with an autoregressive prior.
      count: the number of codes.
      choose: from the logits at a position, `(count, entries)`, and its raster index, to integers `(count,)`.

    Raises:
      UserError: the bundle has no such prior.
    """
    if "prior_step" not in runtime.graphs:
        raise UserError(
            f"{runtime.bundle.path} has no autoregressive prior in the format {runtime.format_name}. Export the model "
            f"with export(model, folder, prior=...), in float32."
        )
    row, step = (runtime.bundle.graphs[name]["inputs"] for name in ("prior_row", "prior_step"))
    (width,), nothing = example_shape(row["last_row"]), step["last"].get("classes", 0) - 1
    shape = example_shape(runtime.bundle.graphs["prior_sampler"]["outputs"]["codes"])
    grid = np.zeros((count, int(np.prod(shape)) // width, width), "int32")
    last_row, rows = np.full((count, width), nothing), np.zeros((count, *example_shape(row["rows"])), "float32")
    for row_number, drawn in enumerate(np.moveaxis(grid, 1, 0)):
        of_row = runtime.run("prior_row", {"last_row": last_row, "rows": rows})
        last, left = np.full(count, nothing), np.zeros((count, *example_shape(step["left"])), "float32")
        for column in range(width):
            inputs = {"last": last, "above": of_row["above"][:, column], "left": left}
            outputs = runtime.run("prior_step", inputs)
            last = drawn[:, column] = choose(outputs["logits"], row_number * width + column)
            left = outputs["next_left"]
        last_row, rows = drawn, of_row["next_rows"]
    return grid.reshape(count, *shape)
