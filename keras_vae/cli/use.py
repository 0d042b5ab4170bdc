"""sample, encode, traverse."""

from pathlib import Path
from typing import Annotated

import typer

from keras_vae.cli.output import Json, Name, load_tensorflow, print_json, working

Seed = Annotated[int, typer.Option(help="Of the noise: the same seed gives the same result.")]


def sample_command(
    name: Name,
    count: Annotated[int, typer.Option(help="How many images.")] = 64,
    seed: Seed = 0,
    output: Annotated[str | None, typer.Option(help="A .png, or a .npy of the images; runs/NAME/samples.png.")] = None,
    json: Json = False,
) -> None:
    """Draw images from the prior: a picture, or an array."""
    path = _path(name, output, "samples.png", (".png", ".npy"))
    load_tensorflow()
    from keras_vae import files, plots, zoo

    with working(f"Sampling {name}", quiet=json):
        images = zoo.load(name).sample(count, seed=seed)
        if path.suffix == ".png":
            plots.grid(images, path)
        else:
            files.write_array(path, images)
    _report(path, images.shape, json)


def encode_command(
    name: Name,
    images: Annotated[
        str, typer.Argument(help="A .npy of images in [0, 1], or a split of the model's data such as 'test'.")
    ] = "test",
    output: Annotated[str | None, typer.Option(help="A .npy of the mean codes; runs/NAME/codes.npy.")] = None,
    json: Json = False,
) -> None:
    """Encode images to their mean codes."""
    path = _path(name, output, "codes.npy", (".npy",))
    from keras_vae import files

    array = files.read_array(images) if images.endswith(".npy") else None
    load_tensorflow()
    from keras_vae import zoo
    from keras_vae.zoo import measures

    with working(f"Encoding with {name}", quiet=json):
        model = zoo.load(name)
        codes = model.encode(measures.images_of(zoo.card(name).recipe, images) if array is None else array)
        files.write_array(path, codes)
    _report(path, codes.shape, json)


def traverse_command(
    name: Name,
    start: Annotated[int, typer.Option(help="The test image whose code is the point of departure.")] = 0,
    steps: Annotated[int, typer.Option(help="Images in a row.")] = 11,
    span: Annotated[float, typer.Option(help="How far each dimension moves, in standard deviations.")] = 3.0,
    output: Annotated[str | None, typer.Option(help="A .png; runs/NAME/traversal.png.")] = None,
    json: Json = False,
) -> None:
    """Draw what each latent dimension does, the most informative first."""
    path = _path(name, output, "traversal.png", (".png",))
    load_tensorflow()
    from keras_vae import plots, zoo
    from keras_vae.tasks.traversal import traverse
    from keras_vae.zoo import measures

    with working(f"Traversing {name}", quiet=json):
        recipe = zoo.card(name).recipe
        images = measures.images_of(recipe)[:1000]
        walk = traverse(zoo.load(name), images, start, steps, span)
        plots.traversal(walk.images, walk.dimensions, walk.kl, path)
    _report(path, walk.images.shape, json)


def _path(name: str, output: str | None, default: str, suffixes: tuple[str, ...]) -> Path:
    from keras_vae.errors import UserError
    from keras_vae.zoo import cards

    path = Path(output) if output else Path("runs") / cards.card(name).name / default
    if path.suffix not in suffixes:
        raise UserError(f"The output must end in {' or '.join(suffixes)}. Given: {path}.")
    return path


def _report(path: Path, shape: tuple[int, ...], json: bool) -> None:
    if json:
        print_json({"file": str(path), "shape": list(shape)})
    else:
        print(f"Written: {path}, from an array of shape {tuple(shape)}")
