"""Latent traversals: decoded images as one dimension of a code moves."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from keras_vae.checks import check_whole_number, is_number
from keras_vae.errors import UserError
from keras_vae.evaluation.evaluation import map_condition, rows_of
from keras_vae.evaluation.latent import kl_per_dimension
from keras_vae.tasks.codes import decode, dimension_names, flatten, moved, unflatten
from keras_vae.types import ConditionLike

if TYPE_CHECKING:
    from keras_vae.core import VAE


class Traversal(NamedTuple):
    """Rows of images, one row a latent dimension, the most informative first."""

    images: np.ndarray  # (dimensions, steps, height, width, channels), in [0, 1]
    dimensions: np.ndarray  # (dimensions,): the one that each row moves, an index into `dimension_names`
    labels: list[str]  # its name and its importance
    importance: np.ndarray  # (dimensions,): its mean KL over the images, nats, or the variance of its codes
    values: np.ndarray  # (steps,): of the dimension, in standard deviations


def traversable(model: "VAE") -> bool:
    """Return whether a model has real-valued codes, which can be moved, and not indices."""
    return model.latent_kind != "index"


def informative(model: "VAE", x: ArrayLike, condition: ConditionLike = None) -> tuple[np.ndarray, str]:
    """Return the importance of the dimensions of a code, `(dimensions,)`, and its unit.

    It is the mean KL over the images, in nats, or the variance of the codes where the KL is not a sum over dimensions,
    or the prior is no Gaussian.

    Raises:
      UserError: as `encode`, or one image, which has no variance.
    """
    gaussian = model.stochastic and model.analytic_kl
    kl = kl_per_dimension(model, x, condition) if gaussian else np.zeros(0)
    codes = flatten(model.encode(x, condition))
    if len(kl) == codes.shape[1]:
        return kl, "nats"
    if len(codes) < 2:
        raise UserError(
            "A traversal of this model needs the variance of its codes, and so two images or more. Given: 1."
        )
    return codes.var(axis=0, dtype="float64"), "variance"


def traverse(
    model: "VAE", x: ArrayLike, start: int = 0, steps: int = 11, span: float = 3.0, condition: ConditionLike = None
) -> Traversal:
    """Return images as each latent dimension of one image's code moves through [-span, span], the others fixed.

    Where each dimension has a KL from a Gaussian prior, the rows are sorted by it, and the prior, N(0, 1) or that of
    the image's condition, sets centre and scale. Otherwise the codes of `x` set both: dimensions are sorted by their
    variance, and move about their mean by their standard deviation. A direction stays one: as one of its numbers moves,
    the others shrink or grow together.

    Args:
      model: a model with real-valued codes: a vector, or a dict of levels.
      x: images.
      start: the index of the image in `x` to start from; its condition is kept.
      steps: images in a row.
      span: the range on either side of the centre, in standard deviations.
      condition: one for each image, where the model is conditional.

    Raises:
      UserError: arguments out of range, or a model with integer codes.
    """
    images = model.check_x(x)
    steps, start, span = _checked_walk(steps, start, span, len(images))
    if not traversable(model):
        raise UserError(
            f"A traversal needs real-valued codes. Given: a {type(model).__name__}, whose codes are integers with "
            f"nothing in between. Draw samples, or decode codes of your own."
        )
    condition = model.infer_condition(images, condition)
    codes = flatten(model.encode(images, condition))
    importance, unit = informative(model, images, condition)
    start_condition = rows_of(condition, slice(start, start + 1))
    if unit == "nats":
        centre, scale = _prior_scale(model, start_condition)
    else:
        centre, scale = codes.mean(axis=0, dtype="float64"), codes.std(axis=0, dtype="float64")
    order = np.argsort(-importance, kind="stable")
    values = np.linspace(-span, span, steps, dtype="float32")
    path = centre + scale * values[:, None]
    walks = np.concatenate([moved(model, codes[start], [index], path[:, [index]]) for index in order])
    conditions = map_condition(lambda values: np.repeat(values, len(walks), axis=0), start_condition)
    rows, names = decode(model, unflatten(model, walks), conditions), dimension_names(model)
    labels = [f"{names[index]}  {importance[index]:.2f} {unit}" for index in order]
    return Traversal(rows.reshape(len(order), steps, *rows.shape[1:]), order, labels, importance[order], values)


def _checked_walk(steps: object, start: object, span: object, count: int) -> tuple[int, int, float]:
    """Return steps, start and span of a traversal from one of `count` images."""
    whole = check_whole_number(steps, "steps", minimum=2)
    if not is_number(span) or not 0 < span < float("inf"):
        raise UserError(f"span must be a positive number. Given: {span!r}.")
    if isinstance(start, bool) or not isinstance(start, int | np.integer) or not 0 <= start < count:
        raise UserError(f"start must be the number of an image, 0 to {count - 1}. Given: {start!r}.")
    return whole, int(start), float(span)


def _prior_scale(model: "VAE", condition: ConditionLike) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation of the prior, `(dimensions,)` each, for the condition of one image."""
    prior = model.prior(model.condition_in(model.check_condition(condition, 1)))
    return np.asarray(prior.mean()).ravel(), np.asarray(prior.stddev()).ravel()
