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
    """Replace `node` by a LayerNormalization, if it is the last of a normalisation over the last axis."""
    norm = _normalisation_at(graph, node) if graph.opset >= LAYER else None
    size = graph.sizes.get(norm.x) if norm else None
    if not norm or not size or norm.axes not in ([-1], [len(size) - 1]):
        return
    if not norm.gamma.size == norm.beta.size == size[-1]:
        return
    name = node.output[0]
    scale = graph.add(f"{name}/scale", norm.gamma.ravel())
    shift = graph.add(f"{name}/shift", norm.beta.ravel())
    _become(node, "LayerNormalization", [norm.x, scale, shift], axis=-1, epsilon=norm.epsilon)


def group_normalisation(graph: OnnxGraph, node: onnx.NodeProto) -> None:
    """Replace `node` by a GroupNormalization of images, if it is the reshape that ends one of Keras's.

    That is from opset 21 on: the operator of opset 18 is deprecated, as its scale is per group, not per channel. Before
    21 it is an InstanceNormalization of the groups, then the channels' scale and shift: five nodes instead of fifteen.
    They are also faster in ONNX Runtime, which expands the operator to its formula (and refuses an empty batch).
    """
    norm = _normalisation_at(graph, graph.before(node, 0, "Add"))
    split = graph.maker(norm.x, "Reshape") if norm else None
    if norm is None or split is None:
        return
    size, whole = graph.sizes.get(norm.x), graph.sizes.get(split.input[0])
    if not size or not whole or len(size) != 5 or len(whole) != 4 or norm.axes != [1, 2, 4]:
        return
    (_, *pixels, groups, depth), channels, name = size, whole[3], node.output[0]
    fits = size[1:3] == whole[1:3] and norm.gamma.shape == norm.beta.shape == (1, 1, 1, groups, depth)
    if None in (*pixels, groups, depth, channels) or not fits or graph.sizes.get(name, whole) != whole:
        return
    value = graph.insert(node, "Transpose", [split.input[0]], f"{name}/turned", perm=_FIRST)
    if graph.opset >= GROUP:
        weights = [graph.add(f"{name}/scale", norm.gamma.ravel()), graph.add(f"{name}/shift", norm.beta.ravel())]
        numbers = {"num_groups": groups, "epsilon": norm.epsilon}
        value = graph.insert(node, "GroupNormalization", [value, *weights], f"{name}/standard", **numbers)
    else:
        ones, zeros = (graph.add(f"{name}/{i}", np.full(groups, i, "float32")) for i in (1, 0))
        as_groups = graph.add(f"{name}/groups", np.array([-1, groups, int(np.prod(pixels)) * depth]))
        as_image = graph.add(f"{name}/image", np.array([-1, channels, *pixels]))
        value = graph.insert(node, "Reshape", [value, as_groups], f"{name}/split")
        value = graph.insert(
            node, "InstanceNormalization", [value, ones, zeros], f"{name}/standard", epsilon=norm.epsilon
        )
        value = graph.insert(node, "Reshape", [value, as_image], f"{name}/whole")
        for op_type, array in (("Mul", norm.gamma), ("Add", norm.beta)):
            weight = graph.add(f"{name}/{op_type}", array.reshape(channels, 1, 1))
            value = graph.insert(node, op_type, [value, weight], f"{name}/{op_type}ed")
    _become(node, "Transpose", [value], perm=_LAST)


def _become(node: onnx.NodeProto, op_type: str, inputs: Sequence[str], **attributes: Any) -> None:
    """Replace a node by another one in place, so that the output keeps its name."""
    node.CopyFrom(helper.make_node(op_type, list(inputs), list(node.output), **attributes))


def _normalisation_at(graph: OnnxGraph, node: onnx.NodeProto) -> _Normalisation | None:
    """Return the normalisation that ends in the addition `node`, or None."""
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
    x, (gamma, beta, epsilon) = scaled.input[0], (graph.array(part.input[1]) for part in (inverse, shift, root))
    means = [graph.maker(name, "ReduceMean") for name in (negated.input[0], root.input[0])]
    axes = [_axes(graph, mean) for mean in means]
    if (
        None in means
        or None in axes
        or axes[0] != axes[1]
        or list(centred.input) != [x, negated.input[0]]
        or list(squares.input) != [centred.output[0]] * 2
        or means[0].input[0] != x
        or any(array is None for array in (gamma, beta, epsilon))
        or epsilon.size != 1
    ):
        return None
    return _Normalisation(x, axes[0] or [], gamma, beta, float(epsilon.ravel()[0]))


def _axes(graph: OnnxGraph, node: onnx.NodeProto) -> list[int] | None:
    """Return the axes of a ReduceMean with keepdims, else None: an input since opset 18, an attribute before."""
    if node is None:
        return None
    attributes = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    axes = graph.array(node.input[1]) if len(node.input) > 1 else attributes.get("axes")
    return None if axes is None or not attributes.get("keepdims", 1) else [int(axis) for axis in axes]
