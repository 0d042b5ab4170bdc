"""A draw from an exported autoregressive prior, place by place, in numpy: what its graphs are called for, and when."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from keras_vae.errors import UserError
from keras_vae.runtimes.bundle import example_shape

if TYPE_CHECKING:
    from keras_vae.runtimes.base import Runtime

Choose = Callable[[np.ndarray, int], np.ndarray]


def draw_codes(runtime: "Runtime", count: int, choose: Choose) -> np.ndarray:
    """`count` codes of a bundle's prior, int32 `(count, *code shape)`, in as many small calls as a code has places.

    The whole draw in one call is `runtime.run("prior_sampler", {"noise": noise})`. Place by place, anything may choose:
    a lower temperature, the codes that are known already, a decoder of compressed ones.

    Args:
      runtime: an opened `Runtime` of a bundle that was exported with an autoregressive prior.
      count: how many.
      choose: from the logits of a place, `(count, entries)`, and its number in raster order, to integers `(count,)`.

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
