"""What a converter says when it fails, as one error that names the ops and a remedy."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from keras_vae.errors import ExportError, UserError
from keras_vae.export.remedies import remedy

# "'tf.BitwiseAnd' op is neither", "FlexErfc", "Node number 6 (SUB) failed": LiteRT's words for an op.
_OPS = re.compile(r"\btf\.([A-Z]\w+)|\bFlex([A-Z]\w+)|\bNode number \d+ \((\w+)\)")


def ops_in(message: str) -> list[str]:
    """The names of TensorFlow or ONNX ops that an error message speaks of, each once."""
    return list(dict.fromkeys(next(name for name in match if name) for match in _OPS.findall(message)))


@contextmanager
def converting(what: str) -> Iterator[None]:
    """Turn whatever a converter raises into an ExportError about `what`.

    Errors of the file system pass, and so do errors that already say what to do.
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
