"""ONNX with 8-bit weights and 8-bit inputs of every product of matrices: static, calibrated, in QDQ form."""

import logging
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from keras_vae.export.formats import onnx_file
from keras_vae.export.formats.canonical import canonicalise
from keras_vae.export.graphs import TracedGraph
from keras_vae.export.remedies import converting
from keras_vae.export.work import Work
from keras_vae.runtimes.bundle import FormatEntry

PRODUCTS = ("MatMul", "Gemm", "Conv", "ConvTranspose")
_BATCH = 64


def write(work: Work, folder: Path) -> FormatEntry:
    """Write `encoder.int8.onnx` and `decoder.int8.onnx`.

    Raises:
      ExportError: an operation without an ONNX counterpart, or a file that the ONNX checker refuses.
    """
    return onnx_file.write_each(work, folder, "{}.int8.onnx", quantised, "int8")


def quantised(traced: TracedGraph, work: Work) -> onnx.ModelProto:
    """Return the graph's `ModelProto`, quantised with the ranges of the export's calibration inputs.

    Weights are signed, with one scale per channel, and use 7 of their 8 bits: processors with AVX2 but without VNNI add
    pairs of products in 16 bits, where 8 bits overflow. Outputs of products, sums and activations are not quantised: on
    the zoo's dense β-VAE this lost a third of the nats that quantising everything did.
    """
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    source = onnx.ModelProto()
    source.CopyFrom(onnx_file.convert(traced, work))  # the quantiser works in place
    for node in source.graph.node:
        # The quantiser asks ONNX for the types of tensors, which cannot infer the output of this one.
        if node.op_type == "GroupNormalization":
            value = onnx.helper.make_tensor_value_info(node.output[0], onnx.TensorProto.FLOAT, None)
            source.graph.value_info.append(value)
    level = logging.root.manager.disable
    with converting(f"Quantising the {traced.name}"), tempfile.TemporaryDirectory() as scratch:
        logging.disable(logging.WARNING)  # advice to preprocess, through the root logger
        try:
            quantize_static(
                source,
                f"{scratch}/quantised.onnx",
                _reader(work.calibration[traced.name], traced.batch or _BATCH),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=list(PRODUCTS),
                per_channel=True,
                reduce_range=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                extra_options={"OpTypesToExcludeOutputQuantization": list(PRODUCTS)},
            )
        finally:
            logging.disable(level)
        proto = onnx.load(f"{scratch}/quantised.onnx", load_external_data=False)
    onnx_file.refuse_foreign(proto, traced.name)
    canonicalise(proto, traced.name, traced.batch)
    proto.producer_name, proto.producer_version = source.producer_name, source.producer_version
    del proto.metadata_props[:]
    onnx.helper.set_model_props(proto, work.metadata(traced))
    return proto


def _reader(inputs: Mapping[str, np.ndarray], batch: int) -> Any:
    """Return a `CalibrationDataReader` of whole batches."""
    from onnxruntime.quantization import CalibrationDataReader

    count = len(next(iter(inputs.values())))
    batches = (
        {name: array[start : start + batch] for name, array in inputs.items()}
        for start in range(0, count - count % batch, batch)
    )

    class Reader(CalibrationDataReader):
        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(batches, None)

    return Reader()
