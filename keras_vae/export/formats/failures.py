"""What a converter says when it fails, as one error that names the ops and a remedy."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from keras_vae.errors import ExportError, UserError
from keras_vae.export.remedies import remedy

# "tf.Erfc", "Flex ops: FlexErfc, FlexLog1p", "op type Erfc", "Op with name 'Erfc'": the converters' own words.
_OPS = re.compile(r"'?tf\.([A-Z]\w+)|\bFlex([A-Z]\w+)|\bop(?:s|eration)?(?: type| with name)?:? '?([A-Z]\w+)\b")


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
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        named = f" Unsupported: {', '.join(ops)}." if ops else ""
        raise ExportError(f"{what} failed: {reason[:300].rstrip('.')}.{named} {remedy(ops or [''])}") from error
