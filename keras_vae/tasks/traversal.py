"""Latent traversals: what each dimension of the code draws."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from keras_vae.checks import check_whole_number
from keras_vae.errors import UserError
from keras_vae.evaluation.latent import kl_per_dimension
from keras_vae.tasks.codes import apart, dimension_names, side_by_side
from keras_vae.types import ConditionLike

if TYPE_CHECKING:
    from keras_vae.core import VAE


class Traversal(NamedTuple):
    """Rows of images, one row a latent dimension, the most informative first."""

    images: np.ndarray  # (dimensions, steps, height, width, channels), in [0, 1]
    dimensions: np.ndarray  # (dimensions,): which one each row moves; levels are counted on, z1 first
    labels: list[str]  # its name, and its importance
    importance: np.ndarray  # (dimensions,): its mean KL over the images, nats, or the variance of its codes
    values: np.ndarray  # (steps,): what it is set to, in standard deviations


def traversable(model: "VAE") -> bool:
    """Whether a code is made of numbers that can be moved, and not of indices."""
    return model.latent_kind != "index"


def informative(model: "VAE", x: np.ndarray, condition: ConditionLike = None) -> tuple[np.ndarray, str]:
    """How much each number of a code says of images, and in what unit: its mean KL in nats, or, where a KL is not of
    each number alone, the variance of its codes.

    Raises:
      UserError: as `encode`, or one image, which has no variance.
    """
    kl = kl_per_dimension(model, x, condition) if model.stochastic else np.zeros(0)
    codes = side_by_side(model.encode(x, condition))
    if len(kl) == codes.shape[1]:
        return kl, "nats"
    if len(codes) < 2:
        raise UserError("The spread of codes, which this model is traversed by, needs two images or more. Given: 1.")
    return codes.var(axis=0, dtype="float64"), "variance"


def traverse(
    model: "VAE", x: np.ndarray, start: int = 0, steps: int = 11, span: float = 3.0, condition: ConditionLike = None
) -> Traversal:
    """Move each latent dimension of one image's code through [-span, span], the others at rest.

    Where each dimension has a KL from a Gaussian prior of its own, it gives the order, and the prior, N(0, 1) or that
    of the image's condition, centre and scale.
    Otherwise the codes of `x` give both: dimensions are sorted by their variance, and move about their mean by their
    standard deviation. A direction stays one: as a number of it moves, the others shrink or grow together.

    Args:
      model: a model whose code is made of numbers: a vector, or a dict of levels.
      x: images.
      start: the image of `x` whose code is the point of departure, and whose condition is kept.
      steps: images in a row.
      span: how far, in standard deviations.
      condition: one for each image, where the model is conditional.

    Raises:
      UserError: arguments out of range, or a model with integer codes.
    """
    steps = check_whole_number(steps, "steps", minimum=2)
    if isinstance(span, bool) or not isinstance(span, int | float | np.number) or not 0 < span < float("inf"):
        raise UserError(f"span must be a positive number. Given: {span!r}.")
    if isinstance(start, bool) or not isinstance(start, int | np.integer) or not 0 <= start < len(x):
        raise UserError(f"start must be the number of an image, 0 to {len(x) - 1}. Given: {start!r}.")
    if not traversable(model):
        raise UserError(
            f"A traversal moves a code of numbers. Given: a {type(model).__name__}, whose codes are integers with "
            f"nothing between them. Draw samples, or decode codes of your own."
        )
    codes = side_by_side(model.encode(x, condition))
    importance, unit = informative(model, x, condition)
    if unit == "nats":
        prior = model.prior(None if condition is None else np.asarray(condition)[start : start + 1])
        centre, scale = (np.asarray(each).ravel() for each in (prior.mean(), prior.stddev()))
    else:
        centre, scale = codes.mean(axis=0, dtype="float64"), codes.std(axis=0, dtype="float64")
    order = np.argsort(-importance, kind="stable")
    values = np.linspace(-span, span, steps, dtype="float32")
    move = _turned if model.latent_space == "directions" else _moved
    moved = np.concatenate([move(codes[start], each, centre[each] + scale[each] * values) for each in order])
    kept = None if condition is None else np.repeat(np.asarray(condition)[start : start + 1], len(moved), axis=0)
    images, names = model.decode(apart(model, moved), kept), dimension_names(model)
    labels = [f"{names[dimension]}  {importance[dimension]:.2f} {unit}" for dimension in order]
    return Traversal(images.reshape(len(order), steps, *images.shape[1:]), order, labels, importance[order], values)


def _moved(code: np.ndarray, dimension: int, values: np.ndarray) -> np.ndarray:
    """`code` with one number set to each of `values`, the others at rest: `(values, dimensions)`."""
    moved = np.tile(code, (len(values), 1))
    moved[:, dimension] = values
    return moved


def _turned(code: np.ndarray, dimension: int, values: np.ndarray) -> np.ndarray:
    """The same on the unit sphere: along the great circle through `code` and the dimension's pole."""
    others = code.astype("float64")
    others[dimension] = 0.0
    if not np.any(others):  # at the pole no circle is nearer than another
        others[dimension - 1] = 1.0
    others /= np.linalg.norm(others)
    values = np.clip(values.astype("float64"), -1.0, 1.0)
    turned = np.sqrt(1.0 - np.square(values))[:, None] * others
    turned[:, dimension] = values
    return turned.astype(code.dtype)
