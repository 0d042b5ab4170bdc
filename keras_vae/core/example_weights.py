"""Weights of examples, Keras's `sample_weight` and `class_weight`: how they reach a step, which losses they scale."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras import ops

from keras_vae import checks
from keras_vae.data.iterators import WEIGHT
from keras_vae.errors import UserError
from keras_vae.types import Batch, Tensor

if TYPE_CHECKING:
    from keras_vae.core.vae import VAE


def weights_of(model: "VAE", batch: Batch) -> Tensor | None:
    """Return the weights in a batch, `(batch,)` in `float_dtype`, or None if it has none.

    Raises:
      UserError: not one for each example, or a model whose loss they cannot scale.
    """
    weights = batch.get(WEIGHT)
    if weights is None:
        return None
    require_scalable(model, WEIGHT)
    return one_each(ops.cast(weights, model.float_dtype), batch["x"])


def one_each(weights: Tensor, x: Tensor) -> Tensor:
    """Return the weights, or minus infinity for all examples where they are not one for each, which the watch reports.

    A single weight would be of all examples, and others end the execution before the watch's report is read.

    Raises:
      UserError: they have more axes than that of the examples.
    """
    if len(weights.shape) != 1:
        raise UserError(checks.weights_shape(weights.shape))
    if None not in (weights.shape[0], x.shape[0]) and weights.shape[0] == x.shape[0]:
        return weights
    number, count, none = ops.shape(weights)[0], ops.shape(x)[0], ops.full((1,), -np.inf, weights.dtype)
    rows = ops.where(ops.equal(number, count), ops.arange(count, dtype="int32"), number)
    return ops.take(ops.concatenate([weights, none]), rows)


def require_scalable(model: "VAE", name: str) -> None:
    """Raise UserError where the model's losses have more than terms of single examples, which weights could scale.

    Args:
      name: of the argument with the weights.
    """
    methods = model.overridden("objective", "players", "after_step", since="batch_statistic")
    reason = f"{' and '.join(methods)} of its own, and no batch_statistic in its class" if methods else ""
    if reason := reason or model.batch_statistic:
        raise UserError(
            f"Weights of examples scale what each of them adds to a loss. Given: {name}, for a "
            f"{type(model).__name__}, which has {reason}. Leave it out, and draw examples in proportion to their "
            f"weights w: rows = numpy.random.default_rng(0).choice(len(w), len(w), p=numpy.divide(w, numpy.sum(w))), "
            f"then x[rows], and y[rows] if there are labels."
        )


def by_class(labels: object, class_weight: object, whole: bool = True) -> np.ndarray:
    """Return the weight of each example for Keras's `class_weight`: that of its label, or 1 if that is not among them.

    Args:
      labels: one for each example, whole numbers.
      class_weight: from labels to weights.
      whole: as of `checks.check_weights`.

    Raises:
      UserError: no such labels, or no such mapping.
    """
    remedy = "Give the weights of the examples as sample_weight" if whole else "Let it give (x, y, sample_weight)"
    array = None if labels is None or isinstance(labels, Mapping) else checks.numbers(labels, "y", integers=True)
    if array is None or array.ndim != 1 or (array.dtype.kind == "f" and (array != np.rint(array)).any()):
        kind = type(labels).__name__ if array is None else f"{array.dtype} of shape {array.shape}"
        raise UserError(
            f"class_weight is of whole numbers in y, one label an example. Given: y is {kind}. {remedy} instead."
        )
    if not isinstance(class_weight, Mapping) or not all(map(checks.is_whole_number, class_weight)):
        raise UserError(
            f"class_weight is a mapping from labels, whole numbers, to weights, as {{0: 1.0, 1: 2.5}}. Given: "
            f"{class_weight!r}. {remedy}, or change it."
        )
    of_class = {int(label): checks.check_number(weight, "class_weight") for label, weight in class_weight.items()}
    classes, position = np.unique(array.astype("int64"), return_inverse=True)
    weights = np.array([of_class.get(int(label), 1.0) for label in classes], "float32")[position]
    return checks.check_weights(weights, len(array), "class_weight", whole)


def choose(sample_weight: object, class_weight: object) -> None:
    """Raise UserError for weights of both kinds."""
    if sample_weight is not None and class_weight is not None:
        raise UserError("Weights are of examples or of classes. Given: sample_weight and class_weight. Choose one.")


def with_class_weights(batch: Batch, class_weight: Mapping[int, float]) -> dict[str, Any]:
    """Return a batch of a stream, of arrays or of tensors in a graph, with the weights of `by_class`.

    Args:
      batch: with labels.
      class_weight: as `by_class` has checked it.
    """
    choose(batch.get(WEIGHT), class_weight)
    if not ops.is_tensor(batch["y"]):
        return {**batch, WEIGHT: by_class(batch["y"], class_weight, whole=False)}
    weights = ops.ones(ops.shape(batch["y"]), "float32")
    for label, weight in class_weight.items():
        weights = ops.where(ops.equal(batch["y"], label), float(weight), weights)
    return {**batch, WEIGHT: weights}


def columns_of(batch: Batch, y: Any, sample_weight: Any) -> tuple[Any, Any, Any]:
    """Return x, labels and weights of a mapping of arrays, or `y` and `sample_weight` where it has none.

    Raises:
      UserError: weights in it and beside it.
    """
    if sample_weight is not None and batch.get(WEIGHT) is not None:
        raise UserError(f"An example has one weight. Given: {WEIGHT}, and x with a {WEIGHT!r}. Leave one out.")
    inside = batch.get("y"), batch.get(WEIGHT)
    return batch["x"], y if inside[0] is None else inside[0], sample_weight if inside[1] is None else inside[1]


def refuse_beside_stream() -> None:
    """Raise UserError for weights beside a stream of batches, which has them in its batches."""
    raise UserError(
        f"{WEIGHT} goes with arrays; batches bring their weights with them. Given: {WEIGHT}, and a dataset or "
        f"an iterator. Let it give (x, y, sample_weight), y None where there are no labels, or a dict with {WEIGHT!r}; "
        f"keras_vae.data.batches takes {WEIGHT}=."
    )


def scaled(value: Any, weights: Tensor) -> Any:
    """Return `value`, `(batch, ...)`, each example's times its weight."""
    return value * ops.reshape(weights, (-1, *[1] * (len(value.shape) - 1)))


def scaled_penalty(penalty: Any, weights: Tensor) -> Any:
    """Return `Terms.penalty`, times the weights if it is `(batch,)`, or as it is if it is a constant.

    Raises:
      UserError: a scalar that is computed, of nobody knows which examples.
    """
    if isinstance(penalty, int | float):
        return penalty
    if not len(penalty.shape):
        raise UserError(
            f"Weights of examples scale what each of them adds to a loss. Given: {WEIGHT}, and a penalty that is a "
            f"scalar in `terms`. Return one number an example, (batch,), or override `weighted`."
        )
    return scaled(penalty, weights)


def split(columns: tuple[Any, ...], count: int) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Return the first `count` rows of each column, and the others; None, or a tree of arrays, is a column too."""

    def part(column: Any, rows: slice) -> Any:
        return None if column is None else keras.tree.map_structure(lambda leaf: leaf[rows], column)

    first, last = slice(count), slice(count, None)
    return tuple(part(column, first) for column in columns), tuple(part(column, last) for column in columns)
