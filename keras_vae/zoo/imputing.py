"""Files with holes, completed by a model of the zoo or of a run."""

from pathlib import Path

import numpy as np

from keras_vae import files, tasks
from keras_vae.data import tables
from keras_vae.errors import UserError
from keras_vae.zoo import cards
from keras_vae.zoo.encoding import read_file
from keras_vae.zoo.loading import load

TABLES = (".csv", ".parquet")


def complete(
    name: str | Path, source: str | Path, output: str | Path, samples: int = 1000, seed: int = 0
) -> tuple[int, int, dict[str, int]]:
    """Write the rows of a file with what is missing filled in by `keras_vae.tasks.fill_in`.

    Return the number of rows, of cells that were filled in, and of holes in each column that the model does not read.

    A hole gets its conditional mean, in the units of the file; a count the nearest whole number, and a column of
    classes the name of the likeliest. All other cells, and columns that the model does not read, stay as they are.

    Args:
      name: of a model with the argument `missing`, as `keras_vae.zoo.load` takes it.
      source: a `.csv` or `.parquet` with the columns of the training data, empty cells or NA missing; or a `.npy`, NaN.
      output: of the same kind; a table may be written as the other kind.
      samples: importance samples for each row.
      seed: of the draws.

    Raises:
      UserError: a model or a file that this is not for; nothing is written.
    """
    kinds = [".npy" if Path(path).suffix.lower() == ".npy" else "table" for path in (source, output)]
    if kinds[0] != kinds[1] or (kinds[1] == "table" and Path(output).suffix.lower() not in TABLES):
        raise UserError(
            f"Completed rows are written as they were read: a .csv or .parquet, or a .npy. Given: {source} and "
            f"{output}. Name the output so."
        )
    examples, model = read_file(name, source), load(name)
    filled = tasks.fill_in(model, examples.x, samples, seed=seed).mean
    holes = np.isnan(np.ma.filled(np.asarray(examples.x, "float64"), np.nan))
    if kinds[0] == ".npy":
        files.write_array(output, filled)
        return len(filled), int(holes.sum()), {}
    names, cells = tables.cells_of(source)
    columns = cards.card(name).recipe.data.arguments.get("kinds", dict.fromkeys(examples.columns, "real"))
    values = tables.named_cells(filled, columns)
    for index, column in enumerate(examples.columns):
        cells[holes[:, index], names.index(column)] = values[holes[:, index], index]
    tables.write(output, names, cells)
    unread = [name for name in names if name not in examples.columns]
    counts = {name: sum(tables.empty_among(list(cells[:, names.index(name)]))) for name in unread}
    left = {name: count for name, count in counts.items() if count}
    return len(cells), int(holes.sum()), left
