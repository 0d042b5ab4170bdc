"""One form of a graph, whatever order and names it came in."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from keras_vae.export.formats.canonical import canonicalise

FLOAT = TensorProto.FLOAT


def value(name, shape):
    return helper.make_tensor_value_info(name, FLOAT, shape)


def looping(states, twice=False):
    """x after three rounds of total += step, step *= 2: states are put in the order, and with the names, given."""
    prefix = "".join(states)
    inner = {state: (f"{prefix}_{state}", f"{prefix}_next_{state}") for state in states}
    nodes = [
        helper.make_node("Add", [inner["total"][0], inner["step"][0]], [inner["total"][1]]),
        helper.make_node("Mul", [inner["step"][0], "two"], [inner["step"][1]]),
        helper.make_node("Mul", ["two", inner["copy"][0]], [inner["copy"][1]]),
        helper.make_node("Identity", ["go"], ["on"]),
    ]
    if twice:
        nodes[:2] = nodes[1::-1]
    names = [inner[state] for state in states]
    body = helper.make_graph(
        nodes,
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            *(value(name, [None, 2]) for name, _ in names),
        ],
        [helper.make_tensor_value_info("on", TensorProto.BOOL, []), *(value(name, [None, 2]) for _, name in names)],
    )
    firsts = {"total": "x", "step": "ones", "copy": "ones"}
    given, ends = [firsts[state] for state in states], [f"{state}_end" for state in states]
    loop = helper.make_node("Loop", ["rounds", "true", *given], ends, body=body)
    shape = helper.make_node("Shape", ["x"], ["size"])
    ones = helper.make_node("Expand", ["one", "size"], ["ones"])
    both = helper.make_node("Add", ["step_end", "copy_end"], ["sum"])
    last = helper.make_node("Sub", ["total_end", "sum"], ["y"])
    weights = [
        numpy_helper.from_array(np.array(3), "rounds"),
        numpy_helper.from_array(np.array(True), "true"),
        numpy_helper.from_array(np.float32(1), "one"),
        numpy_helper.from_array(np.float32(2), "two"),
    ]
    if twice:
        weights.reverse()
    graph = helper.make_graph(
        [shape, ones, loop, both, last], "any", [value("x", [None, 2])], [value("y", [None, 2])], weights
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def test_orders_and_names_do_not_matter():
    told = set()
    for twice in (False, True):
        for states in (("total", "step", "copy"), ("copy", "total", "step"), ("step", "copy", "total")):
            proto = looping(states, twice)
            canonicalise(proto, "graph")
            onnx.checker.check_model(proto, full_check=True)
            told.add(proto.SerializeToString(deterministic=True))
    assert len(told) == 1


def test_what_it_computes_stays_and_equal_states_become_one():
    proto = looping(("copy", "total", "step"))
    canonicalise(proto, "graph")
    (loop,) = [node for node in proto.graph.node if node.op_type == "Loop"]
    assert len(loop.input) == 2 + 2 and len(loop.output) == 2  # step and its copy are one state
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    x = np.array([[1, 2], [3, 4]], "float32")
    # total = x + 1 + 2 + 4; step and its copy are 8 each.
    np.testing.assert_array_equal(session.run(["y"], {"x": x})[0], x + 7 - 16)
    assert proto.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"


@pytest.mark.parametrize("number", [1.5, 3.0])
def test_another_number_is_another_graph(number):
    one, other = looping(("total", "step", "copy")), looping(("total", "step", "copy"))
    weight = next(each for each in other.graph.initializer if each.name == "two")
    weight.CopyFrom(numpy_helper.from_array(np.float32(number), "two"))
    for proto in (one, other):
        canonicalise(proto, "graph")
    assert one.SerializeToString(deterministic=True) != other.SerializeToString(deterministic=True)
