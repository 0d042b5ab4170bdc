"""Sources of examples: TensorFlow Datasets, with MNIST in the package; words; scikit-learn's table of breast cancers;
cells and waves, which are drawn here; sprites, rendered on demand; and emoji, in a folder.

Only datasets of TFDS that are not prepared yet need a network.
"""

import contextlib
import functools
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from keras_vae.data import emoji, generated, sprites, words
from keras_vae.data.rows import Chained, Rows, Selected
from keras_vae.data.splits import members, parsed
from keras_vae.errors import UnavailableError, UserError
from keras_vae.registry import nearest
from keras_vae.types import Kind

if TYPE_CHECKING:
    import tensorflow_datasets as tfds

# Arrays, as TFDS gives them: to import it, and to decode 60,000 PNG files, takes seconds in every process.
BUNDLED = {"mnist": Path(__file__).parent / "tfds" / "mnist.npz"}
# Of the examples that TFDS calls "train", the last sixth is for validation: 50,000 and 10,000 digits of MNIST.
_VALIDATION_PART = 6


class Labels(NamedTuple):
    """Labels of one kind."""

    values: np.ndarray  # int64 (examples,)
    classes: tuple[str, ...]  # their names


class Images(NamedTuple):
    """A split, in memory, or rows that are read when they are asked for."""

    # uint8 (examples, height, width, channels); int32 (examples, length), tokens; numbers; or what is rendered
    images: np.ndarray | Rows
    labels: np.ndarray | None  # int64 (examples,), the factors of images that are drawn, or none
    render: Callable[[np.ndarray], np.ndarray] | None = None  # from rows of `images` to pixels, 0 or 1
    columns: tuple[str, ...] = ()  # of a table
    classes: tuple[str, ...] = ()  # the names of the labels, where they have some
    missing: bool = False  # whether NaN is a number that is missing
    kind: Kind | None = None  # of x; None: images, or tokens where they are int32 of two axes
    named: Mapping[str, Labels] = MappingProxyType({})  # labels of several kinds, by name, where there are some

    def only(self, indices: np.ndarray) -> "Images":
        """Return the examples of these indices, in their order; rows are still read when they are asked for."""
        images = Selected(self.images, indices) if isinstance(self.images, Rows) else self.images[indices]
        labels = None if self.labels is None else self.labels[indices]
        named = {name: one._replace(values=one.values[indices]) for name, one in self.named.items()}
        return self._replace(images=images, labels=labels, named=named)


def named_labels(images: Images, names: Sequence[str]) -> dict[str, Labels]:
    """Return labels of a split by their names.

    Raises:
      UserError: a name that the data do not have.
    """
    for name in names:
        if name not in images.named:
            there = ", ".join(images.named) or "none"
            remedy = nearest(name, images.named) or " Of one label, a CVAE has num_classes in place of conditions."
            raise UserError(f"Labels by name are those that the data have: {there}. Given: {name!r}.{remedy}")
    return {name: images.named[name] for name in names}


