"""sample, encode, traverse."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from keras_vae.cli.output import (
    Json,
    Name,
    Seed,
    load_tensorflow,
    output_path,
    print_written,
    require_images,
    working,
)

if TYPE_CHECKING:
    from keras_vae.core import VAE

# What draws of a model are written as: by the kind of its x.
_DRAWN = {"image": ".png", "tokens": ".txt"}


def sample_command(
    name: Name,
    count: Annotated[int, typer.Option(help="How many images.")] = 64,
    seed: Seed = 0,
    label: Annotated[
        int | None, typer.Option(help="Of a conditional model, the label to draw; without it, each in equal parts.")
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
        typer.Option(help="A .png, or a .npy of the images; runs/NAME/samples.png. Of sequences, a .txt or a .npy."),
    ] = None,
    json: Json = False,
) -> None:
    """Draw images from the prior: a picture, or an array. Those of a conditional model are in the order of labels.

    Of a model of token sequences: sequences, as text or as an array.
    """
    from keras_vae.zoo import cards

    suffix = _DRAWN[cards.card(name).kind]
    path = output_path(name, output, f"samples{suffix}", (suffix, ".npy"))
    load_tensorflow()
    from keras_vae import files, plots, zoo
    from keras_vae.zoo import texts

    with working(f"Sampling {name}", quiet=json):
        model = zoo.load(name)
        fitted = zoo.prior(name) if prior is None else _fitted_prior(prior, name, model)
        images = model.sample(count, seed, _labels_to_draw(model, count, label), fitted)
        if path.suffix == ".png":
            plots.grid(images, path)
        elif path.suffix == ".txt":
            files.write_text(path, "".join(f"{line}\n" for line in texts.spelling(zoo.card(name).recipe)(images)))
        else:
            files.write_array(path, images)
    print_written(path, images.shape, json)


def encode_command(
    name: Name,
    images: Annotated[
        str,
        typer.Argument(help="A .npy of images in [0, 1], or of tokens; or a split of the model's data such as 'test'."),
    ] = "test",
    labels: Annotated[
        str | None, typer.Option(help="Of a conditional model and a .npy of images: a .npy of a label for each.")
    ] = None,
    output: Annotated[
        str | None, typer.Option(help="A .npy of the codes, a .npz where they have levels; runs/NAME/codes.npy.")
    ] = None,
    json: Json = False,
) -> None:
    """Encode images to their codes: means, or the integers of a model with integer codes."""
    path = output_path(name, output, "codes.npy", (".npy", ".npz"))
    from keras_vae import files
    from keras_vae.errors import UserError

    array = files.read_array(images) if images.endswith(".npy") else None
    condition = files.read_array(labels) if labels else None
    load_tensorflow()
    from keras_vae import zoo
    from keras_vae.zoo.examples import condition_of, examples_of

    with working(f"Encoding with {name}", quiet=json):
        model = zoo.load(name)
        suffix = ".npz" if len(model.latent_spec()) > 1 else ".npy"
        if output and path.suffix != suffix:
            raise UserError(f"The codes of {name} are written as {suffix}. Given: {path}.")
        if array is None:
            examples = examples_of(zoo.card(name).recipe, images)
            array = examples.images
            condition = condition_of(model, examples) if condition is None else condition
        elif model.conditional and condition is None:
            raise UserError(f"{name} is conditional: give a label for each image of {images}, as --labels FILE.npy.")
        codes = model.encode(array, condition)
        path = path.with_suffix(suffix)
        if isinstance(codes, Mapping):
            files.write_arrays(path, codes)
        else:
            files.write_array(path, codes)
    print_written(
        path, {key: each.shape for key, each in codes.items()} if isinstance(codes, Mapping) else codes.shape, json
    )


def traverse_command(
    name: Name,
    start: Annotated[int, typer.Option(help="The test image whose code is the point of departure.")] = 0,
    steps: Annotated[int, typer.Option(help="Images in a row.")] = 11,
    span: Annotated[float, typer.Option(help="How far each dimension moves, in standard deviations.")] = 3.0,
    output: Annotated[str | None, typer.Option(help="A .png; runs/NAME/traversal.png.")] = None,
    json: Json = False,
) -> None:
    """Draw what each latent dimension does, the most informative first."""
    path = output_path(name, output, "traversal.png", (".png",))
    require_images(name, "A traversal is drawn as images.")
    load_tensorflow()
    from keras_vae import plots, zoo
    from keras_vae.tasks.traversal import traverse
    from keras_vae.zoo.examples import condition_of, examples_of

    with working(f"Traversing {name}", quiet=json):
        model, examples = zoo.load(name), examples_of(zoo.card(name).recipe)
        condition = condition_of(model, examples)
        first = None if condition is None else condition[:1000]
        walk = traverse(model, examples.images[:1000], start, steps, span, first)
        plots.labelled_rows(walk.images, walk.labels, path, [f"{value:+.2g}" for value in walk.values])
    print_written(path, walk.images.shape, json)


def _fitted_prior(prior: str, name: str, model: "VAE") -> Any:
    """The prior that the command names: read, or fitted to all training images."""
    from keras_vae import priors, zoo
    from keras_vae.registry import choose
    from keras_vae.zoo.examples import condition_of, examples_of

    if Path(prior).is_file():
        return priors.load(prior)
    kinds = {"mixture": priors.MixturePrior, "flow": priors.FlowPrior, "two_stage": priors.TwoStagePrior,
             "autoregressive": priors.AutoregressivePrior}  # fmt: skip
    made, recipe = choose("prior", prior, kinds)(), zoo.card(name).recipe
    made.spec_of(model)  # says what does not fit, before the images are read
    examples = examples_of(recipe, recipe.data.train)
    return made.fit(model, examples.images, condition_of(model, examples))


def _labels_to_draw(model: "VAE", count: int, label: int | None) -> Any:
    """The condition of `count` samples: `label`, or each in equal parts; None, which the model may refuse, without."""
    import numpy as np

    classes = model.condition_classes
    if label is None and not classes:
        return None
    if label is None:
        return np.arange(max(count, 0)) * classes // max(count, 1)
    return np.full(max(count, 0), label)
