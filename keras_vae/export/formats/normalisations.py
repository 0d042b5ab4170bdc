"""Layer and group normalisation as operators, which tf2onnx writes as the 13 nodes of Keras's formula.

x * inverse + (beta - mean * inverse), with inverse = gamma / sqrt(variance + epsilon).
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import onnx
from onnx import helper

from keras_vae.export.formats.onnx_graph import OnnxGraph

LAYER, GROUP = 17, 21  # the opsets from which the operators exist
_FIRST, _LAST = (0, 3, 1, 2), (0, 2, 3, 1)  # channels, as transposes of one into the other


class _Normalisation(NamedTuple):
    x: str
    axes: list[int]  # over which it takes mean and variance
    gamma: np.ndarray
    beta: np.ndarray
    epsilon: float


def layer_normalisation(graph: OnnxGraph, node: onnx.NodeProto) -> None:
    """One LayerNormalization, if `node` is the last of a normalisation over the last axis."""
    found = _found(graph, node) if graph.opset >= LAYER else None
    size = graph.sizes.get(found.x) if found else None
    if not found or not size or found.axes not in ([-1], [len(size) - 1]):
        return
    if not found.gamma.size == found.beta.size == size[-1]:
        return
    name = node.output[0]
    scale = graph.add(f"{name}/scale", found.gamma.ravel())
    shift = graph.add(f"{name}/shift", found.beta.ravel())
    _become(node, "LayerNormalization", [found.x, scale, shift], axis=-1, epsilon=found.epsilon)


def group_normalisation(graph: OnnxGraph, node: onnx.NodeProto) -> None:
    """Of images: from opset 21 on a GroupNormalization, if `node` is the reshape that ends one of Keras's.

    The operator of opset 18 is deprecated, having a scale for each group in place of each channel. Before 21 it is an
    InstanceNormalization of the groups, then the channels' scale and shift: five nodes in place of fifteen. They are
    faster in ONNX Runtime too, which computes the operator by its formula (and refuses an empty batch).
    """
    found = _found(graph, graph.before(node, 0, "Add"))
    split = graph.maker(found.x, "Reshape") if found else None
    if found is None or split is None:
        return
    size, whole = graph.sizes.get(found.x), graph.sizes.get(split.input[0])
    if not size or not whole or len(size) != 5 or len(whole) != 4 or found.axes != [1, 2, 4]:
        return
    (_, *pixels, groups, each), channels, name = size, whole[3], node.output[0]
    fits = size[1:3] == whole[1:3] and found.gamma.shape == found.beta.shape == (1, 1, 1, groups, each)
    if None in (*pixels, groups, each, channels) or not fits or graph.sizes.get(name, whole) != whole:
        return
    value = graph.insert(node, "Transpose", [split.input[0]], f"{name}/turned", perm=_FIRST)
    if graph.opset >= GROUP:
        given = [graph.add(f"{name}/scale", found.gamma.ravel()), graph.add(f"{name}/shift", found.beta.ravel())]
        numbers = {"num_groups": groups, "epsilon": found.epsilon}
        value = graph.insert(node, "GroupNormalization", [value, *given], f"{name}/standard", **numbers)
    else:
        ones, zeros = (graph.add(f"{name}/{i}", np.full(groups, i, "float32")) for i in (1, 0))
        as_groups = graph.add(f"{name}/groups", np.array([-1, groups, int(np.prod(pixels)) * each]))
        as_image = graph.add(f"{name}/image", np.array([-1, channels, *pixels]))
        value = graph.insert(node, "Reshape", [value, as_groups], f"{name}/split")
        value = graph.insert(
            node, "InstanceNormalization", [value, ones, zeros], f"{name}/standard", epsilon=found.epsilon
        )
        value = graph.insert(node, "Reshape", [value, as_image], f"{name}/whole")
        for op_type, array in (("Mul", found.gamma), ("Add", found.beta)):
            weight = graph.add(f"{name}/{op_type}", array.reshape(channels, 1, 1))
            value = graph.insert(node, op_type, [value, weight], f"{name}/{op_type}ed")
    _become(node, "Transpose", [value], perm=_LAST)


def _become(node: onnx.NodeProto, op_type: str, inputs: Sequence[str], **given: Any) -> None:
    """Another node in its place, so that the output keeps its name."""
    node.CopyFrom(helper.make_node(op_type, list(inputs), list(node.output), **given))


def _found(graph: OnnxGraph, node: onnx.NodeProto) -> _Normalisation | None:
    """The normalisation whose last node is this addition."""
    if node is None:
        return None
    scaled, shift = graph.before(node, 0, "Mul"), graph.before(node, 1, "Add")
    moved = graph.before(shift, 0, "Mul")
    negated = graph.before(moved, 0, "Neg")
    inverse = graph.before(scaled, 1, "Mul")
    root = graph.chain(inverse, "Reciprocal", "Sqrt", "Add")
    squares = graph.chain(root, "ReduceMean", "Mul")
    centred = graph.before(squares, 0, "Sub")
    if None in (scaled, moved, negated, centred) or moved.input[1] != scaled.input[1]:
        return None
    x, (gamma, beta, epsilon) = scaled.input[0], (graph.array(each.input[1]) for each in (inverse, shift, root))
    means = [graph.maker(name, "ReduceMean") for name in (negated.input[0], root.input[0])]
    axes = [_axes(graph, mean) for mean in means]
    if (
        None in means
        or None in axes
        or axes[0] != axes[1]
        or list(centred.input) != [x, negated.input[0]]
        or list(squares.input) != [centred.output[0]] * 2
        or means[0].input[0] != x
        or any(each is None for each in (gamma, beta, epsilon))
        or epsilon.size != 1
    ):
        return None
    return _Normalisation(x, axes[0] or [], gamma, beta, float(epsilon.ravel()[0]))


def _axes(graph: OnnxGraph, node: onnx.NodeProto) -> list[int] | None:
    """The axes of a ReduceMean that keeps them: an input since opset 18, an attribute before."""
    if node is None:
        return None
    known = {each.name: helper.get_attribute_value(each) for each in node.attribute}
    given = graph.array(node.input[1]) if len(node.input) > 1 else known.get("axes")
    return None if given is None or not known.get("keepdims", 1) else [int(axis) for axis in given]
