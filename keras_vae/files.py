"""Atomic writes: a reader never sees half a file, whatever interrupts the writer."""

import errno
import hashlib
import io
import json
import os
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from keras_vae import locks
from keras_vae.errors import UserError, reason_of, require_file

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

_ASIDE, _LOCK = "replaced", ".lock"
_YOUNG = 60  # seconds; a scratch folder that is older and has no lock was left by an earlier version
_FULL = ("too large", "no space")  # words of a full disk, which is another exception in h5py, TensorFlow and matplotlib


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path of the same name; it becomes `path`, a file or a whole folder, when the block succeeds.

    The temporary folder is in the parent of `path`, so that the last step is one rename on one file system. If the
    block ends early, by Ctrl-C or on a full disk, `path` stays as it was and the temporary folder is removed.

    Raises:
      UserError: the file could not be written, with the system's reason.
    """
    path = Path(path)
    scratch = path.parent / f"{locks.PREFIX}{secrets.token_hex(6)}"
    try:  # from before the folder is made: a signal at any moment leaves nothing
        with _lock_of(scratch, path):
            try:
                yield scratch / path.name
                _flush_to_disk(scratch / path.name)
                _replace(scratch / path.name, path, scratch / _ASIDE)
            except UserError as error:  # of a file in the folder: it is that of `path`, to the user
                if str(scratch) in str(error):
                    raise type(error)(str(error).replace(str(scratch / path.name), str(path))) from error
                raise
            except Exception as error:
                if isinstance(error, OSError) or any(words in str(error).lower() for words in _FULL):
                    raise UserError(
                        f"Cannot write {path}: {reason_of(error)}. Nothing was left behind; free some room or write "
                        f"elsewhere."
                    ) from error
                raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


@contextmanager
def atomic_folder(folder: str | Path) -> Iterator[Path]:
    """Yield a new folder in place of `folder`, as `atomic`, to the only process that writes it.

    Raises:
      UserError: as `atomic`, or another process is writing it.
    """
    with locks.only_writer(folder), atomic(folder) as temporary:
        temporary.mkdir()
        yield temporary


def _lock_of(scratch: Path, path: Path) -> AbstractContextManager[object]:
    """Make a scratch folder for `path`, and return its lock: it tells others that the writer is there."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep(path.parent)
        scratch.mkdir(mode=0o700)
        with suppress(OSError):  # a file system without locks
            # Renamed when it is held: between its making and its locking, `sweep` would hold it to be of a writer that
            # is gone.
            lock = locks.take(scratch / f"{_LOCK}.new")
            os.rename(scratch / f"{_LOCK}.new", scratch / _LOCK)
            return lock or nullcontext()
        return nullcontext()
    except OSError as error:
        raise UserError(f"Cannot write {path}: {reason_of(error)}. Choose another folder.") from error


def sweep(folder: Path) -> None:
    """Remove what writers that are gone left in a folder; a replacement that was whole first gets its place.

    They were killed, or the machine stopped: writers at work hold a lock, and are left alone.
    """
    for scratch in folder.glob(f"{locks.PREFIX}*"):
        with suppress(OSError):
            lock = scratch / _LOCK
            young = time.time() - scratch.stat().st_mtime < _YOUNG
            if scratch.is_symlink() or not scratch.is_dir() or (young and not lock.exists()):
                continue
            if (held := locks.take(lock)) is None:
                continue
            with held:
                if (scratch / _ASIDE).is_dir():  # between the two renames of `_replace`
                    for new in set(scratch.iterdir()) - {lock, scratch / _ASIDE}:
                        if not (folder / new.name).exists():
                            os.replace(new, folder / new.name)
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
        require_file(path)
        # Opened here: np.load leaves an archive under this name open until it is collected.
        with open(path, "rb") as file:
            array = np.load(file, allow_pickle=False)
    except Exception as error:  # whatever NumPy makes of a header that may say anything
        raise UserError(f"Cannot read an array of numbers from {path}: {reason_of(error)}.") from error
    if not isinstance(array, np.ndarray):
        raise UserError(f"Cannot read an array of numbers from {path}: it holds several. Save one with np.save.")
    return array


def fitted_pixels(
    file: "Image.Image", shape: tuple[int, int], crop: bool, exact: bool, name: str, grey: bool
) -> "np.ndarray":
    """The pixels of a picture, `(height, width, channels)`, uint8: upright, on white, of the size asked for."""
    import numpy as np
    from PIL import Image, ImageOps

    if file.mode.startswith(("I", "F")):  # Pillow would cut what is above 255 off
        raise UserError(f"A picture has 8 bits a channel. Given: {name}, of the mode {file.mode}. Convert it.")
    picture = ImageOps.exif_transpose(file)
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    picture = picture.convert("L" if grey else "RGB")
    height, width = shape
    if picture.size != (width, height):
        if exact:
            raise UserError(
                f"Without size=, all pictures have that of the first, {height} x {width}. Given: {name}, of "
                f"{picture.size[1]} x {picture.size[0]}. Give size=."
            )
        # Both average over the area that becomes a pixel.
        resize = ImageOps.fit if crop else Image.Image.resize
        picture = resize(picture, (width, height), Image.Resampling.LANCZOS)
    return np.asarray(picture).reshape(height, width, -1)


def sha256(path: str | Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest(value: object) -> str:
    """The SHA-256 of what JSON can hold, whatever its layout: against damage and edits, not against forgery."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def check_output_folder(folder: str | Path, manifest: str, overwrite: bool = False) -> Path:
    """Return `folder`, after refusing one with contents of another origin.

    The contents are ours if `manifest` is among them, the file that every run of a command writes. What writers that
    are gone have left is swept.

    Raises:
      UserError: `folder` is a file, or has other contents and `overwrite` is false.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise UserError(f"The output must be a folder. Given: {folder}, which is a file.")
    sweep(folder.parent)
    if not folder.is_dir():
        return folder
    sweep(folder)
    contents = [entry for entry in folder.iterdir() if not entry.name.startswith(locks.PREFIX)]
    if contents and not overwrite and not (folder / manifest).is_file():
        raise UserError(
            f"The output folder must be new, empty, or made by the same command (with {manifest} in it). "
            f"Given: {folder}, which has other contents. Choose another, or replace it: --overwrite, in Python "
            f"overwrite=True."
        )
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
