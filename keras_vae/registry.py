"""Things that are chosen by name: `"mlp"`, `{"name": "sigmoid", "final": 4.0, ...}`, or an instance."""

import inspect
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from keras_vae.errors import UserError


def nearest(name: str, known: Iterable[str]) -> str:
    """`" Did you mean 'x'?"`, or an empty string where nothing is near."""
    import difflib  # what is named rightly needs none

    matches = difflib.get_close_matches(str(name), list(known), n=3, cutoff=0.5)
    return f" Did you mean {' or '.join(repr(match) for match in matches)}?" if matches else ""


def choose(kind: str, name: str, known: Mapping[str, Any]) -> Any:
    """The entry `name` of `known`.

    Raises:
      UserError: no such entry; the message lists those that there are.
    """
    if name not in known:
        raise UserError(f"Unknown {kind} {name!r}.{nearest(name, known)} Known: {', '.join(sorted(known))}.")
    return known[name]


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
      kind: the function in words, for messages.
      function: a function or a class.
      arguments: by name.
      ignore: names that pass without a parameter.
      complete: also require every parameter that has no default.
      hide: parameters of a base class that this one does not take: messages do not offer them.

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


def named(kind: str, spec: Any, known: Mapping[str, Any]) -> tuple[Any, str, dict[str, Any]]:
    """What `spec` names, its name, and the arguments beside it. Errors: of `build`, those of the name."""
    arguments = {"name": spec} if isinstance(spec, str) else dict(spec) if isinstance(spec, Mapping) else {}
    name = arguments.pop("name", None)
    if not isinstance(name, str):
        raise UserError(f"The {kind} must be a name, or a mapping with 'name' and arguments. Given: {spec!r}.")
    maker = choose(kind, name, known)
    return maker, name, arguments


def build(kind: str, spec: Any, known: Mapping[str, Any], **given: Any) -> Any:
    """Make what `spec` names: a name, or a mapping of `name` and arguments.

    Args:
      kind: what is built, in words, for the error messages.
      spec: `"name"`, or `{"name": "name", **arguments}`.
      known: name -> class or function.
      **given: arguments that the caller adds.

    Raises:
      UserError: an unknown name, or arguments that do not fit.
    """
    maker, name, arguments = named(kind, spec, known)
    twice = [argument for argument in arguments if argument in given]
    if twice:
        raise UserError(f"The {kind} {name!r} is given {twice[0]!r} by the model. Given: {spec!r}. Leave it out.")
    check_arguments(f"{kind} {name!r}", maker, {**given, **arguments})
    return maker(**given, **arguments)
