"""A SavedModel that does more than compute is refused before TensorFlow runs any of it.

Loading one runs parts of it, and running one runs whatever it holds: the first test shows a file that is written so.
"""

import json
import os

import pytest
import tensorflow as tf
from tensorflow.core.framework import op_def_pb2
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.client import pywrap_tf_session

from keras_vae import cli, export, runtimes
from keras_vae.core.graphs import graphs_of
from keras_vae.errors import CorruptFileError, ExportError
from keras_vae.export.formats import saved_model
from keras_vae.export.graphs import trace
from keras_vae.export.work import Work
from keras_vae.models import MODELS, VAE
from keras_vae.networks import DECODERS
from keras_vae.runtimes.safety.saved_model import _RESTORING, _SAVING, OPERATIONS, forbidden
from tests.conformance.cases import every_model, make
from tests.export.bundles import DENSE, bundle_of, copied, sealed
from tests.export.test_before import BUNDLE
from tests.export.test_likelihoods import SPECS, model_with
from tests.export.test_prior import model_of, prior_of

RAW = tf.raw_ops
# op -> a use of it on a scalar of text and on images
HARMFUL = {
    "ReadFile": lambda path, x: RAW.ReadFile(filename=path),
    "WriteFile": lambda path, x: RAW.WriteFile(filename=path, contents="written"),
    "MatchingFiles": lambda path, x: RAW.MatchingFiles(pattern=path),
    "PyFunc": lambda path, x: tf.numpy_function(os.getcwdb, [], tf.string),
    "EagerPyFunc": lambda path, x: tf.py_function(lambda: 0.0, [], tf.float32),
    "ShardedFilename": lambda path, x: RAW.ShardedFilename(basename=path, shard=0, num_shards=1),
    "SaveV2": lambda path, x: RAW.SaveV2(prefix=path, tensor_names=["x"], shape_and_slices=[""], tensors=[x]),
    "RestoreV2": lambda path, x: RAW.RestoreV2(
        prefix=path, tensor_names=["x"], shape_and_slices=[""], dtypes=[tf.float32]
    ),
    "MergeV2Checkpoints": lambda path, x: RAW.MergeV2Checkpoints(checkpoint_prefixes=[path], destination_prefix=path),
    "PrintV2": lambda path, x: tf.print("written", output_stream="file:///tmp/never"),
    "ImmutableConst": lambda path, x: RAW.ImmutableConst(dtype=tf.float32, shape=[1], memory_region_name="/etc/passwd"),
    "DebugIdentityV2": lambda path, x: RAW.DebugIdentityV2(input=x, debug_urls=["file:///tmp/never"]),
    "TextLineDataset": lambda path, x: RAW.TextLineDataset(filenames=path, compression_type="", buffer_size=0),
    "RandomStandardNormal": lambda path, x: tf.random.normal([2]),
    "StringJoin": lambda path, x: tf.strings.join([path, "x"]),
}


class Program(tf.Module):
    """Three signatures of a bundle's; `decode` does something more than to decode."""

    def __init__(self, more):
        super().__init__()
        self.weight = tf.Variable(tf.ones((3, 784)))

        def decode(z):
            with tf.control_dependencies([tf.convert_to_tensor(more(z))]):
                x = tf.reshape(z @ self.weight, (-1, 28, 28, 1))
            return {"logits": x, "mean": tf.sigmoid(x)}

        def encode(x):
            z = tf.reshape(x, (-1, 784)) @ tf.transpose(self.weight)
            return {"mean": z, "log_var": z}

        images = tf.TensorSpec((None, 28, 28, 1), name="x")
        self.graphs = {
            "decode": tf.function(decode).get_concrete_function(z=tf.TensorSpec((None, 3), name="z")),
            "encode": tf.function(encode).get_concrete_function(x=images),
            "reconstruct": tf.function(lambda x: {"mean": tf.sigmoid(x)}).get_concrete_function(x=images),
        }


def saved(more, folder):
    """Write a SavedModel with the signatures of a bundle; `more` is called in `decode`."""
    program = Program(more)
    tf.saved_model.save(program, str(folder), signatures=program.graphs)
    return folder


def content(folder):
    return (folder / "saved_model.pb").read_bytes()


def writes(path):
    def more(z):
        tf.io.write_file(str(path), "written")
        return z

    return more


