"""The report of a model: one page with its card, its numbers and its figures."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from keras_vae import plots, zoo
from keras_vae.errors import NotApplicable
from keras_vae.pages import figures, html
from keras_vae.zoo import pictures
from keras_vae.zoo.cards import NOUNS, Card
from keras_vae.zoo.held_out import HeldOut

_PAIRS = 4  # interpolations


def model_report(name: str | Path, count: int = 1000) -> str:
    """Return a self-contained HTML page about a trained model: card, numbers, curves and figures.

    Args:
      name: of the model, as `keras_vae.zoo.load` takes it.
      count: test examples that the figures of codes are of.

    Raises:
      UserError: an unknown name, or a count below 1.
      CorruptFileError: weights that are not those of the card.
    """
    card, subject = zoo.card(name), HeldOut.of(name, count)
    with tempfile.TemporaryDirectory() as folder:
        history = card.results["training"]["history"]
        pictures.write(folder, subject.model, card.recipe, history, zoo.prior(name))
        captions = card.captions | write_figures(folder, card, subject)
        shown = [
            html.picture(Path(folder) / file, caption)
            for file, caption in captions.items()
            if (Path(folder) / file).is_file()
        ]
    parts = [
        *html.from_markdown(card.numbers()),
        html.heading("What it has learned"),
        *shown,
        *html.from_markdown(card.origin()),
        html.heading("Recipe"),
        html.preformatted(card.recipe.text),
    ]
    return html.page(card.name, card.recipe.summary, parts)


def write_figures(folder: str | Path, card: Card, subject: HeldOut) -> dict[str, str]:
    """Write the figures that apply to the model as PNG files, and return their captions by file name."""
    captions = {}
    for file, (draw, caption) in _figures(card, subject).items():
        try:
            figure = draw()
        except NotApplicable:  # the model has no such part
            continue
        plots.save(figure, Path(folder) / file)
        captions[file] = caption
    return captions


def _figures(card: Card, subject: HeldOut) -> dict[str, tuple[Callable[[], Figure], str]]:
    by_class = "" if subject.classes is None else ", by class"
    of_class = ", of the first test image's class" if subject.model.conditional else ""
    return {
        "kl.png": (
            lambda: figures.kl_bars(card, subject),
            "KL of each latent dimension from the prior, the largest first, or of each level; below the line a "
            "dimension is not used",
        ),
        "codebook.png": (
            lambda: figures.codebook(subject),
            "How often each entry of the codebook is used, the most used first; the line is the mean",
        ),
        "interpolation.png": (
            lambda: figures.interpolation(subject, _PAIRS).figure,
            "Between two test images: the images of the codes on the straight line between theirs",
        ),
        "manifold.png": (
            lambda: _whole_plane(subject),
            f"The plane of the code{of_class}: equal areas have equal probability under the prior",
        ),
        "nearest.png": (
            lambda: figures.nearest_training_images(subject).figure,
            "Draws from the prior, and below each the training image nearest to it in pixels: none should be a copy",
        ),
        "anomalies.png": (
            lambda: figures.anomaly_detection(subject),
            "Anomaly detection by the squared error of the reconstruction, of test images upside down; the threshold "
            "and its calibration: set on one half, judged on the other",
        ),
        "codes.png": (
            lambda: figures.projected_codes(subject).figure,
            f"Codes of {len(subject):,} test {NOUNS[card.kind]}s{by_class}, projected to the plane",
        ),
    }


def _whole_plane(subject: HeldOut) -> Figure:
    if subject.model.latent_dim != 2:
        raise NotApplicable("A plane shows all of a code of two dimensions only.")
    first, label = subject[:1], None
    if subject.model.conditional:
        if not subject.model.condition_classes:
            raise NotApplicable("A plane is of one label. Given: a model of other conditions.")
        label = int(np.asarray(subject.model.infer_condition(first.x, first.condition))[0])
    return figures.latent_plane(subject, label=label).figure
