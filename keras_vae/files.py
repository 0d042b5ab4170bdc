"""Atomic writes: a reader never sees half a file, whatever interrupts the writer."""

import errno
import hashlib
import io
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from keras_vae.errors import UserError

if TYPE_CHECKING:
    import numpy as np

_TEMPORARY, _ASIDE = ".keras_vae-", "replaced"


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path of the same name; it becomes `path`, a file or a whole folder, when the block succeeds.

    The temporary folder is in the parent of `path`, so that the last step is one rename on one file system. If the
    block ends early, by Ctrl-C or on a full disk, `path` stays as it was and the temporary folder is removed.

    Raises:
      UserError: the file could not be written, with the system's reason.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=_TEMPORARY, dir=path.parent))
    except OSError as error:
        raise UserError(f"Cannot write {path}: {_reason(error)}. Choose another folder.") from error
    try:
        yield scratch / path.name
        _flush_to_disk(scratch / path.name)
        _replace(scratch / path.name, path, scratch / _ASIDE)
    except UserError:
        raise
    except Exception as error:
        # A full disk is another exception in each of h5py, TensorFlow and matplotlib.
        if isinstance(error, OSError) or "too large" in str(error).lower() or "no space" in str(error).lower():
            raise UserError(
                f"Cannot write {path}: {_reason(error)}. Nothing was left behind; free some room or write elsewhere."
            ) from error
        raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def require_room(path: str | Path, size: int) -> None:
    """Raise OSError unless `size` bytes can be written to `path`, which is removed again.

    For writers that do not survive a full disk: HDF5 crashes the process when it cannot flush its buffers.
    """
    try:
        with open(path, "wb") as file:
            file.write(bytes(size))
            file.flush()
            os.fsync(file.fileno())
    finally:
        Path(path).unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write `text` to `path` atomically, as UTF-8."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: object) -> None:
    """Write `value` to `path` atomically, as indented JSON."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_array(path: str | Path, array: "np.ndarray") -> None:
    """Write `array` to `path` atomically, as .npy."""
    import numpy as np

    # Through memory: on a full disk, the message of NumPy has the number of items written, and not the reason.
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    with atomic(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())


def write_arrays(path: str | Path, arrays: Mapping[str, "np.ndarray"]) -> None:
    """Write `arrays`, by their names, to `path` atomically, as .npz."""
    import numpy as np

    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    with atomic(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())


def read_array(path: str | Path) -> "np.ndarray":
    """Read the array of an .npy file, without unpickling.

    Raises:
      UserError: no such file, or no array of numbers.
    """
    import numpy as np

    try:
        # Opened here: np.load leaves an archive under this name open until it is collected.
        with open(path, "rb") as file:
            array = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"Cannot read an array of numbers from {path}: {str(error).splitlines()[0]}.") from error
    if not isinstance(array, np.ndarray):
        raise UserError(f"Cannot read an array of numbers from {path}: it holds several. Save one with np.save.")
    return array


def sha256(path: str | Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_output_folder(folder: str | Path, manifest: str, overwrite: bool = False) -> Path:
    """Return `folder`, after refusing one with contents of another origin.

    The contents are ours if `manifest` is among them, the file that every run of a command writes. The leftovers of
    writers that were killed are removed; a replacement that was complete but not yet renamed is put in its place.

    Raises:
      UserError: `folder` is a file, or has other contents and `overwrite` is false.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise UserError(f"The output must be a folder. Given: {folder}, which is a file.")
    _finish_replacing(folder)
    if not folder.is_dir():
        return folder
    contents = [entry for entry in folder.iterdir() if not entry.name.startswith(_TEMPORARY)]
    if contents and not overwrite and not (folder / manifest).is_file():
        raise UserError(
            f"The output folder must be new, empty, or made by the same command (with {manifest} in it). "
            f"Given: {folder}, which has other contents. Choose another, or say --overwrite to replace it."
        )
    for leftover in folder.glob(f"{_TEMPORARY}*"):
        shutil.rmtree(leftover, ignore_errors=True)
    return folder


def _flush_to_disk(path: Path) -> None:
    for file in [path] if path.is_file() else (entry for entry in path.rglob("*") if entry.is_file()):
        with open(file, "rb") as handle:
            os.fsync(handle.fileno())


def _replace(source: Path, target: Path, aside: Path) -> None:
    """Rename `source` to `target`; an existing folder is moved aside first, and back if the rename fails."""
    if not target.is_dir():
        os.replace(source, target)
        return
    if not source.is_dir():
        raise IsADirectoryError(errno.EISDIR, "it is a folder, and a file would take its place")
    try:
        os.replace(target, aside)
        os.replace(source, target)
    except BaseException:  # Ctrl-C between the two renames included
        if aside.exists() and not target.exists():
            os.replace(aside, target)
        raise


def _finish_replacing(folder: Path) -> None:
    """Finish the second rename of a writer that was killed between its two: the old folder is aside, the new one whole.

    Scratch folders of writers that are at work have nothing set aside, and are left alone.
    """
    if folder.exists():
        return
    for scratch in sorted(folder.parent.glob(f"{_TEMPORARY}*")):
        if (scratch / _ASIDE).is_dir() and (scratch / folder.name).is_dir():
            os.replace(scratch / folder.name, folder)
            shutil.rmtree(scratch, ignore_errors=True)
            return


def _reason(error: Exception) -> str:
    reason = (getattr(error, "strerror", None) or str(error) or type(error).__name__).splitlines()[0]
    return reason.rstrip(".")