def forged(tmp_path):
    """A bundle whose SavedModel writes a file, with every digest made to fit."""
    folder = copied("mlp", tmp_path)
    for path in (folder / "saved_model").rglob("*"):
        if path.is_file():
            path.unlink()
    saved(writes(tmp_path / "written"), folder / "saved_model")
    return sealed(folder)


def test_a_program_is_not_run(tmp_path, capsys):
    folder = forged(tmp_path)
    for refused in (
        lambda: export.check(folder, ["saved_model"]),
        lambda: runtimes.open(folder, "saved_model"),
        lambda: export.check(folder),
    ):
        with pytest.raises(
            CorruptFileError, match=r"may only compute.*saved_model, with .*'WriteFile'.*Do not open it"
        ):
            refused()
    with pytest.raises(SystemExit):
        cli.main(["check", str(folder), "--runtime", "saved_model"])
    assert "WriteFile" in capsys.readouterr().err and not (tmp_path / "written").exists()
    # It is a program: TensorFlow alone runs it.
    tf.saved_model.load(str(folder / "saved_model")).signatures["decode"](z=tf.zeros((1, 3)))
    assert (tmp_path / "written").read_text() == "written"


@pytest.mark.parametrize("op", HARMFUL)
def test_operations_are_refused_by_name(op, tmp_path):
    def more(z):
        done = HARMFUL[op](tf.constant(str(tmp_path / "path")), z)
        return z if done is None or isinstance(done, tf.Operation) else tf.zeros(())

    assert f"the operation {op!r}" in forbidden(content(saved(more, tmp_path / "m")))


def test_a_state_that_calls_change_is_refused(tmp_path):
    program = Program(lambda z: z)
    program.counter = tf.Variable(0.0)
    decode = tf.function(lambda z: {"mean": program.counter.assign_add(1.0) + z})
    program.graphs["decode"] = decode.get_concrete_function(z=tf.TensorSpec((None, 3), name="z"))
    tf.saved_model.save(program, str(tmp_path / "m"), signatures=program.graphs)
    assert "the operation 'AssignAddVariableOp'" in forbidden(content(tmp_path / "m"))


def test_wherever_an_operation_stands(tmp_path):
    def in_a_loop(z):
        def body(i, total):
            tf.io.write_file("x", "y")
            return i + 1, total + 1.0

        return tf.while_loop(lambda i, total: i < 3, body, [0, 0.0])[1]

    def in_a_branch(z):
        return tf.cond(tf.reduce_sum(z) > 0, lambda: writes("x")(z), lambda: z)

    @tf.function
    def inner(z):
        return writes("x")(z)

    @tf.custom_gradient
    def in_a_gradient(z):
        return tf.identity(z), lambda up: writes("x")(up)

    for number, more in enumerate((in_a_loop, in_a_branch, inner, in_a_gradient)):
        problems = forbidden(content(saved(more, tmp_path / str(number))))
        assert "the operation 'WriteFile'" in problems, more


def honest():
    model = saved_model_pb2.SavedModel()
    model.ParseFromString(bundle_of("mlp").read("saved_model/saved_model.pb"))
    assert forbidden(model.SerializeToString()) == []
    return model, model.meta_graphs[0]


def saver_of(graph):
    nodes = {node.name: node for node in graph.graph_def.node}
    save = nodes[graph.saver_def.save_tensor_name.split(":")[0]]
    return save, nodes[graph.saver_def.restore_op_name], save.attr["f"].func.name


FORGERIES = []


def forgery(forge):
    """Keep a function that changes a graph, and returns the phrase that names the change."""
    FORGERIES.append(forge)
    return forge


@forgery
def operation_of_the_graph(graph):
    graph.graph_def.node.add(name="n", op="WriteFile")
    return "the operation 'WriteFile'"


@forgery
def function_that_nothing_calls(graph):
    function = graph.graph_def.library.function.add()
    function.signature.name = "f"
    function.node_def.add(name="n", op="PyFunc")
    return "the operation 'PyFunc'"


@forgery
def second_function_of_a_name(graph):
    kept = graph.graph_def.library.function[0]
    graph.graph_def.library.function.add().signature.name = kept.signature.name
    return "two functions of one name"


@forgery
def function_without_a_name(graph):
    graph.graph_def.library.function.add()
    return "two functions of one name"


@forgery
def function_under_an_operations_name(graph):
    graph.graph_def.library.function.add().signature.name = "Relu"
    return "the function 'Relu', an operation's name"


