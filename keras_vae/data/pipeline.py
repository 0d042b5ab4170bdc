"""From arrays of pixels, or of tokens, to batches, as a pure function of the seed, the epoch and the batch."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike

from keras_vae import backend, checks, randomness
from keras_vae.errors import UserError

BINARIZE = ("dynamic", "static")
# The static binarisation is one data set, the same for everybody, whatever the seed of a run.
_STATIC_SEED = 2008


class Pixels(NamedTuple):
    """What is known of a dataset's examples without reading it."""

    image_shape: tuple[int, ...]
    # One image with every value that matters to a likelihood: 0, 1, and 0.5 where there is grey. Tokens: all of them.
    example: np.ndarray
    labels: np.ndarray | dict[str, np.ndarray] | None = None  # all of them, where there are any; or several by name


def batches(
    images: np.ndarray,
    labels: ArrayLike | Mapping[str, ArrayLike] | None = None,
    *,
    batch_size: int = 128,
    training: bool,
    binarize: str | None = None,
    dequantize: bool = False,
    seed: int = 0,
    first_epoch: int = 0,
    render: Callable[[np.ndarray], np.ndarray] | None = None,
) -> Any:
    """A `tf.data.Dataset` of dicts: "x", float32 in [0, 1] `(batch, height, width, channels)`; "y" where labels are.

    Each iteration of the dataset is one epoch, and the next iteration is the next one: order, dynamic binarisation and
    dequantisation of an epoch are functions of `(seed, epoch)`, so a run that starts again at `first_epoch` sees what
    an uninterrupted one sees.

    Args:
      images: `(examples, height, width, channels)`, uint8 grey levels or floats in [0, 1]; or tokens, int32
        `(examples, length)`, which stay what they are.
      labels: one for each example; or a mapping of such arrays: then "y" is a dict by these names.
      batch_size: examples in a batch.
      training: new order each epoch, without the last partial batch; otherwise the arrays' order, and all of it.
      binarize: `"dynamic"`: pixels are 1 with the probability of their grey level, drawn anew each epoch;
        `"static"`: drawn once, always the same; None: grey levels.
      dequantize: add uniform noise of one grey level: (level + u) / 256, drawn anew each epoch.
      seed: of order and noise.
      first_epoch: the number of the first epoch.
      render: makes images of rows of `images`, whatever these are: binary ones, uint8, drawn batch by batch, so that a
        data set that is drawn takes no memory.

    Raises:
      UserError: arguments that do not go together, or fewer examples than one training batch.
    """
    batch_size = checks.check_whole_number(batch_size, "batch_size")
    checks.check_whole_number(seed, "seed", minimum=0)
    checks.check_whole_number(first_epoch, "first_epoch", minimum=0)
    if binarize is not None and binarize not in BINARIZE:
        raise UserError(f"binarize is one of {', '.join(BINARIZE)}, or None for grey levels. Given: {binarize!r}.")
    if binarize and dequantize:
        raise UserError("dequantize adds noise to grey levels; binary pixels have none. Use one or the other.")
    images = np.asarray(images)
    tokens = render is None and images.dtype == np.int32 and images.ndim == 2
    if tokens and (binarize or dequantize):
        raise UserError("binarize and dequantize are for grey levels. Given: tokens, int32. Leave them out.")
    if images.dtype != np.uint8 and not tokens and render is None:
        images = checks.check_images(images, images.shape[1:], "images")
    if dequantize and images.dtype != np.uint8:
        raise UserError(f"dequantize needs grey levels 0 to 255 as uint8. Given: {images.dtype}.")
    if not len(images):
        raise UserError("A dataset needs at least one example. Given: none.")
    if training and len(images) < batch_size:
        raise UserError(
            f"Training needs at least one full batch: {batch_size} examples. Given: {len(images)}. Lower batch_size."
        )
    if render is not None:
        shape, scale, binary, binarize = render(images[:1]).shape[1:], 1, True, None
    else:
        shape, scale = images.shape[1:], 255 if images.dtype == np.uint8 else 1
        if binarize == "static":
            images, scale, binarize = _binarized_once(images, scale), 1, None
        grey = dequantize or tokens
        binary = not grey and all(((part == 0) | (part == scale)).all() for part in checks.pieces(images))
        if binary:  # bytes: a quarter of what floats would move in each epoch
            images, scale, binarize = (images == scale).astype("uint8"), 1, None
    columns: dict[str, Any] = {"x": images}
    if labels is not None:
        columns["y"] = _checked_columns(labels, len(images))
    tensors = tf.nest.map_structure(tf.constant, columns)
    steps = len(images) // batch_size if training else -(-len(images) // batch_size)
    epoch = tf.Variable(tf.constant(first_epoch, "int64"))

    def one_epoch(number: Any) -> Any:
        base = randomness.fold(randomness.seed_of(seed, randomness.DATA), number)
        shuffled = tensors
        if training:
            order = tf.argsort(backend.uniform((len(images),), base), stable=True)
            shuffled = tf.nest.map_structure(lambda tensor: tf.gather(tensor, order), tensors)

        def one_batch(step: Any) -> dict[str, Any]:
            part = slice(step * batch_size, (step + 1) * batch_size)
            batch = tf.nest.map_structure(lambda tensor: tensor[part], shuffled)
            x = batch["x"] if render is None else tf.numpy_function(render, [batch["x"]], tf.uint8, stateful=False)
            x = x if tokens else tf.cast(x, "float32")
            if binarize or dequantize:
                noise = backend.uniform(tf.shape(x), randomness.fold(base, step + 1))
                x = (x + noise) / 256.0 if dequantize else tf.cast(noise * float(scale) < x, "float32")
            elif scale != 1:
                x = x / float(scale)
            batch["x"] = tf.ensure_shape(x, (batch_size if training else None, *shape))
            return batch

        return tf.data.Dataset.range(steps).map(one_batch, num_parallel_calls=2, deterministic=True)

    dataset = tf.data.Dataset.range(1).map(lambda _: epoch.assign_add(1) - 1).flat_map(one_epoch)
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(steps)).prefetch(4)
    options = tf.data.Options()
    # The autotuner's thread sleeps in doubling periods, and the end of an epoch waits for it to wake.
    options.autotune.enabled = False
    dataset = dataset.with_options(options)
    example = images if tokens else np.full((1, *shape), 1.0 if binary or binarize else 0.5, "float32")
    marked: Any = dataset
    marked.keras_vae = Pixels(tuple(shape), example, columns.get("y"))
    marked.epoch = epoch  # the graph holds the variable's handle only
    return marked


