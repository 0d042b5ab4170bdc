"""The examples of a dataset as they are kept in memory, or read, and how a batch of x is made from them."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from keras_vae import backend, checks, supports
from keras_vae.data import rows as lazily
from keras_vae.data.rows import Rows, is_sparse
from keras_vae.errors import UserError
from keras_vae.types import Kind, Tensor

BINARIZE = ("dynamic", "static")


class Pixels(NamedTuple):
    """A description of the examples of a dataset that `batches` made, without reading it."""

    image_shape: tuple[int, ...]
    # Images of every value that a pixel has: of grey levels, each that occurs; of noise, some. Floats, tokens: all x.
    example: np.ndarray
    labels: np.ndarray | dict[str, np.ndarray] | None = None  # all of them, if there are any; or several by name
    partial: bool = False  # `example` has not the values of all rows
    made_up: bool = False  # `example` has those values, but no x of the data
    totals: Callable[[], np.ndarray] | None = None  # reads the sum of each x, of numbers that are read batch by batch


@dataclasses.dataclass(frozen=True)
class Examples:
    """The examples as they are kept in memory, and how a batch of x is made of them."""

    rows: np.ndarray  # grey levels, floats, bytes of 0 and 1, tokens, or the arguments of `render`
    shape: tuple[int, ...]  # of one x
    white: int = 1  # the value in `rows` of a white pixel
    binary: bool = False  # only 0 and 1
    tokens: bool = False
    numbers: bool = False  # no pixels: a byte is a number too, of its column
    binarize: bool = False  # in each epoch
    dequantize: bool = False
    render: Callable[[np.ndarray], np.ndarray] | None = None
    source: Rows | None = None  # of which `rows` are the numbers: a batch of it is read at a time

    @property
    def example(self) -> np.ndarray:
        """`Pixels.example`."""
        if self.binary:
            values = np.array([0.0, 1.0], "float32")
        elif self.dequantize:
            values = np.array([1.0 / np.pi, 1.0 / np.e], "float32")  # on no grid
        else:
            if self.source is None:
                values = lazily.levels_in(self.rows) if self.made_up else self.rows
            elif self.numbers and isinstance(self.source, lazily.Mapped):
                values = self.source.array
            else:
                values = self.source.values()
            if values.ndim > 1:
                return values
            values = (values / self.white).astype("float32")
        return np.resize(values, (-(-len(values) // int(np.prod(self.shape))), *self.shape))

    @property
    def made_up(self) -> bool:
        """`Pixels.made_up`."""
        stored = self.rows if self.source is None else self.source
        return self.binary or self.dequantize or (stored.dtype == np.uint8 and not self.numbers)

    @property
    def totals(self) -> Callable[[], np.ndarray] | None:
        """`Pixels.totals`."""
        return functools.partial(lazily.totals_of, self.source) if self.source is not None and self.numbers else None

    def x(self, rows: Any, seed: Tensor, part: "Part") -> Any:
        """The x of some rows, a part of a batch; `seed` is that of the batch's noise."""
        if self.render is not None:
            rows = tf.numpy_function(self.render, [rows], tf.uint8, stateful=False)
        if self.source is not None:
            rows = tf.numpy_function(self.source.__getitem__, [rows], self.source.dtype, stateful=False)
        if self.tokens:
            return rows
        x: Any = tf.cast(rows, "float32")
        # Noise is of the whole batch, of which a worker may have a part.
        shape = tf.concat([[tf.cast(part.of, "int32")], tf.shape(x)[1:]], axis=0)
        if self.dequantize:
            return (x + backend.uniform(shape, seed)[part.rows]) / 256.0
        if self.binarize:
            # 16 bits take half the time of 32. A 1 has the probability of its grey level to 2**-16.
            size: Any = tf.reduce_prod(shape)
            noise: Any = tf.bitcast(backend.random_bits(((size + 1) // 2,), seed), "uint16")
            noise = tf.reshape(tf.reshape(noise, (-1,))[:size], shape)[part.rows]
            return tf.cast(tf.cast(noise, "float32") < x * (2.0**16 / self.white), "float32")
        return x / float(self.white) if self.white != 1 else x


class Part(NamedTuple):
    """The rows of a batch that a worker has."""

    rows: slice
    of: Any  # the rows of the batch


def examples_of(
    images: np.ndarray | Rows,
    binarize: str | None,
    dequantize: bool,
    kind: Kind | None,
    missing: bool,
    render: Callable[[np.ndarray], np.ndarray] | None,
) -> Examples:
    """Return the examples of a dataset, checked; the arguments are those of `pipeline.batches`.

    Raises:
      UserError: arguments that contradict each other, or numbers that x may not have.
    """
    if is_sparse(images):
        if binarize or dequantize or kind not in (None, "numbers"):
            raise UserError("The rows of a sparse matrix are numbers. Given: noise or a kind of pixels. Leave it out.")
        source = lazily.Sparse(images)
        supports.REALS.check(source.matrix.data[:, None], "x")
        return _read_by_batches(source, None, False, "numbers")
    if render is not None:
        _check_noise(binarize, dequantize)  # rendered images are binary already
        if dequantize:
            raise UserError("dequantize needs grey levels. Given: rendered images, which are binary. Leave it out.")
        images = np.asarray(images)
        return Examples(images, render(images[:1]).shape[1:], binary=True, render=render)
    mapped = images
    images = checks.numbers(images, "images") if isinstance(images, np.ma.MaskedArray) else images
    images = images if isinstance(images, Rows) else np.asarray(images)
    kind = kind or ("tokens" if images.dtype == np.int32 and images.ndim == 2 else "image")
    looked_at = images if isinstance(images, np.ndarray) else images[np.arange(min(1, len(images)))]
    looked_at = _checked_images(looked_at, binarize, dequantize, kind, missing)
    if isinstance(mapped, np.memmap):
        images = lazily.Mapped(mapped)
    if isinstance(images, Rows):
        return _read_by_batches(images, binarize, dequantize, kind)
    return _stored(looked_at, binarize, dequantize, kind)


def _checked_images(
    images: np.ndarray, binarize: str | None, dequantize: bool, kind: Kind, missing: bool
) -> np.ndarray:
    """The images, floats or uint8, or tokens, or other numbers.

    Raises:
      UserError: pixels outside [0, 1], or noise that does not apply to them.
    """
    _check_noise(binarize, dequantize)
    if kind != "image" and (binarize or dequantize):
        raise UserError(f"binarize and dequantize are for grey levels. Given: {kind}, {images.dtype}. Leave them out.")
    reals, pixels = (one.or_missing() if missing else one for one in (supports.REALS, supports.PIXELS))
    if kind == "numbers":
        return checks.check_images(images, images.shape[1:], "x", reals)
    if images.dtype != np.uint8 and kind == "image":
        images = checks.check_images(images, images.shape[1:], "images", pixels)
    if missing and (binarize or dequantize):
        raise UserError("What is missing has no grey level to draw from. Given: missing and noise. Leave one out.")
    if dequantize and images.dtype != np.uint8:
        raise UserError(f"dequantize needs grey levels 0 to 255 as uint8. Given: {images.dtype}.")
    return images


def _check_noise(binarize: str | None, dequantize: bool) -> None:
    if binarize is not None and binarize not in BINARIZE:
        raise UserError(f"binarize is one of {', '.join(BINARIZE)}, or None for grey levels. Given: {binarize!r}.")
    if binarize and dequantize:
        raise UserError("dequantize adds noise to grey levels; binary pixels have none. Use one or the other.")


def _read_by_batches(source: Rows, binarize: str | None, dequantize: bool, kind: Kind) -> Examples:
    """Rows of which a batch at a time is read."""
    shape, white = source.shape[1:], 255 if source.dtype == np.uint8 and kind == "image" else 1
    if binarize == "static":
        source, white, binarize = lazily.StaticallyBinary(source, white), 1, None
    numbers = np.arange(len(source), dtype="int32" if len(source) < 2**31 else "int64")
    noisy = binarize is not None
    numbered = kind == "numbers"
    return Examples(numbers, shape, white, noisy, kind == "tokens", numbered, noisy, dequantize, source=source)


def _stored(images: np.ndarray, binarize: str | None, dequantize: bool, kind: Kind) -> Examples:
    """Images or tokens as they are kept in memory: binarised once, and binary ones as bytes."""
    shape, white = images.shape[1:], 255 if images.dtype == np.uint8 else 1
    if kind == "tokens":
        return Examples(images, shape, tokens=True)
    if kind == "numbers":
        return Examples(images, shape, numbers=True)
    if dequantize:
        return Examples(images, shape, white, dequantize=True)
    if binarize == "static":
        images, white, binarize = lazily.binarized_once(images, white), 1, None
    if all(((piece == 0) | (piece == white)).all() for piece in supports.pieces(images)):
        # A quarter of the bytes that floats would move in each epoch.
        return Examples((images == white).view("uint8"), shape, binary=True)
    return Examples(images, shape, white, binary=binarize is not None, binarize=binarize is not None)
