"""The same ONNX graph with fewer nodes: what tf2onnx leaves behind is folded, merged or dropped.

Only what holds for every input is rewritten. Export compares the outputs with Keras's afterwards, as of any file.
"""

import numpy as np
import onnx

from keras_vae.export.formats.normalisations import group_normalisation, layer_normalisation
from keras_vae.export.formats.onnx_graph import OnnxGraph

# What these make of a transposed tensor is what they make of the tensor, transposed.
ELEMENTWISE = (
    *("Abs", "Add", "Clip", "Div", "Elu", "Erf", "Exp", "Gelu", "HardSigmoid", "LeakyRelu", "Log", "Max", "Min", "Mul"),
    *("Neg", "Pow", "Reciprocal", "Relu", "Selu", "Sigmoid", "Softplus", "Softsign", "Sqrt", "Sub", "Tanh"),
)


def slim(proto: onnx.ModelProto) -> None:
    """Rewrite a `ModelProto` in place: constant shapes, one reshape or transpose where there were two, no identities.

    A layer normalisation becomes the operator from opset 17 on, a group normalisation from opset 21 on, and five nodes
    before. Transposes go on past what is done to each number alone, until they undo each other. Nodes and weights that
    nothing reads any more go.
    """
    graph = OnnxGraph(proto)
    for node in list(graph.nodes):
        if node.op_type == "Reshape":
            _constant_shape(graph, node)
    graph.write()
    graph = OnnxGraph(proto)  # which now knows more shapes
    for node in list(graph.nodes):
        if node.op_type == "Reshape":
            group_normalisation(graph, node)
        elif node.op_type == "Add":
            layer_normalisation(graph, node)
    for node in list(graph.nodes):
        if node.op_type == "Reshape":
            _one_reshape(graph, node)
        elif node.op_type == "Transpose":
            _one_transpose(graph, node)
        elif node.op_type == "Identity":
            graph.replace(node.output[0], node.input[0])
        elif node.op_type in ELEMENTWISE:
            _transposed_later(graph, node)
    graph.write()


def _constant_shape(graph: OnnxGraph, node: onnx.NodeProto) -> None:
    """A shape of one size that is read off at run time and constants: -1 and those constants."""
    cast = graph.maker(node.input[1], "Cast")
    joined = graph.maker(cast.input[0] if cast is not None else node.input[1], "Concat")
    if joined is None:
        return
    parts = [graph.array(name) for name in joined.input]
    open_parts = [name for name, part in zip(joined.input, parts, strict=True) if part is None]
    known = [part.ravel() for part in parts if part is not None]
    if len(open_parts) != 1 or graph.sizes.get(open_parts[0]) != (1,) or any((part <= 0).any() for part in known):
        return
    shape = np.concatenate([np.array([-1]) if part is None else part.ravel() for part in parts]).astype("int64")
    node.input[1] = graph.add(f"{node.output[0]}/shape", shape)


def _one_reshape(graph: OnnxGraph, node: onnx.NodeProto) -> None:
    """A reshape of a reshape: the second, if its shape is constant and copies no size of the first."""
    first, shape = graph.maker(node.input[0], "Reshape"), graph.array(node.input[1])
    if first is not None and shape is not None and (shape != 0).all():
        node.input[0] = first.input[0]


def _one_transpose(graph: OnnxGraph, node: onnx.NodeProto) -> None:
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


def _transposed_later(graph: OnnxGraph, node: onnx.NodeProto) -> None:
    """What is done to each number of transposed tensors is done to the tensors, and what it makes is transposed.

    Beside them it may read single numbers. A transpose that is an output of the graph is made in any case, and stays.
    """
    turns = [graph.maker(name, "Transpose") for name in node.input]
    arrays = [graph.array(name) for name in node.input]
    orders = {tuple(turn.attribute[0].ints) for turn in turns if turn is not None and turn.attribute}
    if len(orders) != 1 or node.output[0] in graph.outputs:
        return
    for name, turn, array in zip(node.input, turns, arrays, strict=True):
        single = not name or (array is not None and array.size == 1 and array.ndim < 2)
        if not single and (turn is None or not turn.attribute or name in graph.outputs):
            return
    name, before = node.output[0], f"{node.output[0]}/before"
    node.input[:] = [given if turn is None else turn.input[0] for given, turn in zip(node.input, turns, strict=True)]
    node.output[0] = before
    graph.made_by[before] = node
    graph.insert(node, "Transpose", [before], name, after=True, perm=next(iter(orders)))
