"""Slimming against the graph it came from: fewer nodes, the same numbers to the bit, at every batch size."""

import numpy as np
import onnx
import onnx.version_converter
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from keras_vae.export.formats.slimming import slim


def model_of(nodes, weights=(), inputs=(("x", ["batch", 2, 3, 4]),), outputs=("y",)):
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in dict(weights).items()],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    made = run(proto, np.zeros((1, 2, 3, 4), "float32"))
    for value, array in zip(proto.graph.output, made, strict=True):  # the checker wants the number of axes
        value.type.tensor_type.shape.dim.extend([onnx.TensorShapeProto.Dimension() for _ in array.shape])
    return proto


def run(proto, x):
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})


def slimmed(proto):
    """The slimmed graph, after it was checked and compared with the one it came from."""
    thin = onnx.ModelProto()
    thin.CopyFrom(proto)
    slim(thin)
    onnx.checker.check_model(thin, full_check=True)
    for batch in (0, 1, 3):
        x = np.random.default_rng(0).normal(size=(batch, 2, 3, 4)).astype("float32")
        for mine, theirs in zip(run(thin, x), run(proto, x), strict=True):
            assert mine.shape == theirs.shape
            np.testing.assert_array_equal(mine, theirs)
    return thin


def types(proto):
    return [node.op_type for node in proto.graph.node]


def node(op_type, inputs, outputs, **attributes):
    return helper.make_node(op_type, inputs.split(), outputs.split(), **attributes)


BATCH_OF_X = [node("Shape", "x", "shape"), node("Slice", "shape zero one", "batch")]
ENDS = {"zero": np.array([0]), "one": np.array([1])}


def test_a_shape_with_the_batch_becomes_a_constant():
    nodes = [*BATCH_OF_X, node("Concat", "batch rest", "full", axis=0), node("Reshape", "x full", "y")]
    thin = slimmed(model_of(nodes, ENDS | {"rest": np.array([6, 4])}))
    assert types(thin) == ["Reshape"]
    shape = next(each for each in thin.graph.initializer if each.name == thin.graph.node[0].input[1])
    assert numpy_helper.to_array(shape).tolist() == [-1, 6, 4]
    assert {each.name for each in thin.graph.initializer} == {shape.name}  # the others are read by nothing


def test_a_shape_in_other_integers_becomes_a_constant():
    """As tf2onnx writes it: joined in int32, and cast."""
    nodes = [
        *BATCH_OF_X,
        node("Cast", "batch", "small", to=TensorProto.INT32),
        node("Concat", "small rest", "full", axis=0),
        node("Cast", "full", "wide", to=TensorProto.INT64),
        node("Reshape", "x wide", "y"),
    ]
    assert types(slimmed(model_of(nodes, ENDS | {"rest": np.array([24], "int32")}))) == ["Reshape"]


def test_a_shape_with_two_open_sizes_stays():
    nodes = [
        *BATCH_OF_X,
        node("Slice", "shape one two", "second"),
        node("Concat", "batch second rest", "full", axis=0),
        node("Reshape", "x full", "y"),
    ]
    assert "Concat" in types(slimmed(model_of(nodes, ENDS | {"two": np.array([2]), "rest": np.array([12])})))


def test_a_shape_whose_open_part_is_more_than_one_size_stays():
    nodes = [
        node("Shape", "x", "shape"),
        node("Slice", "shape zero two", "open"),
        node("Concat", "open rest", "full", axis=0),
        node("Reshape", "x full", "y"),
    ]
    weights = {"zero": np.array([0]), "two": np.array([2]), "rest": np.array([12])}
    assert "Concat" in types(slimmed(model_of(nodes, weights)))


def test_identities_go_and_the_name_of_an_output_stays():
    nodes = [node("Identity", "x", "same"), node("Exp", "same", "large"), node("Identity", "large", "y")]
    thin = slimmed(model_of(nodes))
    assert types(thin) == ["Exp", "Identity"] and thin.graph.node[-1].output[0] == "y"


def test_what_only_a_loops_body_reads_stays():
    body = helper.make_graph(
        [node("Add", "state weight", "next"), node("Identity", "go", "on")],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("state", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, None),
        ],
    )
    nodes = [
        node("Identity", "outer", "weight"),
        helper.make_node("Loop", ["times", "", "x"], ["y"], body=body),
        node("Exp", "x", "unread"),
    ]
    thin = slimmed(model_of(nodes, {"outer": np.array(2.0, "float32"), "times": np.array(3)}))
    assert types(thin) == ["Loop"]


def layer_normalisation(axis=3, scale=4, keepdims=1):
    """Keras's formula as tf2onnx writes it."""
    generator = np.random.default_rng(1)
    weights = {
        "axes": np.array([axis]),
        "epsilon": np.array(1e-3, "float32"),
        "gamma": generator.normal(size=scale).astype("float32"),
        "beta": generator.normal(size=scale).astype("float32"),
    }
    nodes = [
        node("ReduceMean", "x axes", "mean", keepdims=keepdims),
        node("Sub", "x mean", "centred"),
        node("Mul", "centred centred", "squares"),
        node("ReduceMean", "squares axes", "variance", keepdims=keepdims),
        node("Add", "variance epsilon", "positive"),
        node("Sqrt", "positive", "deviation"),
        node("Reciprocal", "deviation", "inverse"),
        node("Mul", "inverse gamma", "factor"),
        node("Mul", "x factor", "scaled"),
        node("Neg", "mean", "negated"),
        node("Mul", "negated factor", "moved"),
        node("Add", "moved beta", "shift"),
        node("Add", "scaled shift", "y"),
    ]
    return model_of(nodes, weights), weights