def shuffled(codes: np.ndarray, batch_size: int, seed: int) -> Any:
    """Batches of codes (and zeros, which Keras wants as targets), without the last partial one, in an order that is a
    function of the seed and the epoch."""
    steps, epoch = len(codes) // batch_size, tf.Variable(tf.constant(0, "int64"))
    tensor = tf.constant(codes)

    def one_epoch(number: Any) -> Any:
        noise = randomness.fold(randomness.seed_of(seed, randomness.DATA), number)
        order = tf.argsort(backend.uniform((len(codes),), noise), stable=True)

        def one_batch(step: Any) -> Any:
            batch = tf.gather(tensor, order[step * batch_size : (step + 1) * batch_size])
            batch = tf.ensure_shape(batch, (batch_size, *codes.shape[1:]))
            return batch, tf.zeros((batch_size,))

        return tf.data.Dataset.range(steps).map(one_batch)

    dataset = tf.data.Dataset.range(1).map(lambda _: epoch.assign_add(1) - 1).flat_map(one_epoch)
    marked: Any = dataset.apply(tf.data.experimental.assert_cardinality(steps))
    marked.epoch = epoch  # the graph holds the variable's handle only
    return marked


def is_dataset(data: object) -> bool:
    """Whether `data` is a `tf.data.Dataset`."""
    return isinstance(data, tf.data.Dataset)


def pixels_of(dataset: Any) -> Pixels | None:
    """What `batches` knows of a dataset it made; None for any other."""
    return getattr(dataset, "keras_vae", None)


def _binarized_once(images: np.ndarray, scale: int) -> np.ndarray:
    generator = np.random.Generator(np.random.PCG64(_STATIC_SEED))
    uniform = generator.random(images.shape, dtype="float32")
    return (uniform * np.float32(scale) < images).astype("float32")


def _checked_columns(labels: ArrayLike | Mapping[str, ArrayLike], count: int) -> np.ndarray | dict[str, np.ndarray]:
    if isinstance(labels, Mapping):
        return {name: _checked_labels(column, count) for name, column in labels.items()}
    return _checked_labels(labels, count)


def _checked_labels(labels: ArrayLike, count: int) -> np.ndarray:
    labels = np.asarray(labels)
    if labels.dtype.kind not in "iubf":
        raise UserError(f"Labels must be numbers. Given: dtype {labels.dtype}. Number the classes from 0.")
    if not labels.ndim:
        raise UserError(f"There must be one label for each image. Given: {labels}, and {count} images.")
    if len(labels) != count:
        raise UserError(f"There must be one label for each image. Given: {len(labels)} labels, {count} images.")
    return labels.astype("int32" if labels.dtype.kind in "iub" else "float32")
