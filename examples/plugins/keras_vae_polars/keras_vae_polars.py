"""`source = "polars"` in a recipe: a table in any file that polars reads, with the keys of `source = "table"`.

[data]
source = "polars"
path = "measured.ipc"
columns = ["mass", "price"]
label = "kind"
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import polars  # pyright: ignore[reportMissingImports]

from keras_vae.columns import Kinds
from keras_vae.data import readers
from keras_vae.data.sources import Images
from keras_vae.data.splits import FRACTIONS
from keras_vae.errors import UserError, reading
from keras_vae.registry import choose

READERS: dict[str, Callable[[Path], polars.DataFrame]] = {
    ".csv": polars.read_csv, ".parquet": polars.read_parquet, ".ipc": polars.read_ipc, ".arrow": polars.read_ipc,
    ".feather": polars.read_ipc, ".json": polars.read_json, ".ndjson": polars.read_ndjson,
}  # fmt: skip


def read(
    path: str | Path,
    split: str | None = None,
    columns: Sequence[str] | None = None,
    label: str | None = None,
    fractions: Sequence[float] = FRACTIONS,
    missing: bool = False,
    kinds: Kinds | None = None,
) -> Images:
    """Return the rows of a table; arguments as of `keras_vae.data.readers.table`."""
    reader = choose("suffix", Path(path).suffix.lower(), READERS)
    with reading(path, "is no table", "Save it with polars.", UserError):
        frame = reader(Path(path))
    return readers.table(frame, split, columns, label, fractions, missing, kinds)._replace(kind="numbers")
