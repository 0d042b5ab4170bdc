"""TensorFlow takes its number of threads once, before its first operation."""

import os
from typing import Any

from keras_vae.errors import UserError
from keras_vae.runtimes.base import available_processors


def set_threads(threads: int, explicit: bool) -> dict[str, Any]:
    """Set TensorFlow's threads if that is still possible, and return the settings to record.

    Raises:
      UserError: the user asked for a number, and TensorFlow already runs with another.
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
        "threads": running or available_processors(),  # 0 is TensorFlow's word for all
        "inter_op_threads": tf.config.threading.get_inter_op_parallelism_threads(),
        "onednn": os.environ.get("TF_ENABLE_ONEDNN_OPTS", "as the wheel was built"),
    }
