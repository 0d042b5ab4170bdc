"""Lookup by name, with suggestions: `"mlp"`, or `{"name": "sigmoid", "final": 4.0, ...}`; and names that others add."""

import functools
import importlib
import inspect
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from importlib import metadata
from typing import Any, Generic, TypeVar

from keras_vae.errors import UserError, reason_of

Entry = TypeVar("Entry")
# The kinds of things that have a name; "keras_vae.KIND" is the group of a package's entry points.
KINDS = ("models", "encoders", "decoders", "likelihoods", "schedules", "priors", "runtimes", "sources")
_open: dict[str, "Entries[Any]"] = {}
_added: dict[str, dict[str, Any]] = {kind: {} for kind in KINDS}


class Entries(Mapping[str, Entry], Generic[Entry]):
    """The things of a kind by name: of this package, of `register`, and of the entry points of installed packages.

    An entry point is imported when its name is looked up; to list the names imports none.
    """

    def __init__(self, kind: str, entries: Mapping[str, Entry]) -> None:
        self.kind, self.entries = kind, dict(entries)
        _open[kind] = self
        for name in self.entries.keys() & _added[kind].keys():
            raise _taken(kind, name)

    @functools.cached_property
    def points(self) -> dict[str, metadata.EntryPoint]:
        """The entry points of installed packages by name; names of this package are not theirs to take."""
        return {point.name: point for point in installed(self.kind) if point.name not in self.entries}

    def __iter__(self) -> Iterator[str]:
        return iter({**self.entries, **_added[self.kind], **self.points})

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __getitem__(self, name: str) -> Entry:
        for held in (self.entries, _added[self.kind]):
            if name in held:
                return held[name]
        point = self.points[name]
        try:
            entry = point.load()
        except Exception as error:  # of any package
            package = point.dist.name if point.dist else point.value
            raise UserError(
                f"{name!r} of the package {package} cannot be imported: {reason_of(error)}. Update that package, or "
                f"uninstall it."
            ) from error
        _added[self.kind][name] = entry
        return entry

    def name_of(self, entry: object) -> str | None:
        """Return the name of a thing, or None if it has none. Imports no entry point of another."""
        held = {**self.entries, **_added[self.kind]}
        home = f"{getattr(entry, '__module__', '')}:{getattr(entry, '__qualname__', '')}"
        names = [name for name, other in held.items() if other is entry]
        names += [name for name, point in self.points.items() if point.value == home]
        return next(iter(names), None)


def register(kind: str, name: str, entry: Entry) -> Entry:
    """Give a thing of your own a name, which recipes and constructors then take; return it.

    For this process. A package that is installed declares it for every one, commands too: in its pyproject.toml,
    `[project.entry-points."keras_vae.models"]` with `MyVAE = "package.module:MyVAE"`.

    Args:
      kind: `"models"`, a subclass of `VAE` by its name; `"encoders"` and `"decoders"`, Keras layers; `"likelihoods"`;
        `"schedules"`, by the name of the class in small letters; `"priors"`, fitted ones, by that of the class;
        `"runtimes"`, `keras_vae.runtimes.registry.Known`; or `"sources"`, functions from a `split`, None for all
        examples, and further arguments to `keras_vae.data.sources.Images`.
      name: letters, digits and _.
      entry: the class or function.

    Raises:
      UserError: another kind, or a name that is taken.
    """
    choose("kind to register", kind, dict.fromkeys(KINDS))
    if not isinstance(name, str) or not name.isidentifier():
        raise UserError(f"A name has letters, digits and _. Given: {name!r}.")
    if _added[kind].get(name, entry) is not entry or (kind in _open and name in _open[kind].entries):
        raise _taken(kind, name)
    _added[kind][name] = entry
    return entry


def installed(kind: str) -> list[metadata.EntryPoint]:
    """Return the entry points of a kind that installed packages declare, sorted by name. Imports none of them."""
    return sorted(metadata.entry_points(group=f"keras_vae.{kind}"), key=lambda point: point.name)


def _taken(kind: str, name: str) -> UserError:
    return UserError(f"Each of the {kind} has a name of its own. Given: {name!r}, which is taken. Choose another.")


def imported(kind: str, spec: str) -> Any:
    """Return the object that `"package.module:Name"` names: code, which is run.

    Raises:
      UserError: no such module, or nothing of that name in it.
    """
    module, _, name = spec.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except Exception as error:  # of any module
        raise UserError(f"The {kind} {spec!r} cannot be imported: {reason_of(error)}. Look at PYTHONPATH.") from error


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
