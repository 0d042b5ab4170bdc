"""One form for all ONNX graphs that compute the same in the same way: order and names follow from the graph alone.

tf2onnx numbers names by counters of the process, and orders nodes and the states of loops by the addresses of objects,
so that the same weights would give other bytes in every process.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, MutableSequence
from typing import Any

import onnx
from onnx import helper, numpy_helper

from keras_vae.export.formats.onnx_graph import AnyMessage, bodies_of, nodes_in

# TensorFlow's own optimiser orders what these read by name. Their results are the same to the bit.
COMMUTATIVE = ("Add", "And", "Equal", "Max", "Min", "Mul", "Or", "Sum", "Xor")

Keys = dict[str, str]  # tensor -> what it is, told by how it is computed and not by its name


def canonicalise(proto: onnx.ModelProto, name: str, batch: int | None = None) -> None:
    """Order nodes and the states of loops, name nodes and tensors by their position, and name the batch `batch`.

    States of a loop that always hold the same, as two counters do, become one. What nothing reads is dropped.
    """
    graph = proto.graph
    proto.doc_string = ""
    graph.name, graph.doc_string = name, ""
    for value in [*graph.input, *graph.output]:
        size = value.type.tensor_type.shape.dim[0]
        if batch is None:
            size.dim_param = "batch"
        else:
            size.dim_value = batch
    for node in nodes_in(graph.node):
        _put(node.attribute, sorted(node.attribute, key=lambda attribute: attribute.name))
        for attribute in node.attribute:
            attribute.doc_string = attribute.t.name = ""
            if not attribute.HasField("t") or attribute.type != attribute.TENSOR:
                attribute.ClearField("t")
    _put(proto.opset_import, sorted(proto.opset_import, key=lambda each: each.domain))
    for node in graph.node:
        for body in bodies_of(node):
            _drop_identities(body)
    keys = {value.name: f"input {value.name}" for value in graph.input}
    _keys_of(graph, keys, rewrite=True)
    _sort_nodes(graph)
    names = {value.name: value.name for value in [*graph.input, *graph.output]}
    _choose_names(graph, names, "")
    _rename(graph, names, {name: place for place, name in enumerate(names.values())})


def _key(*parts: object) -> str:
    return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()


def _put(held: MutableSequence[AnyMessage], new: Iterable[AnyMessage]) -> None:
    """Other contents for a repeated field."""
    copies = [type(each).FromString(each.SerializeToString()) for each in new]
    del held[:]
    held.extend(copies)


def _keys_of(graph: onnx.GraphProto, keys: Keys, rewrite: bool = False) -> Keys:
    """The keys of all tensors of a graph, and of those around it, `keys`. `rewrite`: put the states in their order."""
    for tensor in graph.initializer:
        if tensor.name not in keys:
            array = numpy_helper.to_array(tensor)
            keys[tensor.name] = _key(array.dtype, array.shape, hashlib.sha256(array.tobytes()).hexdigest())
    for node in graph.node:
        if node.op_type == "Loop":
            _loop_keys(graph, node, keys, rewrite)
            continue
        if node.op_type == "Identity" and node.input[0] in keys:
            keys[node.output[0]] = keys[node.input[0]]
            continue
        said = [each for each in node.attribute if not each.HasField("g")]
        parts = [node.domain, node.op_type, *(each.SerializeToString(deterministic=True) for each in said)]
        if node.op_type in COMMUTATIVE:
            ordered = sorted(node.input, key=lambda name: keys[name])
            node.input[:] = ordered if rewrite else node.input
        else:
            ordered = node.input
        parts += [keys.get(name, "") for name in ordered]
        for body in bodies_of(node):
            inner = _keys_of(body, {**keys, **_by_place(body)}, rewrite)
            parts += [inner[value.name] for value in body.output]
        keys |= {made: _key(slot, *parts) for slot, made in enumerate(node.output) if made}
    return keys


def _drop_identities(body: onnx.GraphProto) -> None:
    """Of what the body makes. tf2onnx has one where two outputs are the same: of either. `_apart` puts them back."""
    own = {value.name for value in body.input}
    same: dict[str, Any] = {}
    for node in body.node:
        given = same.get(node.input[0], node.input[0]) if node.op_type == "Identity" else ""
        own |= set(node.output)
        if given in own:
            same[node.output[0]] = given
        for inner in bodies_of(node):
            _drop_identities(inner)
    _read_instead(body, same)


def _read_instead(graph: onnx.GraphProto, same: Mapping[str, str]) -> None:
    """Let all readers in a graph, its outputs among them, read other tensors."""
    for value in graph.output:
        value.name = same.get(value.name, value.name)
    for node in graph.node:
        node.input[:] = [same.get(name, name) for name in node.input]
        for body in bodies_of(node):
            _read_instead(body, same)


def _apart(body: onnx.GraphProto) -> None:
    """An identity for every output that is another one too."""
    seen: set[str] = set()
    for place, value in enumerate(body.output):
        if value.name in seen:
            copy = f"{body.output[0].name}/{place}"
            body.node.append(helper.make_node("Identity", [value.name], [copy]))
            value.name = copy
        seen.add(value.name)


def _by_place(body: onnx.GraphProto) -> Keys:
    return {value.name: f"body input {place}" for place, value in enumerate(body.input)}


def _loop_keys(graph: onnx.GraphProto, node: onnx.NodeProto, keys: Keys, rewrite: bool) -> None:
    """A state's key tells its first value, then what one round makes of it, then two, until no more differ."""
    (body,) = bodies_of(node)
    count = len(node.input) - 2
    names = [value.name for value in body.input]
    outputs = [value.name for value in body.output]
    limits = [keys.get(name, "") for name in node.input[:2]]
    states = [_key(keys[given], *limits) for given in node.input[2:]]
    while True:
        known = {**keys, names[0]: "iteration", names[1]: "condition", **dict(zip(names[2:], states, strict=True))}
        inner = _keys_of(body, dict(known))
        later = [_key(key, inner[name], inner[outputs[0]]) for key, name in zip(states, outputs[1:], strict=False)]
        if len(set(later)) == len(set(states)):
            break
        states = later
    made = later + [_key("scan", inner[name], inner[outputs[0]], *limits) for name in outputs[1 + count :]]
    keys |= {name: key for name, key in zip(node.output, made, strict=True) if name}
    if rewrite:
        _order_states(graph, node, body, made)
        _keys_of(body, known, rewrite=True)


