"""A check that a LiteRT file has built-in operations only and all of its weights, by reading its flatbuffer."""

import struct
from pathlib import Path

from keras_vae.errors import CorruptFileError


def require_harmless(content: bytes, path: Path) -> None:
    """Raise CorruptFileError if a LiteRT file has custom operations, or weights in other files or behind its end.

    Args:
      content: of the file.
      path: of the file, for the message.
    """
    try:
        problem = _problem(content)
    except (IndexError, struct.error, TypeError, ValueError) as error:
        problem = f"no flatbuffer ({error})"
    if problem:
        raise CorruptFileError(
            f"A LiteRT file in a bundle has built-in operations only, and all of its weights. Given: {path}, with "
            f"{problem}. Do not open it."
        )


def _problem(content: bytes) -> str | None:
    """Return the first part that no file of a bundle has, or None."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAs(content)
    if content[4:8] != b"TFL3" or max(model.OperatorCodesLength(), model.BuffersLength()) > len(content):
        raise ValueError("another identifier, or longer than its file")
    # Not in every release of LiteRT: what does not know them does not open them.
    if any(getattr(model, name, int)() for name in ("ExternalBuffersLength", "ExternalBufferGroupsLength")):
        return "weights in other files"
    for number in range(model.OperatorCodesLength()):
        code = model.OperatorCodes(number)
        custom = schema.BuiltinOperator.CUSTOM in (code.BuiltinCode(), code.DeprecatedBuiltinCode())
        if custom or code.CustomCode():
            return f"the custom operation {code.CustomCode()!r}"
    if any(model.Buffers(number).Offset() for number in range(model.BuffersLength())):
        return "weights behind its flatbuffer"
    return None
