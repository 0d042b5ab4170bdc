"""The columns of the table: what is done to one file of a subject. A mutation is a pure function of its seed."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tests.proofs.torture.formats import Format

Mutation = Callable[[Path, np.random.Generator, Format, Path], None]  # file, noise, its format, another valid file

_BLOCK = 64


def _bytes(change: Callable[[bytes, np.random.Generator], bytes]) -> Mutation:
    def mutate(path: Path, noise: np.random.Generator, form: Format, other: Path) -> None:
        path.write_bytes(change(path.read_bytes(), noise))

    return mutate


def _by_format(name: str) -> Mutation:
    def mutate(path: Path, noise: np.random.Generator, form: Format, other: Path) -> None:
        path.write_bytes(getattr(form, name)(path.read_bytes(), noise))

    return mutate


def _flip(content: bytes, noise: np.random.Generator) -> bytes:
    changed = bytearray(content)
    changed[noise.integers(len(changed))] ^= 1 << int(noise.integers(8))
    return bytes(changed)


def _truncate(content: bytes, noise: np.random.Generator) -> bytes:
    return content[: int(noise.integers(1, len(content)))]


def _extend(content: bytes, noise: np.random.Generator) -> bytes:
    return content + (noise.bytes(int(noise.integers(1, 5000))) if noise.random() < 0.5 else content)


def _zero(content: bytes, noise: np.random.Generator) -> bytes:
    start = int(noise.integers(max(1, len(content) - _BLOCK)))
    return content[:start] + bytes(len(content[start : start + _BLOCK])) + content[start + _BLOCK :]


def _swap(content: bytes, noise: np.random.Generator) -> bytes:
    size = min(_BLOCK, len(content) // 2)
    first = int(noise.integers(0, len(content) - 2 * size + 1))
    second = int(noise.integers(first + size, len(content) - size + 1))
    changed = bytearray(content)
    changed[first : first + size], changed[second : second + size] = (
        content[second : second + size],
        content[first : first + size],
    )
    return bytes(changed)


def _delete(path: Path, noise: np.random.Generator, form: Format, other: Path) -> None:
    path.unlink()


def _another(path: Path, noise: np.random.Generator, form: Format, other: Path) -> None:
    shutil.copy(other, path)


def _link(path: Path, noise: np.random.Generator, form: Format, other: Path) -> None:
    targets = [other, Path("/dev/zero"), path, path.parent, Path("/dev/null"), path.parent / "nowhere"]
    target = targets[noise.integers(len(targets))]
    path.unlink()
    path.symlink_to(target)


def _fifo(path: Path, noise: np.random.Generator, form: Format, other: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _folder(path: Path, noise: np.random.Generator, form: Format, other: Path) -> None:
    path.unlink()
    path.mkdir()
    if noise.random() < 0.5:
        (path / path.name).write_bytes(b"inside")


def _unlisted(path: Path, noise: np.random.Generator, form: Format, other: Path) -> None:
    names = [f"copy-{path.name}", ".hidden", "evil.py", "sub/deep.bin", f"{path.name}.bak", "checkpoint", "x\ny"]
    beside = path.parent / names[noise.integers(len(names))]
    beside.parent.mkdir(exist_ok=True)
    if noise.random() < 0.3:
        beside.symlink_to("/etc/hostname")
    else:
        beside.write_bytes(noise.bytes(100))


MUTATIONS: dict[str, Mutation] = {
    "flipped bit": _bytes(_flip),
    "cut short": _bytes(_truncate),
    "extended": _bytes(_extend),
    "zeroed block": _bytes(_zero),
    "swapped blocks": _bytes(_swap),
    "emptied": _bytes(lambda content, noise: b""),
    "deleted": _delete,
    "another valid file": _another,
    "link": _link,
    "FIFO": _fifo,
    "folder in its place": _folder,
    "unlisted file": _unlisted,
    "edited value": _by_format("edit"),
    "deleted entry": _by_format("drop"),
    "false header": _by_format("lie"),
    "not finite": _by_format("poison"),
    "deep nesting": _by_format("nest"),
    "long text": _by_format("lengthen"),
}
