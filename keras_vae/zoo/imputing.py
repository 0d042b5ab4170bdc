"""Files with holes, completed by a model of the zoo or of a run."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_vae import files, tasks
from keras_vae.columns import columns_of
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
    classes the name of the likeliest. All other cells, and columns that the model does not read, stay as they are, in
    Parquet with their types: a column of whole numbers that gets decimals becomes float64. Of a CSV file that is
    written as Parquet, the model's columns of numbers become float64, and all others are words.

    Args:
      name: of a model with the argument `missing`, as `keras_vae.zoo.load` takes it.
      source: a `.csv` or `.parquet` with the columns of the training data, empty cells or NA missing; or a `.npy`, NaN.
      output: of the same kind; a table may be written as the other kind.
      samples: importance samples for each row.
      seed: of the draws.

    Raises:
      UserError: a model or a file that does not fit, or a column of Parquet with whole numbers that float64 lacks,
        which gets decimals; nothing is written.
    """
    kinds = [".npy" if Path(path).suffix.lower() == ".npy" else "table" for path in (source, output)]
    if kinds[0] != kinds[1] or (kinds[1] == "table" and Path(output).suffix.lower() not in TABLES):
        raise UserError(
            f"Completed rows are written as they were read: a .csv or .parquet, or a .npy. Given: {source} and "
            f"{output}. Name the output so."
        )
    if not cards.card(name).recipe.model.arguments.get("missing"):  # before a file with holes is refused as data
        raise UserError(
            f"Rows are completed by a model that reads rows with holes. Given: {name}, which does not. Add "
            f'missing = "mask" to [model] of its recipe, and to [data] of a table missing = true, and train it again.'
        )
    examples, model = read_file(name, source), load(name)
    filled = tasks.fill_in(model, examples.x, samples, seed=seed).mean
    holes = np.isnan(np.ma.filled(np.asarray(examples.x, "float64"), np.nan))
    kind = "count" if model.likelihood_family.support.counted else "real"  # of all columns, where the data name none
    named = cards.card(name).recipe.data.arguments.get("kinds")
    if kinds[0] == ".npy":
        of_columns = [kind] if named is None else [one for one, _ in columns_of(named).values()]
        rounded = np.array([one not in ("real", "positive") for one in of_columns])
        whole = np.array(examples.x)
        whole[holes] = np.where(rounded, np.round(filled), filled)[holes]
        files.write_array(output, whole)
        return len(filled), int(holes.sum()), {}
    names, cells = tables.cells_of(source)
    columns = named or dict.fromkeys(examples.columns, kind)
    values = tables.named_cells(filled, columns)
    if all(Path(path).suffix.lower() == ".parquet" for path in (source, output)):
        _fill_parquet(source, output, {
            column: (holes[:, index], values[holes[:, index], index].tolist())
            for index, column in enumerate(examples.columns) if holes[:, index].any()
        })  # fmt: skip
    else:
        for index, column in enumerate(examples.columns):
            cells[holes[:, index], names.index(column)] = values[holes[:, index], index]
        numeric = [column for column, (_, classes) in columns_of(columns).items() if {*classes} <= {"0", "1"}]
        tables.write(output, names, cells, numeric)
    unread = [name for name in names if name not in examples.columns]
    counts = {name: sum(tables.empty_among(list(cells[:, names.index(name)]))) for name in unread}
    left = {name: count for name, count in counts.items() if count}
    return len(cells), int(holes.sum()), left


def _fill_parquet(
    source: str | Path, output: str | Path, fills: Mapping[str, tuple[np.ndarray, Sequence[object]]]
) -> None:
    """Write a Parquet file again with `fills`, by column where its holes are and what comes there."""
    import pyarrow
    from pyarrow import parquet

    table = parquet.read_table(source).unify_dictionaries()
    for name, (holes, values) in fills.items():
        field = table.schema.field(name)
        column = pyarrow.chunked_array([_filled(table[name].combine_chunks(), holes, values, name)])
        table = table.set_column(table.column_names.index(name), field.with_type(column.type), column)
        if column.type != field.type:
            table = table.replace_schema_metadata(_retyped(table.schema.metadata, name, str(column.type)))
    with files.atomic(output) as temporary:
        parquet.write_table(table, temporary)


def _filled(column: Any, holes: np.ndarray, values: Sequence[object], name: str) -> object:
    """Return a column of Arrow with values in its holes: of its type, or where that cannot hold them, of theirs."""
    import pyarrow
    from pyarrow import compute

    if pyarrow.types.is_dictionary(column.type):  # whose order stays, as it may be that of the classes
        words = column.dictionary.to_pylist()
        new = pyarrow.array(values).cast(column.type.value_type).to_pylist()
        words += [word for word in dict.fromkeys(new) if word not in words]
        codes = np.array(column.indices.fill_null(0))
        codes[holes] = [words.index(word) for word in new]
        codes = pyarrow.array(codes, column.type.index_type)
        words = pyarrow.array(words, column.type.value_type)
        return pyarrow.DictionaryArray.from_arrays(codes, words, ordered=column.type.ordered)
    new = pyarrow.array(values)
    try:
        if pyarrow.types.is_boolean(column.type) and not pyarrow.types.is_string(new.type):
            raise pyarrow.ArrowInvalid("0.3 is no truth value")
        new = new.cast(column.type)
    except (pyarrow.ArrowInvalid, pyarrow.ArrowNotImplementedError):
        try:
            column = column.cast(new.type)
        except (pyarrow.ArrowInvalid, pyarrow.ArrowNotImplementedError) as error:
            raise UserError(
                f"A column of Parquet has one type, and beside decimals only numbers that float64 holds. Given: "
                f"{name!r}, {column.type}, with another in it. Write a .csv, which holds both."
            ) from error
    return compute.replace_with_mask(column, pyarrow.array(holes), new)


def _retyped(metadata: Mapping[bytes, bytes] | None, name: str, kind: str) -> dict[bytes, bytes]:
    """Return the metadata of a table with a new type of a column, which pandas would otherwise convert back."""
    changed = dict(metadata or {})
    if b"pandas" in changed:
        of_pandas = json.loads(changed[b"pandas"])
        dtype = {"double": "float64", "string": "object"}.get(kind, kind)
        for column in of_pandas["columns"]:
            if column["field_name"] == name:
                column |= {"pandas_type": dtype.replace("object", "unicode"), "numpy_type": dtype, "metadata": None}
        changed[b"pandas"] = json.dumps(of_pandas).encode()
    return changed
