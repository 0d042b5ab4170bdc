"""Datasets of TensorFlow Datasets; MNIST, words, sprites, a table, counts and series need no network."""

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_vae import lazy
from keras_vae.data import sprites as sprites
from keras_vae.data import words as words
from keras_vae.data.labels import keep_labels as keep_labels
from keras_vae.data.others import other_images as other_images
from keras_vae.data.padding import series as series
from keras_vae.data.pictures import read_folder as read_folder
from keras_vae.data.shard_files import read_shards
from keras_vae.data.splits import FRACTIONS
from keras_vae.data.tables import kinds_of as kinds_of
from keras_vae.data.tables import named_cells as named_cells
from keras_vae.data.tables import table as table
from keras_vae.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf

    from keras_vae.data.pipeline import batches as batches
    from keras_vae.data.pipeline import pixels_of as pixels_of
    from keras_vae.data.sources import Images
    from keras_vae.types import Kind

__getattr__, __dir__, _ = lazy.attach(__name__)


def load(
    name: "str | Callable[[str], Images]",
    split: str = "train",
    binarize: str | None = None,
    dequantize: bool = False,
    batch_size: int = 128,
    training: bool | None = None,
    seed: int = 0,
    first_epoch: int = 0,
    first_batch: int = 0,
    worker: tuple[int, int] = (0, 1),
    stream: bool = False,
    data_dir: str | Path | None = None,
    labelled: int | None = None,
    labelled_in_batch: int | None = None,
    kind: "Kind | None" = None,
    missing: bool = False,
    labels: Sequence[str] = (),
) -> "tf.data.Dataset":
    """A `tf.data.Dataset` of batches: dicts of "x", float32 in [0, 1] `(batch, height, width, channels)`, and "y".

    For `"words"`, "x" is int32 `(batch, 16)`: letters as tokens, which `keras_vae.data.words.to_text` reads.

    For `"sprites"`, "y" has the factors that the images are rendered from, int32 `(batch, 5)`: see
    `keras_vae.data.sprites`. For `"breast_cancer"`, `"cells"` and `"waves"`, "x" has numbers as they are: rows of a
    table of 30 columns; counts of 120 genes; and series of two channels and 24 to 48 steps, NaN after the end. For
    `"emoji"`, "x" is `(batch, 64, 64, 3)`, and "y" one of ten categories; by name, its labels are category and style.

    Args:
      name: a TFDS name of a dataset of images of one size, or one of these; or a function from a split to its
        `keras_vae.data.sources.Images`.
      split: `"train"`, `"validation"`, `"train+validation"` or `"test"`, or a slice of one, `"train[:1000]"`.
      binarize: `"dynamic"` (drawn in each epoch), `"static"` (always the same), or None: grey levels.
      dequantize: (level + u) / 256 with u uniform, drawn in each epoch.
      batch_size: examples in a batch.
      training: shuffle each epoch and leave out the last partial batch; by default, for splits of "train".
      seed: of order and noise.
      first_epoch: the epoch of the first iteration; each iteration is the next epoch.
      first_batch: as of `batches`: of the first epoch.
      worker: as of `batches`: index and count of workers that share each batch.
      stream: read images when a batch asks for them, in the same order: of a TFDS dataset that was prepared as
        ArrayRecord. What the package holds itself is in memory all the same.
      data_dir: where TFDS keeps prepared data; of `"emoji"`, their folder, which KERAS_VAE_EMOJI may name too.
      labelled: the number of labels to keep, drawn by `seed` and balanced over classes; the other examples get -1.
      labelled_in_batch: as of `batches`: how many labelled examples each training batch has.
      kind: as of `batches`: of x.
      missing: as of `batches`: NaN is a number that is missing.
      labels: names of labels that the data have by name, such as `("category", "style")` of `"emoji"`: then "y" is a
        dict of these.

    Raises:
      UserError: an unknown dataset, split or option, or labels that the data do not have.
      UnavailableError: the data are not prepared, and cannot be downloaded; the message has a remedy.
    """
    from keras_vae.data import sources
    from keras_vae.data.pipeline import batches

    split_images = name(split) if callable(name) else sources.read(name, split, data_dir, stream)
    if not isinstance(split_images, sources.Images):
        raise UserError(
            f"A function in place of a name returns the keras_vae.data.sources.Images of a split. Given: "
            f"{type(split_images).__name__} of {name!r}. Give arrays to keras_vae.data.batches instead."
        )
    y: Any = split_images.labels
    if labels:
        y = {name: one.values for name, one in sources.named_labels(split_images, labels).items()}
    return batches(
        split_images.images,
        y if labelled is None else keep_labels(y, labelled, seed),
        batch_size=batch_size,
        training=split.startswith("train") if training is None else training,
        binarize=binarize,
        dequantize=dequantize,
        seed=seed,
        first_epoch=first_epoch,
        first_batch=first_batch,
        worker=worker,
        render=split_images.render,
        labelled_in_batch=labelled_in_batch,
        kind=kind or split_images.kind,
        missing=missing or split_images.missing,
    )


