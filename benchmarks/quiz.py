"""A quiz for somebody who has read only the layout in CONTRIBUTING.md: which room does a line belong to?

`python benchmarks/quiz.py --seed 0` prints product lines, each with the class and function that it stands in;
`--answers` their rooms. The layout is good if 18 of 20 are named rightly.
"""

import argparse
import ast
import random
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1] / "keras_vae"
_SHORT = 40  # characters: shorter lines say little


def drawn(seed: int, count: int) -> list[tuple[str, str, str]]:
    """`count` random lines of code: room, the class and function around the line with their purpose, and the line."""
    lines = []
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).parts
        room = f"{parts[0]}/" if len(parts) > 1 else path.name
        text = path.read_text(encoding="utf-8").splitlines()
        for owner, node in _functions(ast.parse("\n".join(text)), ""):
            purpose = _purpose(node)
            for statement in node.body[bool(purpose) :]:
                line = text[statement.lineno - 1].strip()
                if len(line) >= _SHORT:
                    lines.append((room, f"{owner}{text[node.lineno - 1].strip()}  # {purpose}", line))
    return random.Random(seed).sample(lines, count)


def _functions(node: ast.AST, owner: str) -> Iterator[tuple[str, ast.FunctionDef]]:
    """The functions in a node, each with the head and the purpose of the classes and functions around it."""
    for child in ast.iter_child_nodes(node):
        inner = owner
        if isinstance(child, ast.FunctionDef):
            yield owner, child
            inner += f"def {child.name}({ast.unparse(child.args)})  # {_purpose(child)}\n       "
        if isinstance(child, ast.ClassDef):
            bases = ", ".join(ast.unparse(base) for base in child.bases)
            inner += f"class {child.name}({bases})  # {_purpose(child)}\n       "
        yield from _functions(child, inner)


def _purpose(node: ast.ClassDef | ast.FunctionDef) -> str:
    return (ast.get_docstring(node) or "").split("\n")[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--answers", action="store_true")
    options = parser.parse_args()
    for number, (room, head, line) in enumerate(drawn(options.seed, options.count), 1):
        print(f"{number}. {room}" if options.answers else f"{number}. {head}\n       {line}")


if __name__ == "__main__":
    main()
