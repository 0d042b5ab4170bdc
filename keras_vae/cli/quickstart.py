"""The command `quickstart`."""

import functools
import time
from pathlib import Path
from typing import Annotated

import typer

from keras_vae.cli.output import Json, Overwrite, load_tensorflow, print_json, print_table, verbosity, working


def quickstart_command(
    train: Annotated[bool, typer.Option("--train", help="Train the model first, into OUTPUT-training.")] = False,
    output: Annotated[str, typer.Option(help="The folder for everything; replaced whole.")] = "runs/quickstart",
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Load a trained model, measure it again, draw it, export it, time it, and write a report."""
    from keras_vae import files

    files.check_output_folder(output, "quickstart.json", overwrite)
    began = time.monotonic()
    load_tensorflow()
    from keras_vae import zoo
    from keras_vae.benchmarking import tables
    from keras_vae.pages import quickstart

    name: str | Path = quickstart.MODEL
    if train:
        name = Path(f"{output}-training")
        zoo.train(quickstart.MODEL, name, overwrite, verbose=verbosity(json))
    say = (lambda line: None) if json else functools.partial(print, flush=True)
    summary = quickstart.run(name, output, overwrite, functools.partial(working, quiet=json, silent=True), say, began)
    if json:
        print_json(summary)
        return
    print_table("4/4  Inference", *tables.cells(summary["benchmark"]), numbers_from=2)
    print(f"Done in {summary['seconds']:.0f} s. Open {output}/report.html")
