"""What each format's own writer could have written, and never does: edits that a blind change of bytes rarely makes.

Every format has the same six: a value that is edited, an entry that is deleted, a header that lies about shape, dtype
or place, numbers that are not finite, nesting without end, and a text without end.
"""

import abc
import io
import json
import tomllib
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

Noise = np.random.Generator
_DEEP, _LONG = 100_000, 1_000_000
_ODD: list[Any] = [
    None,
    True,
    -1,
    0,
    3,
    0.5,
    1e308,
    10**30,
    "",
    "x",
    "../../x",
    [],
    {},
    [None],
    {"a": 1},
    [[1, 2], [3]],
]
_NAMES = ("/etc/passwd", "../../../x", "nul\x00l", "a\\b", "", ".", "..", "é\u202e", "x/" * 500)


class Format:
    """A file of bytes, of which nothing is known: words and places are changed at random."""

    def edit(self, content: bytes, noise: Noise) -> bytes:
        words = np.array([0, -1, 2**31 - 1, -(2**31), 7], "int32")
        return _place(content, words[noise.integers(len(words))].tobytes(), noise)

    def drop(self, content: bytes, noise: Noise) -> bytes:
        start = int(noise.integers(len(content)))
        return content[:start] + content[start + int(noise.integers(1, 200)) :]

    def lie(self, content: bytes, noise: Noise) -> bytes:
        head = bytearray(content)
        for _ in range(int(noise.integers(1, 8))):
            place = int(noise.integers(min(len(head), 256)))
            head[place : place + 1] = noise.bytes(1)
        return bytes(head)

    def poison(self, content: bytes, noise: Noise) -> bytes:
        for value in np.array([np.nan, np.inf, -3e38, 1e30], "float32"):
            content = _place(content, value.tobytes(), noise)
        return content

    def nest(self, content: bytes, noise: Noise) -> bytes:
        start = int(noise.integers(len(content)))
        return content[:start] + bytes([int(noise.choice(list(b"[{(<\x0a\x1a")))]) * _DEEP + content[start:]

    def lengthen(self, content: bytes, noise: Noise) -> bytes:
        start = int(noise.integers(len(content)))
        return content[:start] + b"A" * _LONG + content[start:]


class Json(Format):
    """A JSON document, and what Python's reader takes beyond JSON: NaN, endless integers."""

    def load(self, content: bytes) -> Any:
        return json.loads(content)

    def dump(self, value: Any) -> bytes:
        return json.dumps(value, indent=1).encode()

    def edit(self, content: bytes, noise: Noise) -> bytes:
        return self._at_random(content, noise, lambda old: _ODD[noise.integers(len(_ODD))])

    def drop(self, content: bytes, noise: Noise) -> bytes:
        value = self.load(content)
        places = list(_places(value))
        holder, key = places[noise.integers(len(places))]
        del holder[key]
        return self.dump(value)

    def lie(self, content: bytes, noise: Noise) -> bytes:
        value = self.load(content)
        words = ("shape", "dtype", "sha256", "bytes", "classes", "size", "kind", "name", "file", "files", "signature",
                 "class", "result", "schema", "latent_dim", "epochs", "format", "value", "x", "y")  # fmt: skip
        places = [(holder, key) for holder, key in _places(value) if key in words] or list(_places(value))
        holder, key = places[noise.integers(len(places))]
        holder[key] = _lied(holder[key], noise)
        return self.dump(value)

    def poison(self, content: bytes, noise: Noise) -> bytes:
        numbers = [float("nan"), float("inf"), float("-inf"), 1e300, -1e300]
        return self._at_random(content, noise, lambda old: numbers[noise.integers(len(numbers))], (int, float))

    def nest(self, content: bytes, noise: Noise) -> bytes:
        opened, closed = [(b"[", b"]"), (b'{"a":', b"}")][noise.integers(2)]
        depth = int(noise.choice([500, 5_000, _DEEP]))
        return self._in_place(content, noise, opened * depth + b"1" + closed * depth)

    def lengthen(self, content: bytes, noise: Noise) -> bytes:
        if noise.random() < 0.4:
            return self._in_place(content, noise, b"9" * int(noise.choice([400, 5_000, _LONG])))
        return self._in_place(content, noise, b'"' + b"A" * _LONG + b'"')

    def _at_random(self, content: bytes, noise: Noise, change: Callable[[Any], Any], kinds: Any = object) -> bytes:
        value = self.load(content)
        places = [(holder, key) for holder, key in _places(value) if isinstance(holder[key], kinds)]
        holder, key = (places or list(_places(value)))[noise.integers(len(places) or len(list(_places(value))))]
        holder[key] = change(holder[key])
        return self.dump(value)

    def _in_place(self, content: bytes, noise: Noise, text: bytes) -> bytes:
        """Put a text in the place of a value: it may be one that the writer could not write."""
        return self._at_random(content, noise, lambda old: "PLACE").replace(b'"PLACE"', text, 1)


