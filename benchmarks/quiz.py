"""A quiz for somebody who has read only the layout in CONTRIBUTING.md: which room does a line belong to?

`python benchmarks/quiz.py --seed 0` prints product lines, each with the function that it stands in; `--answers` their
rooms. The layout is good if 18 of 20 are named rightly.
"""

import argparse
import ast
import random
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1] / "keras_vae"
_SHORT = 40  # characters: shorter lines say little


def drawn(seed: int, count: int) -> list[tuple[str, str, str]]:
    """`count` random lines of code: room, the head of the innermost function, and the line."""
    lines = []
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).parts
        room = parts[0] + "/" if len(parts) > 1 else parts[0]
        text = path.read_text(encoding="utf-8").splitlines()
        functions = [node for node in ast.walk(ast.parse("\n".join(text))) if isinstance(node, ast.FunctionDef)]
        for node in sorted(functions, key=lambda node: node.lineno):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            for statement in body:
                line = text[statement.lineno - 1].strip()
                if len(line) >= _SHORT:
                    lines.append((room, text[node.lineno - 1].strip(), line))
    return random.Random(seed).sample(lines, count)


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
