"""A check that an ONNX file refers to no other files and no custom operations, by reading its protobuf without onnx."""

from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from keras_vae.errors import CorruptFileError

# message -> field number -> the message that it holds, for fields that lead to a tensor. A weight may lie in the main
# graph, in the body of an If or a Loop, in a function, or be sparse. From onnx.proto of ONNX 1.23,
# https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
_HOLDS: dict[str, dict[int, str]] = {
    "Model": {7: "Graph", 20: "TrainingInfo", 25: "Function"},
    "TrainingInfo": {1: "Graph", 2: "Graph"},
    "Function": {7: "Node", 11: "Attribute"},
    "Graph": {1: "Node", 5: "Tensor", 15: "SparseTensor"},
    "Node": {5: "Attribute"},
    "Attribute": {5: "Tensor", 6: "Graph", 10: "Tensor", 11: "Graph", 22: "SparseTensor", 23: "SparseTensor"},
    "SparseTensor": {1: "Tensor", 2: "Tensor"},
    "Tensor": {},
}
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14  # of a Tensor: where its weights are, and whether they are external
_DOMAINS = {b"", b"ai.onnx"}  # of operations: ONNX's own, which read no files; ONNX Runtime's contributed ones may
_DOMAIN = {"Node": 7, "Function": 10}  # message -> the field with the domain of its operation
_VARINT, _EIGHT_BYTES, _COUNTED, _FOUR_BYTES = 0, 1, 2, 5
# The bytes of 32 bits, 7 in each. Readers disagree on longer numbers, and no writer writes them.
_LONGEST = 5


def require_harmless(content: bytes, path: str | Path) -> None:
    """Raise CorruptFileError if an ONNX file keeps weights in another file, or has operations that are not ONNX's own.

    Every field that leads to a tensor is read as protobuf reads it, https://protobuf.dev/programming-guides/encoding/,
    so that no encoding hides one. Invalid protobuf, and encodings that no writer uses, are refused too.

    Args:
      content: of the file.
      path: of the file, for the message.
    """
    left = [("Model", 0, len(content))]
    while left:  # no recursion: a file may nest as deeply as it likes
        message, start, end = left.pop()
        holds = _HOLDS[message]
        for number, kind, first, last in _fields(content, start, end, path):
            if message == "Tensor" and (
                number == _EXTERNAL_DATA or (number == _DATA_LOCATION and any(content[first:last]))
            ):
                raise CorruptFileError(
                    f"{path} keeps its weights in another file (ONNX external data), which a bundle never does. Export "
                    f"the model again, and do not open this file."
                )
            if number == _DOMAIN.get(message) and (kind != _COUNTED or content[first:last] not in _DOMAINS):
                raise CorruptFileError(
                    f"{path} may hold ONNX's own operations only. Given: one of the domain "
                    f"{content[first:last][:50]!r}. Do not open this file."
                )
            if kind == _COUNTED and number in holds:
                left.append((holds[number], first, last))


def _fields(content: bytes, offset: int, end: int, path: str | Path) -> Iterator[tuple[int, int, int, int]]:
    """Yield number, wire type, start and end of the value of each field of the message in `content[offset:end]`."""
    while offset < end:
        key, offset = _number(content, offset, end, _LONGEST, path)
        number, kind, first = key >> 3, key & 7, offset
        if kind == _COUNTED:
            count, first = _number(content, offset, end, _LONGEST, path)
            offset = first + count
        elif kind == _VARINT:
            _, offset = _number(content, offset, end, 10, path)
        elif kind in (_EIGHT_BYTES, _FOUR_BYTES):
            offset += 8 if kind == _EIGHT_BYTES else 4
        else:
            _not_onnx(path, f"a field of the kind {kind}, at byte {offset}")
        if not number or offset > end:
            _not_onnx(path, f"a field that ends at byte {offset}, in a message that ends at byte {end}")
        yield number, kind, first, offset


def _number(content: bytes, offset: int, end: int, longest: int, path: str | Path) -> tuple[int, int]:
    """Return the varint at an offset, and the offset after it."""
    value = 0
    for shift in range(longest):
        if offset >= end:
            break
        byte = content[offset]
        offset += 1
        value |= (byte & 0x7F) << (7 * shift)
        if byte < 0x80:
            if longest == _LONGEST and value >> 32:
                break
            return value, offset
    _not_onnx(path, f"a number that is too long or cut off, at byte {offset}")


def _not_onnx(path: str | Path, problem: str) -> NoReturn:
    raise CorruptFileError(
        f"{path} must be an ONNX file as `keras-vae export` writes it. Given: {problem}. Export the model again, and "
        f"do not open this file."
    )
