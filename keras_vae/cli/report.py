"""report."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from keras_vae.cli.output import Json, Name, load_tensorflow, output_path, print_json, working

if TYPE_CHECKING:
    from keras_vae.core import VAE
    from keras_vae.zoo.cards import Card


def report_command(
    name: Name,
    output: Annotated[str | None, typer.Option(help="An .html; runs/NAME/report.html.")] = None,
    count: Annotated[int, typer.Option(help="Test images for the picture of the codes.")] = 1000,
    json: Json = False,
) -> None:
    """Write one self-contained page about a model: card, numbers, curves and pictures."""
    path = output_path(name, output, "report.html", (".html",))
    load_tensorflow()
    import tempfile

    from keras_vae import files, zoo

    with working(f"Looking at {name}", quiet=json), tempfile.TemporaryDirectory() as folder:
        files.write_text(path, _page(zoo.card(name), zoo.load(name), Path(folder), count))
    if json:
        print_json({"name": name, "file": str(path)})
    else:
        print(f"Written: {path}")


def _page(card: "Card", model: "VAE", folder: Path, count: int) -> str:
    """The card's own sections, pictures drawn anew, and further ones."""
    from keras_vae.pages import model_report
    from keras_vae.zoo import fitted, pictures
    from keras_vae.zoo.cards import PICTURES

    history = card.results["training"]["history"]
    pictures.write(folder, model, card.recipe, history, fitted.of(model))
    captions = {**PICTURES, **_further_pictures(card, model, folder, count)}
    parts = [
        *model_report.from_markdown(card.numbers()),
        model_report.heading("What it has learned"),
        *(model_report.picture(folder / file, title) for file, title in captions.items() if (folder / file).is_file()),
        *model_report.from_markdown(card.origin()),
        model_report.heading("Recipe"),
        model_report.preformatted(card.recipe.text),
    ]
    return model_report.page(card.name, card.recipe.summary, parts)


def _further_pictures(card: "Card", model: "VAE", folder: Path, count: int) -> dict[str, str]:
    """Pictures of the codes of test images, those that the model has something to show on: file -> caption."""
    import numpy as np

    from keras_vae import plots, tasks
    from keras_vae.errors import NotApplicable
    from keras_vae.evaluation.distances import memorisation
    from keras_vae.evaluation.latent import codebook_usage
    from keras_vae.evaluation.overview import vectors_of
    from keras_vae.zoo import fitted
    from keras_vae.zoo.cards import NOUNS
    from keras_vae.zoo.examples import condition_of, examples_of

    examples = examples_of(card.recipe)  # not a slice of the split, which may be one itself
    x, given = examples.images[:count], condition_of(model, examples)
    given, classes = (None if each is None else each[:count] for each in (given, examples.classes))

    def kl(path: Path) -> None:
        values = card.results.get("metrics", {}).get("kl", {}).get("parts", [])
        if len(values) < 2:
            raise NotApplicable("Bars compare dimensions or levels, and there is one, or none.")
        names = list(model.latent_spec())
        of_levels = len(names) == len(values)
        order = sorted(range(len(values)), key=lambda place: 0 if of_levels else -values[place])
        labels = names if of_levels else [f"z{each}" for each in order]
        line = None if of_levels else 0.01
        plots.bars([values[each] for each in order], path, labels, "KL, nats", line=line)

    def codebook(path: Path) -> None:
        found = codebook_usage(model, x, given)
        counts = sorted(found["counts"], reverse=True)
        plots.bars(counts, path, [str(each) for each in range(len(counts))], "positions with the entry",
                   line=sum(counts) / len(counts))  # fmt: skip

    def require_images() -> None:
        if card.kind != "image":
            raise NotApplicable("Only images are drawn.")

    def interpolation(path: Path) -> None:
        require_images()
        if len(x) < 8:
            raise NotApplicable("An interpolation is between two images: four of them take eight.")
        condition = None if given is None else (given[:4], given[4:8])
        plots.rows(tasks.interpolate(model, x[:4], x[4:8], condition=condition), path)

    def manifold(path: Path) -> None:
        require_images()
        if model.latent_dim != 2:
            raise NotApplicable("A plane is the picture of a code of two dimensions.")
        plots.rows(tasks.latent_plane(model), path, gap=0)

    def scatter(path: Path) -> None:
        points = tasks.to_plane(vectors_of(model, x, given))
        plots.scatter(points, path, classes, "first two principal components of the codes")

    def anomalies(path: Path) -> None:
        require_images()
        parts = [slice(0, len(x) // 2), slice(len(x) // 2, None)]
        first, second = (x[part] for part in parts)
        labels = [None if given is None else given[part] for part in parts]
        scores = [
            tasks.anomaly_scores(model, images, "reconstruction", condition=condition)
            for images, condition in ((first, labels[0]), (second, labels[1]), (second[:, ::-1], labels[1]))
        ]
        judged = tasks.judge(scores[0], scores[1], scores[2])
        plots.detections({"squared error, summed over pixels": judged}, path)

    def nearest(path: Path) -> None:
        require_images()
        train = examples_of(card.recipe, card.recipe.data.train)
        labels = condition_of(model, train)
        images = model.sample(12, condition=None if labels is None else labels[:12], prior=fitted.of(model))
        places = memorisation(images, train.images, x[:12])["nearest"]
        plots.rows(np.stack([images, train.images[places]]), path, ["draw", "nearest"])

    by_class = "" if classes is None else ", by class"
    drawn = {
        "kl.png": (kl, "KL of each latent dimension from the prior, the largest first, or of each level; below the "
                       "line a dimension is not used"),
        "codebook.png": (codebook, "How often each entry of the codebook is used, the most used first; the line: were "
                                   "all alike"),
        "interpolation.png": (interpolation, "Between two test images: the images of the codes on the straight line "
                                             "between theirs"),
        "manifold.png": (manifold, "The plane of the code: equal areas have equal probability under the prior"),
        "nearest.png": (nearest, "Draws from the prior, and below each the training image nearest to it in pixels: "
                                 "none should be a copy"),
        "anomalies.png": (anomalies, "Anomaly detection by the squared error of the reconstruction, of test images "
                                     "upside down; the threshold and its calibration: set on one half, judged on the "
                                     "other"),
        "codes.png": (scatter, f"Codes of {len(x):,} test {NOUNS[card.kind]}s{by_class}, projected to the plane"),
    }  # fmt: skip
    found = {}
    for file, (draw, caption) in drawn.items():
        try:
            draw(folder / file)
        except NotApplicable:  # the model has nothing to show there
            continue
        found[file] = caption
    return found
