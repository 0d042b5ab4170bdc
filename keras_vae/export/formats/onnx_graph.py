"""An ONNX graph for rewriting, with nodes indexed by their outputs, and weights by name."""

from collections.abc import Iterable, Iterator, MutableSequence, Sequence
from typing import Any, TypeVar

import numpy as np
import onnx
from google.protobuf.message import Message
from onnx import numpy_helper

AnyMessage = TypeVar("AnyMessage", bound=Message)
Sizes = dict[str, tuple[Any, ...]]  # tensor -> its shape; None for an open size


class OnnxGraph:
    """A `ModelProto`'s graph, its nodes in the order of computation; `write` puts them back.

    Args:
      proto: the model.
    """

    def __init__(self, proto: onnx.ModelProto) -> None:
        self.graph, self.nodes = proto.graph, list(proto.graph.node)
        self.opset = max(opset.version for opset in proto.opset_import if opset.domain == "")
        self.sizes = sizes_of(proto)
        self.weights = {tensor.name: tensor for tensor in self.graph.initializer}
        self.made_by = {made: node for node in self.nodes for made in node.output}
        self.outputs = {value.name for value in self.graph.output}

    def maker(self, name: str, op_type: str) -> Any:
        """Return the node of this type that computes a tensor, or None."""
        node = self.made_by.get(name)
        return node if node is not None and node.op_type == op_type else None

    def before(self, node: onnx.NodeProto | None, index: int, op_type: str) -> Any:
        """Return the node of this type that computes a node's input, or None; None of None."""
        return None if node is None else self.maker(node.input[index], op_type)

    def chain(self, node: onnx.NodeProto | None, *op_types: str) -> Any:
        """Return the node reached through first inputs of nodes of these types in turn, or None."""
        for op_type in op_types:
            node = self.before(node, 0, op_type)
        return node

    def array(self, name: str) -> Any:
        """Return the array of a weight or a Constant, or None."""
        if name in self.weights:
            return numpy_helper.to_array(self.weights[name])
        node = self.maker(name, "Constant")
        if node is None or not node.attribute[0].HasField("t"):
            return None
        return numpy_helper.to_array(node.attribute[0].t)

    def add(self, name: str, array: np.ndarray) -> str:
        """Add a weight, and return its name."""
        self.graph.initializer.append(numpy_helper.from_array(array, name))
        self.weights[name] = self.graph.initializer[-1]
        return name

    def insert(self, node: onnx.NodeProto, op_type: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        """Insert a node before another, and return the name of its output."""
        new = onnx.helper.make_node(op_type, list(inputs), [output], **attributes)
        index = next(index for index, other in enumerate(self.nodes) if other is node)
        self.nodes.insert(index, new)
        self.made_by[output] = new
        return output

    def replace(self, old: str, new: str) -> bool:
        """Let all nodes that read a tensor read another; return False for an output of the graph, which must stay."""
        if old in self.outputs:
            return False
        for node in nodes_in(self.nodes):
            node.input[:] = [new if name == old else name for name in node.input]
        return True

    def write(self) -> None:
        """Write the nodes and weights that are in use to the `ModelProto`."""
        used, kept = set(self.outputs), []
        for node in reversed(self.nodes):
            if used & set(node.output):
                kept.append(node)
                used |= {name for inner in nodes_in([node]) for name in inner.input}
                # A body's outputs may be tensors of the enclosing graph.
                used |= {value.name for body in bodies_of(node) for value in body.output}
        put(self.graph.node, kept[::-1])
        put(self.graph.initializer, [tensor for tensor in self.graph.initializer if tensor.name in used])


def bodies_of(node: onnx.NodeProto) -> list[onnx.GraphProto]:
    """Return the graphs inside a node: the body of a loop, or the branches of an If."""
    return [
        body
        for attribute in node.attribute
        for body in [*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])]
    ]


def nodes_in(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    """Yield the nodes, and those of their bodies."""
    for node in nodes:
        yield node
        for body in bodies_of(node):
            yield from nodes_in(body.node)


def sizes_of(proto: onnx.ModelProto) -> Sizes:
    """Return the shape of each tensor as far as ONNX infers it; None for an open size."""
    inferred = onnx.shape_inference.infer_shapes(proto, data_prop=True)
    return {
        value.name: tuple(
            size.dim_value if size.HasField("dim_value") else None for size in value.type.tensor_type.shape.dim
        )
        for value in [*inferred.graph.input, *inferred.graph.value_info]
        if value.type.tensor_type.HasField("shape")
    }


def put(held: MutableSequence[AnyMessage], new: Iterable[AnyMessage]) -> None:
    """Replace the contents of a repeated field; some of them may be among the new ones."""
    copies = [type(message).FromString(message.SerializeToString()) for message in new]
    del held[:]
    held.extend(copies)
