"""The house in numbers: rooms, imports that run in a circle or upwards, lines, and arguments typed `Any`.

`python benchmarks/house.py` prints them; `--json` for machines; `--layout` writes the modules of each room into the
table of CONTRIBUTING.md. What may not grow, and that table, are tests: tests/test_house.py.
The order of the rooms is that of the import-linter contract in pyproject.toml, which `make lint` keeps.
"""

import argparse
import ast
import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grimp

ROOT = Path(__file__).resolve().parents[1]
CONTRIBUTING = ROOT / "CONTRIBUTING.md"
PACKAGE = "keras_vae"


def order() -> list[str]:
    """The rooms from the bottom up."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    return [room.strip() for layer in reversed(layers) for room in layer.replace("|", ":").split(":")]


def measured() -> dict[str, Any]:
    """All numbers of the house, by name. `keras_vae` itself and `__main__` stand above all rooms."""
    graph = grimp.build_graph(PACKAGE, exclude_type_checking_imports=True)
    arrows = {
        (importer, imported)
        for importer in graph.modules
        for imported in graph.find_modules_directly_imported_by(importer)
    }
    places = {room: place for place, room in enumerate(order())}
    upward = sorted(
        f"{importer} -> {imported}"
        for importer, imported in arrows
        if 0 <= places.get(room_of(importer), -1) < places.get(room_of(imported), -1)
    )
    top = [path for path in (ROOT / PACKAGE).iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()]
    arguments = list(annotated_arguments())
    return {
        "rooms": sum(path.is_dir() for path in top),
        "modules at the top": sum(path.is_file() for path in top),
        "modules": len(graph.modules),
        "lines": sum(len(path.read_text(encoding="utf-8").splitlines()) for path in files()),
        "arrows between rooms": len({(room_of(a), room_of(b)) for a, b in arrows if room_of(a) != room_of(b)}),
        "upward imports": upward,
        "circles": circles(arrows),
        "arguments": len(arguments),
        "arguments typed Any": sum(arguments),
        "share of Any": round(sum(arguments) / len(arguments), 4),
    }


def room_of(module: str) -> str:
    """The room of a module: its package within keras_vae, or its own name; "" for keras_vae itself."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


def files() -> list[Path]:
    return sorted((ROOT / PACKAGE).rglob("*.py"))


def circles(arrows: set[tuple[str, str]]) -> list[list[str]]:
    """The sets of modules that import each other in a circle: strongly connected components, after Tarjan.

    A package and its own modules are no circle: `from package import module` runs the package's `__init__` first.
    """
    imports: dict[str, list[str]] = {}
    for importer, imported in arrows:
        if not importer.startswith(f"{imported}.") and not imported.startswith(f"{importer}."):
            imports.setdefault(importer, []).append(imported)
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    components: list[list[str]] = []

    def visit(module: str) -> None:
        index[module] = low[module] = len(index)
        stack.append(module)
        for imported in imports.get(module, []):
            if imported not in index:
                visit(imported)
                low[module] = min(low[module], low[imported])
            elif imported in stack:
                low[module] = min(low[module], index[imported])
        if low[module] == index[module]:
            component = stack[stack.index(module) :]
            del stack[stack.index(module) :]
            if len(component) > 1:
                components.append(sorted(component))

    for module in sorted(imports):
        if module not in index:
            visit(module)
    return components


def annotated_arguments() -> Iterator[bool]:
    """For each annotated argument of the package, `**kwargs` too, whether it is typed `Any` outright."""
    for path in files():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                arguments = node.args
                every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
                every += [extra for extra in (arguments.vararg, arguments.kwarg) if extra is not None]
                yield from (ast.unparse(one.annotation) == "Any" for one in every if one.annotation is not None)


def layout(text: str) -> str:
    """CONTRIBUTING.md with the last column of its table of rooms set to the modules of each room."""
    lines = text.splitlines(keepends=True)
    for index, line in enumerate(lines):
        room = re.match(r"\| `(\w+)/` \|", line)
        if room:
            cells = line.rstrip("\n").split(" | ")
            lines[index] = " | ".join([*cells[:2], f"{', '.join(modules(room[1]))} |\n"])
    return "".join(lines)


def modules(room: str) -> list[str]:
    """The names of a room's modules, those of a folder inside it as `folder/name`."""
    folder = ROOT / PACKAGE / room
    return sorted(
        path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.py") if path.stem != "__init__"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--layout", action="store_true")
    options = parser.parse_args()
    if options.layout:
        CONTRIBUTING.write_text(layout(CONTRIBUTING.read_text(encoding="utf-8")), encoding="utf-8")
        return
    numbers = measured()
    if options.json:
        print(json.dumps(numbers, indent=1))
        return
    for name, value in numbers.items():
        print(f"{name}: {len(value) if isinstance(value, list) else value}")
        for line in value if isinstance(value, list) else []:
            print(f"  {line}")


if __name__ == "__main__":
    main()
