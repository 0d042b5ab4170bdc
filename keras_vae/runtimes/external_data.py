"""An ONNX file may name other files of the computer that opens it. Refused, by reading the file without onnx."""

from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from keras_vae.errors import CorruptFileError

# message -> the number of a field -> the message that it holds, of those on the way to a tensor. A weight may lie in
# the main graph, in the body of an If or a Loop, in a function, or be sparse. From onnx.proto of ONNX 1.23,
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
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14  # of a Tensor: where its weights are, and that they are elsewhere
_VARINT, _EIGHT_BYTES, _COUNTED, _FOUR_BYTES = 0, 1, 2, 5
# Numbers of more bytes are read differently by different readers, and no writer writes them: 32 bits, of 7 a byte.
_LONGEST = 5


def refuse_external_data(content: bytes, path: str | Path) -> None:
    """Raise CorruptFileError if an ONNX file asks for weights in another file of the computer it is opened on.

    Every field on the way to a tensor is read as protobuf reads it, https://protobuf.dev/programming-guides/encoding/,
    so that no spelling of a field hides it. What is no protobuf, or spelled as no writer does, is refused too.

    Args:
      content: of the file.
      path: for the message.
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
            if kind == _COUNTED and number in holds:
                left.append((holds[number], first, last))


def _fields(content: bytes, place: int, end: int, path: str | Path) -> Iterator[tuple[int, int, int, int]]:
    """Of each field of the message in `content[place:end]`: its number, its kind, and where its value lies."""
    while place < end:
        key, place = _number(content, place, end, _LONGEST, path)
        number, kind, first = key >> 3, key & 7, place
        if kind == _COUNTED:
            count, first = _number(content, place, end, _LONGEST, path)
            place = first + count
        elif kind == _VARINT:
            _, place = _number(content, place, end, 10, path)
        elif kind in (_EIGHT_BYTES, _FOUR_BYTES):
            place += 8 if kind == _EIGHT_BYTES else 4
        else:
            _not_onnx(path, f"a field of the kind {kind}, at byte {place}")
        if not number or place > end:
            _not_onnx(path, f"a field that ends at byte {place}, in a message that ends at byte {end}")
        yield number, kind, first, place


def _number(content: bytes, place: int, end: int, longest: int, path: str | Path) -> tuple[int, int]:
    """The varint at a place, and the place behind it."""
    value = 0
    for shift in range(longest):
        if place >= end:
            break
        byte = content[place]
        place += 1
        value |= (byte & 0x7F) << (7 * shift)
        if byte < 0x80:
            if longest == _LONGEST and value >> 32:
                break
            return value, place
    _not_onnx(path, f"a number that is too long or cut off, at byte {place}")


def _not_onnx(path: str | Path, given: str) -> NoReturn:
    raise CorruptFileError(
        f"{path} must be an ONNX file as `keras-vae export` writes it. Given: {given}. Export the model again, and do "
        f"not open this file."
    )
