"""The command `new`."""

from pathlib import Path
from typing import Annotated

import typer

from keras_vae.cli.output import Overwrite


def new_command(
    recipe: Annotated[Path, typer.Argument(help="The recipe to write, a .toml.")],
    data: Annotated[
        Path, typer.Option(help="A folder of pictures, or a .csv, .parquet, .npy, .npz, or .txt of lines.")
    ],
    overwrite: Overwrite = False,
) -> None:
    """Look at data of your own, and write a commented recipe that fits them: kind, likelihood, networks and sizes."""
    from keras_vae import files
    from keras_vae.errors import UserError

    if recipe.suffix != ".toml":
        raise UserError(f"A recipe is a .toml. Given: {recipe}. Name it {recipe.stem}.toml.")
    if recipe.exists() and not overwrite:
        raise UserError(f"{recipe} is there already. Choose another name, or say --overwrite to replace it.")
    from keras_vae.zoo.drafts import draft

    files.write_text(recipe, draft(data, recipe, print))
    print(f"Written: {recipe}. Look at it, then: keras-vae train {recipe}")
