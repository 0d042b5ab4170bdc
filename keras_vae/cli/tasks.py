"""anomaly, report."""

from pathlib import Path
from typing import Annotated, Any

import typer

from keras_vae.cli.output import Json, Name, load_tensorflow, print_json, print_table, working


def anomaly_command(
    name: Name,
    score: Annotated[str, typer.Option(help="reconstruction, elbo or log_prob.")] = "elbo",
    anomalies: Annotated[
        str | None,
        typer.Option(help="A .npy of strange images in [0, 1]; by default, test images upside down."),
    ] = None,
    rate: Annotated[float, typer.Option(help="The share of normal images that may be called strange.")] = 0.05,
    samples: Annotated[int, typer.Option(help="Importance samples of log_prob.")] = 100,
    count: Annotated[int, typer.Option(help="Test images to score.")] = 2000,
    output: Annotated[str | None, typer.Option(help="A .png; runs/NAME/anomaly.png.")] = None,
    json: Json = False,
) -> None:
    """Tell strange images from the model's own: AUROC, AUPRC, and a threshold at a stated rate of false alarms.

    The threshold is set on the first half of the test images, and judged on the second.
    """
    from keras_vae import files
    from keras_vae.cli.use import _path, require_images

    path = _path(name, output, "anomaly.png", (".png",))
    strange = None if anomalies is None else files.read_array(anomalies)
    if strange is None:
        require_images(name, "Images upside down are strange; of anything else, give --anomalies FILE.npy.")
    load_tensorflow()
    from keras_vae import plots, tasks, zoo
    from keras_vae.zoo import measures

    with working(f"Scoring with {name}", quiet=json):
        model, recipe = zoo.load(name), zoo.card(name).recipe
        images = measures.images_of(recipe)[: max(count, 4)]
        held = len(images) // 2
        strange = images[held:, ::-1] if strange is None else strange
        first, second, odd = (
            tasks.anomaly_scores(model, each, score, samples) for each in (images[:held], images[held:], strange)
        )
        found = tasks.detection(second, odd, chosen=tasks.threshold(first, rate))
        unit = "squared error, summed over pixels" if score == "reconstruction" else "nats"
        plots.detection(second, odd, found.threshold, path, f"{score} score, {unit}")
    if json:
        print_json({"name": name, "score": score, "images": held, "file": str(path), **found._asdict()})
        return
    rows = [[field.replace("_", " "), f"{value:.4f}"] for field, value in found._asdict().items()]
    print_table(f"{name}: {score} of {len(second):,} normal and {len(odd):,} strange images", ["", "value"], rows)
    print(f"Written: {path}")


def report_command(
    name: Name,
    output: Annotated[str | None, typer.Option(help="An .html; runs/NAME/report.html.")] = None,
    count: Annotated[int, typer.Option(help="Test images for the picture of the codes.")] = 1000,
    json: Json = False,
) -> None:
    """Write one self-contained page about a model: card, numbers, curves and pictures."""
    from keras_vae.cli.use import _path

    path = _path(name, output, "report.html", (".html",))
    load_tensorflow()
    import tempfile

    from keras_vae import files, zoo

    with working(f"Looking at {name}", quiet=json), tempfile.TemporaryDirectory() as folder:
        files.write_text(path, _page(zoo.card(name), zoo.load(name), Path(folder), count))
    if json:
        print_json({"name": name, "file": str(path)})
    else:
        print(f"Written: {path}")


def _page(card: Any, model: Any, folder: Path, count: int) -> str:
    from keras_vae import report, zoo
    from keras_vae.zoo import pictures, texts
    from keras_vae.zoo.cards import PICTURES, number

    metrics = card.results.get("metrics", {})
    numbers = [[metric, number(row), row.get("unit", "nats")] for metric, row in metrics.items()]
    pictures.write(folder, model, card.recipe, card.results["training"]["history"], zoo.prior(model.zoo_folder))
    sequences = texts.shown(model, card.recipe)
    captions = {**PICTURES, **_further_pictures(card, model, folder, count)}
    parts = [
        report.heading("Measured"),
        report.paragraph(f"On the split {card.results['evaluation']['split']}, each number with its standard error."),
        report.table(["metric", "value ± standard error", "unit"], numbers),
        report.heading("What it has learned"),
        *(part for name, rows in sequences.items() for part in _text_parts(name, rows)),
        *(report.picture(folder / file, title) for file, title in captions.items() if (folder / file).is_file()),
        report.heading("Recipe"),
        report.preformatted(card.recipe.text),
    ]
    return report.page(card.name, card.recipe.summary, parts)


def _text_parts(name: str, rows: list[list[str]]) -> list[str]:
    from keras_vae import report
    from keras_vae.zoo.cards import text_cells

    title, heads, cells = text_cells(name, rows)
    if not heads:
        return [report.paragraph(f"{title}: {', '.join(cells[0])}.")]
    return [report.paragraph(title), report.table(heads, cells)]


def _further_pictures(card: Any, model: Any, folder: Path, count: int) -> dict[str, str]:
    """Pictures of the codes of test images, where a code is one vector: file -> caption."""
    import numpy as np

    from keras_vae import plots, tasks
    from keras_vae.evaluation.latent import kl_per_dimension
    from keras_vae.zoo import measures
    from keras_vae.zoo.cards import NOUNS

    spec = list(model.code_spec().values())
    if len(spec) != 1 or spec[0]["kind"] != "code" or model.conditional:
        return {}
    examples = measures.examples_of(card.recipe)  # not a slice of the split, which may be one itself
    x, y = examples.images[:count], None if examples.labels is None else examples.labels[:count]
    found = {}
    if model.stochastic:
        kl = kl_per_dimension(model, x)
        order = np.argsort(-kl)
        plots.bars(kl[order].tolist(), folder / "kl.png", [f"z{each}" for each in order], "KL, nats", line=0.01)
        found["kl.png"] = "KL of each latent dimension from the prior; below the line a dimension is not used"
    if card.kind == "image":
        plots.rows(tasks.interpolate(model, x[:4], x[4:8]), folder / "interpolation.png")
        found["interpolation.png"] = (
            "Between two test images: the images of the codes on the straight line between theirs"
        )
    codes = model.encode(x)
    plots.scatter(tasks.to_plane(codes), folder / "codes.png", y, "first two principal components of the codes")
    by_class = "" if y is None else ", by class"
    caption = f"Codes of {len(x):,} test {NOUNS[card.kind]}s{by_class}, projected to the plane"
    return {**found, "codes.png": caption}
