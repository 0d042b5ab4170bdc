"""The formats of a bundle, one module each: a writer writes graphs into a folder and returns the files.

A writer takes the export's `Work` and the folder; it returns its entry of `bundle.json`: `files`, a file (or folder)
for each graph by name, `precision` where it is not float32, and what else a reader should know.
"""

from collections.abc import Callable
from pathlib import Path

from keras_vae.export.formats import (
    keras_weights,
    litert,
    onnx_file,
    onnx_float16,
    onnx_int8,
    openvino_ir,
    saved_model,
)
from keras_vae.export.work import Work
from keras_vae.runtimes.bundle import FormatEntry

Writer = Callable[[Work, Path], FormatEntry]

FORMATS: dict[str, Writer] = {
    "saved_model": saved_model.write,
    "onnx": onnx_file.write,
    "onnx_fp16": onnx_float16.write,
    "onnx_int8": onnx_int8.write,
    "litert": litert.write,
    "openvino": openvino_ir.write,
    "keras": keras_weights.write,
}
