"""interpolate, manifold, embed, impute, compress."""

from typing import Annotated, Any

import typer

from keras_vae.cli.output import Json, Name, load_tensorflow, print_json, print_table, working

Seed = Annotated[int, typer.Option(help="Of the noise: the same seed gives the same result.")]
Picture = Annotated[str | None, typer.Option(help="A .png; in runs/NAME if not given.")]


def interpolate_command(
    name: Name,
    count: Annotated[int, typer.Option(help="Pairs of test images.")] = 8,
    steps: Annotated[int, typer.Option(help="Images in a row, both ends among them.")] = 11,
    method: Annotated[str, typer.Option(help="linear or spherical.")] = "linear",
    path: Annotated[str, typer.Option(help="codes: between mean codes; posteriors: a draw of each on the way.")] = (
        "codes"
    ),
    seed: Seed = 0,
    output: Picture = None,
    json: Json = False,
) -> None:
    """Draw the way from one test image to another."""
    from keras_vae.cli.use import _path, _report, require_images

    file = _path(name, output, "interpolation.png", (".png",))
    require_images(name, "This is drawn as images.")
    load_tensorflow()
    from keras_vae import plots, tasks
    from keras_vae.arrays import check_whole_number

    with working(f"Interpolating with {name}", quiet=json):
        count = check_whole_number(count, "count")
        model, x, given, _ = _held_out(name, 2 * count)
        first = None if given is None else given[:count]
        images = tasks.interpolate(model, x[:count], x[count : 2 * count], steps, method, path, seed, first)
        plots.rows(images, file)
    _report(file, images.shape, json)


def manifold_command(
    name: Name,
    side: Annotated[int, typer.Option(help="Images in a row and in a column.")] = 20,
    dimensions: Annotated[tuple[int, int], typer.Option(help="Which two dimensions of the code.")] = (0, 1),
    label: Annotated[int | None, typer.Option(help="Of a conditional model.")] = None,
    output: Picture = None,
    json: Json = False,
) -> None:
    """Draw what two dimensions of the code draw: the plane of a code of two dimensions, the others at 0."""
    from keras_vae.cli.use import _path, _report, require_images

    file = _path(name, output, "manifold.png", (".png",))
    require_images(name, "This is drawn as images.")
    load_tensorflow()
    import numpy as np

    from keras_vae import plots, tasks, zoo

    with working(f"Drawing the plane of {name}", quiet=json):
        condition = None if label is None else np.array([label], "int32")
        images = tasks.latent_plane(zoo.load(name), None, side, dimensions, condition)
        plots.rows(images, file, gap=0)
    _report(file, images.shape, json)


def embed_command(
    name: Name,
    method: Annotated[str, typer.Option(help="pca or tsne.")] = "pca",
    count: Annotated[int, typer.Option(help="Test images.")] = 2000,
    seed: Seed = 0,
    output: Annotated[str | None, typer.Option(help="A .png, or a .npy of the points; runs/NAME/codes.png.")] = None,
    json: Json = False,
) -> None:
    """Project the codes of test images to the plane, by class: a picture, or an array."""
    from keras_vae.cli.use import _path, _report

    file = _path(name, output, "codes.png", (".png", ".npy"))
    load_tensorflow()
    from keras_vae import files, plots, tasks
    from keras_vae.evaluation.overview import vectors_of

    with working(f"Projecting the codes of {name}", quiet=json):
        model, x, given, classes = _held_out(name, count)
        points = tasks.to_plane(vectors_of(model, x, given), method, seed)
        if file.suffix == ".png":
            title = {"pca": "first two principal components of the codes", "tsne": "t-SNE of the codes"}[method]
            plots.scatter(points, file, classes, title)
        else:
            files.write_array(file, points)
    _report(file, points.shape, json)


def impute_command(
    name: Name,
    count: Annotated[int, typer.Option(help="Test images.")] = 16,
    missing: Annotated[str, typer.Option(help="What is missing: bottom, top, left or right half, or random.")] = (
        "bottom"
    ),
    steps: Annotated[int, typer.Option(help="Turns of pseudo-Gibbs.")] = 50,
    seed: Seed = 0,
    output: Picture = None,
    json: Json = False,
) -> None:
    """Fill in missing pixels of test images: the image, what is seen of it, and it filled in."""
    from keras_vae.cli.use import _path, _report, require_images

    file = _path(name, output, "imputation.png", (".png",))
    require_images(name, "This is drawn as images.")
    load_tensorflow()
    import numpy as np

    from keras_vae import plots, tasks
    from keras_vae.naming import choose

    with working(f"Filling in with {name}", quiet=json):
        model, x, given, _ = _held_out(name, count)
        height, width = x.shape[1:3]
        row, column = np.indices((height, width))
        seen = choose("half", missing, {
            "bottom": row < height // 2, "top": row >= height // 2,
            "left": column >= width // 2, "right": column < width // 2,
            "random": np.random.default_rng(seed).random((height, width)) < 0.5,
        })[..., None] & np.ones(x.shape[1:], bool)  # fmt: skip
        filled = tasks.impute(model, x, seen, steps, seed, given)
        plots.rows(np.stack([x, np.where(seen, x, 0.5), filled]), file, ["image", "seen", "filled in"])
    _report(file, filled.shape, json)


def compress_command(
    name: Name,
    count: Annotated[int, typer.Option(help="Test images.")] = 1000,
    samples: Annotated[int, typer.Option(help="Importance samples of the least size.")] = 100,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Estimate the size of a lossless code of test images, in bits an image; nothing is written."""
    from keras_vae.cli.use import require_images

    require_images(name, "This is the size of a code of images.")
    load_tensorflow()
    from keras_vae import tasks

    with working(f"Measuring {name}", quiet=json):
        model, x, given, _ = _held_out(name, count)
        found = tasks.code_length(model, x, samples, seed, given)._asdict()
    if json:
        print_json({"name": name, "images": len(x), "samples": samples, "seed": seed, **found})
        return
    rows = [[field.replace("_", " "), f"{value:.2f}"] for field, value in found.items()]
    print_table(f"{name}: {len(x):,} images", ["", "value"], rows)


def _held_out(name: str, count: int) -> tuple[Any, Any, Any, Any]:
    """The model, and `count` test images of its recipe with their condition and their classes, each or None."""
    from keras_vae import zoo
    from keras_vae.arrays import check_whole_number
    from keras_vae.zoo.examples import condition_of, examples_of

    count = check_whole_number(count, "count")
    model, examples = zoo.load(name), examples_of(zoo.card(name).recipe)
    parts = (examples.images, condition_of(model, examples), examples.classes)
    images, condition, classes = (None if part is None else part[:count] for part in parts)
    return model, images, condition, classes
