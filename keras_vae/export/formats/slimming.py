"""Simplification of ONNX graphs: nodes that tf2onnx leaves behind are folded, merged or dropped.

Rewrites are exact for every input. Export compares the outputs with Keras's afterwards, as for any file.
"""

import numpy as np
import onnx

from keras_vae.export.formats.normalisations import group_normalisation, layer_normalisation
from keras_vae.export.formats.onnx_graph import OnnxGraph


def slim(proto: onnx.ModelProto) -> None:
    """Rewrite a `ModelProto` in place: constant shapes, normalisations as operators, no identities.

    A layer normalisation becomes the operator from opset 17 on, a group normalisation from opset 21 on, and five nodes
    before. Unused nodes and weights are dropped. Runtimes merge reshapes and transposes themselves:
    benchmarks/slimming.py measured no gain.
    """
    graph = OnnxGraph(proto)
    for node in list(graph.nodes):
        if node.op_type == "Reshape":
            _constant_shape(graph, node)
    graph.write()
    graph = OnnxGraph(proto)  # with more shapes inferred
    for node in list(graph.nodes):
        if node.op_type == "Reshape":
            group_normalisation(graph, node)
        elif node.op_type == "Add":
            layer_normalisation(graph, node)
        elif node.op_type == "Identity":
            graph.replace(node.output[0], node.input[0])
    graph.write()


def _constant_shape(graph: OnnxGraph, node: onnx.NodeProto) -> None:
    """Make a Reshape's shape constant, with -1 in place of its only dynamic size."""
    cast = graph.maker(node.input[1], "Cast")
    joined = graph.maker(cast.input[0] if cast is not None else node.input[1], "Concat")
    if joined is None:
        return
    parts = [graph.array(name) for name in joined.input]
    open_parts = [name for name, part in zip(joined.input, parts, strict=True) if part is None]
    constants = [part.ravel() for part in parts if part is not None]
    if len(open_parts) != 1 or graph.sizes.get(open_parts[0]) != (1,) or any((part <= 0).any() for part in constants):
        return
    shape = np.concatenate([np.array([-1]) if part is None else part.ravel() for part in parts]).astype("int64")
    node.input[1] = graph.add(f"{node.output[0]}/shape", shape)
