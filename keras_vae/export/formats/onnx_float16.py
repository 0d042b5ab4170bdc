"""ONNX with weights and arithmetic in float16; inputs and outputs stay float32."""

import warnings
from pathlib import Path
from typing import Any

from keras_vae.export.formats import onnx_file
from keras_vae.export.formats.failures import converting
from keras_vae.export.graphs import TracedGraph
from keras_vae.export.work import Work


def write(work: Work, folder: Path) -> dict[str, Any]:
    """Write `encoder.fp16.onnx` and `decoder.fp16.onnx`: half the size of the ONNX files.

    Raises:
      ExportError: an operation without an ONNX counterpart, or a file that the ONNX checker refuses.
    """
    return onnx_file.write_each(work, folder, "{}.fp16.onnx", halved, work.reduced) | {"precision": "float16"}


def halved(traced: TracedGraph, work: Work) -> Any:
    """The graph's `ModelProto` with float16 inside, and its float32 inputs and outputs."""
    from onnxruntime.transformers.float16 import convert_float_to_float16
    from onnxruntime.transformers.onnx_model import OnnxModel

    original = onnx_file.convert(traced, work)
    with converting(f"Converting the {traced.name} to float16"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # weights below float16's smallest number become that number
        proto: Any = type(original)()
        proto.CopyFrom(original)  # the converter works in place
        proto = convert_float_to_float16(proto, keep_io_types=True)
        OnnxModel.graph_topological_sort(proto.graph, is_deterministic=True)  # it adds its casts at the end
    onnx_file.refuse_foreign(proto, traced.name)
    onnx_file.canonicalise(proto, traced.name, traced.batch)
    return proto
