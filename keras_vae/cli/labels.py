"""attribute, classify: what labels add to a model that was trained with or without them."""

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


def attribute_command(
    name: Name,
    label: Annotated[int, typer.Option(help="The class whose images have the attribute.")] = 0,
    count: Annotated[int, typer.Option(help="Test images to change.")] = 8,
    strength: Annotated[float, typer.Option(help="How much of the attribute is added at the end of a row.")] = 1.0,
    output: Picture = None,
    json: Json = False,
) -> None:
    """Give test images more of what sets one class apart: mean code of the class less that of the others."""
    file = output_path(name, output, "attribute.png", (".png",))
    require_images(name, "This is drawn as images.")
    load_tensorflow()
    import numpy as np

    from keras_vae import plots, tasks, zoo
    from keras_vae.checks import check_number, check_whole_number
    from keras_vae.zoo.examples import condition_of, examples_of

    with working(f"Changing images with {name}", quiet=json):
        amounts = np.linspace(0.0, check_number(strength, "strength"), 7)
        model, examples = zoo.load(name), examples_of(zoo.card(name).recipe)
        labels = _classes(name, examples)
        given = condition_of(model, examples)
        vector = tasks.attribute_vector(model, examples.images, labels == label, given)
        without = np.flatnonzero(labels != label)[: check_whole_number(count, "count")]
        shown = None if given is None else given[without]
        images = tasks.with_attribute(model, examples.images[without], vector, amounts, shown)
        plots.rows(images, file, columns=[f"{amount:+.2g}" for amount in amounts])
    print_written(file, images.shape, json)


def classify_command(
    name: Name,
    labels: Annotated[int, typer.Option(help="Training images whose label is used, as many of each class.")] = 100,
    epochs: Annotated[int, typer.Option(help="Of fine-tuning.")] = 30,
    count: Annotated[int, typer.Option(help="Test images.")] = 2000,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Classify test images from few labels: by logistic regression on codes, by the model's encoder fine-tuned, and,
    to compare, by the same encoder untrained."""
    from keras_vae.zoo import cards

    recipe = cards.card(name).recipe
    require_images(name, "The encoder that is fine-tuned reads images.")
    load_tensorflow()
    import numpy as np

    from keras_vae import tasks, zoo
    from keras_vae.checks import check_whole_number
    from keras_vae.data import keep_labels
    from keras_vae.evaluation.estimates import share_of
    from keras_vae.zoo.examples import examples_of

    epochs, count = check_whole_number(epochs, "epochs"), check_whole_number(count, "count")
    with working(f"Fine-tuning {name}", quiet=json):
        train, test = examples_of(recipe, recipe.data.train), examples_of(recipe)
        every, truth = _classes(name, train), _classes(name, test)[:count]
        kept = keep_labels(every, check_whole_number(labels, "labels"), seed)
        x, y, held_out = train.images[kept >= 0], kept[kept >= 0], test.images[:count]
        classes, model = int(every.max()) + 1, zoo.load(name)
        guesses = {"logistic regression on codes": tasks.m1_classifier(model, x, y).predict(model.encode(held_out))}
        for title, each in (("encoder, fine-tuned", model), ("encoder, untrained", zoo.load(name, weights=False))):
            network = tasks.classifier_on(each, classes, seed)
            network.fit(x, y, batch_size=min(20, len(x)), epochs=epochs, verbose=0)
            guesses[title] = np.argmax(network.predict(held_out, verbose=0), axis=1)
        found = {title: share_of(each == truth) for title, each in guesses.items()}
    if json:
        print_json({"name": name, "labels": len(x), "images": len(truth), "epochs": epochs, "accuracy": found})
        return
    rows = [[title, f"{row['value']:.3f}", f"{row['standard_error']:.3f}"] for title, row in found.items()]
    print_table(f"{name}: {len(x):,} labels, {len(truth):,} test images", ["", "accuracy", "standard error"], rows)


def _classes(name: str, examples: Any) -> Any:
    from keras_vae.errors import UserError

    if examples.classes is None:
        raise UserError(f"This needs data with one label for each image. Given: those of {name}.")
    return examples.classes
