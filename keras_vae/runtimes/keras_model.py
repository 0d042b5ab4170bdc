"""Keras: the model rebuilt from the bundle, each graph a `tf.function`, with or without XLA, or eager."""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from keras_vae.runtimes.base import Runtime
from keras_vae.runtimes.saved_model import set_threads
from keras_vae.types import Graph, Tensors

_Loaded = tuple[list[str], Callable[..., Tensors]]


class KerasRuntime(Runtime[_Loaded]):
    """The graphs of `keras_vae.core.graphs`, run by TensorFlow from a live model, on any number of threads."""

    name = "keras"

    def setup(self, explicit: bool) -> dict[str, Any]:
        return {**set_threads(self.threads, explicit), "mode": self.mode}

    @cached_property
    def _model_graphs(self) -> dict[str, Graph]:
        from keras_vae.core.graphs import graphs_of
        from keras_vae.runtimes import keras_bundle

        model, prior = keras_bundle.read(self.bundle.path), keras_bundle.read_prior(self.bundle.path)
        sampler, elbo = (name in self.bundle.graphs for name in ("sampler", "elbo"))
        return {graph.name: graph for graph in graphs_of(model, sampler, prior, elbo)}

    def load(self, graph: str, file: str) -> _Loaded:
        from keras_vae.core.graphs import compiled, tensor_specs

        model_graph = self._model_graphs[graph]
        names = list(model_graph.inputs)
        if self.mode == "eager":
            return names, model_graph.call
        if self.mode == "XLA":
            return names, compiled(model_graph, jit_compile=True)
        return names, compiled(model_graph).get_concrete_function(*tensor_specs(model_graph))

    def call(self, loaded: _Loaded, inputs: Mapping[str, np.ndarray], outputs: Sequence[str]) -> dict[str, np.ndarray]:
        import tensorflow as tf

        names, function = loaded
        tensors: Any = function(*(tf.constant(inputs[name]) for name in names))
        return {name: tensors[name].numpy() for name in outputs}  # a copy: a tensor may be a weight
