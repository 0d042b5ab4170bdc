"""The same ONNX graph with fewer nodes: what tf2onnx leaves behind is folded, merged or dropped.

Only what holds for every input is rewritten. Export compares the outputs with Keras's afterwards, as of any file.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper


class _Graph:
    """A graph with its nodes by what they make, and its weights by name."""

    def __init__(self, proto: Any) -> None:
        self.proto, self.graph = proto, proto.graph
        self.weights = {each.name: each for each in self.graph.initializer}
        self.made_by = {made: node for node in self.graph.node for made in node.output}
        self.outputs = {each.name for each in self.graph.output}

    def maker(self, name: str, op_type: str) -> Any:
        """The node of this type that makes a tensor, or None."""
        node = self.made_by.get(name)
        return node if node is not None and node.op_type == op_type else None

    def before(self, node: Any, place: int, op_type: str) -> Any:
        """The node of this type that makes a node's input, or None; None of None."""
        return None if node is None else self.maker(node.input[place], op_type)

    def array(self, name: str) -> Any:
        """A weight, or what a Constant holds."""
        if name in self.weights:
            return numpy_helper.to_array(self.weights[name])
        node = self.maker(name, "Constant")
        if node is None or not node.attribute[0].HasField("t"):
            return None
        return numpy_helper.to_array(node.attribute[0].t)

    def add(self, name: str, array: np.ndarray) -> str:
        """A new weight."""
        self.graph.initializer.append(numpy_helper.from_array(array, name))
        self.weights[name] = self.graph.initializer[-1]
        return name

    def replace(self, old: str, new: str) -> bool:
        """Let all readers of a tensor read another; not possible for an output of the graph."""
        if old in self.outputs:
            return False
        for node in _nodes(self.graph):
            node.input[:] = [new if name == old else name for name in node.input]
        return True


def slim(proto: Any) -> None:
    """Rewrite a `ModelProto` in place: constant shapes, one reshape or transpose where there were two, no identities.

    From opset 17 on, the 13 nodes of a layer normalisation become the operator; a group normalisation keeps its 15,
    since the operator takes a scale for each channel, as Keras has it, from opset 21 on. Nodes and weights that nothing
    reads any more go.
    """
    graph = _Graph(proto)
    sizes = _sizes(proto)
    fused = max(each.version for each in proto.opset_import if each.domain == "") >= 17
    for node in list(proto.graph.node):
        if node.op_type == "Reshape":
            _constant_shape(graph, node, sizes)
            _one_reshape(graph, node)
        elif node.op_type == "Transpose":
            _one_transpose(graph, node)
        elif node.op_type == "Identity":
            graph.replace(node.output[0], node.input[0])
        elif node.op_type == "Add" and fused:
            _layer_normalisation(graph, node, sizes)
    _drop_unread(proto.graph)


def _constant_shape(graph: _Graph, node: Any, sizes: dict[str, tuple[int | None, ...]]) -> None:
    """A shape of one size that is read off at run time and constants: -1 and those constants."""
    cast = graph.maker(node.input[1], "Cast")
    joined = graph.maker(cast.input[0] if cast is not None else node.input[1], "Concat")
    if joined is None:
        return
    parts = [graph.array(name) for name in joined.input]
    open_parts = [name for name, part in zip(joined.input, parts, strict=True) if part is None]
    known = [part.ravel() for part in parts if part is not None]
    if len(open_parts) != 1 or sizes.get(open_parts[0]) != (1,) or any((part <= 0).any() for part in known):
        return
    shape = np.concatenate([np.array([-1]) if part is None else part.ravel() for part in parts]).astype("int64")
    node.input[1] = graph.add(f"{node.output[0]}/shape", shape)


def _one_reshape(graph: _Graph, node: Any) -> None:
    """A reshape of a reshape: the second, if its shape is constant and copies no size of the first."""
    first, shape = graph.maker(node.input[0], "Reshape"), graph.array(node.input[1])
    if first is not None and shape is not None and (shape != 0).all():
        node.input[0] = first.input[0]


def _one_transpose(graph: _Graph, node: Any) -> None:
    """A transpose of a transpose: one, or none if they undo each other."""
    first = graph.maker(node.input[0], "Transpose")
    if first is None or not first.attribute or not node.attribute:
        return
    inner, outer = list(first.attribute[0].ints), list(node.attribute[0].ints)
    both = [inner[axis] for axis in outer]
    if both == sorted(both):
        graph.replace(node.output[0], first.input[0])
    else:
        node.input[0] = first.input[0]
        node.attribute[0].ints[:] = both


