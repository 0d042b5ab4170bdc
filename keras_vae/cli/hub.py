"""The command `push`."""

from pathlib import Path
from typing import Annotated

import typer

from keras_vae.cli.output import Json, Name, print_json, working


def push_command(
    run: Name,
    address: Annotated[str, typer.Argument(help="hf://USER/MODEL, or hf://USER/MODEL@BRANCH.")],
    bundle: Annotated[
        Path | None, typer.Option(help="A folder that export wrote of the same weights: pushed as bundle/.")
    ] = None,
    licence: Annotated[
        str | None, typer.Option("--license", help="Of the weights, as the Hub writes it: apache-2.0.")
    ] = None,
    private: Annotated[bool, typer.Option("--private", help="If the repository is new, make it private.")] = False,
    json: Json = False,
) -> None:
    """Push a trained model to the Hugging Face Hub, in one commit: recipe, weights, numbers, card and pictures.

    Any command then takes hf://USER/MODEL in place of a name, and so does keras_vae.zoo.load. The address that is
    printed has the commit, whose content never changes. Needs a token that may write: hf auth login, or HF_TOKEN.
    """
    from keras_vae import zoo

    with working(f"Pushing {run}", quiet=json):
        pushed = zoo.push(run, address, bundle, licence, private)
    if json:
        print_json({"address": pushed})
    else:
        print(f"Pushed: {pushed}")
