"""Lookup by name, with suggestions: `"mlp"`, or `{"name": "sigmoid", "final": 4.0, ...}`."""

import inspect
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from keras_vae.errors import UserError

Entry = TypeVar("Entry")


def nearest(name: str, names: Iterable[str]) -> str:
    """Return `" Did you mean 'x'?"` with the nearest of `names`, or an empty string if none is near."""
    import difflib  # only needed for errors

    matches = difflib.get_close_matches(str(name), list(names), n=3, cutoff=0.5)
    return f" Did you mean {' or '.join(repr(match) for match in matches)}?" if matches else ""


def choose(kind: str, name: str, entries: Mapping[str, Entry]) -> Entry:
    """Return the entry `name` of `entries`.

    Raises:
      UserError: no such entry; the message lists the names and suggests the nearest.
    """
    if not isinstance(name, str):
        raise UserError(f"A {kind} is a name: {', '.join(sorted(entries))}. Given: {type(name).__name__}.")
    if name not in entries:
        raise UserError(f"Unknown {kind} {name!r}.{nearest(name, entries)} Known: {', '.join(sorted(entries))}.")
    return entries[name]


def check_arguments(
    kind: str,
    function: Callable[..., Any],
    arguments: Mapping[str, Any],
    ignore: Sequence[str] = (),
    complete: bool = True,
    hide: Collection[str] = (),
) -> None:
    """Check keyword arguments against the parameters of `function`, or of a class and its bases.

    Args:
      kind: the name of the function in messages.
      function: a function or a class.
      arguments: by name.
      ignore: names that pass without a parameter.
      complete: also require every parameter that has no default.
      hide: parameters that messages leave out: those of a base class that this class rejects.

    Raises:
      UserError: an argument without a parameter, with the nearest; or a missing one.
    """
    parameters: dict[str, inspect.Parameter] = {}
    required: list[str] | None = None  # of the function itself: a class passes on what its bases need
    for owner in inspect.getmro(function) if inspect.isclass(function) else (function,):
        signature = inspect.signature(owner.__init__ if inspect.isclass(owner) else owner)
        for name, parameter in signature.parameters.items():
            if parameter.kind in (parameter.KEYWORD_ONLY, parameter.POSITIONAL_OR_KEYWORD) and name != "self":
                parameters.setdefault(name, parameter)
        if required is None:
            required = [name for name, parameter in parameters.items() if parameter.default is parameter.empty]
        if not any(parameter.kind == parameter.VAR_KEYWORD for parameter in signature.parameters.values()):
            break
    for name in arguments:
        if name not in parameters and name not in ignore:
            offered = [parameter for parameter in parameters if parameter not in hide]
            raise UserError(
                f"{kind} has no argument {name!r}.{nearest(name, offered)} Its arguments: {', '.join(offered)}."
            )
    if not complete:
        return
    missing = [name for name in required or [] if name not in arguments]
    if missing:
        raise UserError(f"{kind} needs the argument{'s' * (len(missing) > 1)} {', '.join(missing)}.")


def named(kind: str, spec: object, entries: Mapping[str, Entry]) -> tuple[Entry, str, dict[str, Any]]:
    """Resolve `spec` to `(entry, name, arguments)`.

    Raises:
      UserError: a spec that is no name and no mapping with one, or an unknown name.
    """
    arguments = {"name": spec} if isinstance(spec, str) else dict(spec) if isinstance(spec, Mapping) else {}
    name = arguments.pop("name", None)
    if not isinstance(name, str):
        raise UserError(f"The {kind} must be a name, or a mapping with 'name' and arguments. Given: {spec!r}.")
    return choose(kind, name, entries), name, arguments


def build(kind: str, spec: object, entries: Mapping[str, Callable[..., Any]], **extra: Any) -> Any:
    """Call the entry that `spec` names with the arguments of `spec` and `extra`.

    Args:
      kind: the kind of entry, for messages: `"encoder"`, `"likelihood"`.
      spec: `"name"`, or `{"name": "name", **arguments}`.
      entries: name -> class or function.
      **extra: arguments of the caller.

    Raises:
      UserError: an unknown name, or arguments that do not fit.
    """
    make, name, arguments = named(kind, spec, entries)
    repeated = [argument for argument in arguments if argument in extra]
    if repeated:
        raise UserError(f"The {kind} {name!r} is given {repeated[0]!r} by the model. Given: {spec!r}. Leave it out.")
    check_arguments(f"{kind} {name!r}", make, {**extra, **arguments})
    return make(**extra, **arguments)
