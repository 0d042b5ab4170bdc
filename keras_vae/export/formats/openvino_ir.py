"""OpenVINO's own format, read from the ONNX graph: `.xml` for the graph and `.bin` for its float32 weights."""

from pathlib import Path

from keras_vae.export.formats import onnx_file
from keras_vae.export.remedies import converting
from keras_vae.export.work import Work
from keras_vae.runtimes.bundle import FormatEntry

FOLDER = "openvino"


def write(work: Work, folder: Path) -> FormatEntry:
    """Write `openvino/encoder.xml` with `.bin`, and the same for the decoder.

    By way of ONNX rather than `openvino.convert_model`, which reports its use over the network.

    Raises:
      ExportError: OpenVINO or ONNX refuses the graph.
    """
    import openvino

    from keras_vae.runtimes.openvino_runtime import core

    (folder / FOLDER).mkdir()
    files = {}
    for traced in work.files:
        with converting(f"Converting the {traced.name} to OpenVINO"):
            content = onnx_file.convert(traced, work).SerializeToString(deterministic=True)
            converted = core().read_model(model=content)
        files[traced.name] = f"{FOLDER}/{traced.name}.xml"
        try:
            openvino.save_model(converted, str(folder / files[traced.name]), compress_to_fp16=False)
        except RuntimeError as error:  # how its C++ streams report a full disk
            raise OSError(f"OpenVINO could not write its files ({error})") from error
    return {"files": files, "with": ["bin"]}
