"""Writing shards: any source to a folder that `keras_vae.data.shard_files` reads, each file whole or not at all."""

import functools
import itertools
import math
import zlib
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_vae import checks, files, locks
from keras_vae.data import readers, sources
from keras_vae.data.pictures import PictureFiles, share_of
from keras_vae.data.row_files import ParquetRows
from keras_vae.data.rows import Chained, Mapped, Rows, SparseRows, levels_in
from keras_vae.data.shard_files import MANIFEST, SCHEMA, SPLITS, Manifest, Part, read_manifest
from keras_vae.data.sources import Images
from keras_vae.data.sparse_files import Matrices, matrices_in, record
from keras_vae.data.splits import FRACTIONS, members
from keras_vae.errors import UserError
from keras_vae.progress import count, listening

_BYTES = 128 * 2**20  # of a shard, about
_AT_ONCE = 256  # rows in memory


@listening("")
def build_shards(
    source: str | Path,
    folder: str | Path,
    label: str | None = None,
    size: int | Sequence[int] | None = None,
    crop: bool = False,
    grey: bool = False,
    fractions: Sequence[float] = FRACTIONS,
    shard_rows: int | None = None,
    resume: bool = False,
    progress: Callable[[int, int], None] = count,
) -> Manifest:
    """Write the examples of a source to shards in a folder, and return their manifest.

    Each shard is written whole or not at all, and the manifest lists them when all are there.

    Args:
      source: a `.npy`, `.npz`, `.array_record`, `.parquet` or `.csv`; a folder of pictures; or a TFDS name. A `.npz` of
        `scipy.sparse.save_npz`, or a folder of them, whose rows then follow one another, stays sparse in the shards.
      folder: a new one.
      label: the name of the column of labels in a table, or of their array in a `.npz`.
      size: of pictures, as of `keras_vae.data.folder`; so are `crop` and `grey`.
      crop: cut pictures to `size`.
      grey: one channel in place of three.
      fractions: of the examples in train, validation and test, as of the readers of single files; a TFDS name has
        splits of its own.
      shard_rows: examples in a shard; by default as many as make 128 MiB.
      resume: go on with a build of the same arguments that was interrupted; a finished one stays as it is.
      progress: called with the rows done and the rows in all; by default a notebook's cell shows them.

    Raises:
      UserError: a source that is none, arguments that do not fit it, a folder with contents, or with another build.
    """
    folder, arguments = Path(folder), {"label": label, "size": size, "crop": crop, "grey": grey}
    options = {name: value for name, value in arguments.items() if value}
    images, splits = _opened(str(source), options, fractions)
    rows = images.images
    if shard_rows is None:
        shard_rows = max(1, _BYTES // (rows.dtype.itemsize * math.prod(rows.shape[1:])))
    shard_rows = checks.check_whole_number(shard_rows, "shard_rows")
    manifest: Manifest = {
        "schema": SCHEMA,
        "source": str(source),
        "arguments": {**options, "fractions": list(fractions)},
        "rows": len(rows),
        "shape": list(rows.shape[1:]),
        "dtype": str(rows.dtype),
        "shard_rows": shard_rows,
        "labelled": images.labels is not None,
        "classes": list(images.classes),
        "columns": list(images.columns),
        "levels": None,
        "sparse": isinstance(rows, SparseRows),
        "parts": [],
    }
    with locks.only_writer(folder / MANIFEST, "builds"):
        if _earlier(folder, manifest, resume):
            return read_manifest(folder)
        files.write_json(folder / MANIFEST, manifest)
        parts, seen = [], np.zeros(256, bool)
        for index, start in enumerate(range(0, len(rows), shard_rows)):
            stop = min(start + shard_rows, len(rows))
            path = folder / f"part-{index:05d}.npz"
            if not (path.is_file() and path.with_suffix(".npy").is_file()):
                _write_part(path, images, splits, start, stop)
            with np.load(path) as columns:
                seen[columns["levels"]] = True
            parts.append(_part(path, stop - start))
            progress(stop, len(rows))
        has_levels = rows.dtype == np.uint8 and not manifest["sparse"]
        levels = np.flatnonzero(seen).tolist() if has_levels else None
        manifest = {**manifest, "levels": levels, "parts": parts}
        files.write_json(folder / MANIFEST, manifest)
    return manifest


def _earlier(folder: Path, manifest: Manifest, resume: bool) -> bool:
    """Return whether the folder holds this build, finished; raise UserError if it holds anything else."""
    held = folder.is_dir() and [entry for entry in folder.iterdir() if not entry.name.startswith(locks.PREFIX)]
    if not held:
        return False
    if not resume:
        unfinished = (folder / MANIFEST).is_file() and not read_manifest(folder)["parts"]
        remedy = "Say --resume to go on with it" if unfinished else "Choose another folder, or remove it"
        raise UserError(f"Shards are built into a new folder. Given: {folder}, which has contents. {remedy}.")
    files.sweep(folder)
    before = read_manifest(folder)
    for key, value in manifest.items():
        if key not in ("levels", "parts") and before.get(key, False) != value:
            raise UserError(f"A build is resumed with the same source and arguments. Given: {folder}, whose {key} was "
                            f"{before.get(key)}, and is {value}. Choose another folder.")  # fmt: skip
    return bool(before["parts"])


def _write_part(path: Path, images: Images, splits: np.ndarray, start: int, stop: int) -> None:
    """Write the two files of a shard, that of its columns last: a shard is done when both are there."""
    rows: Any = images.images
    write = _write_entries if isinstance(rows, SparseRows) else _write_rows
    columns = {"split": splits[start:stop], **write(path.with_suffix(".npy"), rows, start, stop)}
    if images.labels is not None:
        columns["y"] = images.labels[start:stop]
    files.write_arrays(path, columns)


def _write_rows(path: Path, rows: Rows, start: int, stop: int) -> dict[str, np.ndarray]:
    """Write rows as they are; returns the checksum of each, and the grey levels that occur."""
    checksums, levels = np.empty(stop - start, "uint32"), np.zeros(256, bool)
    with files.atomic(path) as temporary, open(temporary, "wb") as file:
        header = {"descr": np.lib.format.dtype_to_descr(rows.dtype), "fortran_order": False}
        np.lib.format.write_array_header_1_0(file, {**header, "shape": (stop - start, *rows.shape[1:])})
        for first in range(start, stop, _AT_ONCE):
            block: Any = np.ascontiguousarray(rows[np.arange(first, min(first + _AT_ONCE, stop))])
            checksums[first - start :][: len(block)] = [zlib.crc32(row) for row in block]
            if block.dtype == np.uint8:
                levels[levels_in(block)] = True
            file.write(memoryview(block).cast("B"))
    return {"crc32": checksums, "levels": np.flatnonzero(levels)}


def _write_entries(path: Path, rows: SparseRows, start: int, stop: int) -> dict[str, np.ndarray]:
    """Write what rows have that is not 0; returns the checksum of each row, and the entry at which it starts."""
    counts, blocks = [], []
    for first in range(start, stop, _AT_ONCE):
        of_rows, columns, values = rows.entries(np.arange(first, min(first + _AT_ONCE, stop)))
        block = np.empty(len(values), record(rows.dtype))
        block["column"], block["value"] = columns, values
        counts.append(of_rows)
        blocks.append(block)
    entries, starts = np.concatenate(blocks), np.cumsum([0, *np.concatenate(counts)]).astype("uint64")
    pieces: Any = (entries[begin:end].view("uint8") for begin, end in itertools.pairwise(starts.tolist()))
    checksums = np.array([zlib.crc32(row) for row in pieces], "uint32")
    with files.atomic(path) as temporary, open(temporary, "wb") as file:
        np.lib.format.write_array(file, entries, version=(1, 0))
    return {"crc32": checksums, "levels": np.empty(0, "int64"), "starts": starts}


def _part(path: Path, rows: int) -> Part:
    return {
        "name": path.stem,
        "rows": rows,
        "sha256": files.sha256(path.with_suffix(".npy")),
        "sha256_of_columns": files.sha256(path),
    }


def _opened(source: str, arguments: dict[str, Any], fractions: Sequence[float]) -> tuple[Images, np.ndarray]:
    """Return all examples of a source, read when they are asked for where they can be, and the split of each."""
    path, ending = Path(source), Path(source).suffix.lower()
    if not path.exists() and not ending and "/" not in source:
        _check_options(arguments, (), source)
        return _of_tfds(source)
    if path.exists() and (matrices := matrices_in(path)):
        if arguments:
            raise UserError(f"A sparse matrix has numbers alone. Given: {next(iter(arguments))}. Leave it out.")
        sparse = Matrices(matrices)
        return Images(sparse, None), _splits(readers.shares_of(len(sparse)), fractions)
    takes: dict[str, tuple[tuple[str, ...], Callable[..., Images]]] = {
        ".npy": ((), functools.partial(readers.array, stream=True)),
        ".npz": (("label",), readers.array),
        ".csv": (("label",), readers.table),
        ".array_record": ((), readers.records),
        ".parquet": (("label",), _parquet),
    }
    if path.is_dir():
        allowed, read = ("size", "crop", "grey"), functools.partial(readers.folder, stream=True)
    elif ending in takes:
        allowed, read = takes[ending]
    else:
        raise UserError(f"Shards are built from a folder of pictures, a TFDS name, or a file: {', '.join(takes)}. "
                        f"Given: {source}. Save it as one of these.")  # fmt: skip
    _check_options(arguments, allowed, source)
    images = read(path, None, **arguments)
    rows = images.images
    names = rows.names if isinstance(rows, PictureFiles) else None
    shares = readers.shares_of(len(rows)) if names is None else np.array([share_of(name) for name in names])
    return images, _splits(shares, fractions)


def _check_options(options: Collection[str], allowed: Collection[str], source: str) -> None:
    if extra := sorted(set(options) - set(allowed)):
        raise UserError(f"{extra[0]} is not of this source. Given: {source}. Leave it out.")


def _splits(shares: np.ndarray, fractions: Sequence[float]) -> np.ndarray:
    """Return the number of the split that each example is in, by its share."""
    splits = np.empty(len(shares), "uint8")
    for number, name in enumerate(SPLITS):
        if fractions[number]:
            splits[members(shares, name, fractions)] = number
    return splits


def _of_tfds(name: str) -> tuple[Images, np.ndarray]:
    if name in sources.OWN:
        raise UserError(f"{name!r} is made by the package, and needs no shards. Given: it. Take it by its name.")
    parts = [sources.read(name, split, stream=True) for split in SPLITS]
    rows = [Mapped(part.images) if isinstance(part.images, np.ndarray) else part.images for part in parts]
    held = [part.labels for part in parts if part.labels is not None]
    labels = np.concatenate(held) if held else None
    splits = np.concatenate([np.full(len(part), number, "uint8") for number, part in enumerate(rows)])
    return Images(Chained(rows), labels), splits


def _parquet(path: Path, split: None, label: str | None = None) -> Images:
    rows = ParquetRows(path, label)
    labels, classes = (None, ()) if (cells := rows.labels()) is None else readers.numbered(cells)
    return Images(rows, labels, columns=rows.columns, classes=classes)
