"""interpolate, manifold, embed, impute, compress."""

from typing import Annotated, Any

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

_RANKED = 1000  # test images that say which dimensions say most


def interpolate_command(
    name: Name,
    count: Annotated[int, typer.Option(help="Pairs of test images.")] = 8,
    steps: Annotated[int, typer.Option(help="Images in a row, both ends among them.")] = 11,
    method: Annotated[str, typer.Option(help="linear or spherical.")] = "linear",
    path: Annotated[str, typer.Option(help="codes: between mean codes; posteriors: between a draw of either.")] = (
        "codes"
    ),
    decoded_with: Annotated[
        str, typer.Option(help="Of a conditional model, whose label an image has: nearer, first or second.")
    ] = "nearer",
    seed: Seed = 0,
    output: Picture = None,
    json: Json = False,
) -> None:
    """Draw the way from one test image to another, between these two."""
    file = output_path(name, output, "interpolation.png", (".png",))
    require_images(name, "This is drawn as images.")
    load_tensorflow()
    import numpy as np

    from keras_vae import plots, tasks
    from keras_vae.checks import check_whole_number

    with working(f"Interpolating with {name}", quiet=json):
        count = check_whole_number(count, "count")
        model, x, given, _ = _held_out(name, 2 * count)
        ends = [slice(count), slice(count, 2 * count)]
        pair = None if given is None else (given[ends[0]], given[ends[1]])
        images = tasks.interpolate(model, x[ends[0]], x[ends[1]], steps, method, path, seed, pair, decoded_with)
        shown = np.concatenate([x[ends[0], None], images, x[ends[1], None]], axis=1)
        shares = [f"{share:.2g}" for share in np.linspace(0, 1, steps)]
        plots.rows(shown, file, columns=["image", *shares, "image"])
    print_written(file, images.shape, json)


def manifold_command(
    name: Name,
    side: Annotated[int, typer.Option(help="Images in a row and in a column.")] = 20,
    dimensions: Annotated[
        tuple[int, int] | None,
        typer.Option(help="Which two dimensions of the code; those that say most, if not given."),
    ] = None,
    label: Annotated[int | None, typer.Option(help="Of a conditional model.")] = None,
    output: Picture = None,
    json: Json = False,
) -> None:
    """Draw what two dimensions of the code draw: the plane of a code of two dimensions, the others at 0."""
    file = output_path(name, output, "manifold.png", (".png",))
    require_images(name, "This is drawn as images.")
    load_tensorflow()
    import numpy as np

    from keras_vae import plots, tasks
    from keras_vae.tasks.codes import check_real, dimension_names
    from keras_vae.tasks.traversal import informative

    with working(f"Drawing the plane of {name}", quiet=json):
        model, x, given, _ = _held_out(name, _RANKED)
        check_real(model)
        names = dimension_names(model)
        if dimensions is None and len(names) > 2:
            first, second = np.argsort(-informative(model, x, given)[0], kind="stable")[:2].tolist()
            dimensions = (first, second)
        pair = dimensions or (0, 1)
        condition = None if label is None else np.array([label], "int32")
        images = tasks.latent_plane(model, None, side, pair, condition)
        plots.rows(images, file, gap=0, below=f"{names[pair[0]]} to the right, {names[pair[1]]} upwards")
    print_written(file, images.shape, json)


def embed_command(
    name: Name,
    method: Annotated[str, typer.Option(help="pca or tsne.")] = "pca",
    count: Annotated[int, typer.Option(help="Test images.")] = 2000,
    seed: Seed = 0,
    output: Annotated[str | None, typer.Option(help="A .png, or a .npy of the points; runs/NAME/codes.png.")] = None,
    json: Json = False,
) -> None:
    """Project the codes of test images to the plane, by class: a picture, or an array."""
    file = output_path(name, output, "codes.png", (".png", ".npy"))
    load_tensorflow()
    from keras_vae import files, plots, tasks
    from keras_vae.evaluation.evaluation import vectors_of

    with working(f"Projecting the codes of {name}", quiet=json):
        model, x, given, classes = _held_out(name, count)
        points = tasks.to_plane(vectors_of(model, x, given), method, seed)
        if file.suffix == ".png":
            title = {"pca": "first two principal components of the codes", "tsne": "t-SNE of the codes"}[method]
            plots.scatter(points, file, classes, title)
        else:
            files.write_array(file, points)
    print_written(file, points.shape, json)


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
    file = output_path(name, output, "imputation.png", (".png",))
    require_images(name, "This is drawn as images.")
    load_tensorflow()
    import numpy as np

    from keras_vae import plots, tasks
    from keras_vae.registry import choose

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
    print_written(file, filled.shape, json)


def compress_command(
    name: Name,
    count: Annotated[int, typer.Option(help="Test images.")] = 1000,
    samples: Annotated[int, typer.Option(help="Importance samples of the least size.")] = 100,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Estimate the size of a lossless code of test images, in bits an image; nothing is written.

    Of a model whose card has a fitted prior, with codes that this one codes, and with the model's own.
    """
    require_images(name, "This is the size of a code of images.")
    load_tensorflow()
    from keras_vae import tasks, zoo

    with working(f"Measuring {name}", quiet=json):
        model, x, given, _ = _held_out(name, count)
        priors = {"own": None, "fitted": zoo.prior(name)}
        found = {
            title: tasks.code_length(model, x, samples, seed, given, prior)._asdict()
            for title, prior in priors.items()
            if title == "own" or prior is not None
        }
    if json:
        print_json({"name": name, "images": len(x), "samples": samples, "seed": seed, "priors": found})
        return
    rows = [[field.replace("_", " "), *(f"{each[field]:.2f}" for each in found.values())] for field in found["own"]]
    print_table(f"{name}: {len(x):,} images", ["bits", *(f"{title} prior" for title in found)], rows)


def _held_out(name: str, count: int) -> tuple[Any, Any, Any, Any]:
    """The model, and `count` test images of its recipe with their condition and their classes, each or None."""
    from keras_vae import zoo
    from keras_vae.checks import check_whole_number
    from keras_vae.zoo.examples import condition_of, examples_of

    count = check_whole_number(count, "count")
    model, examples = zoo.load(name), examples_of(zoo.card(name).recipe)
    parts = (examples.images, condition_of(model, examples), examples.classes)
    images, condition, classes = (None if part is None else part[:count] for part in parts)
    return model, images, condition, classes
