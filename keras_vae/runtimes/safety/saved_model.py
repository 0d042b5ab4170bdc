"""A check that a SavedModel computes and does nothing else, by reading its graph before TensorFlow runs any of it."""

import re
from collections.abc import Iterable, Iterator, Mapping, Set
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from keras_vae.errors import CorruptFileError

if TYPE_CHECKING:
    from tensorflow.core.protobuf import meta_graph_pb2

# The operations of TensorFlow that a graph may hold: arithmetic on tensors, control flow, and reading variables. None
# of them reads or writes a file, calls Python, prints (to a file, if it is told to), draws random numbers or uses the
# network. tests/runtimes/safety/test_saved_model.py shows that every model, network, likelihood and prior needs no
# other.
OPERATIONS = frozenset(Path(__file__).with_name("operations.txt").read_text(encoding="utf-8").split())
# What TensorFlow puts into the two functions that save and restore variables, beside the above. `tf.saved_model.load`
# calls neither: it reads the variables from their place in the folder.
_SAVING = {"DisableCopyOnRead", "MergeV2Checkpoints", "SaveV2", "ShardedFilename", "StaticRegexFullMatch", "StringJoin"}
_RESTORING = {"AssignVariableOp", "RestoreV2"}
# TensorFlow would open others by itself: assets, warm-up requests, and the graph in three further spellings.
_FILES = re.compile(r"saved_model\.pb|fingerprint\.pb|variables/variables\.(index|data-\d{5}-of-\d{5})")
_HANDLES = {20, 21}  # DT_RESOURCE and DT_VARIANT: objects of the runtime
_OBJECTS = {"user_object", "variable", "bare_concrete_function", "captured_tensor"}  # the last: of custom gradients
_CONTAINERS = {"_generic_user_object", "signature_map", "trackable_list_wrapper"}


def require_harmless(content: bytes, path: Path, files: list[str]) -> None:
    """Raise CorruptFileError if loading or running a SavedModel could do more than compute.

    Args:
      content: of its `saved_model.pb`.
      path: of its folder, for the message.
      files: the paths of all files in the folder, relative to it.
    """
    problems = [f"the file {name}" for name in files if not _FILES.fullmatch(name)] + forbidden(content)
    if problems:
        raise CorruptFileError(
            f"A SavedModel in a bundle may only compute: no files, no Python, no network. Given: {path}, with "
            f"{', '.join(problems[:3])}{', and more' if len(problems) > 3 else ''}. Do not open it."
        )


def forbidden(content: bytes) -> list[str]:
    """Return, as phrases, the parts of a `saved_model.pb` that could do more than compute."""
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import saved_model_pb2

    model = saved_model_pb2.SavedModel()
    try:
        model.ParseFromString(content)
    except DecodeError as error:
        return [f"a saved_model.pb that cannot be parsed ({error})"]
    if len(model.meta_graphs) != 1 or not model.meta_graphs[0].HasField("object_graph_def"):
        return ["a graph of TensorFlow 1, of which parts run as it is loaded"]
    graph = model.meta_graphs[0]
    functions, saver = graph.graph_def.library.function, _saver(graph)
    names = [function.signature.name for function in functions]
    # TensorFlow seeks an operation among the functions first.
    problems = [f"the function {name!r}, an operation's name" for name in names if name in OPERATIONS]
    if len(set(names)) < len(names) or not all(names):
        problems.append("two functions of one name")
    for function in functions:
        problems += _of_nodes(function.node_def, OPERATIONS | saver.operations.get(function.signature.name, set()))
    problems += _of_nodes(graph.graph_def.node, OPERATIONS)
    inside = [node for function in functions for node in function.node_def]
    outside = [node for node in graph.graph_def.node if node.name not in saver.nodes]
    called = dict.fromkeys(name for node in [*graph.graph_def.node, *inside] for name in _functions(node.attr))
    problems += [f"a call of {name!r}, which is not in it" for name in called.keys() - set(names)]
    uses = [node.name for node in [*outside, *inside] if saver.operations.keys() & set(_functions(node.attr))]
    uses += [node.name for node in graph.graph_def.node if any(_node(name) in saver.nodes for name in node.input)]
    problems += [f"the node {name!r}, which saves or restores its variables" for name in uses]
    return problems + _of_objects(graph, saver)


