"""Whether recipes of this process may name code to import. Needs no TensorFlow."""

_allowed: list[bool] = []


def allow_code() -> None:
    """Let recipes of this process name a class as "package.module:Class", which is imported: its code is run."""
    _allowed.append(True)


def code_allowed() -> bool:
    """Return whether recipes of this process may name code."""
    return bool(_allowed)
