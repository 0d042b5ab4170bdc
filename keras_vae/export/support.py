"""The formats and versions of ONNX that there are to export to, checked without TensorFlow."""

from collections.abc import Sequence

from keras_vae.checks import check_whole_number
from keras_vae.errors import UserError
from keras_vae.registry import choose

FORMATS = ("saved_model", "onnx", "onnx_fp16", "onnx_int8", "litert", "openvino", "keras")
DEFAULT = ("saved_model", "onnx")
OPSET = 18  # of ONNX, the newest that tf2onnx 1.17 writes; onnx converts from it to newer ones
OPSETS = (13, 21)  # the oldest and the newest that are supported


def chosen_formats(formats: Sequence[str] | None) -> list[str]:
    """Return the formats of a command: those listed, `DEFAULT` for none, and every one for `["all"]`.

    Raises:
      UserError: an unknown one.
    """
    if list(formats or ()) == ["all"]:
        return list(FORMATS)
    return [choose("export format", name, {one: one for one in FORMATS}) for name in formats or DEFAULT]


def check_opset(opset: int) -> int:
    """Return the version of ONNX's operations, or raise UserError where it is not supported."""
    if not OPSETS[0] <= check_whole_number(opset, "opset") <= OPSETS[1]:
        raise UserError(f"opset must lie from {OPSETS[0]} to {OPSETS[1]}. Given: {opset}.")
    return opset
