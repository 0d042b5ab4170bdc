"""The commands `sample`, `encode` and `traverse`."""

from collections.abc import Mapping
from typing import Annotated

import typer

from keras_vae.cli.output import (
    Json,
    Name,
    Seed,
    is_file,
    load_tensorflow,
    output_path,
    print_written,
    require_images,
    working,
)

_SUFFIXES = {"image": ".png", "numbers": ".npy", "tokens": ".txt"}  # of samples, by the kind of the model's x
_RANKED = 1000  # test images that order the dimensions


def sample_command(
    name: Name,
    count: Annotated[int, typer.Option(help="Number of samples.")] = 64,
    seed: Seed = 0,
    label: Annotated[
        int | None,
        typer.Option(help="Of a conditional model, the label to draw; by default all in equal parts."),
    ] = None,
    prior: Annotated[
        str | None,
        typer.Option(
            help="Draw codes from another prior: mixture, flow, two_stage or autoregressive (of integer codes), fitted "
            "here to the codes of training images; or a file that a fitted prior's save wrote."
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(help="A .png, or a .npy; by default runs/NAME/samples.png. Of sequences, a .txt or a .npy."),
    ] = None,
    json: Json = False,
) -> None:
    """Draw samples from the prior: a picture, or an array. Those of a conditional model are sorted by label.

    Samples of a model of token sequences are written as text, or as an array.
    """
    from keras_vae.checks import check_whole_number
    from keras_vae.zoo import cards

    suffix = _SUFFIXES[cards.card(name).kind]
    path = output_path(name, output, f"samples{suffix}", (suffix, ".npy"))
    check_whole_number(count, "count", minimum=0)
    load_tensorflow()
    from keras_vae import files, plots, zoo
    from keras_vae.zoo import sampling, texts

    with working(f"Sampling {name}", quiet=json):
        model = zoo.load(name)
        drawn_from = zoo.prior(name) if prior is None else sampling.fitted_prior(name, model, prior)
        x = model.sample(count, seed, sampling.labels_to_draw(model, count, label), drawn_from)
        if path.suffix == ".png":
            plots.grid(x, path)
        elif path.suffix == ".txt":
            files.write_text(path, "".join(f"{line}\n" for line in texts.spelling(zoo.card(name).recipe)(x)))
        else:
            files.write_array(path, x)
    print_written(path, x.shape, json)


def encode_command(
    name: Name,
    images: Annotated[
        str,
        typer.Argument(
            help="A .npy of images in [0, 1], or of tokens; a file or folder such as the recipe's data; or a split of "
            "these such as 'test'."
        ),
    ] = "test",
    labels: Annotated[
        str | None, typer.Option(help="A .npy with a label for each example, where a conditional model encodes a .npy.")
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(help="A .npy of the codes, or a .npz of their levels; by default runs/NAME/codes.npy."),
    ] = None,
    json: Json = False,
) -> None:
    """Encode examples to their mean codes, or to the integers of a model with integer codes."""
    path = output_path(name, output, "codes.npy", (".npy", ".npz"))
    from keras_vae import files
    from keras_vae.errors import UserError

    examples = files.read_array(images) if images.endswith(".npy") else images
    condition = files.read_array(labels) if labels else None
    load_tensorflow()
    from keras_vae import zoo
    from keras_vae.zoo.encoding import inputs_of, read_file

    with working(f"Encoding with {name}", quiet=json):
        if isinstance(examples, str) and is_file(examples):
            examples = read_file(name, examples).x
        model = zoo.load(name)
        suffix = ".npz" if len(model.latent_spec()) > 1 else ".npy"
        if output and path.suffix != suffix:
            raise UserError(f"The codes of {name} are written as {suffix}. Given: {path}.")
        path, codes = path.with_suffix(suffix), model.encode(*inputs_of(name, model, examples, condition))
        if isinstance(codes, Mapping):
            files.write_arrays(path, codes)
            shape = {level: z.shape for level, z in codes.items()}
        else:
            files.write_array(path, codes)
            shape = codes.shape
    print_written(path, shape, json)


def traverse_command(
    name: Name,
    start: Annotated[int, typer.Option(help="The test image that the code starts from.")] = 0,
    steps: Annotated[int, typer.Option(help="Images in a row.")] = 11,
    span: Annotated[float, typer.Option(help="How far each dimension moves, in standard deviations.")] = 3.0,
    output: Annotated[str | None, typer.Option(help="A .png; by default runs/NAME/traversal.png.")] = None,
    json: Json = False,
) -> None:
    """Draw the effect of each latent dimension, the most informative first."""
    path = output_path(name, output, "traversal.png", (".png",))
    require_images(name, "A traversal is drawn as images.")
    load_tensorflow()
    from keras_vae import plots
    from keras_vae.pages import figures
    from keras_vae.zoo.held_out import HeldOut

    with working(f"Traversing {name}", quiet=json):
        drawing = figures.traversal(HeldOut.of(name, _RANKED), start, steps, span)
        plots.save(drawing.figure, path)
    print_written(path, drawing.array.shape, json)
