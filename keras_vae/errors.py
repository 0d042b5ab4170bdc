"""The errors a user can mend. Each message says the rule, what was given, and what to do."""


class UserError(ValueError):
    """A mistake at the library's boundary; the command line prints its message without a traceback."""


class CorruptFileError(UserError):
    """A file of weights or of a bundle that is missing, truncated, or not the one that was published."""


class DivergedError(UserError, ArithmeticError):
    """Training produced a loss or a weight that is not finite."""


class ExportError(UserError):
    """An exported file that its runtime refuses, or whose outputs differ from Keras's.

    `format_name` is the format that cannot hold the model, where that is what is wrong: the others can be exported.
    """

    format_name: str | None = None


class UnavailableError(UserError):
    """Something optional, a runtime or a dataset, that is not installed or cannot be reached."""


class NotApplicable(UserError):
    """What was asked for does not apply: this model, or these data, have no such part."""
