"""`source = "anndata"` in a recipe: the cells of an .h5ad, whose sparse rows are made dense batch by batch.

[data]
source = "anndata"
path = "cells.h5ad"
layer = "counts"
label = "cell_type"
"""

from collections.abc import Sequence
from pathlib import Path

import anndata  # pyright: ignore[reportMissingImports]
import numpy as np

from keras_vae.data.readers import numbered
from keras_vae.data.rows import Selected, Sparse, is_sparse
from keras_vae.data.sources import Images
from keras_vae.data.splits import FRACTIONS, members
from keras_vae.errors import UserError, reading
from keras_vae.registry import choose


def read(
    path: str | Path,
    split: str | None = None,
    layer: str | None = None,
    label: str | None = None,
    fractions: Sequence[float] = FRACTIONS,
) -> Images:
    """Return the cells of an .h5ad, genes in the order of `var_names`.

    Args:
      path: of the file.
      split: of `keras_vae.data.splits.SPLITS`, or a slice of one; None: all cells.
      layer: the name of the matrix; None: X. Counts are raw ones, for likelihoods of counts.
      label: a column of `obs`; an empty cell is a missing label.
      fractions: of the cells in train, validation and test.
    """
    with reading(path, "is no AnnData file", "Save it with adata.write_h5ad.", UserError):
        cells = anndata.read_h5ad(path)
    matrix = cells.X if layer is None else choose("layer", layer, cells.layers)
    labels, classes = None, ()
    if label is not None:
        column = choose("label", label, {name: cells.obs[name] for name in cells.obs.columns})
        labels, classes = numbered(column.astype(object).where(column.notna(), None).to_numpy())
    held = members(np.random.default_rng(0).random(cells.n_obs), split, fractions)
    rows = Selected(Sparse(matrix), held) if is_sparse(matrix) else np.asarray(matrix, "float32")[held]
    columns = tuple(map(str, cells.var_names))
    return Images(rows, None if labels is None else labels[held], columns=columns, classes=classes, kind="numbers")
