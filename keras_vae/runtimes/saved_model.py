"""TensorFlow's SavedModel, loaded without Keras: the signatures encode, decode and reconstruct."""

import os
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from keras_vae.errors import UserError
from keras_vae.runtimes.base import Runtime, available_processors
from keras_vae.runtimes.safety.saved_model import require_harmless

_Loaded = Callable[..., Mapping[str, Any]]


class SavedModelRuntime(Runtime[_Loaded]):
    """The signatures of a SavedModel, as TensorFlow Serving runs them, on any number of threads."""

    name = "saved_model"

    def setup(self, explicit: bool) -> dict[str, Any]:
        return {**set_threads(self.threads, explicit), "mode": "signature"}

    @cached_property
    def _model(self) -> Any:
        import tensorflow as tf

        folder = next(iter(self.bundle.formats[self.format_name]["files"].values()))
        files = [name.removeprefix(f"{folder}/") for name in self.bundle.files_of(self.format_name)]
        require_harmless(self.bundle.read(f"{folder}/saved_model.pb"), self.bundle.path / folder, files)
        return tf.saved_model.load(str(self.bundle.path / folder))

    def load(self, graph: str, file: str) -> _Loaded:
        return self._model.signatures[self.bundle.graphs[graph]["signature"]]

    def call(self, loaded: _Loaded, inputs: Mapping[str, np.ndarray], outputs: Sequence[str]) -> dict[str, np.ndarray]:
        import tensorflow as tf

        tensors = loaded(**{name: tf.constant(array) for name, array in inputs.items()})
        return {name: tensors[name].numpy() for name in outputs}


def set_threads(threads: int, explicit: bool) -> dict[str, Any]:
    """Set TensorFlow's threads if that is still possible, and return the settings to record.

    They can be set once, before TensorFlow's first operation.

    Raises:
      UserError: `explicit`, and TensorFlow already runs with another number.
    """
    import tensorflow as tf

    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    except RuntimeError as error:
        running = tf.config.threading.get_intra_op_parallelism_threads()
        if explicit and running != threads:
            raise UserError(
                f"TensorFlow takes its number of threads before its first operation, and runs with "
                f"{running or 'all'}. Given: threads={threads}. Open the bundle in a new process."
            ) from error
    running = tf.config.threading.get_intra_op_parallelism_threads()
    return {
        "threads": running or available_processors(),  # 0 stands for all
        "inter_op_threads": tf.config.threading.get_inter_op_parallelism_threads(),
        "onednn": os.environ.get("TF_ENABLE_ONEDNN_OPTS", "as the wheel was built"),
    }
