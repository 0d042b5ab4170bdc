"""Data sets of which few examples are labelled."""

import numpy as np
from numpy.typing import ArrayLike

from keras_vae.checks import check_whole_number
from keras_vae.errors import UserError


def keep_labels(labels: ArrayLike | None, count: int, seed: int = 0) -> np.ndarray:
    """`labels` with all but `count` of them -1, unlabelled; those that stay are a function of `seed`.

    The classes keep equally many, to within one, as long as they have them; which classes have one more is drawn too.

    Args:
      labels: whole numbers, one an example; -1 are unlabelled already.
      count: how many to keep.
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
        given = "none" if labels is None else f"{array.dtype} of shape {array.shape}"
        raise UserError(f"Keeping some labels needs whole numbers, one label an example. Given: {given}.")
    known = np.flatnonzero(array >= 0)
    if count > len(known):
        raise UserError(f"labelled must be at most the number of labels, {len(known)}. Given: {count}.")
    generator = np.random.default_rng(seed)
    shuffled = generator.permutation(known)
    turn = np.empty(len(known), "int64")  # of an example among those of its class
    for label in np.unique(array[known]):
        own = array[shuffled] == label
        turn[own] = np.arange(own.sum())
    # One example of each class after the other, in an order drawn for each turn.
    kept = shuffled[np.lexsort((generator.random(len(known)), turn))[:count]]
    result = np.full(len(array), -1, "int32")
    result[kept] = array[kept]
    return result
