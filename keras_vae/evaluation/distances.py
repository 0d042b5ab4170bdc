"""Distances between sets of generated and real examples, in any features."""

from typing import TypedDict

import numpy as np
from numpy.typing import ArrayLike
from sklearn.neighbors import NearestNeighbors

from keras_vae.checks import as_array, check_images, check_whole_number
from keras_vae.errors import UserError
from keras_vae.evaluation.estimates import Estimate, share_of


def frechet(first: ArrayLike, second: ArrayLike) -> float:
    """Return the Frechet distance of two sets of features: `|m - n|**2 + Tr(C + D - 2 (C D)**0.5)`.

    m, C and n, D are their means and covariances.

    The squared Wasserstein distance of two Gaussians: Heusel et al. 2017, equation 6, https://arxiv.org/abs/1706.08500.
    It is greater in expectation for fewer examples: compare distances of equal numbers only.

    Args:
      first: `(n, features)`.
      second: `(m, features)`.

    Raises:
      UserError: fewer examples than features and one more, numbers that are not finite, or unequal features.
    """
    pair = _pair(first, second)
    means = [features.mean(axis=0) for features in pair]
    covariances = [np.atleast_2d(np.cov(features, rowvar=False)) for features in pair]
    # Tr (C D)**0.5 = Tr (A D A)**0.5 with A = C**0.5: of a symmetric matrix, so real and stable where C is singular.
    values, vectors = np.linalg.eigh(covariances[0])
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    shared = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ covariances[1] @ root), 0)).sum()
    distance = ((means[0] - means[1]) ** 2).sum() + np.trace(covariances[0]) + np.trace(covariances[1]) - 2 * shared
    return max(0.0, float(distance))


def precision_recall(real: ArrayLike, generated: ArrayLike, neighbours: int = 3) -> dict[str, Estimate]:
    """Return `precision` and `recall` of generated features.

    The share of generated features on the manifold of the real ones, and of real ones on that of the generated.

    A manifold is the union of balls around its points that reach their `neighbours`-th nearest of the same set:
    equations 1 and 2 of Kynkäänniemi et al. 2019, https://arxiv.org/abs/1904.06991. Use equal numbers of both. The
    standard error is the binomial one of the points, for a fixed manifold; `mnist_fd` repeats both on disjoint sets.

    Raises:
      UserError: fewer examples than `neighbours` and one more, or features that do not fit.
    """
    neighbours = check_whole_number(neighbours, "neighbours")
    first, second = _pair(real, generated, neighbours + 1)
    return {
        "precision": share_of(_inside(second, first, neighbours), examples=len(second)),
        "recall": share_of(_inside(first, second, neighbours), examples=len(first)),
    }


class Memorisation(TypedDict):
    """The distances of generated and held-out images to training images."""

    value: float
    standard_error: float | None
    generated: float  # their median distance, the root of the summed squares of pixels
    held_out: float
    nearest: list[int]  # the index in the training images of each generated image's nearest


def memorisation(generated: ArrayLike, train: ArrayLike, held_out: ArrayLike, neighbours: int = 1) -> Memorisation:
    """Return whether generated images lie nearer to training images than held-out ones do, as copies would.

    `value` is the probability that a generated image is nearer to its nearest training image than a held-out image is
    to its own: 0.5 for images as new as held-out ones, towards 1 for copies. The statistic of Meehan et al. 2020,
    https://arxiv.org/abs/2004.05675, section 3, over the whole space, with distances of pixels. Smooth images lie near
    all others, so blurred samples score above 0.5 too: look at the nearest pairs.

    Args:
      generated: images, `(n, ...)`.
      train: training images.
      held_out: real images that were not trained on.
      neighbours: the rank of the training image to compare with; 1 for the nearest.

    Raises:
      UserError: no images, or of unequal shapes, or fewer training images than `neighbours`.
    """
    neighbours = check_whole_number(neighbours, "neighbours")
    shape = np.shape(train)[1:]
    named = {"generated": generated, "train": train, "held_out": held_out}
    images = [check_images(array, shape, name) for name, array in named.items()]
    sets = [array.reshape(len(array), -1) for array in images]
    if min(map(len, sets)) < 2 or len(sets[1]) < neighbours:
        raise UserError(f"Memorisation needs two images of each kind or more, and {neighbours} for training. Given: "
                        f"{', '.join(str(len(array)) for array in sets)}.")  # fmt: skip
    index = NearestNeighbors(n_neighbors=neighbours, algorithm="brute").fit(sets[1])
    (drawn, nearest), (held, _) = (index.kneighbors(array) for array in (sets[0], sets[2]))
    ours, theirs = drawn[:, -1], held[:, -1]
    chance = chance_above(theirs, ours)
    return {
        "value": chance["value"],
        "standard_error": chance["standard_error"],
        "generated": float(np.median(ours)),
        "held_out": float(np.median(theirs)),
        "nearest": nearest[:, -1].tolist(),
    }


def chance_above(scores: np.ndarray, others: np.ndarray) -> Estimate:
    """Return the probability that one of `scores` is above one of `others`, the area under the ROC curve.

    Ties count half. The standard error is that of DeLong et al. 1988, https://doi.org/10.2307/2531595; None for fewer
    than two scores of either kind.
    """
    # The error follows from the spread of each score's probability against the other set.
    wins, losses = _rank(np.sort(others), scores), 1.0 - _rank(np.sort(scores), others)
    error = None
    if min(len(wins), len(losses)) > 1:
        error = float(np.sqrt(wins.var(ddof=1) / len(wins) + losses.var(ddof=1) / len(losses)))
    return {"value": float(wins.mean()), "standard_error": error}


def _rank(ranked: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the share of `ranked`, which is sorted, below each value; ties count half."""
    return 0.5 * (np.searchsorted(ranked, values, "left") + np.searchsorted(ranked, values, "right")) / len(ranked)


def _pair(first: ArrayLike, second: ArrayLike, least: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return two sets of features, `(n, features)` and `(m, features)`, with enough examples of each."""
    ours, theirs = _features(first, least), _features(second, least)
    if ours.shape[1] != theirs.shape[1]:
        raise UserError(f"Both sets need the same features. Given: {ours.shape[1]} and {theirs.shape[1]}.")
    return ours, theirs


def _features(value: ArrayLike, least: int | None) -> np.ndarray:
    """Return features as float64, of at least so many examples; by default one more than features."""
    array = as_array(value, "Features")
    if least is None:
        least = int(array.shape[-1]) + 1 if array.ndim else 2
    if array.ndim != 2 or array.dtype.kind not in "fiub" or len(array) < least:
        raise UserError(f"Features must be numbers (n, features), n {least} or more. Given: {array.dtype} of shape "
                        f"{array.shape}.")  # fmt: skip
    if not np.isfinite(array).all():
        raise UserError("Features must be finite. Given: values that are NaN or infinite.")
    return array.astype("float64")


def _inside(points: np.ndarray, centres: np.ndarray, neighbours: int) -> np.ndarray:
    """Return whether each point lies in a ball of one of the centres."""
    # One more, as each centre is its own nearest.
    radii = NearestNeighbors(n_neighbors=neighbours + 1).fit(centres).kneighbors(centres)[0][:, -1]
    within = np.zeros(len(points), bool)
    squares = (centres**2).sum(axis=1)
    for start in range(0, len(points), 512):
        part = points[start : start + 512]
        distances = (part**2).sum(axis=1)[:, None] + squares - 2 * part @ centres.T
        within[start : start + 512] = (distances <= radii**2 * (1 + 1e-9) + 1e-9).any(axis=1)
    return within