@forgery
def call_of_an_operation(graph):
    graph.graph_def.node.add(name="n", op="PartitionedCall").attr["f"].func.name = "WriteFile"
    return "a call of 'WriteFile', which is not in it"


@forgery
def call_hidden_in_a_list(graph):
    node = graph.graph_def.node.add(name="n", op="Case")
    node.attr["branches"].list.func.add().attr["f"].func.name = "WriteFile"
    return "a call of 'WriteFile', which is not in it"


@forgery
def call_of_the_saving(graph):
    graph.graph_def.node.add(name="n", op="PartitionedCall").attr["f"].func.name = saver_of(graph)[2]
    return "the node 'n', which saves or restores its variables"


@forgery
def call_of_the_saving_inside(graph):
    function = graph.graph_def.library.function.add()
    function.signature.name = "f"
    function.node_def.add(name="n", op="PartitionedCall").attr["f"].func.name = saver_of(graph)[2]
    return "the node 'n', which saves or restores its variables"


@forgery
def saving_as_an_input(graph):
    graph.graph_def.node.add(name="n", op="NoOp").input.append(f"^{saver_of(graph)[0].name}")
    return "the node 'n', which saves or restores its variables"


@forgery
def signature_that_saves(graph):
    graph.signature_def["decode"].outputs["more"].name = graph.saver_def.save_tensor_name
    return "the signature 'decode', which saves or restores its variables"


@forgery
def start_that_saves(graph):
    graph.collection_def["saved_model_main_op"].node_list.value.append(saver_of(graph)[0].name)
    return f"the start {saver_of(graph)[0].name!r}, which saves or restores its variables"


@forgery
def saving_as_a_signatures_function(graph):
    graph.object_graph_def.concrete_functions[saver_of(graph)[2]].SetInParent()
    return f"the function {saver_of(graph)[2]!r}, which saves or restores its variables"


@forgery
def restoring_from_elsewhere(graph):
    name = saver_of(graph)[1].attr["f"].func.name
    function = next(each for each in graph.graph_def.library.function if each.signature.name == name)
    next(node for node in function.node_def if node.op == "RestoreV2").input[0] = "elsewhere:output:0"
    return "the operation 'RestoreV2'"


@forgery
def restoring_with_another_argument(graph):
    saver_of(graph)[1].input[0] = "elsewhere"
    return "the operation 'RestoreV2'"


@forgery
def saving_that_is_no_savers(graph):
    graph.saver_def.Clear()
    return "the operation 'SaveV2'"


@forgery
def asset(graph):
    graph.asset_file_def.add(filename="../../secret")
    return "the asset '../../secret'"


@forgery
def collection(graph):
    graph.collection_def["table_initializer"].node_list.value.append("n")
    return "the collection 'table_initializer'"


@forgery
def object_of_python(graph):
    graph.object_graph_def.nodes[0].user_object.identifier = "_tf_keras_layer"
    return "an object of the kind '_tf_keras_layer'"


@forgery
def object_with_a_resource(graph):
    graph.object_graph_def.nodes.add().resource.device = ""
    return "an object of the kind 'resource'"


@forgery
def object_that_restores_itself(graph):
    graph.object_graph_def.nodes[0].saveable_objects["x"].restore_function = 1
    return "an object with a way of its own to be restored"


@forgery
def object_that_is_registered(graph):
    graph.object_graph_def.nodes[0].registered_name = "x"
    return "an object with a way of its own to be restored"


@forgery
def method_of_python(graph):
    graph.object_graph_def.nodes[0].children.add(node_id=1, local_name="__class__")
    return "an object named '__class__'"


@forgery
def constant_of_a_resource(graph):
    graph.graph_def.node.add(name="n", op="Const").attr["value"].tensor.dtype = tf.resource.as_datatype_enum
    return "the constant 'n', which is no tensor of numbers or text"


@pytest.mark.parametrize("forge", FORGERIES, ids=lambda forge: forge.__name__)
def test_forged(forge):
    model, graph = honest()
    problem = forge(graph)
    assert problem in forbidden(model.SerializeToString())


def test_graphs_of_tensorflow_1_and_several_graphs():
    model, graph = honest()
    model.meta_graphs.add().CopyFrom(graph)
    assert "TensorFlow 1" in forbidden(model.SerializeToString())[0]
    graph.ClearField("object_graph_def")
    del model.meta_graphs[1]
    assert "TensorFlow 1" in forbidden(model.SerializeToString())[0]
    assert "TensorFlow 1" in forbidden(b"")[0]
    assert "cannot be parsed" in forbidden(b"\xff" * 9)[0]


