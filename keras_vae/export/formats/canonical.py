"""A canonical form of ONNX graphs: the order of nodes and all names follow from the graph alone.

tf2onnx numbers names by counters of the process, and orders nodes and loop states by the addresses of objects, so that
the same weights would be written as other bytes in every process.
"""

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import onnx
from onnx import helper, numpy_helper

from keras_vae.export.formats.onnx_graph import bodies_of, nodes_in, put

# TensorFlow's optimiser orders the inputs of these by name. Their results do not depend on the order, to the bit.
COMMUTATIVE = ("Add", "And", "Equal", "Max", "Min", "Mul", "Or", "Sum", "Xor")

Keys = dict[str, str]  # tensor -> a hash of how it is computed, independent of its name


def canonicalise(proto: onnx.ModelProto, name: str, batch: int | None = None) -> None:
    """Order nodes and loop states, name nodes and tensors by their position, and name the batch dimension `batch`.

    Loop states that always hold the same value, as two counters do, are merged. Unused nodes and weights are dropped.
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
        put(node.attribute, sorted(node.attribute, key=lambda attribute: attribute.name))
        for attribute in node.attribute:
            attribute.doc_string = attribute.t.name = ""
            if not attribute.HasField("t") or attribute.type != attribute.TENSOR:
                attribute.ClearField("t")
    put(proto.opset_import, sorted(proto.opset_import, key=lambda opset: opset.domain))
    for node in graph.node:
        for body in bodies_of(node):
            _drop_identities(body)
    keys = {value.name: f"input {value.name}" for value in graph.input}
    _keys_of(graph, keys, rewrite=True)
    _sort_nodes(graph)
    names = {value.name: value.name for value in [*graph.input, *graph.output]}
    _choose_names(graph, names, "")
    _rename(graph, names, {name: index for index, name in enumerate(names.values())})


def _key(*parts: object) -> str:
    return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()


def _keys_of(graph: onnx.GraphProto, keys: Keys, rewrite: bool = False) -> Keys:
    """Return `keys`, those of the enclosing graphs, and those of a graph. With `rewrite`, also order loop states."""
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
        attributes = [attribute for attribute in node.attribute if not attribute.HasField("g")]
        parts = [
            node.domain,
            node.op_type,
            *(attribute.SerializeToString(deterministic=True) for attribute in attributes),
        ]
        inputs = list(node.input)
        if node.op_type in COMMUTATIVE:
            inputs.sort(key=lambda name: keys[name])
            if rewrite:
                node.input[:] = inputs
        parts += [keys.get(name, "") for name in inputs]
        for body in bodies_of(node):
            inner = _keys_of(body, {**keys, **_by_position(body)}, rewrite)
            parts += [inner[value.name] for value in body.output]
        keys |= {made: _key(slot, *parts) for slot, made in enumerate(node.output) if made}
    return keys


def _drop_identities(body: onnx.GraphProto) -> None:
    """Remove identities of tensors that the body computes.

    tf2onnx has one where two outputs are equal, of either of them; `_separate_outputs` adds them again.
    """
    computed = {value.name for value in body.input}
    same: dict[str, Any] = {}
    for node in body.node:
        source = same.get(node.input[0], node.input[0]) if node.op_type == "Identity" else ""
        computed |= set(node.output)
        if source in computed:
            same[node.output[0]] = source
        for inner in bodies_of(node):
            _drop_identities(inner)
    _read_instead(body, same)


def _read_instead(graph: onnx.GraphProto, same: Mapping[str, str]) -> None:
    """Rename the inputs of all nodes of a graph, and its outputs, by `same`: old name -> new name."""
    for value in graph.output:
        value.name = same.get(value.name, value.name)
    for node in graph.node:
        node.input[:] = [same.get(name, name) for name in node.input]
        for body in bodies_of(node):
            _read_instead(body, same)


def _separate_outputs(body: onnx.GraphProto) -> None:
    """Add an identity for every output that repeats an earlier one."""
    seen: set[str] = set()
    for index, value in enumerate(body.output):
        if value.name in seen:
            copy = f"{body.output[0].name}/{index}"
            body.node.append(helper.make_node("Identity", [value.name], [copy]))
            value.name = copy
        seen.add(value.name)


def _by_position(body: onnx.GraphProto) -> Keys:
    return {value.name: f"body input {index}" for index, value in enumerate(body.input)}


def _loop_keys(graph: onnx.GraphProto, node: onnx.NodeProto, keys: Keys, rewrite: bool) -> None:
    """Add the keys of a loop's outputs: of the states' initial values, refined by iterations to a fixed point."""
    (body,) = bodies_of(node)
    count = len(node.input) - 2
    names = [value.name for value in body.input]
    outputs = [value.name for value in body.output]
    limits = [keys.get(name, "") for name in node.input[:2]]
    states = [_key(keys[name], *limits) for name in node.input[2:]]
    while True:
        body_keys = {**keys, names[0]: "iteration", names[1]: "condition", **dict(zip(names[2:], states, strict=True))}
        inner = _keys_of(body, dict(body_keys))
        later = [_key(key, inner[name], inner[outputs[0]]) for key, name in zip(states, outputs[1:], strict=False)]
        if len(set(later)) == len(set(states)):
            break
        states = later
    made = later + [_key("scan", inner[name], inner[outputs[0]], *limits) for name in outputs[1 + count :]]
    keys |= {name: key for name, key in zip(node.output, made, strict=True) if name}
    if rewrite:
        _order_states(graph, node, body, made)
        _keys_of(body, body_keys, rewrite=True)


def _order_states(graph: onnx.GraphProto, node: onnx.NodeProto, body: onnx.GraphProto, made: list[str]) -> None:
    """Order a loop's outputs, the states before the scans, by their keys; merge those with equal keys into the first.

    Once an iteration separates no more states, equal keys mean equal values in every iteration.
    """
    count, ends = len(node.input) - 2, {value.name for value in graph.output}
    public = [name if name in ends else "" for name in node.output]
    order = sorted(range(len(made)), key=lambda index: (index >= count, made[index], public[index]))
    kept: list[int] = []
    same: dict[str, str] = {}
    for index in order:
        equals = (other for other in kept if made[other] == made[index] and (other < count) == (index < count))
        first = next(equals, None)
        if first is None or public[index]:  # an output of the graph keeps its name
            kept.append(index)
            continue
        same[node.output[index]] = node.output[first]
        if index < count:
            same[body.input[2 + index].name] = body.input[2 + first].name
    states = [index for index in kept if index < count]
    inputs = [*node.input[:2], *(node.input[2 + index] for index in states)]
    results = [node.output[index] for index in kept]
    node.input[:], node.output[:] = inputs, results
    put(body.input, [*body.input[:2], *(body.input[2 + index] for index in states)])
    put(body.output, [body.output[0], *(body.output[1 + index] for index in kept)])
    _read_instead(graph, same)


def _sort_nodes(graph: onnx.GraphProto) -> None:
    """Sort nodes topologically, by a post-order walk from each output in turn."""
    for node in graph.node:
        for body in bodies_of(node):
            _separate_outputs(body)
            _sort_nodes(body)
    made_by = {made: index for index, node in enumerate(graph.node) for made in node.output if made}
    order: dict[int, None] = {}
    for value in graph.output:
        waiting = [iter([value.name])]
        path: list[int] = []
        while waiting:
            index = next((made_by[name] for name in waiting[-1] if made_by.get(name, -1) not in {-1, *order}), None)
            if index is not None:
                path.append(index)
                waiting.append(_read_by(graph.node[index]))
                continue
            waiting.pop()
            if path:
                order[path.pop()] = None
    put(graph.node, [graph.node[index] for index in order])


def _read_by(node: onnx.NodeProto) -> Iterator[str]:
    """Yield the tensors that a node and its bodies read."""
    yield from node.input
    for body in bodies_of(node):
        for inner in body.node:
            yield from _read_by(inner)
        yield from (value.name for value in body.output)


def _choose_names(graph: onnx.GraphProto, names: dict[str, str], prefix: str) -> None:
    for position, value in enumerate(graph.input):
        names.setdefault(value.name, f"{prefix}input_{position}")
    for position, node in enumerate(graph.node):
        node.name, node.doc_string = f"{prefix}{node.op_type}_{position}", ""
        for name in filter(None, node.input):  # nodes are sorted, so a tensor that none has made yet is a weight
            names.setdefault(name, f"weight_{len(names)}")
        for body in bodies_of(node):
            _choose_names(body, names, f"{node.name}/")
        for slot, made in enumerate(node.output):
            names.setdefault(made, f"{node.name}_{slot}" if made else "")


def _rename(graph: onnx.GraphProto, names: Mapping[str, str], positions: Mapping[str, int]) -> None:
    del graph.value_info[:]  # intermediate shapes, where each unknown size has a name
    for value in [*graph.input, *graph.output]:
        value.name = names[value.name]
    for node in graph.node:
        node.input[:] = [names.get(name, "") for name in node.input]
        node.output[:] = [names[made] for made in node.output]
        for body in bodies_of(node):
            body.name, body.doc_string = f"{node.name}_body", ""
            for value in [*body.input, *body.output]:
                for size in value.type.tensor_type.shape.dim:
                    size.dim_param = ""
            for value in body.output:  # which tf2onnx infers for some and not for others
                value.type.tensor_type.ClearField("shape")
            _rename(body, names, positions)
    weights = [tensor for tensor in graph.initializer if tensor.name in names]
    for tensor in weights:
        tensor.name = names[tensor.name]
    put(graph.initializer, sorted(weights, key=lambda tensor: positions[tensor.name]))
