"""Labels as conditions: what models that read one share."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

from keras_vae.arrays import check_labels
from keras_vae.errors import UserError


def one_hot(labels: Any, classes: int, dtype: str, count: Any = None) -> Any:
    """Labels `(batch,)` as `(batch, classes)`: a label of -1, unlabelled, is a row of zeros.

    Not keras.ops.one_hot, of which ONNX counts -1 from the end.

    Args:
      labels: integers; or None, which is -1 for each of `count`; or one-hot rows already, which are returned.
      classes: how many there are.
      dtype: of the rows.
      count: of examples.
    """
    if labels is None:
        return ops.zeros((count, classes), dtype)
    labels = ops.convert_to_tensor(labels)
    if len(labels.shape) == 2:
        return labels
    return ops.cast(ops.equal(ops.cast(labels, "int32")[:, None], ops.arange(classes, dtype="int32")), dtype)


def with_planes(x: Any, features: Any) -> Any:
    """Images `(batch, height, width, channels)` with each feature of `(batch, size)` as a further channel."""
    planes = ops.broadcast_to(features[:, None, None], (*ops.shape(x)[:3], features.shape[-1]))
    return ops.concatenate([x, planes], axis=-1)


def network_shapes(
    shapes: dict[str, tuple[tuple[int, ...], tuple[int, ...]]], size: int
) -> dict[str, tuple[tuple[int, ...], tuple[int, ...]]]:
    """`VAE.network_shapes` for an encoder and a decoder that both read `size` features beside their input."""
    (*pixels, channels), outputs = shapes["encoder"]
    (codes,), images = shapes["decoder"]
    return {"encoder": ((*pixels, channels + size), outputs), "decoder": ((codes + size,), images)}


def check_count(array: np.ndarray, count: int) -> np.ndarray:
    """`array`, if it holds one condition for each of `count` examples.

    Raises:
      UserError: it does not.
    """
    if len(array) != count:
        raise UserError(f"There must be one condition for each example. Given: {len(array)} for {count}.")
    return array


def labels_or_none(condition: Any, classes: int, count: int) -> np.ndarray:
    """Labels for `count` examples, int32: those given, or -1 for all where there are none.

    Raises:
      UserError: not whole numbers from -1 to `classes` - 1, or not one for each example.
    """
    if condition is None:
        return np.full(count, -1, "int32")
    return check_count(check_labels(condition, classes), count)


def check_shares(shares: Sequence[float] | None, classes: int) -> tuple[float, ...] | None:
    """The probabilities of the classes, or None: all alike.

    Raises:
      UserError: not one positive number for each class, or a sum that is not 1.
    """
    if shares is None:
        return None
    array = np.asarray(shares)
    fits = array.dtype.kind in "fiu" and array.shape == (classes,) and bool((array > 0).all())
    if not fits or abs(float(array.sum()) - 1) > 1e-6:
        raise UserError(
            f"class_probabilities are {classes} positive numbers that sum to 1, one a class. Given: {shares!r}."
        )
    return tuple(float(share) for share in array)


def log_shares(shares: Sequence[float] | None, classes: int) -> np.ndarray:
    """log p(y), of the probabilities that `check_shares` returns: float64 `(classes,)`."""
    given = np.asarray(shares or [1.0] * classes)
    return np.log(given / given.sum())
