"""Files of zoo entries that an installation lacks, from where KERAS_VAE_ZOO points: a folder, or a URL."""

import os
import re
import urllib.error
import urllib.request
from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path
from typing import Any

from keras_vae import locks
from keras_vae.errors import CorruptFileError, UnavailableError, UserError, reason_of
from keras_vae.files import sha256

SETTING = "KERAS_VAE_ZOO"
_REMEDY = (
    f"Set {SETTING} to the folder zoo of a checkout of keras_vae, where all are, or to a URL that serves it: "
    f"export {SETTING}=/path/to/keras_vae/zoo"
)
_ATTEMPTS, _TIMEOUT, _PIECE = 5, 30, 2**16  # of one download; seconds without an answer; bytes


def fetched(name: str, file: str, record: Mapping[str, Any]) -> Path:
    """Return the path of an entry's file: in the cache or in the folder of the setting, or in the cache once fetched.

    An interrupted download resumes where it stopped, in this call or in the next.

    Args:
      name: of the entry.
      file: its name.
      record: of the file in results.json, with `sha256` and `bytes`.

    Raises:
      UnavailableError: the setting is empty, or its folder or server does not have the file, or cannot be reached.
      CorruptFileError: what it has is another file.
    """
    cached = _cache() / record["sha256"] / file
    if cached.is_file() and sha256(cached) == record["sha256"]:
        return cached
    source = os.environ.get(SETTING, "").rstrip("/")
    if not source:
        raise UnavailableError(f"{name} came without its {file}, and {SETTING} is not set. {_REMEDY}")
    if re.match("https?://", source):
        _download(f"{source}/{name}/{file}", cached, record)
        return cached
    path = Path(source).expanduser() / name / file
    if not path.is_file():
        raise UnavailableError(f"{name} came without its {file}, and {path} is no file. {_REMEDY}")
    _check(path, path, record)
    return path


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "keras_vae" / "zoo"


def _check(path: Path, shown: object, record: Mapping[str, Any]) -> None:
    """Raise CorruptFileError unless a file is the one of a record; `shown` is where it is from."""
    if (actual := sha256(path)) != record["sha256"]:
        raise CorruptFileError(
            f"{shown} is not the file of the card: expected sha256 {record['sha256']}, actual {actual}, "
            f"{path.stat().st_size} of {record['bytes']} bytes. {SETTING} must have the zoo of this keras_vae."
        )


def _download(url: str, target: Path, record: Mapping[str, Any]) -> None:
    """Fetch a file into the cache; what arrives stays in `target`.part until all is there and has the digest."""
    part, reason = target.with_name(f"{target.name}.part"), ""
    with locks.only_writer(target, "fetches"):
        try:
            for _ in range(_ATTEMPTS):
                try:
                    _receive(url, part, record["bytes"])
                except urllib.error.HTTPError as error:
                    reason = f"{error.code}, {error.reason}"
                    if error.code < 500:
                        break
                except (OSError, HTTPException) as error:  # a connection that was refused, or reset
                    reason = reason_of(getattr(error, "reason", error))
                if part.is_file() and part.stat().st_size >= record["bytes"]:
                    break
            else:
                reason = reason or "the connection was cut"
            if not part.is_file() or part.stat().st_size < record["bytes"]:
                raise UnavailableError(
                    f"Cannot fetch {url}: {reason}. Try again, and it goes on where it stopped. Without a connection: "
                    f"{_REMEDY[0].lower()}{_REMEDY[1:]}"
                )
            try:
                _check(part, url, record)
            except CorruptFileError:
                part.unlink()
                raise
            os.replace(part, target)
        except OSError as error:
            raise UserError(
                f"Cannot write {target}: {reason_of(error)}. Set XDG_CACHE_HOME to another folder."
            ) from error


def _receive(url: str, part: Path, size: int) -> None:
    """Append to `part` what it lacks of a file of `size` bytes, and at most one byte more."""
    have = part.stat().st_size if part.is_file() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:
        resumed = answer.status == 206
        have = have if resumed else 0
        with open(part, "ab" if resumed else "wb") as file:
            while have <= size and (piece := answer.read(min(_PIECE, size + 1 - have))):
                have += file.write(piece)