def folder(
    path: str | Path,
    size: int | Sequence[int] | None = None,
    crop: bool = False,
    split: str = "train",
    grey: bool = False,
    batch_size: int = 128,
    training: bool | None = None,
    seed: int = 0,
    binarize: str | None = None,
    fractions: Sequence[float] = FRACTIONS,
    stream: bool = False,
) -> "tf.data.Dataset":
    """A `tf.data.Dataset` of batches of the pictures in a folder, as `load` gives them: "x", and "y" from subfolders.

    The pictures are held in memory, a byte for each channel of a pixel, or with `stream` read batch by batch.
    `read_folder` gives them as arrays, with the names of classes and files.

    Args:
      path: a folder of pictures in any format that Pillow reads; or of subfolders with them: then the label of a
        picture is the position of its subfolder among all, sorted.
      size: the side, or (height, width), that pictures are resized to; None: all have one size already.
      crop: cut what is beyond the shape of `size` off, at both ends; false squeezes it in.
      split: `"train"`, 8 of 10 files by a hash of their names, so that a file stays in its split whatever others come;
        `"validation"`, `"test"`, 1 of 10; `"train+validation"`; or a slice of these, `"train[:1000]"`.
      grey: one channel in place of three. What is transparent lies on white.
      batch_size: examples in a batch.
      training: as of `load`.
      seed: of order and noise.
      binarize: as of `load`.
      fractions: of the files in train, validation and test.
      stream: read pictures when a batch asks for them, in the same order.

    Raises:
      UserError: no folder, no pictures, a file that is none, or pictures of several sizes.
    """
    from keras_vae.data import readers

    read = functools.partial(readers.folder, path, size=size, crop=crop, grey=grey, fractions=fractions, stream=stream)
    return load(read, split, binarize, batch_size=batch_size, training=training, seed=seed)


def shards(path: str | Path, split: str = "train", **options: Any) -> "tf.data.Dataset":
    """A `tf.data.Dataset` of batches of the examples in the folder of a `keras-vae data build`, read batch by batch.

    Args:
      path: of the folder.
      split: as of `load`, by the fractions of the build.
      **options: others of `load`, such as `batch_size`, `binarize`, `seed` and `worker`.

    Raises:
      UserError: no such folder, or one that is not finished.
      CorruptFileError: a file that is missing, cut off or damaged; of a damaged row, when it is read.
    """
    return load(functools.partial(read_shards, path), split, **options)


def load_arrays(
    name: str, split: str = "test", binarize: str | None = None, data_dir: str | Path | None = None
) -> "np.ndarray":
    """The "x" of a split as one array: images, float32 `(examples, height, width, channels)` in [0, 1], or tokens.

    Args and errors: as `load`; `binarize` is None or "static".
    """
    import numpy as np

    if binarize not in (None, "static"):
        raise UserError(f"An array is one dataset, so binarize is None or 'static'. Given: {binarize!r}.")
    dataset = load(name, split, binarize, batch_size=1000, training=False, data_dir=data_dir)
    return np.concatenate([batch["x"] for batch in dataset.as_numpy_iterator()])