def read(name: str, split: str, data_dir: str | Path | None = None, stream: bool = False) -> Images:
    """Return a split of a TFDS dataset of images, in the order of TFDS; or of what the package has itself.

    Args:
      name: a TFDS name, such as `"mnist"`; `"sprites"`; `"words"`, whose examples are tokens; or `"breast_cancer"`,
        `"cells"` or `"waves"`, whose examples are numbers: rows of a table, counts, and series; or `"emoji"`.
      split: `"train"`, `"validation"`, `"train+validation"` or `"test"`; the first, second and last never overlap.
        The examples that TFDS calls "validation" where it has them, else the last sixth of its "train". A TFDS slice
        of these four, `"train[:1000]"`, counts within the split.
      data_dir: where TFDS looks for prepared data, and prepares them; None: the default of TFDS. Of `"emoji"`, the
        folder of `keras_vae.data.emoji.read`.
      stream: images are read when they are asked for, from data that were prepared as ArrayRecord. What the package
        holds itself is in memory all the same.

    Raises:
      UserError: an unknown dataset or split, or images of differing sizes.
      UnavailableError: the data are not prepared, and cannot be downloaded; the message has a remedy.
    """
    if not isinstance(name, str):
        raise UserError(f"A dataset is named as TFDS names it: 'mnist'. Given: {type(name).__name__}.")
    if name in OWN:
        part, start, stop = parsed(split)
        parts = [OWN[name](split_name, data_dir) for split_name in part.split("+")]
        rows = np.concatenate([np.asarray(one.images) for one in parts])[start:stop]
        if not len(rows):
            raise UserError(f"The slice {split!r} of {name!r} holds no examples.")
        held = [one.labels for one in parts if one.labels is not None]
        labels = np.concatenate(held)[start:stop] if held else None
        named = {
            name: first._replace(values=np.concatenate([one.named[name].values for one in parts])[start:stop])
            for name, first in parts[0].named.items()
        }
        return parts[0]._replace(images=rows, labels=labels, named=named)
    data_dir = data_dir or os.environ.get("TFDS_DATA_DIR") or None
    prepared = Path(data_dir or "~/tensorflow_datasets").expanduser() / name
    if name in BUNDLED and not any(prepared.glob("*/dataset_info.json")):
        return _bundled(name, split)
    import tensorflow_datasets as tfds

    builder = _prepared(name, data_dir)
    features = builder.info.features
    image: Any = features["image"] if "image" in features else None  # noqa: SIM401 (a FeaturesDict has no get)
    if not isinstance(image, tfds.features.Image) or any(size is None for size in image.shape):
        shape = "none" if image is None else image.shape
        raise UserError(
            f"A dataset needs a feature 'image' of one fixed size. Given: {name!r}, whose image shape is {shape}. "
            f"Resize the images and give them to fit as an array."
        )
    slices = _slices(name, {part: info.num_examples for part, info in builder.info.splits.items()}, split)
    if stream or builder.info.file_format == tfds.core.FileFormat.ARRAY_RECORD:  # the latter has no other reader
        unread = _unread(builder, slices)
        return unread if stream else unread._replace(images=unread.images[np.arange(len(unread.images))])
    # One file after the other: by default TFDS takes 16 examples from each in turn, and a slice is in another order.
    in_order = tfds.ReadConfig(interleave_cycle_length=1)
    instructions = [tfds.core.ReadInstruction(part, from_=low, to=high, unit="abs") for part, low, high in slices]
    whole = sum(instructions[1:], start=instructions[0])
    part = builder.as_dataset(split=whole, batch_size=-1, shuffle_files=False, read_config=in_order)
    labels = tfds.as_numpy(part["label"]) if "label" in features else None
    return Images(tfds.as_numpy(part["image"]), labels)


class _DataSource(Rows):
    """The images of a TFDS split that lies in ArrayRecord files."""

    def __init__(self, builder: "tfds.core.DatasetBuilder", split: str) -> None:
        try:
            self.source: Any = builder.as_data_source(split=split)
        except Exception as error:  # NotImplementedError or others, by the format
            raise UnavailableError(
                f"Images are read one by one from data that TFDS prepared as ArrayRecord. Given: {builder.data_path}, "
                f"prepared as {builder.info.file_format}. Prepare them anew: tfds build {builder.name} "
                f"--file_format=array_record, into another data_dir; or leave stream out."
            ) from error
        super().__init__((len(self.source), *builder.info.features["image"].shape), "uint8")

    def __getitem__(self, numbers: np.ndarray) -> np.ndarray:
        return np.stack([example["image"] for example in self.source.__getitems__([int(one) for one in numbers])])


def _unread(builder: "tfds.core.DatasetBuilder", slices: list[tuple[str, int, int]]) -> Images:
    import tensorflow_datasets as tfds

    parts = [(_DataSource(builder, split), split, low, high) for split, low, high in slices]
    labels = None
    if "label" in builder.info.features:
        # All of them, once: images are not decoded.
        skipped = {"image": tfds.decode.SkipDecoding()}
        sources: list[Any] = [builder.as_data_source(split=split, decoders=skipped) for _, split, _, _ in parts]
        numbers = [range(low, high) for _, _, low, high in parts]
        labels = np.array([source[i]["label"] for source, part in zip(sources, numbers, strict=True) for i in part])
    selected = [Selected(rows, np.arange(low, high)) for rows, _, low, high in parts]
    return Images(selected[0] if len(selected) == 1 else Chained(selected), labels)


def _bundled(name: str, split: str) -> Images:
    with np.load(BUNDLED[name], allow_pickle=False) as arrays:
        sizes = {part: len(arrays[f"{part}_labels"]) for part in ("train", "test")}
        slices = _slices(name, sizes, split)
        part, low, high = slices[0][0], slices[0][1], slices[-1][2]  # without a split "validation" there is one run
        return Images(arrays[f"{part}_images"][low:high], arrays[f"{part}_labels"][low:high].astype("int64"))


