"""ONNX with weights and arithmetic in float16; inputs and outputs stay float32."""

import warnings
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from keras_vae.errors import ExportError
from keras_vae.export.formats import onnx_file
from keras_vae.export.formats.canonical import canonicalise
from keras_vae.export.formats.onnx_graph import bodies_of, nodes_in
from keras_vae.export.graphs import TracedGraph
from keras_vae.export.remedies import converting
from keras_vae.export.work import Work
from keras_vae.runtimes.bundle import FormatEntry

LARGEST = 65504.0  # of float16


def write(work: Work, folder: Path) -> FormatEntry:
    """Write `encoder.fp16.onnx` and `decoder.fp16.onnx`: half the size of the ONNX files.

    Raises:
      ExportError: an operation without an ONNX counterpart, or a file that the ONNX checker refuses.
    """
    return onnx_file.write_each(work, folder, "{}.fp16.onnx", halved, "float16")


def halved(traced: TracedGraph, work: Work) -> onnx.ModelProto:
    """Return the graph's `ModelProto` in float16, with float32 inputs and outputs."""
    from onnxruntime.transformers.float16 import convert_float_to_float16
    from onnxruntime.transformers.onnx_model import OnnxModel

    original = onnx_file.convert(traced, work)
    _require_range(original, traced.name)
    with converting(f"Converting the {traced.name} to float16"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # weights below float16's smallest number become that or 0
        proto = onnx.ModelProto()
        proto.CopyFrom(original)  # the converter works in place
        proto = convert_float_to_float16(proto, keep_io_types=True)
        OnnxModel.graph_topological_sort(proto.graph, is_deterministic=True)  # the converter appends its casts
    onnx_file.refuse_foreign(proto, traced.name)
    canonicalise(proto, traced.name, traced.batch)
    return proto


def _require_range(proto: onnx.ModelProto, name: str) -> None:
    """Raise ExportError if a number of the graph is beyond float16: the converter would clip it."""
    nodes = list(nodes_in(proto.graph.node))
    constants = [attribute.t for node in nodes for attribute in node.attribute if attribute.HasField("t")]
    inner = [tensor for node in nodes for body in bodies_of(node) for tensor in body.initializer]
    for tensor in [*proto.graph.initializer, *inner, *constants]:
        array = numpy_helper.to_array(tensor)
        if array.dtype == np.float32 and (beyond := np.abs(array[np.isfinite(array)]).max(initial=0.0)) > LARGEST:
            raise ExportError(
                f"float16 holds numbers up to {LARGEST:.0f}. Given: the {name}, with {beyond:.6g} in "
                f"{tensor.name or 'a constant'}. Leave onnx_fp16 out, or rescale that part."
            )
