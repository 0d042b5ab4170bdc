"""Figures of a trained model on its test examples, one function a figure: for reports, commands and notebooks."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from keras_vae import plots, tasks, zoo
from keras_vae.checks import check_number, check_whole_number
from keras_vae.errors import NotApplicable
from keras_vae.evaluation.distances import memorisation
from keras_vae.evaluation.evaluation import rows_of, vectors_of
from keras_vae.evaluation.latent import codebook_usage, kl_names
from keras_vae.registry import choose
from keras_vae.tasks.codes import check_real, dimension_names
from keras_vae.tasks.masks import half_observed
from keras_vae.tasks.traversal import informative
from keras_vae.types import Kind
from keras_vae.zoo.anomalies import detect
from keras_vae.zoo.cards import Card
from keras_vae.zoo.examples import condition_of, examples_of
from keras_vae.zoo.held_out import HeldOut

PROJECTIONS = {"pca": "first two principal components of the codes", "tsne": "t-SNE of the codes"}
_UNUSED = 0.01  # nats: a dimension of a smaller KL is taken to be unused


class Drawing(NamedTuple):
    """A figure, and the array that it shows."""

    array: np.ndarray
    figure: Figure


def interpolation(
    subject: HeldOut,
    count: int = 4,
    steps: int = 11,
    method: str = "linear",
    path: str = "codes",
    decoded_with: str = "nearer",
    seed: int = 0,
) -> Drawing:
    """Draw `count` interpolations between pairs of test images, with the two images at the ends of each row.

    Args:
      subject: a model of images with `2 * count` test images or more.
      count: pairs.
      steps: images between the two.
      method: as `keras_vae.tasks.interpolate`, and so are `path`, `decoded_with` and `seed`.
      path: `"codes"` or `"posteriors"`.
      decoded_with: the label of which end a conditional model decodes with.
      seed: of the draws of `"posteriors"`.

    Raises:
      NotApplicable: too few images, x of another kind, or codes of integers.
      UserError: as `keras_vae.tasks.interpolate`.
    """
    _check_images(subject)
    count = check_whole_number(count, "count")
    if len(subject) < 2 * count:
        raise NotApplicable(f"An interpolation is between two images, {count} take {2 * count}. Given: {len(subject)}.")
    first, second = subject[:count], subject[count : 2 * count]
    condition = None if first.condition is None else (first.condition, second.condition)
    images = tasks.interpolate(subject.model, first.x, second.x, steps, method, path, seed, condition, decoded_with)
    shares = [f"{share:.2g}" for share in np.linspace(0, 1, steps)]
    with_ends = np.concatenate([first.x[:, None], images, second.x[:, None]], axis=1)
    return Drawing(images, plots.rows(with_ends, columns=["image", *shares, "image"]))


def latent_plane(
    subject: HeldOut, side: int = 20, dimensions: tuple[int, int] | None = None, label: int | None = None
) -> Drawing:
    """Draw the images of a plane of codes, as `keras_vae.tasks.latent_plane`, with its axes named.

    Args:
      subject: a model of images; its test images order the dimensions.
      side: images in a row and in a column.
      dimensions: of the code; by default the two most informative ones.
      label: of a conditional model.

    Raises:
      NotApplicable: x of another kind, or codes of integers.
      UserError: as `keras_vae.tasks.latent_plane`.
    """
    _check_images(subject)
    check_real(subject.model)
    names = dimension_names(subject.model)
    if dimensions is None and len(names) > 2:
        importance, _ = informative(subject.model, subject.x, subject.condition)
        first, second = np.argsort(-importance, kind="stable")[:2].tolist()
        dimensions = (first, second)
    across, upwards = dimensions or (0, 1)
    condition = None if label is None else np.array([label], "int32")
    images = tasks.latent_plane(subject.model, None, side, (across, upwards), condition)
    below = f"{names[across]} to the right, {names[upwards]} upwards"
    return Drawing(images, plots.rows(images, gap=0, below=below))


def projected_codes(subject: HeldOut, method: str = "pca", seed: int = 0) -> Drawing:
    """Draw the codes of the test examples projected to the plane, coloured by class where the data have classes.

    Args:
      subject: a model with three test examples or more.
      method: `"pca"` or `"tsne"`.
      seed: of t-SNE.

    Raises:
      NotApplicable: codes that are all the same.
      UserError: as `keras_vae.tasks.to_plane`.
    """
    points = tasks.to_plane(vectors_of(subject.model, subject.x, subject.condition), method, seed)
    return Drawing(points, plots.scatter(points, labels=subject.classes, title=choose("method", method, PROJECTIONS)))


def imputation(subject: HeldOut, missing: str = "bottom", steps: int = 50, seed: int = 0) -> Drawing:
    """Draw test images, the half of each that is observed, and the images with the rest imputed.

    Args:
      subject: a model of images.
      missing: the half that is not observed, as `keras_vae.tasks.masks.half_observed`.
      steps: turns of pseudo-Gibbs.
      seed: of random masks, and of the draws.

    Raises:
      NotApplicable: x of another kind.
      UserError: as `keras_vae.tasks.impute`.
    """
    _check_images(subject)
    x, observed = subject.x, half_observed(subject.x.shape[1:], missing, seed)
    imputed = tasks.impute(subject.model, x, observed, steps, seed, subject.condition)
    images = np.stack([x, np.where(observed, x, 0.5), imputed])
    return Drawing(imputed, plots.rows(images, labels=["image", "seen", "filled in"]))


def attribute(subject: HeldOut, label: int = 0, count: int = 8, strength: float = 1.0) -> Drawing:
    """Draw test images of other classes with more and more of what sets the class `label` apart.

    Args:
      subject: a model of images of which each has one class; the mean codes are of all of its test images.
      label: the class whose images have the attribute.
      count: images to change.
      strength: how much of the attribute is added at the end of a row.

    Raises:
      NotApplicable: x of another kind, or codes of integers.
      UserError: data without classes, or as `keras_vae.tasks.attribute_vector`.
    """
    _check_images(subject)
    amounts, has = np.linspace(0.0, check_number(strength, "strength"), 7), subject.labels == label
    vector = tasks.attribute_vector(subject.model, subject.x, has, subject.condition)
    others = subject[np.flatnonzero(~has)[: check_whole_number(count, "count")]]
    images = tasks.with_attribute(subject.model, others.x, vector, amounts, others.condition)
    return Drawing(images, plots.rows(images, columns=[f"{amount:+.2g}" for amount in amounts]))


def traversal(subject: HeldOut, start: int = 0, steps: int = 11, span: float = 3.0) -> Drawing:
    """Draw `keras_vae.tasks.traverse` of one test image: a row for each dimension, the most informative first.

    Args:
      subject: a model of images; its test images order the dimensions.
      start: the image that the code starts from.
      steps: images in a row.
      span: how far each dimension moves, in standard deviations.

    Raises:
      NotApplicable: x of another kind.
      UserError: as `keras_vae.tasks.traverse`.
    """
    _check_images(subject)
    walk = tasks.traverse(subject.model, subject.x, start, steps, span, subject.condition)
    columns = [f"{value:+.2g}" for value in walk.values]
    return Drawing(walk.images, plots.labelled_rows(walk.images, walk.labels, columns=columns))


def anomaly_detection(subject: HeldOut, scores: Sequence[str] = ("reconstruction",)) -> Figure:
    """Draw how well scores tell test images from the same images upside down.

    Raises:
      NotApplicable: x of another kind.
      UserError: as `keras_vae.zoo.anomalies.detect`.
    """
    _check_images(subject)
    return plots.detections({score_title(score, "image"): judged for score, judged in detect(subject, scores).items()})


def score_title(score: str, kind: Kind) -> str:
    """Return a score of `keras_vae.tasks.anomaly_scores` of a kind of x in words, with its unit."""
    reconstruction = "squared error, summed over pixels" if kind == "image" else "-log p(x|z) at the code, nats"
    return {"reconstruction": reconstruction, "elbo": "-ELBO, nats", "log_prob": "-log p(x), nats"}[score]


def nearest_training_images(subject: HeldOut, count: int = 12) -> Drawing:
    """Draw samples, and below each the training image nearest to it in pixels.

    Raises:
      NotApplicable: x of another kind, or a model that has nothing to sample from.
    """
    _check_images(subject)
    recipe = zoo.card(subject.name).recipe
    train = examples_of(recipe, recipe.data.train)
    condition = rows_of(condition_of(subject.model, train), slice(count))
    samples = subject.model.sample(count, condition=condition, prior=zoo.prior(subject.name))
    nearest = memorisation(samples, train.images, subject.x[:count])["nearest"]
    images = np.stack([samples, train.images[nearest]])
    return Drawing(images, plots.rows(images, labels=["draw", "nearest"]))


def kl_bars(card: Card, subject: HeldOut) -> Figure:
    """Draw the KL of each latent dimension, the largest first, or of each level, as the card has it.

    Raises:
      NotApplicable: a card with one KL, or none.
    """
    values = card.results.get("metrics", {}).get("kl", {}).get("parts", [])
    if len(values) < 2:
        raise NotApplicable("Bars compare dimensions or levels, and there is one, or none.")
    names = kl_names(subject.model, len(values))
    if names == list(subject.model.latent_spec()):
        return plots.bars(values, labels=names, y="KL, nats")
    order = np.argsort(-np.asarray(values), kind="stable").tolist()
    labels, bars = [names[group] for group in order], [values[group] for group in order]
    return plots.bars(bars, labels=labels, y="KL, nats", line=_UNUSED)


def codebook(subject: HeldOut) -> Figure:
    """Draw how often each entry of a codebook is used, the most used first, with the mean as a line.

    Raises:
      NotApplicable: codes that are not integers.
    """
    usage = codebook_usage(subject.model, subject.x, subject.condition)
    counts = sorted(usage["counts"], reverse=True)
    numbers = [str(number) for number in range(len(counts))]
    return plots.bars(counts, labels=numbers, y="positions with the entry", line=sum(counts) / len(counts))


def _check_images(subject: HeldOut) -> None:
    if subject.model.x_spec().kind != "image":
        raise NotApplicable(f"Only images are drawn. Given: {subject.name}, a model of {subject.model.x_spec().kind}.")
