"""The data of fit, evaluate and predict: a dataset of batches, checked against the model on the host."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_vae import supports
from keras_vae.data import iterators, pipeline
from keras_vae.data.rows import is_sparse
from keras_vae.errors import UserError

if TYPE_CHECKING:
    from keras_vae.core.vae import VAE


def split_off(x: object, y: object, share: object, validation_data: object) -> tuple[Any, Any, Any]:
    """Return `x`, `y` and the validation data for Keras's `validation_split`: the last examples, before any shuffling.

    Raises:
      UserError: a share that is none, validation data too, or a stream.
    """
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

    def part(array: object, rows: slice) -> Any:
        return keras.tree.map_structure(lambda leaf: leaf[rows], array)

    first, last = slice(kept), slice(kept, None)
    if y is None:
        return part(x, first), None, part(x, last)
    return part(x, first), part(y, first), (part(x, last), part(y, last))


def checked_dataset(
    model: "VAE", x: Any, y: Any = None, batch_size: int = 128, *, training: bool, nats: bool = True
) -> Any:
    """Return a dataset of batches from a dataset, arrays, or a mapping of "x" and "y", checked against the model.

    Checked here, on the host, before anything is traced. A dataset made by `keras_vae.data` of arrays describes its
    pixels; of any other, the first batch is checked here, and all of them in the graph: `keras_vae.core.watch`.

    Args:
      nats: also require images in the likelihood's support.

    Raises:
      UserError: images of another shape, outside [0, 1], or outside the likelihood's support.
    """
    if is_sparse(x):
        x = pipeline.batches(x, y, batch_size=batch_size, training=training, seed=model.seed)
    pixels = pipeline.pixels_of(x)
    whole = pixels is not None or not iterators.is_stream(x)
    if pixels is not None:
        dataset, examples = x, model.check_x(pixels.example, "x of the dataset")
        labels, batch_size = pixels.labels, model.as_batch(x.element_spec)["x"].shape[0] or batch_size
    elif not whole:
        first, dataset = iterators.peeked(x, model.as_batch)
        examples, labels = model.check_x(first["x"], "x of the dataset's first batch"), first.get("y")
        batch_size = len(examples)
    else:
        if isinstance(x, Mapping):
            x, y = model.as_batch(x)["x"], x.get("y", y)
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
        )
    if nats:
        # What training reads is float32, in which a number of float64 may be infinite, or 0.
        for piece in supports.pieces(examples) if examples.dtype == "float64" else (examples,):
            with np.errstate(over="ignore"):
                model.likelihood_family.check(piece.astype("float32") if piece.dtype == "float64" else piece)
    if training and model.likelihood_family.standardizes and not int(model.step.numpy()):
        if not whole or (pixels is not None and (pixels.partial or pixels.made_up)):
            raise UserError(
                "What x is standardised by is the mean and spread of all training examples. Given: a stream of "
                "batches, sparse rows, or a dataset of pixels. Call fit with the array; or leave standardize out, and "
                "standardise before."
            )
        model.likelihood_family.adapt(examples)
    columns = [] if labels is None else keras.tree.flatten(labels)
    if model.conditional:
        model.check_condition(labels, len(columns[0]) if columns else len(examples))
    if training:
        # Of a user's dataset only the first batch has been seen, which may lack labels by chance.
        labelled = bool(columns) and (not whole or any(bool((np.asarray(column) >= 0).any()) for column in columns))
        model.check_training_data(labelled, batch_size)
    return dataset


def refuse_weights(arguments: Mapping[str, Any]) -> None:
    """Raise UserError for Keras's weights of examples or classes, which no term of the equation uses."""
    names = [name for name in ("sample_weight", "class_weight") if arguments.get(name) is not None]
    if names:
        raise UserError(
            f"A VAE weights all examples equally. Given: {names[0]}=. Leave it out, or repeat examples in the data."
        )
