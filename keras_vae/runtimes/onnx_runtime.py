"""ONNX Runtime on the processor: numpy and onnxruntime, nothing else."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnxruntime

from keras_vae.runtimes.base import Runtime, refuse_external_data


class OnnxRuntime(Runtime):
    """An `onnxruntime.InferenceSession` for each graph."""

    name = "onnxruntime"

    def setup(self, explicit: bool) -> dict[str, Any]:
        return {"inter_op_threads": 1, "execution": "sequential", "optimization": "all", "spinning": True}

    def load(self, graph: str, file: str) -> Any:
        content = self.bundle.read(file)
        refuse_external_data(content, self.bundle.path / file)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.add_session_config_entry("session.intra_op.allow_spinning", "1")
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        return session, [output.name for output in session.get_outputs()]

    def call(self, loaded: Any, inputs: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        session, names = loaded
        return dict(zip(names, session.run(names, dict(inputs)), strict=True))
