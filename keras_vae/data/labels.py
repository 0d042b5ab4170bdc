"""Datasets of which few examples are labelled."""

import numpy as np
from numpy.typing import ArrayLike

from keras_vae.checks import check_whole_number
from keras_vae.errors import UserError


def keep_labels(labels: ArrayLike | None, count: int, seed: int = 0) -> np.ndarray:
    """Return `labels` with all but `count` of them replaced by -1, unlabelled.

    The labels that are kept are a function of `seed`. Each class keeps equally many, to within one, as far as it has
    them; which classes keep one more is drawn too.

    Args:
      labels: whole numbers, one for each example; -1 for those without a label.
      count: the number of labels to keep.
      seed: of the draw.

    Returns:
      int32 `(examples,)`.

    Raises:
      UserError: no labels that are whole numbers, or fewer than `count`.
    """
    count = check_whole_number(count, "labelled", minimum=0)
    seed = check_whole_number(seed, "seed", minimum=0)
    array = np.asarray([] if labels is None else labels)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        received = "none" if labels is None else f"{array.dtype} of shape {array.shape}"
        raise UserError(f"Keeping some labels needs whole numbers, one label for each example. Given: {received}.")
    labelled = np.flatnonzero(array >= 0)
    if count > len(labelled):
        raise UserError(f"labelled must be at most the number of labels, {len(labelled)}. Given: {count}.")
    generator = np.random.default_rng(seed)
    shuffled = generator.permutation(labelled)
    rank = np.empty(len(labelled), "int64")  # of an example within its class
    for label in np.unique(array[labelled]):
        of_class = array[shuffled] == label
        rank[of_class] = np.arange(of_class.sum())
    # The first of each class, then the second of each, and so on; classes are in an order drawn for each rank.
    kept = shuffled[np.lexsort((generator.random(len(labelled)), rank))[:count]]
    result = np.full(len(array), -1, "int32")
    result[kept] = array[kept]
    return result
