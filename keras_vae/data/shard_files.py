"""Shards: a folder of `.npy` files of examples that together do not fit in memory, and the manifest that lists them.

Beside `part-00000.npy`, the examples as anything that reads arrays can map them, stands `part-00000.npz`: the split and
the CRC-32 of each row, and its label, if there are any. Of sparse rows, the `.npy` has the column and the value of each
number that is not 0, and the `.npz` where each row starts. `keras_vae.data.shard_building` writes them.
"""

import json
from pathlib import Path
from typing import NotRequired, TypedDict

import numpy as np

from keras_vae import files, schema
from keras_vae.data.rows import REMEDY, ArrayFile, Chained, Rows
from keras_vae.data.sources import Images
from keras_vae.data.sparse_files import SparseFile
from keras_vae.data.splits import parsed
from keras_vae.errors import CorruptFileError, UserError, reading

MANIFEST, SCHEMA = "shards.json", "keras_vae.shards/1"
SPLITS = ("train", "validation", "test")  # by their numbers in the files
_REMEDY = "Build the shards again, into another folder."


class Part(TypedDict):
    """One shard: the name of its two files without their endings, its rows, and the SHA-256 of each file."""

    name: str
    rows: int
    sha256: str
    sha256_of_columns: str


class Manifest(TypedDict):
    """The contents of shards.json."""

    schema: str
    source: str
    arguments: dict[str, object]
    rows: int
    shape: list[int]
    dtype: str
    shard_rows: int
    labelled: bool
    classes: list[str]
    columns: list[str]
    levels: list[int] | None  # the grey levels that occur, of uint8
    sparse: NotRequired[bool]  # false for shards of before
    parts: list[Part]  # empty until all are there


class _Shards(Chained):
    """The rows of all shards."""

    def __init__(self, parts: list[Rows], levels: list[int] | None) -> None:
        super().__init__(parts)
        self.levels = levels

    def values(self) -> np.ndarray:
        return super().values() if self.levels is None else np.array(self.levels)


def read_manifest(folder: Path) -> Manifest:
    """Return the manifest of a folder of shards, whole or not.

    Raises:
      UserError: there is none.
      CorruptFileError: it is none of ours.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise UserError(f"A folder of shards has a file {MANIFEST}. Given: {folder}, without one. Write it by: "
                        f"keras-vae data build SOURCE {folder}.")  # fmt: skip
    with reading(path, "is no manifest of shards", _REMEDY):
        manifest = json.loads(path.read_text(encoding="utf-8"))
        if fault := schema.fault(manifest, Manifest):
            raise ValueError(fault)
        if manifest["schema"] != SCHEMA:
            raise ValueError(f"its schema is {manifest['schema']!r}, not {SCHEMA!r}")
        if manifest.get("sparse") and (len(manifest["shape"]) != 1 or np.dtype(manifest["dtype"]).kind not in "fiub"):
            raise ValueError(f"sparse rows are not of {manifest['dtype']} and shape {manifest['shape']}")
    return manifest


def read_shards(path: str | Path, split: str | None = None) -> Images:
    """Return the examples of a folder that `keras-vae data build` wrote, read when they are asked for.

    Every row is checked against its checksum when it is read.

    Args:
      path: of the folder.
      split: as of `keras_vae.data.load`, by the fractions of the build; None: all examples.

    Raises:
      UserError: no such folder, one that is not finished, or a split without examples.
      CorruptFileError: a file that is missing, cut off or damaged.
    """
    folder = Path(path)
    manifest = read_manifest(folder)
    if not manifest["parts"]:
        raise UserError(f"Shards are read when all are written. Given: {folder}, whose build has not ended. Go on with "
                        f"it: keras-vae data build {manifest['source']} {folder} --resume.")  # fmt: skip
    rows, columns = [], []
    for part in manifest["parts"]:
        column = _columns(folder / f"{part['name']}.npz", part, manifest)
        rows.append(_rows(folder / f"{part['name']}.npy", part, manifest, column))
        columns.append(column)
    splits = np.concatenate([column["split"] for column in columns])
    labels = np.concatenate([column["y"] for column in columns]) if manifest["labelled"] else None
    images = Images(
        _Shards(rows, manifest["levels"]),
        labels,
        columns=tuple(manifest["columns"]),
        classes=tuple(manifest["classes"]),
        kind="numbers" if manifest.get("sparse") else None,
    )
    if split is None:
        return images
    name, start, stop = parsed(split)
    indices = np.flatnonzero(np.isin(splits, [SPLITS.index(part) for part in name.split("+")]))[start:stop]
    if not len(indices):
        counts = dict(zip(SPLITS, np.bincount(splits, minlength=3).tolist(), strict=True))
        raise UserError(
            f"The split {split!r} holds no examples. Given: {folder}, with {counts}. Take another, or build shards "
            f"with other fractions."
        )
    return images.only(indices)


def _rows(path: Path, part: Part, manifest: Manifest, columns: dict[str, np.ndarray]) -> Rows:
    """The rows of one shard."""
    if manifest.get("sparse"):
        return SparseFile(path, manifest["shape"][0], np.dtype(manifest["dtype"]), columns["starts"], columns["crc32"])
    array = ArrayFile(path, columns["crc32"])
    if array.shape != (part["rows"], *manifest["shape"]) or array.dtype != manifest["dtype"]:
        raise CorruptFileError(
            f"{path} is not the shard that {MANIFEST} lists: it has {array.dtype} of shape {array.shape}. {REMEDY}"
        )
    return array


def _columns(path: Path, part: Part, manifest: Manifest) -> dict[str, np.ndarray]:
    with reading(path, "is no file of the columns of a shard", REMEDY):
        if files.sha256(path) != part["sha256_of_columns"]:
            raise ValueError(f"it is damaged, as {MANIFEST} has another SHA-256")
        with np.load(path, allow_pickle=False) as archive:
            names = ("split", "crc32", "y") if manifest["labelled"] else ("split", "crc32")
            columns = {name: archive[name] for name in names}
            starts = {"starts": archive["starts"]} if manifest.get("sparse") else {}
        if any(len(column) != part["rows"] for column in columns.values()):
            raise ValueError(f"it is not of {part['rows']} rows")
        return columns | starts
