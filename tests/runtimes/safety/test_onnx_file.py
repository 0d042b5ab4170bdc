"""No spelling of an ONNX file makes a runtime read another file; what is refused here was read there before.

Nor does one hold operations of others than ONNX.
"""

import subprocess
import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from keras_vae.errors import CorruptFileError
from keras_vae.runtimes.safety.onnx_file import require_harmless
from tests.export.bundles import bundle_of


def elsewhere(name="weight"):
    """A tensor whose four floats lie in w.bin."""
    tensor = numpy_helper.from_array(np.ones(4, "float32"), name)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "w.bin"
    return tensor


def inside(name="weight"):
    return numpy_helper.from_array(np.ones(4, "float32"), name)


def port(name):
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, [4])


def model(initializers=(), nodes=None, sparse=(), functions=()):
    nodes = nodes or [helper.make_node("Add", ["x", "weight"], ["y"])]
    graph = helper.make_graph(nodes, "g", [port("x")], [port("y")], list(initializers), sparse_initializer=list(sparse))
    return helper.make_model(
        graph, functions=list(functions), opset_imports=[helper.make_opsetid("", 18)], ir_version=10
    )


def branch(tensor):
    """An If in an If, with a weight in the inner one's bodies."""
    body = helper.make_graph([helper.make_node("Identity", ["weight"], ["o"])], "b", [], [port("o")], [tensor])
    node = helper.make_node("If", ["c"], ["o"], then_branch=body, else_branch=body)
    outer = helper.make_graph([node], "outer", [], [port("o")])
    return helper.make_node("If", ["c"], ["y"], then_branch=outer, else_branch=outer)


def in_a_function(tensor):
    return helper.make_function(
        "", "F", ["x"], ["y"], [helper.make_node("Constant", [], ["y"], value=tensor)], [helper.make_opsetid("", 18)]
    )


def sparse(values):
    return helper.make_sparse_tensor(values, numpy_helper.from_array(np.arange(4), "i"), [4])


PLACES = {
    "the main graph": lambda tensor: model([tensor]),
    "a constant": lambda tensor: model(nodes=[helper.make_node("Constant", [], ["y"], value=tensor)]),
    "a list of constants": lambda tensor: model(nodes=[helper.make_node("Own", [], ["y"], values=[tensor])]),
    "a branch of a branch": lambda tensor: model(nodes=[branch(tensor)]),
    "a list of bodies": lambda tensor: model(
        nodes=[helper.make_node("Own", [], ["y"], bodies=[model([tensor]).graph])]
    ),
    "a sparse weight": lambda tensor: model(sparse=[sparse(tensor)]),
    "a sparse constant": lambda tensor: model(
        nodes=[helper.make_node("Constant", [], ["y"], sparse_value=sparse(tensor))]
    ),
    "a function": lambda tensor: model(functions=[in_a_function(tensor)]),
}


@pytest.mark.parametrize("place", PLACES)
def test_wherever_a_tensor_lies(place):
    require_harmless(PLACES[place](inside()).SerializeToString(), "in.onnx")
    with pytest.raises(CorruptFileError, match=r"out\.onnx keeps its weights in another file"):
        require_harmless(PLACES[place](elsewhere()).SerializeToString(), "out.onnx")


@pytest.mark.parametrize("domain", ["com.microsoft", "org.openvinotoolkit", "ai.onnx.ml", "own", "x" * 200])
def test_operations_that_are_not_onnxs_own(domain):
    """Such as EPContext, of the first domain, which names a file; of others a library may be loaded."""
    node = helper.make_node("EPContext", ["x"], ["y"], domain=domain)
    inner = helper.make_node("If", ["c"], ["y"], then_branch=model(nodes=[node]).graph)
    function = helper.make_function(domain, "F", ["x"], ["y"], [], [helper.make_opsetid("", 18)])
    for forged in (model(nodes=[node]), model(nodes=[inner]), model(functions=[function])):
        with pytest.raises(CorruptFileError, match=rf"x\.onnx may hold ONNX's own .*the domain b'{domain[:50]}'"):
            require_harmless(forged.SerializeToString(), "x.onnx")
    require_harmless(model(nodes=[helper.make_node("Relu", ["x"], ["y"], domain="ai.onnx")]).SerializeToString(), "x")


def test_the_graph_of_a_training():
    made = model([inside()])
    made.training_info.add().initialization.CopyFrom(model([elsewhere()]).graph)
    with pytest.raises(CorruptFileError, match="another file"):
        require_harmless(made.SerializeToString(), "out.onnx")


def test_either_mark_is_enough():
    for field in ("external_data", "data_location"):
        tensor = elsewhere()
        tensor.ClearField(field)
        with pytest.raises(CorruptFileError, match="another file"):
            require_harmless(model([tensor]).SerializeToString(), "out.onnx")