def _prepared(name: str, data_dir: str | Path | None) -> "tfds.core.DatasetBuilder":
    import tensorflow_datasets as tfds

    if not re.fullmatch(r"\w+(/[\w.-]+)?(:\d+\.\d+\.\d+)?", name):
        raise UserError(f"A dataset is named as TFDS names it: 'mnist', 'name/config', 'mnist:3.0.1'. Given: {name!r}.")
    try:
        builder = tfds.builder(name, data_dir=data_dir)
    except tfds.core.DatasetNotFoundError as error:
        suggestion = nearest(name, [*OWN, *tfds.list_builders(with_community_datasets=False)])
        raise UserError(f"Unknown dataset {name!r}.{suggestion} See tfds.list_builders().") from error
    if builder.data_path.exists():
        return builder
    try:
        with _impatient():
            builder.download_and_prepare()
    except Exception as error:  # TFDS passes on whatever the network raised
        reason = re.sub(r"\s+", " ", str(error))[:200]
        raise UnavailableError(
            f"The dataset {name!r} is not prepared in {builder.data_path}, nor among the bundled ones "
            f"({', '.join(BUNDLED)}), and downloading it "
            f"failed: {reason}. Where there is a network, run `tfds build {name}`, and copy the folder "
            f"tensorflow_datasets/{name} into {builder.data_path.parent.parent} here, or set TFDS_DATA_DIR."
        ) from error
    return builder


@contextlib.contextmanager
def _impatient() -> Iterator[None]:
    # TFDS tries a host that does not resolve for over three minutes before it says so.
    from tensorflow_datasets.core.download import downloader

    retries = downloader.MAX_RETRIES
    downloader.MAX_RETRIES = 3
    try:
        yield
    finally:
        downloader.MAX_RETRIES = retries


def _slices(name: str, sizes: Mapping[str, int], split: str) -> list[tuple[str, int, int]]:
    """Return the slices of TFDS's splits, of these sizes, that make up one of ours: name, start and stop."""
    part, start, stop = parsed(split)
    if "train" not in sizes or (part == "test" and "test" not in sizes):
        raise UserError(f"The dataset {name!r} has no split {part!r}. It has: {', '.join(sizes)}.")
    cut = sizes["train"] - sizes["train"] // _VALIDATION_PART
    held_out = "validation" in sizes
    ranges = {
        "train": [("train", 0, sizes["train"] if held_out else cut)],
        "validation": [("validation", 0, sizes["validation"]) if held_out else ("train", cut, sizes["train"])],
        "test": [("test", 0, sizes.get("test", 0))],
    }
    ranges["train+validation"] = ranges["train"] + ranges["validation"]
    stop = sum(sizes.values()) if stop is None else stop
    slices = []
    for split_of_tfds, low, high in ranges[part]:
        length = high - low
        first, last = min(start, length), min(stop, length)
        if first < last:
            slices.append((split_of_tfds, low + first, low + last))
        start, stop = max(start - length, 0), max(stop - length, 0)
    if not slices:
        raise UserError(f"The slice {split!r} of {name!r} holds no examples.")
    return slices


@functools.cache
def _words(split: str) -> Images:
    return Images(words.to_tokens(words.splits()[split]), None)


def _sprites(split: str) -> Images:
    factors = sprites.split_factors(split)
    return Images(factors, factors, sprites.render)


@functools.cache
def _breast_cancer(split: str) -> Images:
    """The 569 rows of UCI's Breast Cancer Wisconsin (Diagnostic), as scikit-learn has them: 30 measures of a sample."""
    from sklearn.datasets import load_breast_cancer

    table: Any = load_breast_cancer()
    held = members(np.random.RandomState(0).uniform(size=len(table.data)), split)
    columns, classes = (tuple(map(str, names)) for names in (table.feature_names, table.target_names))
    return Images(table.data[held].astype("float32"), table.target[held], None, columns, classes, kind="numbers")


def _cells(split: str) -> Images:
    return Images(*generated.cells(split), kind="numbers")


def _waves(split: str) -> Images:
    return Images(*generated.waves(split), classes=generated.SHAPES, missing=True, kind="numbers")


def _emoji(split: str, folder: str | Path | None) -> Images:
    pixels, labels, classes = emoji.read(split, folder)
    styles = np.arange(len(pixels)) % len(emoji.STYLES)
    named = {"category": Labels(labels, classes), "style": Labels(styles, emoji.STYLES)}
    return Images(pixels, labels, classes=classes, named=named)


def _of_the_package(read_split: Callable[[str], Images]) -> Callable[[str, str | Path | None], Images]:
    return lambda split, folder: read_split(split)


# Datasets that are not of TFDS: name -> function from "train", "validation" or "test", and from `data_dir`.
OWN: Mapping[str, Callable[[str, str | Path | None], Images]] = {
    "sprites": _of_the_package(_sprites), "words": _of_the_package(_words), "cells": _of_the_package(_cells),
    "breast_cancer": _of_the_package(_breast_cancer), "waves": _of_the_package(_waves), "emoji": _emoji,
}  # fmt: skip
