"""An ONNX graph that can be rewritten: nodes by what they make, weights by name."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
import onnx
from google.protobuf.message import Message
from onnx import numpy_helper

AnyMessage = TypeVar("AnyMessage", bound=Message)
Sizes = dict[str, tuple[Any, ...]]  # of each tensor, a size being None where it is open


class OnnxGraph:
    """A `ModelProto`'s graph, its nodes in the order of computation; `write` puts them back.

    Args:
      proto: the model.
    """

    def __init__(self, proto: onnx.ModelProto) -> None:
        self.graph, self.nodes = proto.graph, list(proto.graph.node)
        self.opset = max(each.version for each in proto.opset_import if each.domain == "")
        self.sizes = sizes_of(proto)
        self.weights = {each.name: each for each in self.graph.initializer}
        self.made_by = {made: node for node in self.nodes for made in node.output}
        self.outputs = {each.name for each in self.graph.output}

    def maker(self, name: str, op_type: str) -> Any:
        """The node of this type that makes a tensor, or None."""
        node = self.made_by.get(name)
        return node if node is not None and node.op_type == op_type else None

    def before(self, node: onnx.NodeProto | None, place: int, op_type: str) -> Any:
        """The node of this type that makes a node's input, or None; None of None."""
        return None if node is None else self.maker(node.input[place], op_type)

    def chain(self, node: onnx.NodeProto | None, *op_types: str) -> Any:
        """The node of the last of these types, up the first inputs; None if another stands in between."""
        for op_type in op_types:
            node = self.before(node, 0, op_type)
        return node

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

    def insert(self, node: onnx.NodeProto, op_type: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        """Put a new node before another, and return the name of its output."""
        new = onnx.helper.make_node(op_type, list(inputs), [output], **attributes)
        place = next(place for place, each in enumerate(self.nodes) if each is node)
        self.nodes.insert(place, new)
        self.made_by[output] = new
        return output

    def replace(self, old: str, new: str) -> bool:
        """Let all readers of a tensor read another; not possible for an output of the graph."""
        if old in self.outputs:
            return False
        for node in nodes_in(self.nodes):
            node.input[:] = [new if name == old else name for name in node.input]
        return True

    def write(self) -> None:
        """Put the nodes that something reads into the `ModelProto`, and only the weights that they read."""
        wanted, kept = set(self.outputs), []
        for node in reversed(self.nodes):
            if wanted & set(node.output):
                kept.append(_copy(node))
                wanted |= {name for each in nodes_in([node]) for name in each.input}
                # A body's outputs may be tensors of the graph around it.
                wanted |= {each.name for body in bodies_of(node) for each in body.output}
        weights = [_copy(each) for each in self.graph.initializer if each.name in wanted]
        del self.graph.node[:]
        self.graph.node.extend(kept[::-1])
        del self.graph.initializer[:]
        self.graph.initializer.extend(weights)


def bodies_of(node: onnx.NodeProto) -> list[onnx.GraphProto]:
    """The graphs inside a node: of a loop, or of the branches of a choice."""
    return [
        each
        for attribute in node.attribute
        for each in [*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])]
    ]


def nodes_in(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    """The nodes, and those of their bodies."""
    for node in nodes:
        yield node
        for body in bodies_of(node):
            yield from nodes_in(body.node)


def sizes_of(proto: onnx.ModelProto) -> Sizes:
    """The shape of each tensor as far as ONNX infers it; None for a size that is open."""
    inferred = onnx.shape_inference.infer_shapes(proto, data_prop=True)
    return {
        value.name: tuple(
            size.dim_value if size.HasField("dim_value") else None for size in value.type.tensor_type.shape.dim
        )
        for value in [*inferred.graph.input, *inferred.graph.value_info]
        if value.type.tensor_type.HasField("shape")
    }


def _copy(message: AnyMessage) -> AnyMessage:
    return type(message).FromString(message.SerializeToString())
