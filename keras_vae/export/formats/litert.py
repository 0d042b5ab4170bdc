"""LiteRT (TensorFlow Lite): a file for each graph, with built-in operations only."""

import tempfile
from pathlib import Path

import tensorflow as tf

from keras_vae.export.formats import saved_model
from keras_vae.export.remedies import converting
from keras_vae.export.work import Work
from keras_vae.runtimes.bundle import FormatEntry


def write(work: Work, folder: Path) -> FormatEntry:
    """Write `encoder.tflite` and `decoder.tflite`, each with one signature, `encode` or `decode`.

    Raises:
      ExportError: an operation that is not built into LiteRT. The wheel cannot run TensorFlow's ("Flex").
    """
    files = {}
    for traced in work.files:
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            saved_model.save([traced], work, Path(scratch) / "model")
            with converting(f"Converting the {traced.name} to LiteRT"):
                converter = tf.lite.TFLiteConverter.from_saved_model(
                    f"{scratch}/model", signature_keys=[traced.graph.signature]
                )
                content = converter.convert()
        files[traced.name] = f"{traced.name}.tflite"
        (folder / files[traced.name]).write_bytes(content)
    return {"files": files}
