"""Weights on disk: float16, without optimizers, in a `.weights.h5` that `load_weights` reads."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from keras_vae.errors import UserError
from keras_vae.files import atomic
from keras_vae.files import require_room as require_bytes

if TYPE_CHECKING:
    import keras

_OVERHEAD = 4096  # bytes that HDF5 needs for each array and its groups, at most
_OPTIMIZERS = ("optimizer", "extra_optimizers")


def write_float16(model: "keras.Model", path: str | Path) -> None:
    """Write the weights of `model` to `path`, float32 as float16.

    Counters keep their type, and so do the statistics of normalisation layers: a running variance may underflow in
    float16.

    Raises:
      UserError: a weight that float16 cannot hold, or no room for the file.
    """
    with atomic(path) as temporary:
        full = temporary.with_name(f"full-{temporary.name}")
        require_room(full, model, files=2)
        model.save_weights(full)
        with h5py.File(full, "r") as source, h5py.File(temporary, "w") as target:
            _copy(source, target, "")
        full.unlink()


def require_room(path: Path, model: "keras.Model", files: int = 1) -> None:
    """Raise OSError unless there is room for the weights and optimizers of `model`; on a full disk HDF5 crashes.

    Args:
      path: the file that Keras will write.
      model: a model of this library, or another Keras model.
      files: the number of such files that exist at the same time.
    """
    # A VAE has one for each player; other Keras models, one, and none before compile.
    optimizers: list[Any] = getattr(model, "optimizers", [getattr(model, "optimizer", None)])
    variables = [
        *model.variables,
        *(variable for optimizer in optimizers if optimizer for variable in optimizer.variables),
    ]
    sizes = (int(np.prod(variable.shape)) * np.dtype(variable.dtype).itemsize + _OVERHEAD for variable in variables)
    require_bytes(path, files * sum(sizes))


def _copy(source: h5py.Group, target: h5py.Group, path: str) -> None:
    """Copy a group without optimizers, float32 as float16."""
    for key, value in source.attrs.items():
        if key != "name":  # a layer's running number in this process: the same weights are the same bytes
            target.attrs[key] = value
    for name, item in source.items():
        inner = f"{path}/{name}"
        if not path and name in _OPTIMIZERS:
            continue
        if isinstance(item, h5py.Group):
            _copy(item, target.create_group(name), inner)
            continue
        array = item[()]
        if array.dtype == np.float32 and "normalization" not in path:
            largest = float(np.abs(array).max(initial=0.0))
            if not largest <= float(np.finfo(np.float16).max):
                raise UserError(
                    f"Weights are stored as float16, up to {np.finfo(np.float16).max}. Given: {largest:g} in {inner}. "
                    f"Train with a smaller learning rate or with weight decay."
                )
            array = array.astype(np.float16)
        target.create_dataset(name, data=array)
