"""Whether the type checker of `make lint` finds a mistyped attribute, wherever it is.

Copies the package, misspells one attribute in each of a dozen rooms, drawn by a seed, and runs the type checker on the
copy: `python benchmarks/typos.py --seed 0`. Exits with 1 if a typo passed; a test in `make test-all` runs it.
"""

import argparse
import ast
import json
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
# The objects whose attributes are misspelt: a class's own, and what is handed from room to room.
BASES = ("self", "model", "recipe", "card", "bundle", "prior", "runtime", "graph", "examples", "evaluation")


class Typo(NamedTuple):
    """One attribute, at a 1-based line and a 0-based column of bytes."""

    file: str
    line: int
    column: int
    base: str
    name: str

    @property
    def misspelt(self) -> str:
        return self.name[:-1] + 2 * self.name[-1]


def attributes(file: Path) -> Iterator[Typo]:
    """The attributes that a file reads of an object in `BASES`, on one line, and that no comprehension hides."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load) and isinstance(node.value, ast.Name):
            base, name = node.value.id, node.attr
            if base in BASES and not name.startswith("__") and node.end_lineno == node.value.end_lineno:
                column = (node.end_col_offset or 0) - len(name.encode())
                yield Typo(str(file.relative_to(ROOT)), node.end_lineno or 0, column, base, name)


def drawn(seed: int, count: int) -> list[Typo]:
    """One attribute in each of `count` rooms: the packages of keras_vae, and its own modules as one."""
    generator, rooms = random.Random(seed), {}
    for file in sorted((ROOT / "keras_vae").rglob("*.py")):
        room = file.relative_to(ROOT / "keras_vae").parts
        rooms.setdefault(room[0] if len(room) > 1 else "", []).extend(attributes(file))
    filled = sorted(room for room, candidates in rooms.items() if candidates)
    if len(filled) < count:
        raise SystemExit(f"There are {len(filled)} rooms with attributes to misspell. Given: --count {count}.")
    return [generator.choice(rooms[room]) for room in generator.sample(filled, count)]


def found(typos: list[Typo]) -> list[bool]:
    """Whether the type checker, run on a copy with all these typos, has an error on the line of each."""
    with tempfile.TemporaryDirectory(prefix="keras_vae-typos-") as folder:
        copy = Path(folder)
        for name in ("keras_vae", "typings"):
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", "tfds", "*.gz"))
        settings = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
        environment = Path(sys.prefix)
        settings = settings.replace('venvPath = "."', f'venvPath = "{environment.parent}"')
        (copy / "pyproject.toml").write_text(
            settings.replace('venv = ".venv"', f'venv = "{environment.name}"'), "utf-8"
        )
        for typo in typos:
            path = copy / typo.file
            lines = path.read_bytes().split(b"\n")
            line, end = lines[typo.line - 1], typo.column + len(typo.name.encode())
            lines[typo.line - 1] = line[: typo.column] + typo.misspelt.encode() + line[end:]
            path.write_bytes(b"\n".join(lines))
        command = [environment / "bin" / "basedpyright", "--outputjson", "--project", str(copy), "keras_vae"]
        report = json.loads(subprocess.run(command, cwd=copy, capture_output=True, text=True, check=False).stdout)
        errors = {
            (str(Path(item["file"]).relative_to(copy.resolve())), item["range"]["start"]["line"] + 1)
            for item in report["generalDiagnostics"]
            if item["severity"] == "error"
        }
    return [(typo.file, typo.line) in errors for typo in typos]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=12, help="rooms, with one typo in each")
    options = parser.parse_args()
    typos = drawn(options.seed, options.count)
    results = found(typos)
    for typo, is_found in zip(typos, results, strict=True):
        print(f"{'found ' if is_found else 'MISSED'}  {typo.file}:{typo.line}  {typo.base}.{typo.misspelt}")
    print(f"{sum(results)} of {len(results)} found")
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