class Toml(Json):
    """A TOML document."""

    def load(self, content: bytes) -> Any:
        return tomllib.loads(content.decode())

    def dump(self, value: Any) -> bytes:
        lines = [f"{_key(key)} = {_toml(item)}" for key, item in value.items() if not isinstance(item, dict)]
        for key, item in value.items():
            if isinstance(item, dict):
                lines += [f"[{_key(key)}]", *(f"{_key(name)} = {_toml(inner)}" for name, inner in item.items())]
        return "\n".join(lines).encode() + b"\n"

    def nest(self, content: bytes, noise: Noise) -> bytes:
        depth = int(noise.choice([200, 5_000, _DEEP]))
        if noise.random() < 0.5:
            return self._in_place(content, noise, b"[" * depth + b"1" + b"]" * depth)
        return content + b"\n[" + b".".join([b"a"] * depth) + b"]\n"


class Text(Format):
    """A table of comma-separated values."""

    def edit(self, content: bytes, noise: Noise) -> bytes:
        cells = content.split(b",")
        cells[noise.integers(len(cells))] = str(_ODD[noise.integers(len(_ODD))]).encode()
        return b",".join(cells)

    def poison(self, content: bytes, noise: Noise) -> bytes:
        cells = content.split(b",")
        cells[noise.integers(len(cells))] = [b"nan", b"inf", b"1e999"][noise.integers(3)]
        return b",".join(cells)


class Npy(Format):
    """A NumPy array: a header in Python's syntax, and numbers."""

    def edit(self, content: bytes, noise: Noise) -> bytes:
        array = np.load(io.BytesIO(content))
        kinds: list[Any] = [array.astype("int64"), array * 255, array.astype("complex64"), array.astype(str),
                            array[:0], array.reshape(-1), array.T, array.astype(bool), array.astype("M8[s]"),
                            array.astype([("a", "f4")]), np.float32(3), array.astype("S"), array - 1]  # fmt: skip
        return _npy(kinds[noise.integers(len(kinds))])

    def drop(self, content: bytes, noise: Noise) -> bytes:
        names = [b"'descr': ", b"'shape': ", b"'fortran_order': ", b"}", b"NUMPY"]
        return content.replace(names[noise.integers(len(names))], b"", 1)

    def lie(self, content: bytes, noise: Noise) -> bytes:
        start, end = content.index(b"{"), content.index(b"\n")
        shapes: list[Any] = [(10**12,), (10**12, 10**12), (-1, 4), (), (2**63,), (1.5,), "(4,)", (0, 2**62)]
        dtypes: list[Any] = [
            "|O",
            "<f8",
            "<f2",
            "|V1000000000",
            "<U1000000000",
            ">f4",
            "nonsense",
            5,
            "<f4,(9999999)f4",
        ]
        header = {"descr": "<f4", "fortran_order": False, "shape": (8, 4, 4, 1)}
        if noise.random() < 0.5:
            header["shape"] = shapes[noise.integers(len(shapes))]
        else:
            header["descr"] = dtypes[noise.integers(len(dtypes))]
        text = str(header).encode()
        padded = text + b" " * max(0, end - start - len(text))
        return content[:8] + len(padded + b"\n").to_bytes(2, "little") + padded + content[end:]

    def poison(self, content: bytes, noise: Noise) -> bytes:
        array = np.load(io.BytesIO(content)).copy()
        array.reshape(-1)[noise.integers(array.size)] = [np.nan, np.inf, -np.inf, 3e38][noise.integers(4)]
        return _npy(array)

    def nest(self, content: bytes, noise: Noise) -> bytes:
        depth = int(noise.choice([150, 5_000, 30_000]))
        head = b"{'descr': '<f4', 'fortran_order': False, 'shape': " + b"(" * depth + b"4," + b")" * depth + b"}\n"
        return b"\x93NUMPY\x01\x00" + min(len(head), 65535).to_bytes(2, "little") + head

    def lengthen(self, content: bytes, noise: Noise) -> bytes:
        head = b"{'descr': '<f4', 'fortran_order': False, 'shape': (4,), }" + b" " * int(noise.choice([20_000, _LONG]))
        return b"\x93NUMPY\x02\x00" + (len(head) + 1).to_bytes(4, "little") + head + b"\n" + content[128:]