def _layer_normalisation(graph: _Graph, node: Any, sizes: dict[str, tuple[int | None, ...]]) -> None:
    """x * inv + (beta - mean * inv), with inv = gamma / sqrt(var + epsilon) over the last axis: LayerNormalization."""
    scaled, shift = (graph.maker(name, op) for name, op in zip(node.input, ("Mul", "Add"), strict=True))
    moved = graph.before(shift, 0, "Mul")
    negated = graph.before(moved, 0, "Neg")
    inverse = graph.before(scaled, 1, "Mul")
    root = _chain(graph, inverse, "Reciprocal", "Sqrt", "Add")
    squares = _chain(graph, root, "ReduceMean", "Mul")
    centred = graph.before(squares, 0, "Sub")
    if None in (scaled, moved, negated, centred) or moved.input[1] != scaled.input[1]:
        return
    x, (gamma, beta, epsilon) = scaled.input[0], (graph.array(each.input[1]) for each in (inverse, shift, root))
    means = [graph.maker(name, "ReduceMean") for name in (negated.input[0], root.input[0])]
    axes, size = [_axes(graph, mean) for mean in means], sizes.get(x)
    if (
        None in means
        or size is None
        or any(each not in ([-1], [len(size) - 1]) for each in axes)
        or list(centred.input) != [x, negated.input[0]]
        or list(squares.input) != [centred.output[0]] * 2
        or means[0].input[0] != x
        or any(each is None for each in (gamma, beta, epsilon))
        or not gamma.size == beta.size == size[-1]
        or epsilon.size != 1
    ):
        return
    name = node.output[0]
    given = [x, graph.add(f"{name}/scale", gamma.ravel()), graph.add(f"{name}/shift", beta.ravel())]
    node.CopyFrom(
        onnx.helper.make_node("LayerNormalization", given, [name], axis=-1, epsilon=float(epsilon.ravel()[0]))
    )


def _chain(graph: _Graph, node: Any, *op_types: str) -> Any:
    """The node of the last of these types, up the first inputs; None if another stands in between."""
    for op_type in op_types:
        node = graph.maker(node.input[0], op_type) if node is not None else None
    return node


def _axes(graph: _Graph, node: Any) -> list[int] | None:
    """The axes of a ReduceMean that keeps them: an input since opset 18, an attribute before."""
    if node is None:
        return None
    known = {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}
    given = graph.array(node.input[1]) if len(node.input) > 1 else known.get("axes")
    return None if given is None or not known.get("keepdims", 1) else [int(axis) for axis in given]


def _drop_unread(graph: Any) -> None:
    wanted = {each.name for each in graph.output}
    kept = []
    for node in reversed(graph.node):
        if wanted & set(node.output):
            kept.append(node)
            wanted |= {name for each in (node, *_inner(node)) for name in each.input}
            # A body's outputs may be tensors of the graph around it.
            wanted |= {each.name for body in _bodies(node) for each in body.output}
    del graph.node[:]
    graph.node.extend(reversed(kept))
    weights = [each for each in graph.initializer if each.name in wanted]
    copies = [type(each).FromString(each.SerializeToString()) for each in weights]
    del graph.initializer[:]
    graph.initializer.extend(copies)


def _sizes(proto: Any) -> dict[str, tuple[int | None, ...]]:
    """The shape of each tensor as far as ONNX infers it; None for a size that is open."""
    inferred = onnx.shape_inference.infer_shapes(proto, data_prop=True)
    return {
        value.name: tuple(
            size.dim_value if size.HasField("dim_value") else None for size in value.type.tensor_type.shape.dim
        )
        for value in [*inferred.graph.input, *inferred.graph.value_info]
        if value.type.tensor_type.HasField("shape")
    }


def _bodies(node: Any) -> list[Any]:
    return [
        each
        for attribute in node.attribute
        for each in [*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])]
    ]


def _inner(node: Any) -> Iterator[Any]:
    for body in _bodies(node):
        yield from _nodes(body)


def _nodes(graph: Any) -> Iterator[Any]:
    for node in graph.node:
        yield node
        yield from _inner(node)
