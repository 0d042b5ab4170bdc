"""A converter's failure as one error that names the ops and a remedy."""

from collections.abc import Iterator
from contextlib import contextmanager

from keras_vae.errors import ExportError, UserError
from keras_vae.export.remedies import ops_in, remedy


@contextmanager
def converting(what: str) -> Iterator[None]:
    """Turn whatever a converter raises into an ExportError about `what`.

    Errors of the file system pass, and so do errors that have a remedy already.
    """
    try:
        yield
    except (UserError, OSError, MemoryError):
        raise
    except Exception as error:
        ops = ops_in(str(error))
        first = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        reason = f"it has no counterpart of {', '.join(ops)}" if ops else first[:300].rstrip(".")
        raise ExportError(f"{what} failed: {reason}. {remedy(ops or [''])}") from error
