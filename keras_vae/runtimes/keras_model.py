"""Keras itself: the model rebuilt from the bundle's data, each graph one `tf.function`."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np

from keras_vae.runtimes.base import Runtime
from keras_vae.runtimes.tensorflow_threads import set_threads


class KerasRuntime(Runtime):
    """The graphs of `keras_vae.export.graphs`, run by TensorFlow from a live model."""

    name = "keras"

    def setup(self, explicit: bool) -> dict[str, Any]:
        return {**set_threads(self.threads, explicit), "mode": "tf.function"}

    @cached_property
    def _traced(self) -> dict[str, Any]:
        from keras_vae.export.formats import keras_weights
        from keras_vae.export.graphs import graphs_of, trace

        return {graph.name: trace(graph) for graph in graphs_of(keras_weights.read(self.bundle.path))}

    def load(self, graph: str, file: str) -> Any:
        return self._traced[graph]

    def call(self, loaded: Any, inputs: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        return loaded.run(inputs)