class _Saver(NamedTuple):
    """The parts that save and restore variables, where they do only that."""

    operations: dict[str, set[str]]  # function -> the operations that it may hold beside `OPERATIONS`
    nodes: set[str]  # of the graph, which call those functions


def _saver(graph: "meta_graph_pb2.MetaGraphDef") -> _Saver:
    """Return the saver; a function that restores from another place than it is told is not of it."""
    nodes = {node.name: node for node in graph.graph_def.node}
    library = {function.signature.name: function for function in graph.graph_def.library.function}
    described, saver = graph.saver_def, _Saver({}, set())
    for tensor, operations in ((described.save_tensor_name, _SAVING), (described.restore_op_name, _RESTORING)):
        node = nodes.get(_node(tensor))
        if node is None or list(node.input[:1]) != [_node(described.filename_tensor_name)]:
            continue
        for name in _functions(node.attr):
            function = library.get(name)
            if (
                function
                and function.signature.input_arg
                and all(
                    list(inner.input[:1]) == [function.signature.input_arg[0].name]
                    for inner in function.node_def
                    if inner.op == "RestoreV2"
                )
            ):
                saver.operations[name] = operations
                saver.nodes.add(node.name)
    return saver


def _of_nodes(nodes: Iterable[Any], allowed: Set[str]) -> list[str]:
    """Return what is forbidden of nodes by themselves."""
    nodes = list(nodes)
    problems = [f"the operation {op!r}" for op in dict.fromkeys(node.op for node in nodes) if op not in allowed]
    return problems + [
        f"the constant {node.name!r}, which is no tensor of numbers or text"
        for node in nodes
        if any(value.tensor.dtype in _HANDLES for value in node.attr.values())
    ]


def _of_objects(graph: "meta_graph_pb2.MetaGraphDef", saver: _Saver) -> list[str]:
    """Return what is forbidden of objects, signatures, assets and collections."""
    problems = [f"the asset {asset.filename!r}" for asset in graph.asset_file_def]
    problems += [f"the collection {name!r}" for name in graph.collection_def if name != "saved_model_main_op"]
    objects = graph.object_graph_def
    for item in objects.nodes:
        kind = item.WhichOneof("kind")
        if kind not in _OBJECTS or (kind == "user_object" and item.user_object.identifier not in _CONTAINERS):
            problems.append(f"an object of the kind {item.user_object.identifier or kind!r}")
        if item.registered_name or item.registered_saver or item.saveable_objects:
            problems.append("an object with a way of its own to be restored")
        problems += [
            f"an object named {child.local_name!r}"
            for child in item.children
            if not re.fullmatch(r"[A-Za-z0-9]\w*", child.local_name, re.ASCII)
        ]
    named = [
        *objects.concrete_functions,
        *(item.bare_concrete_function.concrete_function_name for item in objects.nodes),
        *(item.captured_tensor.concrete_function for item in objects.nodes),
    ]
    uses = [f"the function {name!r}" for name in dict.fromkeys(named) if name in saver.operations]
    for name, signature in graph.signature_def.items():
        tensors = (*signature.inputs.values(), *signature.outputs.values())
        uses += [f"the signature {name!r}" for tensor in tensors if _node(tensor.name) in saver.nodes]
    for collection in graph.collection_def.values():
        uses += [f"the start {name!r}" for name in collection.node_list.value if _node(name) in saver.nodes]
    return problems + [f"{use}, which saves or restores its variables" for use in uses]


def _functions(attributes: Mapping[str, Any]) -> Iterator[str]:
    """Yield the names of the functions among a node's attributes."""
    for value in attributes.values():
        for function in [value.func] if value.HasField("func") else value.list.func:
            yield function.name
            yield from _functions(function.attr)


def _node(tensor: str) -> str:
    """Return the node of a tensor or of a control input: `^a`, `a:0` and `a` are of the node `a`."""
    return tensor.removeprefix("^").partition(":")[0]
