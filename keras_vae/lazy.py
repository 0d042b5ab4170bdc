"""Names that a package exports and imports only when they are first used (PEP 562).

A package writes its public names once, as imports under `if TYPE_CHECKING:`, where type checkers and editors read them:

    if TYPE_CHECKING:
        from keras_vae.zoo.loading import load as load

    __getattr__, __dir__, _ = lazy.attach(__name__)
"""

import ast
import importlib
import importlib.util
import sys
from collections.abc import Callable
from typing import Any


def attach(package: str) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Return `__getattr__`, `__dir__` and the lazy names of the package, from its `if TYPE_CHECKING:`."""
    names = _type_checking_imports(package)

    def get(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module, attribute = names[name]
        if module == package:  # a submodule, as in `from keras_vae import zoo`
            return importlib.import_module(f"{package}.{attribute}")
        return getattr(importlib.import_module(module), attribute)

    return get, lambda: sorted({*vars(sys.modules[package]), *names}), sorted(names)


def _type_checking_imports(package: str) -> dict[str, tuple[str, str]]:
    """Map each name imported `as` itself under `if TYPE_CHECKING:` to its module and its name there."""
    spec = importlib.util.find_spec(package)
    source = getattr(spec.loader, "get_source")(package) if spec else ""  # noqa: B009 - not in the loader protocol
    blocks = [node for node in ast.parse(source).body if isinstance(node, ast.If)]
    imports = [
        statement
        for block in blocks
        if isinstance(block.test, ast.Name) and block.test.id == "TYPE_CHECKING"
        for statement in block.body
        if isinstance(statement, ast.ImportFrom)
    ]
    return {
        alias.asname: (statement.module or package, alias.name)
        for statement in imports
        for alias in statement.names
        if alias.asname  # the others are for annotations
    }
