"""ONNX Runtime on the processor: numpy and onnxruntime, nothing else."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnxruntime

from keras_vae.runtimes.base import Runtime
from keras_vae.runtimes.safety.onnx_file import require_harmless

_SPINNING = "session.intra_op.allow_spinning"


class OnnxRuntime(Runtime[onnxruntime.InferenceSession]):
    """An `onnxruntime.InferenceSession` for each graph, which takes calls from any number of threads."""

    name = "onnxruntime"
    reads = True

    def setup(self, explicit: bool) -> dict[str, Any]:
        options = session_options(self.threads)
        return {
            "threads": options.intra_op_num_threads,
            "inter_op_threads": options.inter_op_num_threads,
            "execution": options.execution_mode.name,
            "optimization": options.graph_optimization_level.name,
            "spinning": options.get_session_config_entry(_SPINNING) == "1",
        }

    def load(self, graph: str, file: str) -> onnxruntime.InferenceSession:
        content = self.bundle.read(file)
        require_harmless(content, self.bundle.path / file)
        options = session_options(self.threads)
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])

    def call(
        self, loaded: onnxruntime.InferenceSession, inputs: Mapping[str, np.ndarray], outputs: Sequence[str]
    ) -> dict[str, np.ndarray]:
        return dict(zip(outputs, loaded.run(outputs, inputs), strict=True))


def session_options(threads: int) -> onnxruntime.SessionOptions:
    """Return the options of every session."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.add_session_config_entry(_SPINNING, "1")
    # ONNX Runtime would also accept its own format, which is not checked here. Weights in other files are looked for
    # in a folder that cannot exist.
    options.add_session_config_entry("session.load_model_format", "ONNX")
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", os.devnull)
    return options
