"""LiteRT (TensorFlow Lite) with XNNPACK, without TensorFlow."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter, SignatureRunner

from keras_vae.runtimes.base import Runtime
from keras_vae.runtimes.safety.litert import require_harmless

_Loaded = tuple[Interpreter, SignatureRunner]


class LiteRtRuntime(Runtime[_Loaded]):
    """An interpreter and its signature for each graph; a new batch size reallocates its tensors."""

    name = "litert"
    reads = True

    def setup(self, explicit: bool) -> dict[str, Any]:
        return {"delegate": "XNNPACK"}

    def load(self, graph: str, file: str) -> _Loaded:
        content = self.bundle.read(file)
        require_harmless(content, self.bundle.path / file)
        interpreter = Interpreter(model_content=content, num_threads=self.threads)
        return interpreter, interpreter.get_signature_runner(self.bundle.graphs[graph]["signature"])

    def call(self, loaded: _Loaded, inputs: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        _, signature = loaded
        return signature(**inputs)
