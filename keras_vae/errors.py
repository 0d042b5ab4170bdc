"""Errors that a user can correct. A message has the rule, the value received, and a remedy."""

import re


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


class UnavailableError(UserError):
    """An optional part, a runtime or a dataset, that is not installed or cannot be reached."""


class NotApplicable(UserError):
    """A request that does not apply, since the model or the data have no such part."""
