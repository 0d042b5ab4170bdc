"""The commands `interpolate`, `manifold`, `embed`, `impute` and `compress`."""

from pathlib import Path
from typing import Annotated

import typer

from keras_vae.cli.output import (
    Json,
    Name,
    Picture,
    Seed,
    load_tensorflow,
    output_path,
    print_json,
    print_table,
    print_written,
    require_images,
    working,
)

_RANKED = 1000  # test images that order the dimensions


def interpolate_command(
    name: Name,
    count: Annotated[int, typer.Option(help="Pairs of test images.")] = 8,
    steps: Annotated[int, typer.Option(help="Images in a row, both ends among them.")] = 11,
    method: Annotated[str, typer.Option(help="linear or spherical.")] = "linear",
    path: Annotated[str, typer.Option(help="codes: between mean codes; posteriors: between posterior draws.")] = (
        "codes"
    ),
    decoded_with: Annotated[
        str, typer.Option(help="Of a conditional model, the image whose label is used: nearer, first or second.")
    ] = "nearer",
    seed: Seed = 0,
    output: Picture = None,
    json: Json = False,
) -> None:
    """Draw interpolations between pairs of test images, with the images themselves at the ends."""
    file = output_path(name, output, "interpolation.png", (".png",))
    require_images(name, "This is drawn as images.")
    load_tensorflow()
    from keras_vae import plots
    from keras_vae.pages import figures
    from keras_vae.zoo.held_out import HeldOut

    with working(f"Interpolating with {name}", quiet=json):
        subject = HeldOut.of(name, 2 * count)
        drawing = figures.interpolation(subject, count, steps, method, path, decoded_with, seed)
        plots.save(drawing.figure, file)
    print_written(file, drawing.array.shape, json)


def manifold_command(
    name: Name,
    side: Annotated[int, typer.Option(help="Images in a row and in a column.")] = 20,
    dimensions: Annotated[
        tuple[int, int] | None,
        typer.Option(help="Two dimensions of the code; by default the most informative ones."),
    ] = None,
    label: Annotated[int | None, typer.Option(help="The class to decode for, of a conditional model.")] = None,
    output: Picture = None,
    json: Json = False,
) -> None:
    """Draw the decoded plane of two latent dimensions, the others at 0."""
    path = output_path(name, output, "manifold.png", (".png",))
    require_images(name, "This is drawn as images.")
    load_tensorflow()
    from keras_vae import plots
    from keras_vae.pages import figures
    from keras_vae.zoo.held_out import HeldOut

    with working(f"Drawing the plane of {name}", quiet=json):
        drawing = figures.latent_plane(HeldOut.of(name, _RANKED), side, dimensions, label)
        plots.save(drawing.figure, path)
    print_written(path, drawing.array.shape, json)


def embed_command(
    name: Name,
    method: Annotated[str, typer.Option(help="pca or tsne.")] = "pca",
    count: Annotated[int, typer.Option(help="Test images.")] = 2000,
    seed: Seed = 0,
    output: Annotated[
        str | None, typer.Option(help="A .png, or a .npy of the points; by default runs/NAME/codes.png.")
    ] = None,
    json: Json = False,
) -> None:
    """Project the codes of test images to the plane, by class: a picture, or an array."""
    path = output_path(name, output, "codes.png", (".png", ".npy"))
    load_tensorflow()
    from keras_vae import files, plots
    from keras_vae.pages import figures
    from keras_vae.zoo.held_out import HeldOut

    with working(f"Projecting the codes of {name}", quiet=json):
        drawing = figures.projected_codes(HeldOut.of(name, count), method, seed)
        if path.suffix == ".png":
            plots.save(drawing.figure, path)
        else:
            files.write_array(path, drawing.array)
    print_written(path, drawing.array.shape, json)


def impute_command(
    name: Name,
    rows: Annotated[
        str | None,
        typer.Argument(
            help="A .csv or .parquet with empty cells, or a .npy with NaN, to complete by a model with the argument "
            "missing. Left out: test images."
        ),
    ] = None,
    count: Annotated[int, typer.Option(help="Test images.")] = 16,
    missing: Annotated[
        str, typer.Option(help="The missing pixels: bottom, top, left or right half, or a random half.")
    ] = "bottom",
    steps: Annotated[int, typer.Option(help="Turns of pseudo-Gibbs, of images.")] = 50,
    samples: Annotated[int, typer.Option(help="Importance samples for each row of a file.")] = 1000,
    seed: Seed = 0,
    output: Annotated[
        str | None,
        typer.Option(help="A .png; of a file, the completed one; by default in runs/NAME."),
    ] = None,
    json: Json = False,
) -> None:
    """Fill in what is missing: in the rows of a file, or, as a picture, in test images."""
    if rows is not None:
        _complete(name, rows, output, samples, seed, json)
        return
    path = output_path(name, output, "imputation.png", (".png",))
    require_images(name, "This is drawn as images; the rows of a file are completed: keras-vae impute NAME FILE.")
    load_tensorflow()
    from keras_vae import plots
    from keras_vae.pages import figures
    from keras_vae.zoo.held_out import HeldOut

    with working(f"Filling in with {name}", quiet=json):
        drawing = figures.imputation(HeldOut.of(name, count), missing, steps, seed)
        plots.save(drawing.figure, path)
    print_written(path, drawing.array.shape, json)


def _complete(name: str, rows: str, output: str | None, samples: int, seed: int, json: bool) -> None:
    from keras_vae.errors import UserError

    if Path(rows).suffix.lower() not in (".csv", ".parquet", ".npy"):
        raise UserError(
            f"Rows to complete are a .csv or .parquet, or a .npy. Given: {rows}. Save them as one of these."
        )
    suffixes = (".npy",) if rows.lower().endswith(".npy") else (".csv", ".parquet")
    path = output_path(name, output, f"completed{Path(rows).suffix.lower()}", suffixes)
    load_tensorflow()
    from keras_vae.zoo.imputing import complete

    with working(f"Filling in with {name}", quiet=json):
        path.parent.mkdir(parents=True, exist_ok=True)
        count, holes, left = complete(name, rows, path, samples, seed)
    if json:
        print_json({"file": str(path), "rows": count, "filled": holes, "left": left})
    else:
        print(f"Written: {path}, {count} rows, of which {holes} cells were filled in")
        if left:
            listed = ", ".join(f"{column} ({cells} cells)" for column, cells in left.items())
            print(f"Not filled in, as columns that {name} does not read: {listed}")


def compress_command(
    name: Name,
    count: Annotated[int, typer.Option(help="Test images.")] = 1000,
    samples: Annotated[int, typer.Option(help="Importance samples of the least size.")] = 100,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Estimate the size of a lossless code of test images, in bits an image; nothing is written.

    With the model's own prior, and with the fitted one where its card has one.
    """
    require_images(name, "This is the size of a code of images.")
    load_tensorflow()
    from keras_vae.zoo.code_lengths import code_lengths
    from keras_vae.zoo.held_out import HeldOut

    with working(f"Measuring {name}", quiet=json):
        subject = HeldOut.of(name, count)
        lengths = {title: length._asdict() for title, length in code_lengths(subject, samples, seed).items()}
    if json:
        print_json({"name": name, "images": len(subject), "samples": samples, "seed": seed, "priors": lengths})
        return
    rows = [
        [field.replace("_", " "), *(f"{length[field]:.2f}" for length in lengths.values())] for field in lengths["own"]
    ]
    print_table(f"{name}: {len(subject):,} images", ["bits", *(f"{title} prior" for title in lengths)], rows)
