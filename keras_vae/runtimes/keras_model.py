"""Keras itself: the model rebuilt from the bundle's data, each graph a `tf.function`, with or without XLA, or eager."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np

from keras_vae.runtimes.base import Runtime
from keras_vae.runtimes.saved_model import set_threads


class KerasRuntime(Runtime):
    """The graphs of `keras_vae.export.graphs`, run by TensorFlow from a live model."""

    name = "keras"

    def setup(self, explicit: bool) -> dict[str, Any]:
        return {**set_threads(self.threads, explicit), "mode": self.mode}

    @cached_property
    def _traced(self) -> dict[str, Any]:
        from keras_vae.export.formats import keras_weights
        from keras_vae.export.graphs import graphs_of, trace

        model, prior = keras_weights.read(self.bundle.path), keras_weights.read_prior(self.bundle.path)
        graphs = graphs_of(model, "sampler" in self.bundle.graphs, prior)
        return {graph.name: trace(graph) for graph in graphs}

    def load(self, graph: str, file: str) -> Any:
        from keras_vae.export.graphs import compiled

        traced = self._traced[graph]
        functions = {"eager": traced.graph.call, "XLA": compiled(traced.graph, jit_compile=True)}
        return list(traced.graph.inputs), functions.get(str(self.mode), traced.concrete)

    def call(self, loaded: Any, inputs: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        import tensorflow as tf

        names, function = loaded
        outputs = function(*(tf.constant(inputs[name]) for name in names))
        return {name: np.asarray(value) for name, value in outputs.items()}
