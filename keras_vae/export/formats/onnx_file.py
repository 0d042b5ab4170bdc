"""ONNX: a self-contained file for each graph, the same bytes for the same weights and versions."""

import logging
import warnings
from collections.abc import Callable
from pathlib import Path

import onnx
import onnx.version_converter

from keras_vae.errors import ExportError
from keras_vae.export.formats.canonical import canonicalise
from keras_vae.export.formats.onnx_graph import nodes_in
from keras_vae.export.formats.slimming import slim
from keras_vae.export.graphs import TracedGraph
from keras_vae.export.remedies import converting, is_random, remedy
from keras_vae.export.support import OPSET
from keras_vae.export.work import Work
from keras_vae.runtimes.bundle import FormatEntry

DOMAINS = ("", "ai.onnx.ml")


def write(work: Work, folder: Path) -> FormatEntry:
    """Write `encoder.onnx` and `decoder.onnx`: the batch is the symbolic dimension `batch` of every input and output.

    Raises:
      ExportError: an operation without an ONNX counterpart, or a file that the ONNX checker refuses.
    """
    return write_each(work, folder, "{}.onnx", convert)


def write_each(
    work: Work,
    folder: Path,
    name: str,
    make: Callable[[TracedGraph, Work], onnx.ModelProto],
    precision: str | None = None,
) -> FormatEntry:
    """Write the `ModelProto` that `make` returns for each graph, check the file, and return the format's entry.

    Args:
      work: the export.
      folder: to write to.
      name: of a file, with `{}` for the name of the graph.
      make: from a graph and the export to a `ModelProto`.
      precision: a reduced one, in which not every graph is written; None: float32.
    """
    files = {}
    for traced in work.files if precision is None else work.reduced:
        files[traced.name] = name.format(traced.name)
        (folder / files[traced.name]).write_bytes(make(traced, work).SerializeToString(deterministic=True))
        with converting(f"Checking {files[traced.name]}"):
            onnx.checker.check_model(str(folder / files[traced.name]), full_check=True)
    batch = "batch" if work.graphs[0].batch is None else None
    entry: FormatEntry = {"files": files, "opset": work.opset, "batch_dimension": batch}
    return entry if precision is None else {**entry, "precision": precision}


def convert(traced: TracedGraph, work: Work) -> onnx.ModelProto:
    """Return the `onnx.ModelProto` of one graph, with canonical names."""
    if traced.name not in work.protos:
        work.protos[traced.name] = _converted(traced, work)
    return work.protos[traced.name]


def _converted(traced: TracedGraph, work: Work) -> onnx.ModelProto:
    import tf2onnx

    logger = logging.getLogger("tf2onnx")
    level = logger.level
    try:
        # tf2onnx logs operations that it cannot convert, and continues; `refuse_foreign` finds them below.
        logger.setLevel(logging.CRITICAL)
        with converting(f"Converting the {traced.name} to ONNX"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _make_fit_for_numpy_2()
            opset = min(work.opset, OPSET)
            proto, _ = tf2onnx.convert.from_function(traced.function, traced.specs, opset=opset)
    finally:
        logger.setLevel(level)
    refuse_foreign(proto, traced.name)
    if work.opset > OPSET:
        with converting(f"Converting the {traced.name} to opset {work.opset}"):
            proto = onnx.version_converter.convert_version(proto, work.opset)
            proto.ir_version = onnx.helper.find_min_ir_version_for(proto.opset_import)
    with converting(f"Slimming the {traced.name}"):
        slim(proto)
    canonicalise(proto, traced.name, traced.batch)
    onnx.helper.set_model_props(proto, work.metadata(traced))
    return proto


def refuse_foreign(proto: onnx.ModelProto, name: str) -> None:
    """Raise ExportError if a node is no standard ONNX operation or is random, or weights are kept in another file."""
    nodes = list(nodes_in(proto.graph.node))
    standard = {schema.name for schema in onnx.defs.get_all_schemas() if schema.domain in DOMAINS}
    foreign = sorted({node.op_type for node in nodes if node.domain not in DOMAINS or node.op_type not in standard})
    if foreign:
        raise ExportError(
            f"Every operation of an exported graph must exist in ONNX. Given: the {name}, with {', '.join(foreign)}. "
            f"{remedy(foreign)}"
        )
    random = sorted({node.op_type for node in nodes if is_random(node.op_type)})
    if random:
        raise ExportError(f"The {name} holds the random ops {', '.join(random)}. {remedy(random)}")
    if any(tensor.external_data for tensor in proto.graph.initializer):
        raise ExportError(f"The {name} keeps its weights outside its ONNX file; a bundle's files are self-contained.")


def _make_fit_for_numpy_2() -> None:
    # Keras patches tf2onnx 1.17 for numpy 2; versions of Keras without the patch do not need it.
    try:
        from keras.src.export.tf2onnx_lib import patch_tf2onnx
    except ImportError:
        return
    patch_tf2onnx()
