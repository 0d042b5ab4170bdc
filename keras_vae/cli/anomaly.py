"""anomaly."""

from pathlib import Path
from typing import Annotated, Any

import typer

from keras_vae.cli.output import Json, Name, load_tensorflow, print_json, print_table, working

UPSIDE_DOWN = "upside_down"


def anomaly_command(
    name: Name,
    score: Annotated[str, typer.Option(help="reconstruction, elbo or log_prob.")] = "elbo",
    anomalies: Annotated[
        str,
        typer.Option(
            help="What is strange: upside_down, the model's own test images; sprites, photographs, small_digits or "
            "noise, made here; or a .npy of images in [0, 1]."
        ),
    ] = UPSIDE_DOWN,
    leave_out: Annotated[
        str | None,
        typer.Option(help="Classes such as 7 or 1,7, or 'all': train anew without each, and tell it from the others."),
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Of --leave-out; the recipe's if not given.")] = None,
    rate: Annotated[float, typer.Option(help="The share of normal images that may be called strange.")] = 0.05,
    samples: Annotated[int, typer.Option(help="Importance samples of log_prob.")] = 100,
    count: Annotated[int, typer.Option(help="Test images to score.")] = 2000,
    seed: Annotated[int, typer.Option(help="Of the noise of scores, and of the images that are made.")] = 0,
    output: Annotated[str | None, typer.Option(help="A .png; runs/NAME/anomaly.png.")] = None,
    json: Json = False,
) -> None:
    """Tell strange images from the model's own: AUROC, AUPRC, and a threshold at a stated rate of false alarms.

    The threshold is set on one half of the test images, and judged on the other.
    """
    from keras_vae import files
    from keras_vae.cli.use import _path, require_images

    path = _path(name, output, "anomaly.png", (".png",))
    strange = files.read_array(anomalies) if anomalies.endswith(".npy") else None
    if strange is None and leave_out is None:
        require_images(name, "What is strange here are images; of anything else, give --anomalies FILE.npy.")
    load_tensorflow()
    if leave_out is not None:
        _leave_out(name, score, leave_out, epochs, rate, samples, count, seed, path, json)
        return
    from keras_vae import data, plots, tasks, zoo
    from keras_vae.zoo.examples import condition_of, examples_of

    with working(f"Scoring with {name}", quiet=json):
        model, recipe = zoo.load(name), zoo.card(name).recipe
        examples = examples_of(recipe)
        images, given = examples.images[: max(count, 4)], condition_of(model, examples)
        held = len(images) // 2
        parts = [slice(held), slice(held, len(images))]
        conditions = [None if given is None else given[part] for part in parts]
        if anomalies == UPSIDE_DOWN:
            strange, odd = images[held:, ::-1], conditions[1]
        else:  # of other things there are no labels: a conditional model says that it needs them
            odd = None
            if strange is None:
                binary = model.likelihood_family.levels == 2
                strange = data.other_images(anomalies, model.image_shape, held, binary, seed)
        first, second, third = (
            tasks.anomaly_scores(model, each, score, samples, seed, condition)
            for each, condition in zip([*(images[part] for part in parts), strange], [*conditions, odd], strict=True)
        )
        found = tasks.detection(second, third, chosen=tasks.threshold(first, rate))
        axis = {"reconstruction": "squared error, summed over pixels", "elbo": "-ELBO, nats"}
        plots.detection(second, third, found.threshold, path, axis.get(score, "-log p(x), nats"), first)
    if json:
        facts = {"name": name, "score": score, "anomalies": anomalies, "rate": rate, "images": held, "seed": seed}
        print_json({**facts, "file": str(path), **found._asdict()})
        return
    rows = [[field.replace("_", " "), _digits(value)] for field, value in found._asdict().items()]
    rows += [["normal images", f"{len(second):,}"], [f"strange images: {anomalies}", f"{len(third):,}"]]
    print_table(f"{name}: {score}", ["", "value"], rows)
    print(f"Written: {path}")


def _leave_out(
    name: str, score: str, classes: str, epochs: int | None, rate: float, samples: int, count: int, seed: int,
    path: Path, json: bool,
) -> None:  # fmt: skip
    from keras_vae import plots
    from keras_vae.arrays import check_whole_number
    from keras_vae.errors import UserError
    from keras_vae.zoo.left_out import leave_out

    try:
        chosen = None if classes == "all" else [int(each) for each in classes.split(",")]
    except ValueError as error:
        raise UserError(f"--leave-out takes numbers such as 7 or 1,7, or 'all'. Given: {classes!r}.") from error
    epochs = None if epochs is None else check_whole_number(epochs, "epochs")
    with working(f"Training {name} without one class at a time", quiet=json):
        found = leave_out(name, chosen, (score,), epochs, samples, rate, count, seed)
        values: Any = [each[score].auroc for each in found.values()]
        plots.bars(values, path, [str(each) for each in found], "AUROC of the class left out", line=0.5)
    rows = {str(each): scores[score]._asdict() for each, scores in found.items()}
    if json:
        facts = {"name": name, "score": score, "rate": rate, "epochs": epochs, "seed": seed, "file": str(path)}
        print_json({**facts, "left_out": rows})
        return
    titles = [
        "left out",
        "AUROC",
        "AUPRC",
        "threshold",
        "false positive, rate",
        "true positive, rate",
        "standard error, of AUROC",
    ]
    print_table(f"{name}: {score}", titles, [[each, *map(_digits, row.values())]
                                             for each, row in rows.items()])  # fmt: skip
    print(f"Written: {path}")


def _digits(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
