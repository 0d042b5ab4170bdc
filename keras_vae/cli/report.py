"""The command `report`."""

from typing import Annotated

import typer

from keras_vae.cli.output import Json, Name, load_tensorflow, output_path, print_json, working


def report_command(
    name: Name,
    output: Annotated[str | None, typer.Option(help="An .html; by default runs/NAME/report.html.")] = None,
    count: Annotated[int, typer.Option(help="Test images for the picture of the codes.")] = 1000,
    json: Json = False,
) -> None:
    """Write one self-contained page about a model: card, numbers, curves and pictures."""
    path = output_path(name, output, "report.html", (".html",))
    load_tensorflow()
    from keras_vae import files
    from keras_vae.pages.model_report import model_report

    with working(f"Looking at {name}", quiet=json):
        files.write_text(path, model_report(name, count))
    print_json({"name": name, "file": str(path)}) if json else print(f"Written: {path}")
