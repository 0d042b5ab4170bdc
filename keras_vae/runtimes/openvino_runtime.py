"""OpenVINO on the processor, from its own format or from ONNX, in float32 unless bfloat16 is asked for."""

import functools
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import openvino

from keras_vae.runtimes.base import Runtime
from keras_vae.runtimes.safety import onnx_file, openvino_ir

_PRECISIONS = {"f32": "float32", "f16": "float16", "bf16": "bfloat16"}


# the model, its idle requests, and the index of each output
_Loaded = tuple[openvino.CompiledModel, deque[openvino.InferRequest], dict[str, int]]


@functools.cache
def core() -> openvino.Core:
    """Return OpenVINO's core, one for the process, which is never freed.

    A core that compiles gives its thread a stack for signals, and takes its memory back when it is freed. Of two that
    are freed in the order in which they were made, the second puts back the stack of the first: a signal, such as
    Ctrl-C, then ended the process by SIGSEGV (OpenVINO 2026.4).
    """
    return openvino.Core()


class OpenVinoRuntime(Runtime[_Loaded]):
    """A compiled model for each graph, and a pool of its inference requests for any number of threads.

    A request takes one call at a time and keeps its memory for the next; there are as many as calls have met. They
    share the processors' threads: one computes at a time.
    """

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
        return {}

    def load(self, graph: str, file: str) -> _Loaded:
        content, path = self.bundle.read(file), self.bundle.path / file
        # Contents, not paths: OpenVINO would seek further files by the name of the first, and know it by its ending.
        if file.endswith(".onnx"):
            onnx_file.require_harmless(content, path)
            model = core().read_model(model=content)
        else:
            weights = self.bundle.read(str(PurePosixPath(file).with_suffix(".bin")))
            openvino_ir.require_harmless(content, weights, path)
            model = core().read_model(model=content, weights=weights)
        compiled = core().compile_model(model, "CPU", self._properties)
        # The actual precision differs from the requested one if the processor does not support it.
        precision = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        self.settings |= {
            "threads": compiled.get_property("INFERENCE_NUM_THREADS"),
            "streams": compiled.get_property("NUM_STREAMS"),
            "hint": str(compiled.get_property("PERFORMANCE_HINT")),
            "precision": _PRECISIONS.get(precision, precision),
        }
        described = self.bundle.graphs[graph]["outputs"]
        indices = {name: index for index, output in enumerate(compiled.outputs) for name in output.get_names()}
        return compiled, deque(), {name: indices[name] for name in described}

    def call(self, loaded: _Loaded, inputs: Mapping[str, np.ndarray], outputs: Sequence[str]) -> dict[str, np.ndarray]:
        compiled, idle, indices = loaded
        try:
            request = idle.pop()
        except IndexError:
            request = compiled.create_infer_request()
        request.infer(dict(inputs), share_inputs=True, share_outputs=True)
        copies = {name: np.array(request.get_output_tensor(indices[name]).data) for name in outputs}
        idle.append(request)  # from here on another call may overwrite its outputs
        return copies
