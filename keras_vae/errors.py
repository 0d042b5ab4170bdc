"""Errors that a user can correct. A message has the rule, the value received, and a remedy."""

import importlib
import math
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

_LONGEST = 300  # characters of a reason that another library gives


class UserError(ValueError):
    """Invalid input to the library; the command line prints the message without a traceback.

    What was given may be of any length: a name of thousands of letters is cut in its middle, and so is a message.
    """

    def __init__(self, message: str = "", *others: object) -> None:
        words = re.sub(r"\S{500,}", lambda word: _cut(word[0], 300), str(message))
        super().__init__(_cut(words, 4000) if len(words) > 4000 else words, *others)


def _cut(text: str, length: int) -> str:
    """Return the beginning and the end of a text, `length` characters of it."""
    return f"{text[: length * 2 // 3]} [...] {text[len(text) - length // 3 :]}"


class CorruptFileError(UserError):
    """A file of weights or of a bundle that is missing, truncated, or not the published one."""


class DivergedError(UserError, ArithmeticError):
    """Training produced a loss or a weight that is not finite."""


class ExportError(UserError):
    """An exported file that its runtime refuses, or whose outputs differ from Keras's.

    `format_name` is the format that cannot hold the model, if that is the reason: the others can be exported.
    """

    format_name: str | None = None


class RefusedError(ExportError):
    """An exported file that its runtime cannot open or run; the cause is the runtime's own error."""


class UnavailableError(UserError):
    """An optional part, a runtime or a dataset, that is not installed or cannot be reached."""


class NotApplicable(UserError):
    """A request that does not apply, since the model or the data have no such part."""


@contextmanager
def reading(path: str | Path, rule: str, remedy: str, kind: type[UserError] = CorruptFileError) -> Iterator[None]:
    """Raise whatever the block raises as one error of ours, `PATH RULE: REASON. REMEDY`; errors of ours pass.

    For the readers of files that may hold anything. json, zipfile, h5py, safetensors, Keras, TensorFlow and the
    runtimes each raise errors of their own, and further ones: RecursionError, MemoryError, OverflowError, struct.error.

    Args:
      path: of the file.
      rule: what it should be and is not, such as "is not a checkpoint of this model".
      remedy: sentences that say what to do.
      kind: the class of the error; UserError for a path that the user gave, which may not exist.
    """
    try:
        require_file(path)
        yield
    except (UserError, NameError, AssertionError):  # the last two are faults of this library, not of a file
        raise
    except Exception as error:
        if kind is UserError and isinstance(error, FileNotFoundError):
            raise UserError(f"{path} does not exist. Correct the path.") from error
        raise kind(f"{path} {rule}: {reason_of(error)}. {remedy}") from error


def require_file(path: str | Path) -> None:
    """Raise OSError for a pipe, a socket or a device, which may never end. What is not there, the reader says."""
    with suppress(FileNotFoundError):
        mode = os.stat(path).st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise OSError("it is no regular file")


def reason_of(error: BaseException) -> str:
    """The reason that another library gives, in one line without its full stop."""
    text = str(getattr(error, "strerror", None) or error).strip() or type(error).__name__
    if isinstance(error, RecursionError):
        text = "it is nested too deeply"
    elif isinstance(error, MemoryError):
        text = "it would take more memory than there is"
    elif isinstance(error, KeyError) and error.args:
        text = f"it has no {error.args[0]}"
    line = " ".join(text.splitlines()[0].split())
    return (line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…").rstrip(".")


def required(name: str, package: str) -> Any:
    """Return a module of a package that only some installations have.

    Raises:
      UnavailableError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UnavailableError(f"This needs {package}: pip install {package}.") from error


def shape_remedy(shape: tuple[int, ...], expected: tuple[int, ...], name: str) -> str:
    """Return what makes an array of `shape` one of examples of the shape `expected`, if it can be."""
    *sides, channels = expected
    if shape == expected:
        return f"Add the batch axis: {name}[None]."
    if math.prod(shape) == math.prod(expected) and len(shape) < len(expected):
        return f"Add the batch axis: {name}.reshape{(1, *expected)}."
    if channels == 1 and shape[1:] == tuple(sides):
        return f"Add the channel axis: {name}[..., None]."
    if math.prod(shape[1:]) == math.prod(expected) and 1 in (len(shape) - 1, len(expected)):
        return f"Reshape it: {name}.reshape{(-1, *expected)}."
    if len(shape) == len(expected) + 1 == 4 and shape[1:] == (channels, *sides):
        return f"Put the channels last: numpy.moveaxis({name}, 1, -1)."
    if len(shape) == len(expected) + 1 == 4 and list(shape[2:]) == sides and list(shape[1:3]) != sides:
        moved = f"numpy.moveaxis({name}, 1, -1)"
        grey = ".mean(axis=-1, keepdims=True)" if channels == 1 else ""
        return f"Put the channels last{', and make them grey' if grey else ''}: {moved}{grey}."
    if len(shape) == len(expected) + 1 == 4:
        steps = [f"Resize the pictures to {sides[0]} x {sides[1]}."] if list(shape[1:3]) != sides else []
        if shape[-1] != channels:
            grey = f"Make them grey: {name}.mean(axis=-1, keepdims=True)."
            steps.append(grey if channels == 1 else f"Give them {channels} channels.")
        return " ".join(steps)
    return "The model reads examples of this shape only."


def label_remedy(array: "np.ndarray") -> str:
    """Return what makes labels of numbers that are not one whole number for each example."""
    if array.ndim == 2 and array.shape[1] > 1 and (abs(array.sum(axis=-1) - 1) < 1e-4).all():
        return "These are one-hot rows: numpy.argmax(labels, axis=-1)"
    if array.ndim and array.size != len(array):
        return "Choose the column of one label"
    if (array == array.round()).all():
        return "Convert them: numpy.asarray(labels).astype(int).ravel()"
    return "Number the classes: numpy.unique(labels, return_inverse=True)[1]"