@pytest.mark.parametrize("name", ["saved_model.pbtxt", "saved_model.cpb", "assets/words.txt", "debug/x.pb", "a.py"])
def test_other_files_that_tensorflow_would_open(name, tmp_path):
    folder = copied("mlp", tmp_path)
    (folder / "saved_model" / name).parent.mkdir(exist_ok=True)
    (folder / "saved_model" / name).write_text("")
    with pytest.raises(CorruptFileError, match=f"with the file {name}"):
        runtimes.open(sealed(folder), "saved_model")


def test_an_export_that_nothing_would_open_is_refused(tmp_path):
    class Writing(tf.keras.layers.Layer):
        def build(self, shape):
            self.dense = tf.keras.layers.Dense(16)
            self.dense.build(shape)

        def call(self, inputs, training=False):
            path = tf.where(tf.reduce_sum(inputs) > 1e30, str(tmp_path / "a"), str(tmp_path / "b"))
            with tf.control_dependencies([tf.io.write_file(path, "x")]):
                return tf.reshape(self.dense(inputs), (-1, 4, 4, 1))

    model = VAE(image_shape=(4, 4, 1), latent_dim=2, encoder=DENSE, decoder=Writing())
    with pytest.raises(ExportError, match=r"may only compute.*'WriteFile'.*leave 'saved_model' out of formats"):
        export.export(model, tmp_path / "out", "saved_model")


# --- what an honest export needs ---


def assert_allowed(model, folder, prior=None, sampler=False):
    graphs = [trace(graph) for graph in graphs_of(model, sampler, prior)]
    saved_model.save(graphs, Work(graphs, model, {}, prior=prior), folder)
    assert forbidden(content(folder)) == []


@every_model
def test_every_model_needs_no_other_operation(name, tmp_path):
    assert_allowed(make(name), tmp_path / "m", sampler=MODELS[name].has_sampler)


@pytest.mark.slow
@pytest.mark.parametrize("kind", list(SPECS))
def test_every_likelihood_needs_no_other_operation(kind, tmp_path):
    assert_allowed(model_with(kind), tmp_path / "m")


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(DECODERS) - {"gru"}))
@pytest.mark.parametrize("activation", ["relu", "elu", "selu", "gelu", "silu", "mish", "softsign", "leaky_relu"])
def test_every_network_needs_no_other_operation(name, activation, tmp_path):
    network = {"name": name, "activation": activation}
    of_x = {"x_shape": (8, 2), "likelihood": "normal"} if name == "causal" else {"image_shape": (8, 8, 1)}
    assert_allowed(VAE(**of_x, latent_dim=2, encoder=network, decoder=network), tmp_path / "m")


@pytest.mark.slow
def test_recurrence_needs_no_other_operation(tmp_path):
    model = VAE(x_shape=(8, 2), likelihood="normal", latent_dim=2, encoder="gru", decoder="gru")
    assert_allowed(model, tmp_path / "m")


@pytest.mark.slow
def test_a_prior_needs_no_other_operation(tmp_path):
    assert_allowed(model_of(), tmp_path / "m", prior_of())


def test_a_bundle_of_before_passes():
    assert forbidden((BUNDLE / "saved_model" / "saved_model.pb").read_bytes()) == []
    assert json.loads((BUNDLE / "bundle.json").read_text())["versions"]


def test_the_list_is_of_operations_of_tensorflow_that_touch_nothing_outside():
    listed = op_def_pb2.OpList.FromString(pywrap_tf_session.TF_GetBuffer(pywrap_tf_session.TF_GetAllOpList()))
    known = {op.name: op for op in listed.op}
    assert known.keys() >= OPERATIONS | _SAVING | _RESTORING
    state = {name for name in OPERATIONS if known[name].is_stateful}
    assert state == {
        "Assert", "Case", "If", "ReadVariableOp", "ResourceGather", "ResourceGatherNd", "StatefulPartitionedCall",
        "VarHandleOp", "VarIsInitializedOp", "While",
    }  # fmt: skip
    # A path is text: what takes or gives text could be given one. Assert prints, on the standard error.
    text = {
        name
        for name in OPERATIONS
        for argument in (*known[name].input_arg, *known[name].output_arg)
        if argument.type == tf.string.as_datatype_enum
    }
    assert text == set()
