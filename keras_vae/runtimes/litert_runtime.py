"""LiteRT (TensorFlow Lite) with XNNPACK, without TensorFlow."""

import threading
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from keras_vae.runtimes.base import Runtime
from keras_vae.runtimes.safety.litert import require_harmless


class _Loaded(NamedTuple):
    interpreter: Interpreter
    inputs: dict[str, int]  # name -> the index of its tensor
    outputs: dict[str, int]
    lock: threading.Lock
    reserved: list[tuple[int, ...]]  # the shapes of the inputs that there is memory for; [()] before the first call


class LiteRtRuntime(Runtime[_Loaded]):
    """An interpreter for each graph, locked during a call, so that any number of threads may call it.

    A second interpreter would hold the weights twice, and one call uses all threads already. A new batch size
    reallocates the tensors.
    """

    name = "litert"
    reads = True

    def setup(self, explicit: bool) -> dict[str, Any]:
        return {"delegate": "XNNPACK"}

    def load(self, graph: str, file: str) -> _Loaded:
        content = self.bundle.read(file)
        require_harmless(content, self.bundle.path / file)
        interpreter = Interpreter(model_content=content, num_threads=self.threads)
        signature = interpreter.get_signature_runner(self.bundle.graphs[graph]["signature"])
        inputs = {name: one["index"] for name, one in signature.get_input_details().items()}
        outputs = {name: one["index"] for name, one in signature.get_output_details().items()}
        return _Loaded(interpreter, inputs, outputs, threading.Lock(), [()])

    def call(self, loaded: _Loaded, inputs: Mapping[str, np.ndarray], outputs: Sequence[str]) -> dict[str, np.ndarray]:
        interpreter = loaded.interpreter
        with loaded.lock:
            shapes = [array.shape for array in inputs.values()]
            if loaded.reserved != shapes:
                loaded.reserved.clear()  # until there is memory
                for name, array in inputs.items():
                    interpreter.resize_tensor_input(loaded.inputs[name], array.shape)
                interpreter.allocate_tensors()
                loaded.reserved.extend(shapes)
            for name, array in inputs.items():
                interpreter.set_tensor(loaded.inputs[name], array)
            interpreter.invoke()
            return {name: interpreter.get_tensor(loaded.outputs[name]) for name in outputs}
