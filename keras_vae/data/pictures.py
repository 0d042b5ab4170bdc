"""A folder of pictures as images of one size, with labels from its subfolders, and splits that never change."""

import contextlib
import hashlib
import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps

from keras_vae import files
from keras_vae.checks import check_memory, check_whole_number
from keras_vae.data.rows import Rows
from keras_vae.data.splits import FRACTIONS, members
from keras_vae.errors import UserError, reading

_REMEDY = "Take it out of the folder, or replace it."


class Pictures(NamedTuple):
    """A split of a folder, in memory."""

    images: np.ndarray  # uint8 (examples, height, width, channels)
    labels: np.ndarray | None  # int32 (examples,), positions in `classes`
    classes: tuple[str, ...]  # the subfolders, sorted; none where the pictures lie in the folder itself
    names: tuple[str, ...]  # of the files, from the folder


def read_folder(
    folder: str | Path,
    size: int | Sequence[int] | None = None,
    crop: bool = False,
    split: str | None = "train",
    grey: bool = False,
    fractions: Sequence[float] = FRACTIONS,
) -> Pictures:
    """Return the pictures of a split of `folder`, or of all of it, sorted by name.

    Args and errors: as `keras_vae.data.folder`; `split` is None for all pictures.
    """
    rows, labels, classes, names = unread(folder, size, crop, split, grey, fractions)
    check_memory(len(rows), math.prod(rows.shape[1:]), "pictures")
    return Pictures(rows[np.arange(len(rows))], labels, classes, names)


class PictureFiles(Rows):
    """The pixels of picture files, uint8, read when they are asked for.

    Args:
      root: the folder of the files.
      names: of the files in it.
      size: (height, width); None: all have the size of the first.
      crop: as of `keras_vae.data.folder`, as is `grey`.
      grey: one channel in place of three.
    """

    def __init__(self, root: Path, names: Sequence[str], size: tuple[int, int] | None, crop: bool, grey: bool) -> None:
        self.root, self.names, self.crop, self.grey, self.exact = root, names, crop, grey, size is None
        if size is None:
            with opened(root / names[0]) as picture:
                width, height = ImageOps.exif_transpose(picture).size
                size = height, width
        self.size = size
        super().__init__((len(names), *size, 1 if grey else 3), "uint8")

    def __getitem__(self, numbers: np.ndarray) -> np.ndarray:
        images = np.empty((len(numbers), *self.shape[1:]), "uint8")
        for image, number in zip(images, numbers, strict=True):
            name = self.names[int(number)]
            with opened(self.root / name) as file:
                image[:] = files.fitted_pixels(file, self.size, self.crop, self.exact, name, self.grey)
        return images


def unread(
    folder: str | Path,
    size: int | Sequence[int] | None = None,
    crop: bool = False,
    split: str | None = "train",
    grey: bool = False,
    fractions: Sequence[float] = FRACTIONS,
) -> tuple[PictureFiles, np.ndarray | None, tuple[str, ...], tuple[str, ...]]:
    """Return what `read_folder` returns, but with pictures that are read when they are asked for."""
    shape = None if size is None else _checked_size(size)
    root, classes, names = listed(Path(folder))
    shares = np.array([share_of(name) for name in names])
    held = tuple(names[index] for index in members(shares, split, fractions))
    labels = np.array([classes.index(name.split("/")[0]) for name in held], "int32") if classes else None
    return PictureFiles(root, held, shape, crop, grey), labels, classes, held


def _checked_size(size: int | Sequence[int]) -> tuple[int, int]:
    sides = tuple(size) if isinstance(size, Sequence) and not isinstance(size, str) else (size, size)
    if len(sides) != 2:
        raise UserError(f"size is one number, or (height, width). Given: {size!r}.")
    height, width = (check_whole_number(side, "size") for side in sides)
    return height, width


def listed(root: Path) -> tuple[Path, tuple[str, ...], list[str]]:
    """The folder, its classes, and the names of its pictures."""
    if not root.is_dir():
        raise UserError(f"A folder of pictures is read from a folder. Given: {root}, which is none.")
    names = names_in(root)
    inside = [name for name in names if "/" in name]
    if not names:
        raise UserError(
            f"A folder of pictures holds files that Pillow reads, such as .png. Given: {root}, without any."
        )
    if inside and len(inside) < len(names):
        loose = next(name for name in names if "/" not in name)
        raise UserError(
            f"Pictures lie in the folder itself, or all in subfolders, which are their labels. Given: {root} with "
            f"{loose} and {inside[0]}. Move one kind."
        )
    return root, tuple(sorted({name.split("/")[0] for name in inside})), names


def names_in(root: Path) -> list[str]:
    """Return the names of the pictures in a folder and its subfolders, sorted, without those that are hidden.

    Links are followed, unless they lead to a folder above them. Names that begin with a point are hidden.
    """
    suffixes = {suffix for suffix, kind in Image.registered_extensions().items() if kind in Image.OPEN}
    names, above = list[str](), dict[str, frozenset[str]]()  # of a folder, the real paths of it and those above
    for folder, inner, inside in os.walk(root, followlinks=True):
        around = above.get(os.path.dirname(folder), frozenset())
        if (real := os.path.realpath(folder)) in around:
            inner.clear()
            continue
        above[folder] = around | {real}
        inner[:] = [name for name in inner if not name.startswith(".")]
        for name in inside:
            path = Path(folder, name)
            if path.suffix.lower() in suffixes and not name.startswith(".") and path.is_file():
                names.append(path.relative_to(root).as_posix())
    return sorted(names)


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Image.Image]:
    with reading(path, "is no picture that Pillow reads", _REMEDY, UserError), Image.open(path) as file:
        yield file


def share_of(name: str) -> float:
    """Return a number in [0, 1) that depends on a file's name alone, so that new files move none to another split."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2**64
