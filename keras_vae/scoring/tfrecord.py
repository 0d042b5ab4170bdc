"""TFRecord files without TensorFlow: where the records are, their bytes, and the features of a tf.train.Example."""

import functools
import struct
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from keras_vae.errors import UserError, required

Values = Sequence[bytes] | Sequence[float]
_HEADER, _FOOTER = 12, 4  # bytes: the length, uint64, with its checksum; the checksum of the data
_GZIP = b"\x1f\x8b"
# tf.train.Example of tensorflow/core/example/example.proto, and what it is made of: message -> field -> type.
_MESSAGES: dict[str, dict[str, str]] = {
    "Bytes": {"value": "repeated BYTES"},
    "Floats": {"value": "repeated FLOAT"},
    "Integers": {"value": "repeated INT64"},
    "Feature": {"bytes": "optional Bytes", "floats": "optional Floats", "integers": "optional Integers"},
    "Entry": {"key": "optional STRING", "value": "optional Feature"},
    "Features": {"entries": "repeated Entry"},
    "Example": {"features": "optional Features"},
}


def offsets(path: Path) -> np.ndarray:
    """Return where each record of a file begins, and where the last one ends, from one pass over the lengths.

    Raises:
      ValueError: a length that does not match its checksum, or a file that ends within a record.
      UserError: a compressed file.
    """
    state = path.stat()
    return _offsets(path, state.st_size, state.st_mtime_ns)


@functools.lru_cache(maxsize=16)  # each shard of a file opens it
def _offsets(path: Path, size: int, changed: int) -> np.ndarray:
    starts = array("q", [0])
    with path.open("rb") as file:
        while (start := starts[-1]) < size:
            length, checksum = file.read(8), file.read(_HEADER - 8)
            stop = start + _HEADER + int.from_bytes(length, "little") + _FOOTER
            if len(checksum) == 4 and checksum != _checksum(length):
                if start == 0 and length.startswith(_GZIP):
                    raise UserError(
                        f"A TFRecord file must not be compressed, as its rows are found by their lengths. Given: "
                        f"{path}, which is, by GZIP. Unpack it: gunzip < {path} > unpacked.tfrecord"
                    )
                raise ValueError(f"the length of its record {len(starts) - 1} does not match its checksum")
            if stop > size or len(checksum) < 4:
                raise ValueError(f"it ends within its record {len(starts) - 1}")
            file.seek(stop)
            starts.append(stop)
    return np.array(starts, "int64")


def record(file: BinaryIO, start: int, stop: int) -> bytes:
    """Return the data of the record from `start` until `stop`.

    Raises:
      ValueError: they do not match their checksum.
    """
    file.seek(start + _HEADER)
    data = file.read(stop - start - _HEADER - _FOOTER)
    if file.read(_FOOTER) != _checksum(data):
        raise ValueError("its data do not match their checksum")
    return data


def _checksum(data: bytes) -> bytes:
    """The masked CRC-32C: rotated right by 15 bits, plus a constant, as tensorflow/core/lib/hash/crc32c.h has it."""
    crc: int = required("google_crc32c", "keras_vae[tfrecord]").value(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def features(data: bytes) -> dict[str, Values]:
    """Return the features of an Example by name, or none where a record is something else."""
    if not data.startswith(b"\n"):  # the tag of an Example's only field
        return {}
    message, errors = _example()
    try:
        example = message.FromString(data)
    except errors:
        return {}
    return {
        entry.key: [value for _, values in entry.value.ListFields() for value in values.value]
        for entry in example.features.entries
    }


@functools.cache
def _example() -> tuple[Any, type[Exception]]:
    """The class of an Example, in a pool of its own, as TensorFlow puts one into protobuf's; and protobuf's error."""
    required("google.protobuf", "keras_vae[tfrecord]")
    from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory

    file = descriptor_pb2.FileDescriptorProto(name="example.proto", syntax="proto3")
    field_of = descriptor_pb2.FieldDescriptorProto
    for name, fields in _MESSAGES.items():
        described = file.message_type.add(name=name)
        for number, (field, words) in enumerate(fields.items(), 1):
            label, kind = words.split()
            entry = described.field.add(name=field, number=number)
            entry.label = field_of.Label.Value(f"LABEL_{label.upper()}")
            entry.type = field_of.Type.Value("TYPE_MESSAGE" if kind in _MESSAGES else f"TYPE_{kind}")
            if kind in _MESSAGES:
                entry.type_name = f".{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("Example")), message.DecodeError
