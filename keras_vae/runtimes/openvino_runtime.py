"""OpenVINO on the processor, from its own format or from ONNX, in float32 unless bfloat16 is asked for."""

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import openvino

from keras_vae.runtimes.base import Runtime
from keras_vae.runtimes.safety import onnx_file, openvino_ir

_PRECISIONS = {"f32": "float32", "f16": "float16", "bf16": "bfloat16"}


_Loaded = tuple[openvino.InferRequest, list[str]]


class OpenVinoRuntime(Runtime[_Loaded]):
    """A compiled model for each graph, with one inference request that is reused."""

    name = "openvino"
    reads = True

    def setup(self, explicit: bool) -> dict[str, Any]:
        # Without the precision, OpenVINO computes in bfloat16 wherever the processor can: errors of 1e-3.
        self._properties = {
            "INFERENCE_PRECISION_HINT": "bf16" if self.mode == "bfloat16" else "f32",
            "INFERENCE_NUM_THREADS": self.threads,
            "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY",
        }
        self._core = openvino.Core()
        return {}

    def load(self, graph: str, file: str) -> _Loaded:
        content, path = self.bundle.read(file), self.bundle.path / file
        # Contents, not paths: OpenVINO would seek further files by the name of the first, and know it by its ending.
        if file.endswith(".onnx"):
            onnx_file.require_harmless(content, path)
            model = self._core.read_model(model=content)
        else:
            weights = self.bundle.read(str(PurePosixPath(file).with_suffix(".bin")))
            openvino_ir.require_harmless(content, weights, path)
            model = self._core.read_model(model=content, weights=weights)
        compiled = self._core.compile_model(model, "CPU", self._properties)
        # The actual precision differs from the requested one if the processor does not support it.
        precision = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        self.settings |= {
            "threads": compiled.get_property("INFERENCE_NUM_THREADS"),
            "streams": compiled.get_property("NUM_STREAMS"),
            "hint": str(compiled.get_property("PERFORMANCE_HINT")),
            "precision": _PRECISIONS.get(precision, precision),
        }
        described = self.bundle.graphs[graph]["outputs"]
        names = [next(name for name in output.get_names() if name in described) for output in compiled.outputs]
        return compiled.create_infer_request(), names

    def call(self, loaded: _Loaded, inputs: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        request, names = loaded
        outputs = request.infer(dict(inputs), share_inputs=True)
        return {name: outputs[index] for index, name in enumerate(names)}
