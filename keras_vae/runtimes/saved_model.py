"""TensorFlow's SavedModel, loaded without Keras: the signatures encode, decode and reconstruct."""

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import numpy as np

from keras_vae.runtimes.base import Runtime
from keras_vae.runtimes.tensorflow_threads import set_threads

_Loaded = Callable[..., Mapping[str, Any]]


class SavedModelRuntime(Runtime[_Loaded]):
    """What TensorFlow Serving runs."""

    name = "saved_model"

    def setup(self, explicit: bool) -> dict[str, Any]:
        return {**set_threads(self.threads, explicit), "mode": "signature"}

    @cached_property
    def _model(self) -> Any:
        import tensorflow as tf

        folder = next(iter(self.bundle.formats[self.format_name]["files"].values()))
        return tf.saved_model.load(str(self.bundle.path / folder))

    def load(self, graph: str, file: str) -> _Loaded:
        return self._model.signatures[self.bundle.graphs[graph]["signature"]]

    def call(self, loaded: _Loaded, inputs: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        import tensorflow as tf

        outputs = loaded(**{name: tf.constant(array) for name, array in inputs.items()})
        return {name: value.numpy() for name, value in outputs.items()}
