"""The commands `anomaly` and `steps`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from keras_vae.cli.output import (
    Json,
    Name,
    Seed,
    is_file,
    load_tensorflow,
    output_path,
    print_json,
    print_table,
    print_written,
    require_images,
    working,
)
from keras_vae.errors import UserError

if TYPE_CHECKING:
    from keras_vae.tasks.anomaly import Detection, Judged


def anomaly_command(
    name: Name,
    score: Annotated[
        list[str] | None,
        typer.Option(help="reconstruction, elbo (the default) or log_prob; give several times, or 'all'."),
    ] = None,
    anomalies: Annotated[
        str,
        typer.Option(
            help="The anomalies: upside_down, the model's own test images; sprites, photographs, small_digits or "
            "noise, made here; a .npy of images in [0, 1]; or a file or folder such as the recipe's data."
        ),
    ] = "upside_down",
    leave_out: Annotated[
        str | None,
        typer.Option(help="Classes such as 7 or 1,7, or 'all': train without each, and tell it from the others."),
    ] = None,
    one_class: Annotated[
        str | None,
        typer.Option(help="Classes such as 7 or 1,7, or 'all': train on each alone, and tell the others from it."),
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Of --leave-out and --one-class; by default the recipe's.")] = None,
    rate: Annotated[float, typer.Option(help="The share of normal images that may be taken for anomalies.")] = 0.05,
    samples: Annotated[int, typer.Option(help="Importance samples of log_prob.")] = 100,
    count: Annotated[int, typer.Option(help="Test images to score.")] = 2000,
    seed: Annotated[int, typer.Option(help="Of the noise of scores, and of the images that are made.")] = 0,
    output: Annotated[str | None, typer.Option(help="A .png; by default runs/NAME/anomaly.png.")] = None,
    json: Json = False,
) -> None:
    """Tell anomalies from the model's own images: AUROC, AUPRC, and a threshold at a stated rate of false alarms.

    The threshold is set on one half of the test images, and judged on the other. Several scores are compared on the
    same images, and under --leave-out and --one-class on the same models.
    """
    from keras_vae.data.others import OTHERS

    path = output_path(name, output, "anomaly.png", (".png",))
    in_file = is_file(anomalies, "upside_down", *OTHERS)
    if leave_out is not None and one_class is not None:
        raise UserError(
            "A model is trained without a class, or on it alone. Given: both. Say --leave-out or --one-class."
        )
    alone, words = one_class is not None, leave_out if one_class is None else one_class
    if words is None and not in_file:
        require_images(name, f"The anomalies {anomalies!r} are images; for other data, give --anomalies FILE.")
    load_tensorflow()
    from keras_vae import plots
    from keras_vae.checks import check_whole_number
    from keras_vae.pages.figures import score_title
    from keras_vae.zoo.anomalies import detect
    from keras_vae.zoo.encoding import read_file
    from keras_vae.zoo.held_out import HeldOut
    from keras_vae.zoo.one_class_out import leave_out as leave_out_classes

    images = read_file(name, anomalies).x if in_file else anomalies
    scores, facts = _scores(score), {"name": name, "samples": samples, "rate": rate, "seed": seed, "file": str(path)}
    if words is not None:
        classes, how = _classes(words), "on" if alone else "without"
        epochs = None if epochs is None else check_whole_number(epochs, "epochs")
        with working(f"Training {name} {how} one class at a time", quiet=json):
            by_class = leave_out_classes(name, classes, scores, epochs, samples, rate, count, seed, alone)
            plots.by_class(by_class, f"class trained {how}", path)
        rows = {str(label): _plain(judged) for label, judged in by_class.items()}
        facts |= {"epochs": epochs, "one_class" if alone else "left_out": rows}
        numbers = {f"{score} {how} {label}": by_class[label][score] for score in scores for label in by_class}
        title = f"{name}, trained {how} one class at a time"
    else:
        with working(f"Scoring with {name}", quiet=json):
            subject = HeldOut.of(name, max(count, 4))
            numbers, kind = detect(subject, scores, images, rate, samples, seed), subject.model.x_spec().kind
            plots.detections({score_title(score, kind): judged for score, judged in numbers.items()}, path)
        images_of_each = len(next(iter(numbers.values())).set_on)
        facts |= {"anomalies": anomalies, "images": images_of_each, "scores": _plain(numbers)}
        title = f"{name} against {anomalies}"
    print_json(facts) if json else _print_detections(title, numbers, path)


def steps_command(
    name: Name,
    series: Annotated[
        str, typer.Argument(help="A .npy, another file such as the recipe's data, or a split of these such as 'test'.")
    ] = "test",
    samples: Annotated[int, typer.Option(help="Draws of the code of each series.")] = 16,
    highest: Annotated[int, typer.Option(help="The steps to print, those with the highest scores.")] = 10,
    labels: Annotated[str | None, typer.Option(help="Of a conditional model and a file: a .npy of labels.")] = None,
    seed: Seed = 0,
    output: Annotated[str | None, typer.Option(help="A .npy; by default runs/NAME/steps.npy.")] = None,
    json: Json = False,
) -> None:
    """Score each step of each series, or each column of each row of a table: -log p(x_t|z), nats, as an array.

    Higher is more anomalous; NaN is what is missing, as beyond the end of a series.
    """
    from keras_vae import files

    path = output_path(name, output, "steps.npy", (".npy",))
    condition = files.read_array(labels) if labels else None
    load_tensorflow()
    from keras_vae import zoo
    from keras_vae.tasks import steps
    from keras_vae.zoo.encoding import inputs_of, read_file

    with working(f"Scoring steps with {name}", quiet=json):
        model = zoo.load(name)
        x, condition = inputs_of(name, model, read_file(name, series).x if is_file(series) else series, condition)
        scores = steps.step_scores(model, x, samples, seed, condition)
        most = steps.highest(scores, highest)
        files.write_array(path, scores.astype("float32"))
    if json:
        rows = [step._asdict() for step in most]
        print_json({"file": str(path), "shape": list(scores.shape), "samples": samples, "seed": seed, "highest": rows})
        return
    columns = zoo.card(name).results["evaluation"].get("columns") if scores.ndim == 2 else None
    steps_named = [[str(row), columns[step] if columns else str(step), f"{score:.2f}"] for row, step, score in most]
    print_table(f"{name}: the highest scores", ["row", "column" if columns else "step", "nats"], steps_named)
    print_written(path, scores.shape, json)


def _scores(names: list[str] | None) -> tuple[str, ...]:
    """The scores that are asked for, without repetition."""
    from keras_vae.registry import choose
    from keras_vae.tasks.anomaly import SCORES

    if names == ["all"]:
        return SCORES
    return tuple(dict.fromkeys(choose("score", name, {score: score for score in SCORES}) for name in names or ["elbo"]))


def _classes(words: str) -> list[int] | None:
    try:
        return None if words == "all" else [int(word) for word in words.split(",")]
    except ValueError as error:
        raise UserError(
            f"--leave-out and --one-class take numbers such as 7 or 1,7, or 'all'. Given: {words!r}."
        ) from error


def _print_detections(title: str, numbers: "Mapping[str, Judged]", path: Path) -> None:
    columns = ["score", "AUROC", "AUPRC", "threshold", "false positive, rate", "true positive, rate"]
    rows = [[row_title, *_cells(judged.detection)] for row_title, judged in numbers.items()]
    judged = next(iter(numbers.values()))
    note = (
        f"± a standard error. Images: {len(judged.set_on):,} to set a threshold on, {len(judged.normal):,} others and "
        f"{len(judged.anomalous):,} anomalies to judge it by."
    )
    print_table(title, columns, rows, note=note)
    print(f"Written: {path}")


def _plain(numbers: "Mapping[str, Judged]") -> dict[str, dict[str, float | None]]:
    return {score: judged.detection._asdict() for score, judged in numbers.items()}


def _cells(detection: "Detection") -> Sequence[str]:
    def with_error(name: str) -> str:
        value, error = getattr(detection, name), getattr(detection, f"{name}_standard_error")
        return f"{value:.3f}" if error is None else f"{value:.3f} ± {error:.3f}"

    rates = [with_error(name) for name in ("false_positive_rate", "true_positive_rate")]
    return [with_error("auroc"), with_error("auprc"), f"{detection.threshold:.2f}", *rates]
