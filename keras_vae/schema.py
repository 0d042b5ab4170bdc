"""The check that what was read from a file is of the type that describes it: a TypedDict, to any depth."""

import math
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any

_WORDS = {str: "a string", int: "a whole number", float: "a finite number", bool: "true or false", dict: "a mapping",
          list: "a list", type(None): "null"}  # fmt: skip
_SHOWN = 60  # characters of a value in a message


def fault(value: object, hint: Any, path: str = "it") -> str:
    """The first path at which a value is not of a type, and the value there; empty if it is of the type.

    Args:
      value: as JSON or TOML give it.
      hint: a TypedDict, whose further keys are not looked at; `dict[str, T]`, `list[T]`, a union, a Literal, `str`,
        `int`, `float` (finite), `bool`, `None`; or Any.
      path: of the value, as messages call it.
    """
    if hint is Any or hint is object:
        return ""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Required, typing.NotRequired):
        return fault(value, arguments[0], path)
    if origin in (types.UnionType, typing.Union):
        faults = [fault(value, member, path) for member in arguments]
        optional = len(faults) == 2 and type(None) in arguments
        return "" if "" in faults else faults[0] if optional else _not(hint, value, path)
    if origin is typing.Literal:
        return "" if isinstance(value, str) and value in arguments else _not(hint, value, path)
    if typing.is_typeddict(hint):
        return _fault_of_keys(value, hint, path)
    if origin in (dict, Mapping):
        if not isinstance(value, dict):
            return _not(dict, value, path)
        return _first(fault(inner, arguments[1], f"{path}.{key}") for key, inner in value.items())
    if origin in (list, Sequence):
        if not isinstance(value, list):
            return _not(list, value, path)
        return _first(fault(inner, arguments[0], f"{path}[{index}]") for index, inner in enumerate(value))
    if hint is float:
        right = isinstance(value, int | float) and not isinstance(value, bool) and _finite(value)
    else:
        hint = type(None) if hint is None else hint
        right = isinstance(value, hint) and (hint is bool or not isinstance(value, bool))
    return "" if right else _not(hint, value, path)


def _fault_of_keys(value: object, hint: Any, path: str) -> str:
    if not isinstance(value, dict):
        return _not(dict, value, path)
    hints = typing.get_type_hints(hint)
    missing = sorted(hint.__required_keys__ - value.keys())
    if missing:
        return f"{path} has no {missing[0]!r}"
    return _first(fault(value[key], hints[key], f"{path}.{key}") for key in hints if key in value)


def _first(faults: typing.Iterable[str]) -> str:
    return next((text for text in faults if text), "")


def _finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond the largest float
        return False


def _not(hint: Any, value: object, path: str) -> str:
    if typing.get_origin(hint) is typing.Literal:
        rule = f"one of {', '.join(map(str, typing.get_args(hint)))}"
    elif typing.get_args(hint):
        rule = " or ".join(
            _WORDS.get(typing.get_origin(member) or member, "a mapping") for member in typing.get_args(hint)
        )
    else:
        rule = _WORDS[hint]
    shown = repr(value) if not isinstance(value, int) or abs(value) < 10**_SHOWN else "a very large number"
    return f"{path} is not {rule}, but {shown[:_SHOWN]}"
