"""The language of the package: docstrings state what a function returns or does, and names say what they hold."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import keras_vae

ROOT = Path(keras_vae.__file__).parent
# Words that fit any value: `outputs`, `metrics`, `index` or `names` tell the reader which one it is.
EMPTY_WORDS = {"given", "found", "each", "own", "told", "place", "known", "chosen", "wanted", "further", "said"}


def bound_names(node: ast.AST) -> Iterator[str]:
    """Yield the parameters, variables and captured patterns that a node of a syntax tree binds."""
    if isinstance(node, ast.arg):
        yield node.arg
    elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        yield node.id
    elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
        yield node.name


def faults(source: str) -> list[str]:
    """Return the empty names and the docstrings that begin with "What" in a module, with their lines."""
    nodes = list(ast.walk(ast.parse(source)))
    names = [f"{node.lineno}: {name}" for node in nodes for name in bound_names(node) if name in EMPTY_WORDS]
    documented = [node for node in nodes if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)]
    return names + [text for node in documented if (text := ast.get_docstring(node) or "").startswith("What ")]


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_names_and_docstrings_say_what_they_are_of(path):
    assert faults(path.read_text(encoding="utf-8")) == []


def test_the_faults_are_seen():
    source = '"""What it is."""\nfor each in []: pass\ndef f(given): own = [(found, 1) for found in given]\nindex = 0\n'
    assert sorted(faults(source)) == ["2: each", "3: found", "3: given", "3: own", "What it is."]