class Npz(Format):
    """A zip of arrays, one of which may hold JSON under the name "head"."""

    def edit(self, content: bytes, noise: Noise) -> bytes:
        return self._member(content, noise, Npy().edit)

    def drop(self, content: bytes, noise: Noise) -> bytes:
        return self._member(content, noise, lambda member, noise: None)

    def lie(self, content: bytes, noise: Noise) -> bytes:
        if noise.random() < 0.3:  # in the directory at the archive's end
            place = int(noise.integers(content.index(b"PK\x01\x02"), len(content)))
            return content[:place] + noise.bytes(1) + content[place + 1 :]
        return self._member(content, noise, Npy().lie)

    def poison(self, content: bytes, noise: Noise) -> bytes:
        return self._member(content, noise, Npy().poison)

    def nest(self, content: bytes, noise: Noise) -> bytes:
        return self._head(content, noise, Json().nest) or self._member(content, noise, Npy().nest)

    def lengthen(self, content: bytes, noise: Noise) -> bytes:
        return self._head(content, noise, Json().lengthen) or self._member(content, noise, Npy().lengthen)

    def _head(self, content: bytes, noise: Noise, change: Any) -> bytes | None:
        members = _unzip(content)
        if "head.npy" not in members:
            return None
        text = change(str(np.load(io.BytesIO(members["head.npy"]))).encode(), noise).decode()
        return _zip(members | {"head.npy": _npy(np.array(text))})

    def _member(self, content: bytes, noise: Noise, change: Any) -> bytes:
        members = _unzip(content)
        name = list(members)[noise.integers(len(members))]
        if name == "head.npy":  # in the JSON that it holds
            odd = {"<lambda>": "drop"}.get(change.__name__, change.__name__)
            if odd == "drop" and noise.random() < 0.3:
                changed = None
            else:
                text = getattr(Json(), odd)(str(np.load(io.BytesIO(members[name]))).encode(), noise).decode()
                changed = _npy(np.array(text))
        else:
            try:
                changed = change(members[name], noise)
            except (ValueError, TypeError, IndexError):  # an array that cannot be changed so: a scalar, integers
                changed = Format.edit(self, members[name], noise)
        return _zip({key: value for key, value in (members | {name: changed}).items() if value is not None})