def _order_states(graph: onnx.GraphProto, node: onnx.NodeProto, body: onnx.GraphProto, made: list[str]) -> None:
    """States, then what is gathered over the rounds, each in the order of its keys; of equals the first stands for all.

    Equal keys, when no round tells more states apart, mean equal values in every round.
    """
    count, ends = len(node.input) - 2, {value.name for value in graph.output}
    public = [name if name in ends else "" for name in node.output]
    order = sorted(range(len(made)), key=lambda place: (place >= count, made[place], public[place]))
    kept: list[int] = []
    same: dict[str, str] = {}
    for place in order:
        first = next((each for each in kept if made[each] == made[place] and (each < count) == (place < count)), None)
        if first is None or public[place]:  # what a graph promises keeps its name
            kept.append(place)
            continue
        same[node.output[place]] = node.output[first]
        if place < count:
            same[body.input[2 + place].name] = body.input[2 + first].name
    states = [place for place in kept if place < count]
    inputs = [*node.input[:2], *(node.input[2 + place] for place in states)]
    results = [node.output[place] for place in kept]
    node.input[:], node.output[:] = inputs, results
    _put(body.input, [*body.input[:2], *(body.input[2 + place] for place in states)])
    _put(body.output, [body.output[0], *(body.output[1 + place] for place in kept)])
    _read_instead(graph, same)


def _sort_nodes(graph: onnx.GraphProto) -> None:
    """What the first output needs, deepest first, then what the second needs besides, and so on."""
    for node in graph.node:
        for body in bodies_of(node):
            _apart(body)
            _sort_nodes(body)
    made_by = {made: place for place, node in enumerate(graph.node) for made in node.output if made}
    order: dict[int, None] = {}
    for value in graph.output:
        waiting = [iter([value.name])]
        path: list[int] = []
        while waiting:
            place = next((made_by[name] for name in waiting[-1] if made_by.get(name, -1) not in {-1, *order}), None)
            if place is not None:
                path.append(place)
                waiting.append(_read_by(graph.node[place]))
                continue
            waiting.pop()
            if path:
                order[path.pop()] = None
    _put(graph.node, [graph.node[place] for place in order])


def _read_by(node: onnx.NodeProto) -> Iterator[str]:
    """The tensors that a node reads, and those of the graph around them that its bodies do."""
    yield from node.input
    for body in bodies_of(node):
        for each in body.node:
            yield from _read_by(each)
        yield from (value.name for value in body.output)


def _choose_names(graph: onnx.GraphProto, names: dict[str, str], prefix: str) -> None:
    for position, value in enumerate(graph.input):
        names.setdefault(value.name, f"{prefix}input_{position}")
    for position, node in enumerate(graph.node):
        node.name, node.doc_string = f"{prefix}{node.op_type}_{position}", ""
        for given in filter(None, node.input):  # nodes are in the order of computation: what none has made is a weight
            names.setdefault(given, f"weight_{len(names)}")
        for body in bodies_of(node):
            _choose_names(body, names, f"{node.name}/")
        for slot, made in enumerate(node.output):
            names.setdefault(made, f"{node.name}_{slot}" if made else "")


def _rename(graph: onnx.GraphProto, names: Mapping[str, str], places: Mapping[str, int]) -> None:
    del graph.value_info[:]  # shapes in between, with a name of its own for each unknown size
    for value in [*graph.input, *graph.output]:
        value.name = names[value.name]
    for node in graph.node:
        node.input[:] = [names.get(given, "") for given in node.input]
        node.output[:] = [names[made] for made in node.output]
        for body in bodies_of(node):
            body.name, body.doc_string = f"{node.name}_body", ""
            for value in [*body.input, *body.output]:
                for size in value.type.tensor_type.shape.dim:
                    size.dim_param = ""
            for value in body.output:  # of which tf2onnx knows more or less by chance
                value.type.tensor_type.ClearField("shape")
            _rename(body, names, places)
    weights = [tensor for tensor in graph.initializer if tensor.name in names]
    for tensor in weights:
        tensor.name = names[tensor.name]
    _put(graph.initializer, sorted(weights, key=lambda tensor: places[tensor.name]))
