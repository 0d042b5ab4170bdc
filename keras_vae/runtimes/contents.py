"""The contents of a bundle's folder: the files that `bundle.json` lists, under plain names, and nothing else."""

import os
import re
import stat
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from keras_vae.errors import CorruptFileError

MANIFEST = "bundle.json"
PRECISIONS = {"onnx_fp16": "float16", "onnx_int8": "int8"}  # of formats that are not in float32
_WORD = re.compile(r"\w+", re.ASCII)
_PART = re.compile(r"\w[\w.-]*", re.ASCII)  # of a path


def check_contents(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Check that a bundle's names are words, that its formats are of listed files, and that it holds no others.

    Args:
      folder: the bundle's.
      manifest: the contents of its `bundle.json`, the only file that is not listed.

    Raises:
      CorruptFileError: a name is no word; a file of a format is not listed; or the folder holds a file that is not
        listed, a link, or something that is neither file nor folder.
    """
    _check_manifest(folder / MANIFEST, manifest)
    held, links = Counter[tuple[int, int]](), {}
    try:
        for path in _files(folder):
            status = require_file(path)
            name = path.relative_to(folder).as_posix()
            if name != MANIFEST and name not in manifest["files"]:
                raise CorruptFileError(
                    f"{path} is no file of this bundle, but a runtime may open it: {MANIFEST} does not list it. Remove "
                    f"it."
                )
            held[status.st_dev, status.st_ino] += 1
            links[status.st_dev, status.st_ino] = path, status.st_nlink
    except OSError as error:
        raise CorruptFileError(f"{folder} cannot be read: {error}. Copy the bundle again.") from error
    for file, (path, count) in links.items():
        if count > held[file]:
            raise CorruptFileError(
                f"A bundle's files have no names outside of it. Given: {path}, a hard link. Copy the bundle: cp -r."
            )


def require_file(path: Path) -> os.stat_result:
    """Return the status of a file.

    Raises:
      CorruptFileError: it is a symbolic link, or neither file nor folder: a pipe, which would be waited for forever.
      OSError: it is not there.
    """
    status = path.lstat()
    if stat.S_ISLNK(status.st_mode):
        raise CorruptFileError(
            f"A bundle holds no symbolic links. Given: {path}. Copy the bundle with their targets: cp -rL."
        )
    if not stat.S_ISREG(status.st_mode):
        raise CorruptFileError(f"A bundle holds files and folders only. Given: {path}. Do not use this bundle.")
    return status


def odd_words(names: Iterable[str]) -> list[str]:
    """Return those of some names that are no words, `\\w+`."""
    return [name for name in dict.fromkeys(names) if not _WORD.fullmatch(name)]


def _check_manifest(path: Path, manifest: Mapping[str, Any]) -> None:
    """Check the names of graphs, signatures, inputs, outputs, codes and formats, and the paths of files."""
    words = [*manifest["graphs"], *manifest["formats"], *manifest.get("latent", {}).get("codes", ())]
    for graph in manifest["graphs"].values():
        words += [graph["signature"], graph["result"], *graph["inputs"], *graph["outputs"]]
    odd = odd_words(words)
    if odd:
        raise CorruptFileError(
            f"Names in a bundle are made of letters, digits and underscores. Given: {odd[0]!r} in {path}. Do not use "
            f"this bundle."
        )
    for name, entry in manifest["formats"].items():
        if entry.get("precision", "float32") != PRECISIONS.get(name, "float32"):
            raise CorruptFileError(
                f"The format {name} is in {PRECISIONS.get(name, 'float32')}. Given: {entry['precision']!r} in {path}, "
                f"with other limits. Do not use this bundle."
            )
    named = list(_of_formats(manifest))
    for name in [*manifest["files"], *named]:
        relative = PurePosixPath(name)
        if relative.is_absolute() or ".." in relative.parts or "\\" in name or not relative.parts:
            raise CorruptFileError(f"{path} names a file outside the bundle: {name!r}. Do not use this bundle.")
        if not all(_PART.fullmatch(part) for part in relative.parts) or str(relative) != name:
            raise CorruptFileError(
                f"Paths in a bundle are made of letters, digits, '_', '.' and '-'. Given: {name!r} in {path}. Do not "
                f"use this bundle."
            )
    listed = {PurePosixPath(name) for name in manifest["files"]}
    held = listed | {parent for name in listed for parent in name.parents}
    for name in named:
        if PurePosixPath(name) not in held:
            raise CorruptFileError(f"{path} does not list the file {name}. Do not use this bundle.")


def _of_formats(manifest: Mapping[str, Any]) -> Iterator[str]:
    """Yield the files and folders that formats name, with their companions."""
    for entry in manifest["formats"].values():
        for graph, name in entry["files"].items():
            manifest["graphs"][graph]  # KeyError: of no graph
            yield name
            if PurePosixPath(name).name:
                for suffix in entry.get("with", ()):
                    yield str(PurePosixPath(name).with_suffix(f".{suffix}"))


def _files(folder: Path) -> Iterator[Path]:
    """Yield all that is below a folder and is no folder, in order; links are not followed."""
    left = [folder]
    while left:
        for path in sorted(left.pop().iterdir()):
            if stat.S_ISDIR(path.lstat().st_mode):
                left.append(path)
            else:
                yield path
