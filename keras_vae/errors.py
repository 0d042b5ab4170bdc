"""Errors that a user can correct. A message has the rule, the value received, and a remedy."""


class UserError(ValueError):
    """Invalid input to the library; the command line prints the message without a traceback."""


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
