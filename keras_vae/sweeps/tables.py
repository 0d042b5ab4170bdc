"""The table of a study: a row for each run, with the keys that were set, the numbers of its results, and its curves."""

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from keras_vae import files
from keras_vae.errors import UnavailableError, required
from keras_vae.sweeps.progress import Survey, numbers_of
from keras_vae.sweeps.studies import Study
from keras_vae.zoo import recipes, toml_files

Row: TypeAlias = dict[str, Any]  # by column
PARQUET = "results.parquet"


def rows(study: Study, now: Survey) -> list[Row]:
    """Return a row for each run: `run`, `configuration`, `seed`, `status`, the keys of the study, and its results.

    The results are those of a finished run: `epochs`, `seconds`, `parameters`; numbers by their path in results.json,
    such as `metrics.elbo`; and a list for each curve, such as `history.val_elbo`.
    """
    table: list[Row] = []
    for run in now.runs:
        row: Row = {"run": run.name, "configuration": run.configuration, "seed": run.seed, "status": now.status(run)}
        row |= {key: _value(run.recipe, key) for key in study.keys}
        if results := run.state.results:
            training = results["training"]
            row |= {"epochs": training["epochs"], "seconds": training["seconds"]}
            row |= {"parameters": results["weights"]["parameters"]}
            row |= numbers_of(results)
            row |= {f"history.{name}": list(values) for name, values in training["history"].items()}
        table.append(row)
    return table


def _value(recipe: recipes.Recipe, key: str) -> object:
    """A value of a recipe by its dotted key: a number, a word, true or false; of a list or a table, its text."""
    section, *names = key.split(".")
    part: object = tomllib.loads(recipe.text)
    for name in (section, *names):
        if isinstance(part, Mapping) and name not in part:
            part = getattr(getattr(recipe, section, None), ".".join(names), None)  # its default
            break
        part = part[name] if isinstance(part, Mapping) else None
    return toml_files.text_of(part) if isinstance(part, list | dict) else part


def write(table: Sequence[Row], folder: Path) -> str:
    """Write the rows as a parquet file into a folder; return its name, or why there is none."""
    try:
        pa, parquet = required("pyarrow", "keras_vae[parquet]"), required("pyarrow.parquet", "keras_vae[parquet]")
    except UnavailableError as error:
        return f"no {PARQUET}: {error}"
    names = list(dict.fromkeys(name for row in table for name in row))
    columns = {name: _column([row.get(name) for row in table]) for name in names}
    with files.atomic(folder / PARQUET) as temporary:
        parquet.write_table(pa.table(columns), temporary)
    return PARQUET


def _column(values: list[Any]) -> list[Any]:
    """Values of one type: of a key that has words and numbers, their text."""
    kinds = {float if type(value) is int else type(value) for value in values if value is not None}
    return values if len(kinds) < 2 else [None if value is None else toml_files.text_of(value) for value in values]
