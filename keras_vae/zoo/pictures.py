"""The pictures of a card: reconstructions, samples, a walk through codes and training curves, as the model has them."""

import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from keras_vae import plots
from keras_vae.core.inference import draw_x
from keras_vae.errors import NotApplicable
from keras_vae.evaluation import forecasts
from keras_vae.evaluation.evaluation import rows_of
from keras_vae.evaluation.latent import ACTIVE_ABOVE
from keras_vae.tasks.interpolation import interpolate
from keras_vae.tasks.traversal import informative, traversable, traverse
from keras_vae.zoo import recipes
from keras_vae.zoo.examples import Examples, condition_of, examples_of
from keras_vae.zoo.sampling import classes_of, every_label

if TYPE_CHECKING:
    from keras_vae.core import VAE
    from keras_vae.priors.base import FittedPrior

SAMPLES, COLUMNS = 64, 12  # the number of samples without labels, and for each label; and of columns of a table
SERIES = PAIRS = 8
DIMENSIONS, TELLING = 10, 0.25  # of a traversal at most; the share of the code that they must have
_LOOKED_AT = 1000  # examples


def write(
    folder: str | Path,
    model: "VAE",
    recipe: recipes.Recipe,
    history: Mapping[str, Sequence[float]],
    prior: "FittedPrior | None" = None,
    examples: Examples | None = None,
) -> list[str]:
    """Write reconstructions.png and, where the model has them, samples.png, traversal.png and curves.png.

    Where ten dimensions have little of the code, interpolation.png is in place of traversal.png.

    In place of the first three, rows of numbers have marginals.png, and series have series.png and, where the model
    reads a part of a series, forecast.png; others have none.

    Args:
      folder: for the pictures.
      model: of the recipe.
      recipe: of the model.
      history: metric -> one number an epoch; without any there are no curves.
      prior: fitted to the model, for samples; by default the model's own.
      examples: of the recipe's evaluation split; read by default.

    Returns:
      The names of the files that were written.
    """
    folder = Path(folder)
    written = []
    if draw := {"image": _of_images, "numbers": _of_numbers}.get(model.x_spec().kind):
        examples = examples_of(recipe) if examples is None else examples
        written = draw(folder, model, recipe, prior, examples.first(_LOOKED_AT))
    if history:
        plots.curves(history, folder / "curves.png")
        written.append("curves.png")
    return written


def _of_images(
    folder: Path, model: "VAE", recipe: recipes.Recipe, prior: "FittedPrior | None", examples: Examples
) -> list[str]:
    """Write the pictures of a model of images."""
    first = examples.first(16)
    reconstructions = model.reconstruct(first.images, condition_of(model, first))
    plots.reconstructions(first.images, reconstructions, folder / "reconstructions.png")
    written = ["reconstructions.png"]
    names = {name: labels.classes for name, labels in examples.named.items()}
    if samples(model, recipe.evaluation.seed, folder / "samples.png", prior, names):
        written.append("samples.png")
    if traversable(model):
        written.append(_of_codes(folder, model, examples))
    return written


def _of_codes(folder: Path, model: "VAE", examples: Examples) -> str:
    """Write traversal.png; or interpolation.png, where the dimensions that it would show have little of the code.

    Dimensions that are not in use are not shown, where others are.
    """
    condition = condition_of(model, examples)
    importance = informative(model, examples.images, condition)[0]
    if np.sort(importance)[-DIMENSIONS:].sum() < TELLING * importance.sum():
        _interpolations(model, examples, folder / "interpolation.png")
        return "interpolation.png"
    walk = traverse(model, examples.images, condition=condition)
    shown = slice(max(1, min(DIMENSIONS, int((walk.importance > ACTIVE_ABOVE).sum()))))
    columns = [f"{value:+.2g}" for value in walk.values]
    plots.labelled_rows(walk.images[shown], walk.labels[shown], folder / "traversal.png", columns)
    return "traversal.png"