class Safetensors(Format):
    """Eight bytes of length, a header in JSON, and numbers."""

    def edit(self, content: bytes, noise: Noise) -> bytes:
        return self._header(content, lambda text: Json().edit(text, noise))

    def drop(self, content: bytes, noise: Noise) -> bytes:
        return self._header(content, lambda text: Json().drop(text, noise))

    def lie(self, content: bytes, noise: Noise) -> bytes:
        if noise.random() < 0.2:
            return int(noise.choice([0, 10**6, 2**40, 2**63 - 1])).to_bytes(8, "little") + content[8:]

        def lied(text: bytes) -> bytes:
            header = json.loads(text)
            tensors = [entry for name, entry in header.items() if name != "__metadata__"]
            entry = tensors[noise.integers(len(tensors))]
            key = ["shape", "dtype", "data_offsets"][noise.integers(3)]
            entry[key] = _lied(entry[key], noise)
            return json.dumps(header).encode()

        return self._header(content, lied)

    def poison(self, content: bytes, noise: Noise) -> bytes:
        size = int.from_bytes(content[:8], "little")
        header = json.loads(content[8 : 8 + size])
        floats = [entry for name, entry in header.items() if name != "__metadata__" and entry["dtype"][0] == "F"]
        entry = floats[noise.integers(len(floats))]
        dtype = {"F16": "float16", "F32": "float32", "F64": "float64"}[entry["dtype"]]
        first, last = entry["data_offsets"]
        width = np.dtype(dtype).itemsize
        place = 8 + size + first + width * int(noise.integers(max(1, (last - first) // width)))
        with np.errstate(over="ignore"):
            value = np.array([np.nan, np.inf, -np.inf, 6e4][noise.integers(4)]).astype(dtype).tobytes()
        return content[:place] + value + content[place + width :]

    def nest(self, content: bytes, noise: Noise) -> bytes:
        return self._header(content, lambda text: Json().nest(text, noise))

    def lengthen(self, content: bytes, noise: Noise) -> bytes:
        return self._header(content, lambda text: Json().lengthen(text, noise))

    def _header(self, content: bytes, change: Callable[[bytes], bytes]) -> bytes:
        size = int.from_bytes(content[:8], "little")
        text = change(content[8 : 8 + size])
        text += b" " * (-len(text) % 8)
        return len(text).to_bytes(8, "little") + text + content[8 + size :]


class Hdf5(Format):
    """HDF5, as Keras writes its weights."""

    def edit(self, content: bytes, noise: Noise) -> bytes:
        def change(file: Any, name: str) -> None:
            old = file[name][()]
            new: list[Any] = ["text", old.astype("complex64"), old.astype("int8"), old.astype("float64"),
                              np.array([b"x"]), old.astype("bool"), np.zeros(3, [("a", "f4")])]  # fmt: skip
            del file[name]
            file[name] = new[noise.integers(len(new))]

        return self._dataset(content, noise, change)

    def drop(self, content: bytes, noise: Noise) -> bytes:
        def change(file: Any, name: str) -> None:
            parts = name.split("/")
            del file["/".join(parts[: int(noise.integers(1, len(parts) + 1))])]

        return self._dataset(content, noise, change)

    def lie(self, content: bytes, noise: Noise) -> bytes:
        import h5py

        def change(file: Any, name: str) -> None:
            old = file[name][()]
            del file[name]
            kind = noise.integers(6)
            if kind == 0:
                file.create_dataset(name, shape=(10**12,), dtype="f4", chunks=(1024,), compression="gzip")
            elif kind == 1:
                file[name] = h5py.ExternalLink("/etc/hostname", "/")
            elif kind == 2:
                file[name] = h5py.SoftLink("/")
            elif kind == 3:
                file.create_dataset(name, shape=old.shape, dtype="f4", external=[("/etc/hostname", 0, 2**20)])
            elif kind == 4:
                file[name] = old.reshape(-1)[:-1] if old.size > 1 else np.zeros((2, 2), "f4")
            else:
                file[name] = np.zeros((*old.shape, 3), old.dtype)

        return self._dataset(content, noise, change)

    def poison(self, content: bytes, noise: Noise) -> bytes:
        def change(file: Any, name: str) -> None:
            values = np.atleast_1d(file[name][()]).astype("float32")
            values.reshape(-1)[noise.integers(values.size)] = [np.nan, np.inf, 3e38][noise.integers(3)]
            shape = file[name].shape
            del file[name]
            file[name] = values.reshape(shape)

        return self._dataset(content, noise, change)

    def nest(self, content: bytes, noise: Noise) -> bytes:
        def change(file: Any, name: str) -> None:
            file["/".join([name.split("/")[0], *["g"] * int(noise.choice([50, 500]))])] = 1.0

        return self._dataset(content, noise, change)

    def lengthen(self, content: bytes, noise: Noise) -> bytes:
        def change(file: Any, name: str) -> None:
            if noise.random() < 0.5:
                file["A" * 60_000] = 1.0
            else:
                file.create_group("a").attrs.create("long", "A" * 60_000)

        return self._dataset(content, noise, change)

    def _dataset(self, content: bytes, noise: Noise, change: Callable[[Any, str], None]) -> bytes:
        import h5py

        buffer = io.BytesIO(content)
        with h5py.File(buffer, "r+") as file:
            names: list[str] = []
            file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
            change(file, names[noise.integers(len(names))])
        return buffer.getvalue()


class Protobuf(Format, abc.ABC):
    """A graph of nodes as protobuf: ONNX, or a SavedModel."""

    @abc.abstractmethod
    def read(self, content: bytes) -> Any:
        """The message."""

    @abc.abstractmethod
    def nodes(self, proto: Any) -> list[Any]:
        """Its nodes, in branches and functions too."""

    @abc.abstractmethod
    def constants(self, proto: Any) -> list[Any]:
        """Its weights and constants."""

    @abc.abstractmethod
    def set_operation(self, node: Any, name: str) -> None:
        """Make a node another operation."""

    @abc.abstractmethod
    def shapes(self, proto: Any) -> list[Any]:
        """The shapes of its inputs and outputs."""

    def edit(self, content: bytes, noise: Noise) -> bytes:
        proto = self.read(content)
        lists = self.nodes(proto)
        node = lists[noise.integers(len(lists))]
        what = noise.integers(3)
        if what == 0:
            names = ["Identity", "Relu", "Nonsense", "", "If", "Loop", "ReadFile", "WriteFile", "PyFunc", "Print"]
            self.set_operation(node, names[noise.integers(len(names))])
        elif what == 1 and len(node.input):
            node.input[noise.integers(len(node.input))] = ["nowhere", "", node.name][noise.integers(3)]
        else:
            node.name = _NAMES[noise.integers(len(_NAMES))].replace("\x00", "")
        return proto.SerializeToString()

    def drop(self, content: bytes, noise: Noise) -> bytes:
        proto = self.read(content)
        lists = self.nodes(proto)
        lists[noise.integers(len(lists))].Clear()
        return proto.SerializeToString()

    def lie(self, content: bytes, noise: Noise) -> bytes:
        proto = self.read(content)
        places = self.shapes(proto)
        dims = places[noise.integers(len(places))]
        if len(dims):
            dims[noise.integers(len(dims))] = int([0, 1, 7, -5, 2**31, 2**62][noise.integers(6)])
        else:
            dims.append(2**40)
        return proto.SerializeToString()

    def poison(self, content: bytes, noise: Noise) -> bytes:
        proto = self.read(content)
        constants = [one for one in self.constants(proto) if len(self.raw(one)) >= 4]
        if not constants:
            return super().poison(content, noise)
        constant = constants[noise.integers(len(constants))]
        raw = bytearray(self.raw(constant))
        place = 4 * int(noise.integers(len(raw) // 4))
        raw[place : place + 4] = np.array([np.nan, np.inf, -3e38][noise.integers(3)], "float32").tobytes()
        self.set_raw(constant, bytes(raw))
        return proto.SerializeToString()

    def raw(self, constant: Any) -> bytes:
        return constant.raw_data

    def set_raw(self, constant: Any, raw: bytes) -> None:
        constant.raw_data = raw

    def nest(self, content: bytes, noise: Noise) -> bytes:
        """Field 7 of a model, 1 of a graph, 5 of a node and 6 of an attribute, again and again."""
        inner = b""
        for _ in range(int(noise.choice([50, 2_000]))):
            for number in (6, 5, 1):
                inner = bytes([number << 3 | 2]) + _varint(len(inner)) + inner
        return content + bytes([7 << 3 | 2]) + _varint(len(inner)) + inner

    def lengthen(self, content: bytes, noise: Noise) -> bytes:
        proto = self.read(content)
        lists = self.nodes(proto)
        lists[noise.integers(len(lists))].name = "A" * _LONG
        return proto.SerializeToString()


class Onnx(Protobuf):
    """ONNX."""

    def read(self, content: bytes) -> Any:
        import onnx

        return onnx.ModelProto.FromString(content)

    def nodes(self, proto: Any) -> list[Any]:
        return list(proto.graph.node)

    def constants(self, proto: Any) -> list[Any]:
        return list(proto.graph.initializer)

    def set_operation(self, node: Any, name: str) -> None:
        node.op_type = name

    def shapes(self, proto: Any) -> list[Any]:
        return [tensor.dims for tensor in proto.graph.initializer]

    def lie(self, content: bytes, noise: Noise) -> bytes:
        if noise.random() < 0.6:
            return super().lie(content, noise)
        proto = self.read(content)
        tensor = proto.graph.initializer[noise.integers(len(proto.graph.initializer))]
        what = noise.integers(3)
        if what == 0:
            tensor.data_type = int(noise.integers(0, 30))
        elif what == 1:
            tensor.data_location = 1
            tensor.external_data.add(key="location", value="/etc/hostname")
        else:
            proto.opset_import[0].version = int([0, 1, 999, -1][noise.integers(4)])
        return proto.SerializeToString()


class SavedModel(Protobuf):
    """The graph of a SavedModel."""

    def read(self, content: bytes) -> Any:
        from tensorflow.core.protobuf import saved_model_pb2

        return saved_model_pb2.SavedModel.FromString(content)

    def nodes(self, proto: Any) -> list[Any]:
        graph = proto.meta_graphs[0].graph_def
        return [*graph.node, *(node for function in graph.library.function for node in function.node_def)]

    def constants(self, proto: Any) -> list[Any]:
        return [node.attr["value"].tensor for node in self.nodes(proto) if node.op == "Const"]

    def set_operation(self, node: Any, name: str) -> None:
        node.op = name

    def shapes(self, proto: Any) -> list[Any]:
        return [node.attr["shape"].shape.dim for node in self.nodes(proto) if "shape" in node.attr]

    def lie(self, content: bytes, noise: Noise) -> bytes:
        proto = self.read(content)
        places = [dim for dims in self.shapes(proto) for dim in dims]
        places[noise.integers(len(places))].size = int([0, 1, 7, -5, 2**31, 2**62][noise.integers(6)])
        return proto.SerializeToString()

    def raw(self, constant: Any) -> bytes:
        return constant.tensor_content

    def set_raw(self, constant: Any, raw: bytes) -> None:
        constant.tensor_content = raw


class Xml(Format):
    """The graph of OpenVINO."""

    def edit(self, content: bytes, noise: Noise) -> bytes:
        return self._attribute(content, noise, lambda old: str(_ODD[noise.integers(len(_ODD))]))

    def drop(self, content: bytes, noise: Noise) -> bytes:
        root, elements = self._elements(content)
        parent = [element for element in elements if len(element)][noise.integers(sum(len(e) > 0 for e in elements))]
        parent.remove(parent[noise.integers(len(parent))])
        return _xml(root)

    def lie(self, content: bytes, noise: Noise) -> bytes:
        numbers = ["0", "-1", "999999999999", "2147483648", "7", "i64", "f16", "1,1,1"]
        return self._attribute(content, noise, lambda old: numbers[noise.integers(len(numbers))], "shape size offset "
                               "element_type precision from-layer to-layer from-port to-port id")  # fmt: skip

    def poison(self, content: bytes, noise: Noise) -> bytes:
        return self._attribute(content, noise, lambda old: ["nan", "inf", "1e999"][noise.integers(3)])

    def nest(self, content: bytes, noise: Noise) -> bytes:
        depth = int(noise.choice([1_000, 20_000]))
        return content.replace(b"<layers>", b"<layers>" + b"<a>" * depth + b"</a>" * depth, 1)

    def lengthen(self, content: bytes, noise: Noise) -> bytes:
        return self._attribute(content, noise, lambda old: "A" * _LONG)

    def _elements(self, content: bytes) -> tuple[Any, list[Any]]:
        from xml.etree import ElementTree

        root = ElementTree.fromstring(content)
        return root, list(root.iter())

    def _attribute(self, content: bytes, noise: Noise, change: Callable[[str], str], names: str = "") -> bytes:
        root, elements = self._elements(content)
        places = [(element, key) for element in elements for key in element.attrib if not names or key in names.split()]
        element, key = places[noise.integers(len(places))]
        element.set(key, change(element.get(key)))
        return _xml(root)


def _xml(root: Any) -> bytes:
    from xml.etree import ElementTree

    return b'<?xml version="1.0"?>\n' + ElementTree.tostring(root)


def _place(content: bytes, word: bytes, noise: Noise) -> bytes:
    place = 4 * int(noise.integers(max(1, len(content) // 4)))
    return content[:place] + word + content[place + len(word) :]


def _places(value: Any, depth: int = 0) -> Iterator[tuple[Any, Any]]:
    """Holder and key of the values in a document; of a long list, its first items."""
    items = value.items() if isinstance(value, dict) else enumerate(value[:4]) if isinstance(value, list) else ()
    for key, item in list(items):
        yield value, key
        if depth < 30:
            yield from _places(item, depth + 1)


def _lied(old: Any, noise: Noise) -> Any:
    """Something of the same kind, and wrong."""
    if isinstance(old, bool) or old is None:
        return not old
    if isinstance(old, int | float):
        return [old + 1, -old, 0, 10**15, old * 2, 2**63][noise.integers(6)]
    if isinstance(old, str):
        names = [*_NAMES, "float64", "I64", "F64", "BF16", "index", "tokens", "image", "label", "VAE", old[::-1]]
        return names[noise.integers(len(names))]
    if isinstance(old, list) and old:
        changed = list(old)
        place = int(noise.integers(len(changed)))
        changed[place] = _lied(changed[place], noise)
        return [changed, old[:-1], [*old, 1], old[::-1]][noise.integers(4)]
    return [1] if isinstance(old, list) else {"x": old}


def _key(key: str) -> str:
    return json.dumps(key)


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_key(key)} = {_toml(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, float):
        return repr(value).replace("Infinity", "inf").replace("NaN", "nan")
    return json.dumps("" if value is None else value)


def _varint(number: int) -> bytes:
    parts = []
    while number >= 128:
        parts.append(number & 127 | 128)
        number >>= 7
    return bytes([*parts, number])


def _npy(array: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def _unzip(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _zip(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()
