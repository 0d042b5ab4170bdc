"""The data of fit, evaluate and predict: a dataset of batches, checked against the model on the host."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import keras
import numpy as np

from keras_vae import checks, supports
from keras_vae.core.example_weights import (
    by_class,
    choose,
    columns_of,
    refuse_beside_stream,
    require_scalable,
    split,
    with_class_weights,
)
from keras_vae.data import iterators, pipeline
from keras_vae.data.examples import Pixels
from keras_vae.data.iterators import WEIGHT
from keras_vae.data.rows import is_sparse
from keras_vae.errors import UserError

if TYPE_CHECKING:
    from keras_vae.core.vae import VAE


def split_off(
    x: object, y: object, sample_weight: object, share: object, validation_data: object
) -> tuple[Any, Any, Any, Any]:
    """Return `x`, `y`, the weights and the validation data for Keras's `validation_split`.

    Those are the last examples, before any shuffling, with their labels and weights.

    Raises:
      UserError: a share that is none, validation data too, or a stream.
    """
    if isinstance(x, Mapping) and "x" in x:
        x, y, sample_weight = columns_of(x, y, sample_weight)
    x = cast(Any, x).tocsr() if is_sparse(x) else x  # which has rows to slice
    y = np.asarray(y) if isinstance(y, list) else y
    weights = None if sample_weight is None else checks.numbers(sample_weight, "sample_weight")
    arrays: list[Any] = keras.tree.flatten([x] if y is None else [x, y])
    sized = not iterators.is_stream(x) and all(getattr(array, "shape", ()) for array in arrays)
    count = int(arrays[0].shape[0]) if sized else 0
    if not isinstance(share, float) or not sized or not 0 < share < 1 or validation_data is not None:
        raise UserError(
            f"validation_split is a share of arrays, between 0 and 1, in place of validation_data. Given: {share!r}, "
            f"x of {type(x).__name__}{', and validation_data' if validation_data is not None else ''}. Give "
            f"validation_data alone; keras_vae.data.load has a split 'validation'."
        )
    kept = int(count * (1.0 - share))
    if not 0 < kept < count:
        raise UserError(
            f"validation_split leaves examples on both sides. Given: {share} of {count} examples. Change it."
        )

    if weights is not None and weights.shape != (count,):  # the parts would be told other shapes than those given
        raise UserError(checks.weights_shape(weights.shape, count))
    if weights is not None and not (weights[:kept].any() and weights[kept:].any()):
        raise UserError(
            f"validation_split leaves weights above 0 on both sides. Given: {share} of {count} examples, the last of "
            f"which are held out: all weights of one side are 0. Shuffle the examples with their weights, or change it."
        )
    first, last = split((x, y, weights), kept)
    return *first, last if y is not None or weights is not None else last[0]


def checked_dataset(
    model: "VAE",
    x: Any,
    y: Any = None,
    batch_size: int = 128,
    *,
    training: bool,
    nats: bool = True,
    sample_weight: Any = None,
    class_weight: Any = None,
) -> Any:
    """Return a dataset of batches from a dataset, arrays, or a mapping of "x", "y" and "sample_weight", checked.

    Checked here, on the host, before anything is traced. A dataset made by `keras_vae.data` of arrays describes its
    pixels; of any other, the first batch is checked here, and all of them in the graph: `keras_vae.core.watch`.

    Args:
      nats: also require images in the likelihood's support.
      sample_weight: of arrays, the weight of each example.
      class_weight: the weight of the examples of each label.

    Raises:
      UserError: images of another shape, outside [0, 1], or outside the likelihood's support; weights that do not fit.
    """
    if sample_weight is not None and iterators.is_stream(x):
        refuse_beside_stream()
    if isinstance(x, Mapping):
        x, y, sample_weight = columns_of(model.as_batch(x), y, sample_weight)
        if iterators.is_stream(x):
            model.check_x(x)  # which refuses it: a mapping is of arrays
    if not nats:  # predict, which does without
        sample_weight = None
    if class_weight is not None:
        require_scalable(model, "class_weight")
        choose(sample_weight, class_weight)
        if not iterators.is_stream(x):
            sample_weight, class_weight = by_class(y, class_weight), None
    if sample_weight is not None:
        require_scalable(model, WEIGHT)
    if is_sparse(x):
        x = pipeline.batches(
            x, y, batch_size=batch_size, training=training, seed=model.seed, sample_weight=sample_weight
        )
    pixels = pipeline.pixels_of(x)
    whole = pixels is not None or not iterators.is_stream(x)
    if pixels is not None:
        dataset, examples = x, model.check_x(pixels.example, "x of the dataset")
        labels, batch_size = pixels.labels, model.as_batch(x.element_spec)["x"].shape[0] or batch_size
        if nats and WEIGHT in x.element_spec:
            require_scalable(model, WEIGHT)
    elif not whole:
        first, dataset = iterators.peeked(x, model.as_batch)
        examples, labels = model.check_x(first["x"], "x of the dataset's first batch"), first.get("y")
        batch_size = len(examples)
        if nats and first.get(WEIGHT) is not None:
            require_scalable(model, WEIGHT)
            checks.check_weights(first[WEIGHT], batch_size, whole=False)
    else:
        examples, labels = model.check_x(x), y
        kind = model.x_spec().kind
        rows = x if isinstance(x, np.memmap) else examples  # a map is read batch by batch
        dataset = pipeline.batches(
            rows,
            y,
            batch_size=batch_size,
            training=training,
            seed=model.seed,
            kind=kind,
            missing=model.missing is not None,
            sample_weight=sample_weight,
        )
    if nats:
        _check_numbers(model, examples)
    if training and model.likelihood_family.standardizes and not int(model.step.numpy()):
        if not whole or (pixels is not None and (pixels.partial or pixels.made_up)):
            raise UserError(
                "What x is standardised by is the mean and spread of all training examples. Given: a stream of "
                "batches, sparse rows, or a dataset of pixels. Call fit with the array; or leave standardize out, and "
                "standardise before."
            )
        model.likelihood_family.adapt(examples)
    if training and model.reads_totals and not int(model.step.numpy()):
        model.adapt_totals(_totals(pixels, examples if whole else None))
    _check_labels(model, labels, len(examples), batch_size, training, whole)
    if class_weight is None:
        return dataset
    by_class(labels, class_weight, whole=pixels is not None)
    return iterators.mapped(dataset, lambda batch: with_class_weights(model.as_batch(batch), class_weight))


def checked_batch(
    model: "VAE", x: Any, y: Any, sample_weight: Any, class_weight: Any, *, training: bool
) -> tuple[Any, Any, Any]:
    """Return x, labels and weights of one batch, arrays or a mapping of them, held to the rules of `checked_dataset`.

    Raises:
      UserError: one is broken.
    """
    if isinstance(x, Mapping):
        x, y, sample_weight = columns_of(model.as_batch(x), y, sample_weight)
    if iterators.is_stream(x):
        raise UserError(f"One batch is of arrays. Given: {type(x).__name__}, a stream. Call fit or evaluate.")
    examples = model.check_x(x.toarray() if is_sparse(x) else x)
    if not len(examples):
        raise UserError("A batch has an example at least. Given: none. Leave it out.")
    _check_numbers(model, examples)
    if y is not None:
        y = {name: np.asarray(one) for name, one in y.items()} if isinstance(y, Mapping) else np.asarray(y)
        for column in keras.tree.flatten(y):
            if column.shape[:1] != (len(examples),):
                raise UserError(
                    f"There is one label for each example. Given: labels of shape {column.shape}, {len(examples)} "
                    f"examples. Give as many."
                )
    _check_labels(model, y, len(examples), len(examples), training, whole=False)
    if class_weight is not None:
        require_scalable(model, "class_weight")
        choose(sample_weight, class_weight)
        sample_weight = by_class(y, class_weight, whole=False)
    if sample_weight is not None:
        require_scalable(model, WEIGHT)
        sample_weight = checks.check_weights(sample_weight, len(examples))
    return examples, y, sample_weight


def _check_numbers(model: "VAE", examples: np.ndarray) -> None:
    """Check that x is in the likelihood's support as float32, which a step reads.

    A number of float64 may be infinite there, or 0.
    """
    for piece in supports.pieces(examples) if examples.dtype == "float64" else (examples,):
        with np.errstate(over="ignore"):
            model.likelihood_family.check(piece.astype("float32") if piece.dtype == "float64" else piece)


def _check_labels(model: "VAE", labels: Any, count: int, batch_size: int, training: bool, whole: bool) -> None:
    """Check the conditions of `count` examples, and whether a training with them can go on.

    Args:
      whole: they are all that there are. Of a user's dataset only a batch has been seen, which may lack labels by
        chance.
    """
    columns = [] if labels is None else keras.tree.flatten(labels)
    if model.conditional:
        model.check_condition(labels, len(columns[0]) if columns else count)
    if training:
        labelled = bool(columns) and (not whole or any(bool((np.asarray(column) >= 0).any()) for column in columns))
        model.check_training_data(labelled, batch_size)


def _totals(pixels: Pixels | None, examples: np.ndarray | None) -> np.ndarray:
    """Return the sum of each training example, `(examples,)`, float64, from their description or from them all.

    Raises:
      UserError: they are a stream of batches, or pixels.
    """
    if pixels is not None and pixels.totals is not None:
        return pixels.totals()
    if examples is None or (pixels is not None and (pixels.partial or pixels.made_up)):
        raise UserError(
            "A library size is told by the totals of all training examples. Given: a stream of batches, or pixels. "
            "Call fit with the array, the sparse matrix, or keras_vae.data.batches of it; or give what is taken from "
            "them: total= of the likelihood, library= of a LibraryVAE."
        )
    return np.concatenate([one.reshape(len(one), -1).sum(1, dtype="float64") for one in supports.pieces(examples)])