@pytest.mark.parametrize("axis", [3, -1])
def test_a_layer_normalisation_is_one_operator(axis):
    proto, weights = layer_normalisation(axis)
    slim(proto)
    onnx.checker.check_model(proto, full_check=True)
    assert types(proto) == ["LayerNormalization"]
    x = np.random.default_rng(0).normal(size=(3, 2, 3, 4)).astype("float32")
    standard = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-3)
    # Sums of four float32 numbers of order 1, in another order.
    np.testing.assert_allclose(run(proto, x)[0], standard * weights["gamma"] + weights["beta"], rtol=0, atol=2e-6)


@pytest.mark.parametrize("arguments", [{"axis": 2}, {"axis": 1}, {"scale": 1}])
def test_what_is_no_layer_normalisation_stays(arguments):
    proto, _ = layer_normalisation(**arguments)
    assert len(types(slimmed(proto))) == 13


def test_before_opset_17_there_is_no_operator():
    proto, _ = layer_normalisation()
    proto.opset_import[0].version = 16
    slim(proto)
    assert len(types(proto)) == 13


def group_normalisation(groups=2, opset=18, axes=(1, 2, 4), each=2, dense=False):
    """Keras's formula as tf2onnx writes it, of 4 channels that a transpose makes the last."""
    generator = np.random.default_rng(1)
    weights = {
        "split": np.array([-1, 2, 3, groups, each]),
        "whole": np.array([-1, 2, 3, 4]),
        "axes": np.array(axes),
        "epsilon": np.array(1e-3, "float32"),
        "gamma": generator.normal(size=(1, 1, 1, groups, each)).astype("float32"),
        "beta": generator.normal(size=(1, 1, 1, groups, each)).astype("float32"),
        "flat": np.array([-1, 24]),
    }
    start = [node("Reshape", "x flat", "rows"), node("Reshape", "rows whole", "image")] if dense else []
    nodes = [
        *start,
        node("Reshape", "image split" if dense else "x split", "groups"),
        node("ReduceMean", "groups axes", "mean", keepdims=1),
        node("Neg", "mean", "negated"),
        node("Sub", "groups mean", "centred"),
        node("Mul", "centred centred", "squares"),
        node("ReduceMean", "squares axes", "variance", keepdims=1),
        node("Add", "variance epsilon", "positive"),
        node("Sqrt", "positive", "deviation"),
        node("Reciprocal", "deviation", "inverse"),
        node("Mul", "inverse gamma", "factor"),
        node("Mul", "groups factor", "scaled"),
        node("Mul", "negated factor", "moved"),
        node("Add", "moved beta", "shift"),
        node("Add", "scaled shift", "sum"),
        node("Reshape", "sum whole", "y"),
    ]
    proto = model_of(nodes, weights)
    if opset > 18:
        proto = onnx.version_converter.convert_version(proto, opset)
    return proto, weights


def normalised(x, weights):
    split = x.reshape(weights["split"]).astype("float64")
    mean, variance = (of(split, axis=(1, 2, 4), keepdims=True) for of in (np.mean, np.var))
    return ((split - mean) / np.sqrt(variance + 1e-3) * weights["gamma"] + weights["beta"]).reshape(x.shape)


@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize(("groups", "each"), [(2, 2), (1, 4), (4, 1)])
@pytest.mark.parametrize("opset", [18, 21])
def test_a_group_normalisation_is_the_operator_or_five_nodes(groups, each, opset, dense):
    proto, weights = group_normalisation(groups, opset, each=each, dense=dense)
    slim(proto)
    onnx.checker.check_model(proto, full_check=True)
    operator = ["GroupNormalization"]
    inner = operator if opset == 21 else ["Reshape", "InstanceNormalization", "Reshape", "Mul", "Add"]
    assert types(proto) == [*(["Reshape", "Reshape"] if dense else []), "Transpose", *inner, "Transpose"]
    for batch in (1, 3):
        x = np.random.default_rng(0).normal(size=(batch, 2, 3, 4)).astype("float32")
        # Sums of 24 float32 numbers of order 1, in another order.
        np.testing.assert_allclose(run(proto, x)[0], normalised(x, weights), rtol=0, atol=5e-6)
    if opset < 21:  # the operator itself refuses an empty batch in ONNX Runtime
        assert run(proto, np.zeros((0, 2, 3, 4), "float32"))[0].shape == (0, 2, 3, 4)


def test_what_is_no_group_normalisation_stays():
    proto, _ = group_normalisation(axes=(1, 2))
    assert len(types(slimmed(proto))) == 15
