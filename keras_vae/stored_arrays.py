"""How a file holds the float32 arrays of a model: as they are, as float16, or as int8 in blocks that share a scale.

In blocks of 32 and with scales of float16, a number takes 8.5 bits. It changes by 1/254 of the largest of its block at
most, and by what float16 rounds of the scale. Q8_0 of GGUF is alike: https://huggingface.co/docs/hub/gguf.
"""

from collections.abc import Mapping

import numpy as np

from keras_vae.errors import UserError

NAMES = ("float32", "float16", "int8")
SCALES = ":scales"  # what the name of an array's scales ends in
_BLOCK = 32  # numbers, of one output
_LEVELS = 127  # on either side of zero
_SMALLEST = 4096  # numbers of an array that is stored as int8; what is smaller saves nothing
_LARGEST = float(np.finfo(np.float16).max)


def stored(name: str, array: np.ndarray, storage: str) -> dict[str, np.ndarray]:
    """The arrays that a file holds of one, by name.

    Args:
      name: of the array.
      array: any; one that is not float32 stays as it is.
      storage: `"float32"`; `"float16"`; or `"int8"`, which holds arrays of 4,096 numbers or more, and of 32 or more
        for each output, their last axis, as int8 with their scales beside them, and the others as float16.

    Raises:
      UserError: another storage, or a number that float16 cannot hold, unless all is stored as it is.
    """
    if storage not in NAMES:
        raise UserError(f"storage must be one of {', '.join(NAMES)}. Given: {storage!r}.")
    if storage == "float32" or array.dtype != np.float32:
        return {name: array}
    peak = float(np.abs(array).max(initial=0.0))
    if not peak <= _LARGEST:
        raise UserError(
            f"Weights are stored as float16, up to {_LARGEST:g}. Given: {peak:g} in {name}. Set training.storage = "
            f"'float32', or train with a smaller learning rate or with weight decay."
        )
    if storage == "float16" or array.ndim < 2 or array.size < max(_SMALLEST, _BLOCK * array.shape[-1]):
        return {name: array.astype(np.float16)}
    blocks = _blocks(array)
    scales = (np.abs(blocks).max(axis=1) / _LEVELS).astype(np.float16)
    steps = scales.astype(np.float32)[:, None]
    codes = np.rint(np.divide(blocks, steps, out=np.zeros_like(blocks), where=steps > 0))
    codes = np.clip(codes, -_LEVELS, _LEVELS).astype(np.int8)
    return {name: _unblocked(codes, array.shape), name + SCALES: scales}


def restored(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays of a file by name, those with scales beside them as float32.

    Raises:
      ValueError: scales that are not those of an array of int8.
    """
    held = {name: array for name, array in arrays.items() if not name.endswith(SCALES)}
    for scales_name in arrays.keys() - held.keys():
        name, scales = scales_name.removesuffix(SCALES), arrays[scales_name]
        codes = held.get(name)
        if codes is None or codes.dtype != np.int8 or codes.ndim < 2 or not codes.size:
            raise ValueError(f"{scales_name} are the scales of no array of int8")
        blocks = _blocks(codes)
        if scales.dtype != np.float16 or scales.shape != (blocks.shape[0], blocks.shape[2]):
            raise ValueError(f"{scales_name} have not one number for each block of {name}")
        held[name] = _unblocked(blocks * scales.astype(np.float32)[:, None], codes.shape)
    return held


def _blocks(array: np.ndarray) -> np.ndarray:
    """An array as `(blocks, 32, outputs)`, its last axis that of the outputs, filled up with zeros."""
    rows = array.reshape(-1, array.shape[-1])
    padded = np.pad(rows, ((0, -len(rows) % _BLOCK), (0, 0)))
    return padded.reshape(-1, _BLOCK, array.shape[-1])


def _unblocked(blocks: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The array of a shape that `_blocks` made blocks of."""
    rows = int(np.prod(shape[:-1]))
    return np.ascontiguousarray(blocks.reshape(-1, shape[-1])[:rows].reshape(shape))