def _interpolations(model: "VAE", examples: Examples, path: Path) -> None:
    """Draw rows from images of the first half of the examples to those of the second, reconstructed at the ends."""
    half, condition = len(examples.images) // 2, condition_of(model, examples)
    starts = np.linspace(0, half - 1, min(PAIRS, half)).round().astype(int)
    pair = None if condition is None else (rows_of(condition, starts), rows_of(condition, starts + half))
    between = interpolate(model, examples.images[starts], examples.images[starts + half], condition=pair)
    plots.rows(between, path)


def _of_numbers(
    folder: Path, model: "VAE", recipe: recipes.Recipe, prior: "FittedPrior | None", examples: Examples
) -> list[str]:
    """Write the picture of a model of rows or of series."""
    if model.x_spec().is_series:
        return _of_series(folder, model, recipe, examples.first(SERIES))
    if not model.x_spec().is_row:
        return []
    x = examples.images
    try:
        labels = model.infer_condition(x, condition_of(model, examples))
        drawn = draw_x(model, len(x), recipe.evaluation.seed, labels, prior)
    except NotApplicable:
        return []
    titles = examples.columns or tuple(f"x{index}" for index in range(x.shape[1]))
    shown = np.linspace(0, x.shape[1] - 1, min(COLUMNS, x.shape[1])).round().astype(int)
    with_numbers = [index for index in shown if not np.isnan(x[:, index]).all()]
    plots.marginals({titles[index]: (x[:, index], drawn[:, index]) for index in with_numbers}, folder / "marginals.png")
    return ["marginals.png"]


def _of_series(folder: Path, model: "VAE", recipe: recipes.Recipe, examples: Examples) -> list[str]:
    """Write series.png, and forecast.png for a model that reads a part of a series; nothing where means lack totals."""
    if not model.likelihood_family.tells_total:
        return []
    x, condition, seed = examples.images, condition_of(model, examples), recipe.evaluation.seed
    drawn = forecasts.reconstruction_draws(model, x, seed=seed, condition=condition)
    names = examples.columns
    plots.series(x, model.reconstruct(x, condition), folder / "series.png", bands=_band(drawn), names=names)
    try:
        filled = None if model.missing is None else forecasts.forecasts(model, x, seed, condition)
    except NotApplicable:  # codes that annealing cannot move
        filled = None
    if filled is None:
        return ["series.png"]
    starts = forecasts.starts_of(x)
    later = np.arange(x.shape[1])[:, None] >= starts[:, None, None]
    mean, *ends = (np.where(later, values, np.nan) for values in (filled.mean, *_band(filled.draws)))
    plots.series(x, mean, folder / "forecast.png", (ends[0], ends[1]), starts.tolist(), names)
    return ["series.png", "forecast.png"]


def _band(draws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    low, high = np.quantile(draws, forecasts.BAND, axis=0)
    return low, high


def samples(
    model: "VAE",
    seed: int,
    path: str | Path,
    prior: "FittedPrior | None" = None,
    names: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> bool:
    """Draw samples into `path`, a row for each label of a conditional model, or combination of labels by name.

    Args:
      model: a model of images.
      seed: of the draws.
      path: of the picture.
      prior: as of `write`.
      names: of the classes of labels; by default, a class has its number.

    Returns:
      False for a model without a prior, or of a condition that is no label: then there is no picture.
    """
    classes = classes_of(model)
    if model.conditional and not classes:
        return False
    count = math.prod(classes.values()) * COLUMNS if classes else SAMPLES
    condition = every_label(model, count)
    try:
        drawn = model.sample(count, seed=seed, condition=condition, prior=prior)
    except NotApplicable:  # no prior, or none fitted yet
        return False
    if not classes:
        plots.grid(drawn, path)
        return True
    kinds = [names.get(name, [str(label) for label in range(size)]) for name, size in classes.items()]
    titles = [", ".join(words) for words in itertools.product(*kinds)]
    plots.labelled_rows(drawn.reshape(-1, COLUMNS, *drawn.shape[1:]), titles, path)
    return True
