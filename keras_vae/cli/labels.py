"""The commands `attribute` and `classify`: tasks that need labels, of a model trained with or without them."""

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


def attribute_command(
    name: Name,
    label: Annotated[int, typer.Option(help="The class whose images have the attribute.")] = 0,
    count: Annotated[int, typer.Option(help="Test images to change.")] = 8,
    strength: Annotated[float, typer.Option(help="How much of the attribute is added at the end of a row.")] = 1.0,
    output: Picture = None,
    json: Json = False,
) -> None:
    """Add to test images what sets one class apart: the mean code of the class less that of the others."""
    path = output_path(name, output, "attribute.png", (".png",))
    require_images(name, "This is drawn as images.")
    load_tensorflow()
    from keras_vae import plots
    from keras_vae.pages import figures
    from keras_vae.zoo.held_out import HeldOut

    with working(f"Changing images with {name}", quiet=json):
        drawing = figures.attribute(HeldOut.of(name), label, count, strength)
        plots.save(drawing.figure, path)
    print_written(path, drawing.array.shape, json)


def classify_command(
    name: Name,
    labels: Annotated[int, typer.Option(help="Training images whose label is used, equally many of each class.")] = 100,
    epochs: Annotated[int, typer.Option(help="Of fine-tuning.")] = 30,
    count: Annotated[int, typer.Option(help="Test images.")] = 2000,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Classify test images from few labels, and compare three classifiers.

    They are logistic regression on codes, the model's encoder fine-tuned, and the same encoder untrained.
    """
    require_images(name, "The encoder that is fine-tuned reads images.")
    load_tensorflow()
    from keras_vae.zoo.few_labels import classify

    with working(f"Fine-tuning {name}", quiet=json):
        result = classify(name, labels, epochs, count, seed)
    if json:
        print_json({"name": name, "labels": result.labels, "images": result.images, "epochs": epochs,
                    "accuracy": result.accuracy})  # fmt: skip
        return
    rows = [[title, *(f"{row[key]:.3f}" for key in ("value", "standard_error"))]
            for title, row in result.accuracy.items()]  # fmt: skip
    title = f"{name}: {result.labels:,} labels, {result.images:,} test images"
    print_table(title, ["", "accuracy", "standard error"], rows)