def test_what_onnx_itself_saves(tmp_path):
    path = tmp_path / "outside.onnx"
    onnx.save_model(
        model([inside()]), path, save_as_external_data=True, location="w.bin", size_threshold=0, convert_attribute=True
    )
    with pytest.raises(CorruptFileError, match=r"outside\.onnx keeps its weights in another file"):
        require_harmless(path.read_bytes(), path)


def overlong():
    """The file of `elsewhere` with the length of the key, 8, in two bytes; lengths around it are one byte more."""
    tensor = elsewhere()
    content = tensor.SerializeToString()
    old = tensor.external_data[0].SerializeToString()
    new = old.replace(b"\x08location", b"\x88\x00location")
    content = content.replace(bytes([0x6A, len(old)]) + old, bytes([0x6A, len(new)]) + new)
    assert b"\x08location" not in content and TensorProto.FromString(content).external_data[0].key == "location"
    made = model()
    whole = made.graph.SerializeToString() + bytes([0x2A, len(content)]) + content
    made.ClearField("graph")
    return made.SerializeToString() + b"\x3a" + bytes([len(whole) & 0x7F | 0x80, len(whole) >> 7]) + whole


def test_an_overlong_length_hides_nothing():
    with pytest.raises(CorruptFileError, match="another file"):
        require_harmless(overlong(), "out.onnx")


@pytest.mark.parametrize("spelled", [lambda: model([elsewhere()]).SerializeToString(), overlong])
def test_onnx_runtime_finds_no_other_file_either(spelled, tmp_path):
    """The second lock: opened with the options of `OnnxRuntime`, and without the first, the file is not found."""
    (tmp_path / "w.bin").write_bytes(np.full(4, 7, "float32").tobytes())
    (tmp_path / "m.onnx").write_bytes(spelled())
    code = (
        "import numpy as np, onnxruntime; from keras_vae.runtimes.onnx_runtime import session_options\n"
        "content = open('m.onnx', 'rb').read()\n"
        "def run(options):\n"
        "    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL\n"
        "    return onnxruntime.InferenceSession(content, options).run(None, {'x': np.zeros(4, 'float32')})[0]\n"
        "print(run(onnxruntime.SessionOptions()))\n"
        "try: run(session_options(1))\n"
        "except Exception as error: print('refused', error)\n"
    )
    import keras_vae

    environment = {"PYTHONPATH": str(next(iter(keras_vae.__path__)).rpartition("/")[0])}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, env=environment)
    assert done.stdout.startswith("[7. 7. 7. 7.]\nrefused"), done.stdout + done.stderr


@pytest.mark.parametrize(
    ("content", "given"),
    [
        (b"\x3a\x05\x00", "a field that ends at byte 7, in a message that ends at byte 3"),  # cut off
        (b"\x3a" + b"\x80" * 5 + b"\x00", "a number that is too long"),  # five bytes are the longest length
        (b"\xba\x80\x80\x80\x10\x00", "a number that is too long"),  # field 7, for who forgets bits above 32
        (b"\x3b\x3c", "a field of the kind 3"),  # a group, which protobuf gave up
        (b"\x3a", "a number that is too long or cut off"),
        (b"\x00\x00", "a field that ends at byte 2"),  # there is no field 0
    ],
)
def test_what_no_writer_writes_is_refused(content, given):
    with pytest.raises(CorruptFileError, match=rf"x\.onnx must be an ONNX file.*Given: {given}"):
        require_harmless(content, "x.onnx")


def test_deep_nesting_is_read_to_its_end():
    content = b""
    for number in [0x3A, *[0x0A, 0x2A, 0x32] * 3000][::-1]:  # graph, node, attribute, graph, ...
        size, length = len(content), b""
        while size > 0x7F:
            length, size = length + bytes([size & 0x7F | 0x80]), size >> 7
        content = bytes([number]) + length + bytes([size]) + content
    require_harmless(content, "x.onnx")


def calls_of_refusing(content):
    """How many functions are called for `content`, those written in C included."""
    count = 0

    def profile(frame, event, argument):
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(profile)
    try:
        require_harmless(content, "x.onnx")
    finally:
        sys.setprofile(None)
    return count


def test_the_files_of_a_bundle_pass_at_a_cost_that_is_not_of_their_bytes():
    """2 MB of weights are stepped over: the work is of the number of fields."""
    bundle = bundle_of("conv")
    for file in bundle.formats["onnx"]["files"].values():
        require_harmless(bundle.read(file), file)
    small, large = (
        model([numpy_helper.from_array(np.ones(size, "float32"), "weight")]).SerializeToString()
        for size in (500, 500_000)
    )
    assert len(large) > 2e6 and len(large) > 100 * len(small)
    # A length above 127 takes one byte more for each seven bits: a few steps, not one for each number.
    assert calls_of_refusing(large) <= calls_of_refusing(small) + 50
