"""One writer at a time: locks of the system (flock), which end with their process, however it ends.

So nothing that a killed process leaves blocks anybody. On a network file system a lock holds between machines if the
mount passes locks on, as NFS does by default (not with `nolock` or `local_lock=flock`).
"""

import contextlib
import errno
import fcntl
import os
import platform
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from keras_vae.errors import UserError

PREFIX = ".keras_vae-"  # of the names of files and folders that are there while a process writes
_WITHOUT = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)  # of flock, on a file system that has no locks


def take(path: Path) -> IO[str] | None:
    """Lock a file, which is made if there is none, and return it: closing it releases it. None: it is locked.

    Raises:
      OSError: the file cannot be opened, or the file system has no locks.
    """
    while True:
        file = open(path, "a+", encoding="utf-8")  # noqa: SIM115 - the caller closes it
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(file.fileno()), os.stat(path)):
                    return file
        except BlockingIOError:
            file.close()
            return None
        except BaseException:
            file.close()
            raise
        file.close()  # whoever held it has removed it since: the next one is another file


@contextmanager
def only_writer(path: str | Path, works: str = "writes") -> Iterator[None]:
    """Be the only one who writes `path`, a file or a folder, until the block ends.

    The lock is a file beside `path`, so that a folder can be replaced meanwhile. Folders that are made for it are
    removed again if the block leaves them empty.

    Args:
      path: what the block writes.
      works: what the other process does, for the message.

    Raises:
      UserError: another process, whose id is named, or another thread is in such a block.
    """
    path = Path(path).absolute()
    made = [folder for folder in path.parents if not folder.exists()]
    lock = path.parent / f"{PREFIX}{path.name}.lock"
    with contextlib.ExitStack() as stack:
        stack.callback(_remove_empty, made)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = take(lock)
            if file is not None:
                stack.enter_context(file)
                stack.callback(lock.unlink, missing_ok=True)  # before it is released
                file.truncate(0)
                file.write(f"pid {os.getpid()} on {platform.node()}")
                file.flush()
        except OSError as error:
            if error.errno not in _WITHOUT:
                raise UserError(f"Cannot write {path}: {error.strerror}. Choose another folder.") from error
            warnings.warn(
                f"Nothing keeps two processes from writing {path} at once: its file system has no locks.", stacklevel=3
            )
        else:
            if file is None:
                raise UserError(
                    f"Another process {works} here ({_content(lock) or 'of unknown id'}). Given: {path}. Wait until it "
                    f"ends, or choose another folder."
                )
        yield


def _content(path: Path) -> str:
    with contextlib.suppress(OSError):
        return path.read_text(encoding="utf-8")
    return ""


def _remove_empty(folders: list[Path]) -> None:
    with contextlib.suppress(OSError):
        for folder in folders:
            folder.rmdir()
