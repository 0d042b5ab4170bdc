"""anomaly."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from keras_vae.cli.output import (
    Json,
    Name,
    load_tensorflow,
    output_path,
    print_json,
    print_table,
    require_images,
    working,
)

UPSIDE_DOWN = "upside_down"


def anomaly_command(
    name: Name,
    score: Annotated[
        list[str] | None,
        typer.Option(help="reconstruction, elbo (if none is given) or log_prob; give several times, or 'all'."),
    ] = None,
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

    The threshold is set on one half of the test images, and judged on the other. Several scores are compared on the
    same images, and under --leave-out on the same models.
    """
    from keras_vae import files

    path = output_path(name, output, "anomaly.png", (".png",))
    strange = files.read_array(anomalies) if anomalies.endswith(".npy") else None
    if strange is None and leave_out is None:
        require_images(name, "What is strange here are images; of anything else, give --anomalies FILE.npy.")
    load_tensorflow()
    from keras_vae import plots

    scores = _scores(score)
    facts = {"name": name, "samples": samples, "rate": rate, "seed": seed, "file": str(path)}
    if leave_out is not None:
        found = _left_out(name, scores, leave_out, epochs, rate, samples, count, seed, json)
        plots.left_out(found, path)
        facts |= {"epochs": epochs, "left_out": {str(each): _plain(judged) for each, judged in found.items()}}
        titles = {each: f"without {each}" for each in found}
        numbers = {(title, each): found[key][each] for each in scores for key, title in titles.items()}
        heading = f"{name}, trained without one class at a time"
    else:
        found = _others(name, scores, anomalies, strange, rate, samples, count, seed, json)
        plots.detections({_AXES[each]: judged for each, judged in found.items()}, path)
        facts |= {"anomalies": anomalies, "images": len(next(iter(found.values())).set_on), "scores": _plain(found)}
        numbers = {("", each): judged for each, judged in found.items()}
        heading = f"{name} against {anomalies}"
    if json:
        print_json(facts)
        return
    columns = ["score", "AUROC", "AUPRC", "threshold", "false positive, rate", "true positive, rate"]
    rows = [
        [" ".join(filter(None, (each, title))), *_cells(judged.detection)] for (title, each), judged in numbers.items()
    ]
    judged = next(iter(numbers.values()))
    note = (
        f"± a standard error. Images: {len(judged.set_on):,} to set a threshold on, {len(judged.normal):,} others and "
    )
    print_table(heading, columns, rows, note=f"{note}{len(judged.anomalous):,} strange ones to judge it by.")
    print(f"Written: {path}")


_AXES = {
    "reconstruction": "squared error, summed over pixels",
    "elbo": "-ELBO, nats",
    "log_prob": "-log p(x), nats",
}


def _scores(given: list[str] | None) -> tuple[str, ...]:
    """The scores that were asked for, each once."""
    from keras_vae.registry import choose
    from keras_vae.tasks.anomaly import SCORES

    if given == ["all"]:
        return SCORES
    return tuple(dict.fromkeys(choose("score", each, {one: one for one in SCORES}) for each in given or ["elbo"]))


def _others(
    name: str, scores: tuple[str, ...], anomalies: str, strange: Any, rate: float, samples: int, count: int, seed: int,
    quiet: bool,
) -> dict[str, Any]:  # fmt: skip
    """Score -> how well it tells the model's own test images from others."""
    from keras_vae import data, tasks, zoo
    from keras_vae.zoo.examples import condition_of, examples_of

    with working(f"Scoring with {name}", quiet=quiet):
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
        sets = list(zip([*(images[part] for part in parts), strange], [*conditions, odd], strict=True))
        judged = {}
        for score in scores:
            first, second, third = (tasks.anomaly_scores(model, x, score, samples, seed, y) for x, y in sets)
            judged[score] = tasks.judge(first, second, third, rate)
        return judged


def _left_out(
    name: str, scores: tuple[str, ...], classes: str, epochs: int | None, rate: float, samples: int, count: int,
    seed: int, quiet: bool,
) -> dict[int, dict[str, Any]]:  # fmt: skip
    """Class -> score -> how well it tells that class from the others, of a model trained without it."""
    from keras_vae.checks import check_whole_number
    from keras_vae.errors import UserError
    from keras_vae.zoo.one_class_out import leave_out

    try:
        chosen = None if classes == "all" else [int(each) for each in classes.split(",")]
    except ValueError as error:
        raise UserError(f"--leave-out takes numbers such as 7 or 1,7, or 'all'. Given: {classes!r}.") from error
    epochs = None if epochs is None else check_whole_number(epochs, "epochs")
    with working(f"Training {name} without one class at a time", quiet=quiet):
        return leave_out(name, chosen, scores, epochs, samples, rate, count, seed)


def _plain(judged: Mapping[str, Any]) -> dict[str, Any]:
    return {score: each.detection._asdict() for score, each in judged.items()}


def _cells(found: Any) -> list[str]:
    def with_error(value: float, error: float | None) -> str:
        return f"{value:.3f}" if error is None else f"{value:.3f} ± {error:.3f}"

    rates = ("auroc", "auprc", "false_positive_rate", "true_positive_rate")
    cells = {each: with_error(getattr(found, each), getattr(found, f"{each}_standard_error")) for each in rates}
    return [cells["auroc"], cells["auprc"], f"{found.threshold:.2f}", *(cells[each] for each in rates[2:])]
