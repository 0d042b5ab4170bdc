"""The formats of a bundle, one a file: each writes some of the graphs into a folder and says which files it wrote.

A writer takes the traced graphs, the model, the metadata that every format may carry, and the folder; it returns its
entry of `bundle.json`: `files`, a file (or folder) for each graph by name, and what else a reader should know.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from keras_vae.export.formats import keras_weights, litert, onnx_file, openvino_ir, saved_model
from keras_vae.export.graphs import TracedGraph

Writer = Callable[[Sequence[TracedGraph], Any, Mapping[str, str], Path], dict[str, Any]]

FORMATS: dict[str, Writer] = {
    "saved_model": saved_model.write,
    "onnx": onnx_file.write,
    "litert": litert.write,
    "openvino": openvino_ir.write,
    "keras": keras_weights.write,
}
