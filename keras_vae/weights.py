"""Weights on disk: safetensors, each array under its attribute path from the model, as `encoder/layers/0/kernel`.

A path is made of the names of attributes, of places in lists and of keys in mappings. It depends on the class alone,
not on what was built before in the process, as `variable.path` of Keras does.
"""

import heapq
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from keras_vae.errors import CorruptFileError, UserError
from keras_vae.files import atomic, require_room

SUFFIX = ".safetensors"
_METADATA = "keras_vae"  # the key of the header under which the caller's metadata stand, as JSON
_HEADER = 256  # bytes for each array's entry in the header, at most


def named_variables(layer: keras.Layer) -> dict[str, Any]:
    """The variables of a layer or model by attribute path: its `weights`, in their order, and no others.

    Raises:
      UserError: a weight that no attribute leads to.
    """
    paths: dict[int, str] = {}
    for path, variable in _walk(layer):
        paths.setdefault(id(variable), path)
    unnamed = [variable.path for variable in layer.weights if id(variable) not in paths]
    if unnamed:
        raise UserError(
            f"Every weight is stored under the attributes that lead to it from the model. Given: {unnamed[0]}, of a "
            f"layer that is no attribute, nor in a list or mapping that is one. Keep the layer in an attribute."
        )
    named = {paths[id(variable)]: variable for variable in layer.weights}
    if len(named) < len({id(variable) for variable in layer.weights}):
        counts = [paths[id(variable)] for variable in layer.weights]
        twice = next(path for path in counts if counts.count(path) > 1)
        raise UserError(f"Two weights have one attribute path. Given: {twice}. Give them names of their own.")
    return named


def save(
    path: str | Path, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, Any] | None = None, room: int = 0
) -> None:
    """Write named arrays, and metadata as JSON, into one file; `path` holds the old contents or all of the new ones.

    Args:
      path: of the file.
      arrays: by name.
      metadata: what JSON can hold.
      room: bytes that must be free beside those of the file.

    Raises:
      OSError: no room for the file.
    """
    plain = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    text = json.dumps(dict(metadata or {}))
    size = sum(array.nbytes + _HEADER + len(name) for name, array in plain.items()) + len(text)
    with atomic(path) as temporary:
        require_room(temporary, size + room)
        save_file(plain, temporary, {_METADATA: text})


def read(path: str | Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The named arrays and the metadata of a file that `save` wrote. Nothing of it is executed.

    Raises:
      CorruptFileError: no such file, or one that is not safetensors of this library.
    """
    try:
        if not Path(path).is_file():
            raise OSError("there is no such file")
        with safe_open(path, framework="np") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
            metadata = json.loads((file.metadata() or {}).get(_METADATA, "{}"))
    except (SafetensorError, OSError, ValueError, TypeError, KeyError, RecursionError, MemoryError) as error:
        raise CorruptFileError(f"{path} does not hold weights: {_first_line(error)}.") from error
    if not isinstance(metadata, dict):
        raise CorruptFileError(f"{path} does not hold weights: its metadata are no mapping.")
    return arrays, metadata


def assign(variables: Mapping[str, Any], arrays: Mapping[str, np.ndarray], path: str | Path) -> None:
    """Assign arrays to variables of the same names and shapes; all of them, or none.

    Args:
      variables: by attribute path.
      arrays: by the same paths, of any float type for a float variable.
      path: of the file they are from, for messages.

    Raises:
      CorruptFileError: names that are missing or left over, or an array of another shape or kind.
    """
    missing, extra = sorted(variables.keys() - arrays.keys()), sorted(arrays.keys() - variables.keys())
    if missing or extra:
        names = [f"{name} is missing" for name in missing[:1]] + [f"{name} is not the model's" for name in extra[:1]]
        counts = f"{len(missing)} missing, {len(extra)} left over"
        raise CorruptFileError(f"{path} does not hold the weights of this model: {' and '.join(names)} ({counts}).")
    for name, variable in variables.items():
        array = arrays[name]
        floats = [np.issubdtype(np.dtype(kind), np.floating) for kind in (array.dtype, _numpy_dtype(variable))]
        if array.shape != tuple(variable.shape) or floats[0] != floats[1]:
            raise CorruptFileError(
                f"{path} does not hold the weights of this model: {name} is {array.dtype} of shape {array.shape}, not "
                f"{variable.dtype} of {tuple(variable.shape)}."
            )
    for name, variable in variables.items():
        variable.assign(arrays[name])


def numpy_arrays(variables: Mapping[str, Any], half: bool = False) -> dict[str, np.ndarray]:
    """The values of variables, by the same names; with `half`, float32 as float16.

    Counters keep their type, and so do the statistics of normalisation layers: a running variance can be smaller than
    float16 can tell from zero.

    Raises:
      UserError: a weight that float16 cannot hold.
    """
    arrays = {name: np.asarray(keras.ops.convert_to_numpy(variable)) for name, variable in variables.items()}
    if not half:
        return arrays
    largest = float(np.finfo(np.float16).max)
    for name, variable in variables.items():
        if arrays[name].dtype == np.float32 and not re.search(r"normali[sz]ation", variable.path):
            peak = float(np.abs(arrays[name]).max(initial=0.0))
            if not peak <= largest:
                raise UserError(
                    f"Weights are stored as float16, up to {largest:g}. Given: {peak:g} in {name}. Train with a "
                    f"smaller learning rate or with weight decay."
                )
            arrays[name] = arrays[name].astype(np.float16)
    return arrays


def _walk(layer: keras.Layer) -> Iterator[tuple[str, Any]]:
    """The attribute path and the variable of all variables within a layer; the shortest path comes first.

    A path through Keras's private list of tracked layers, which a Sequential's have no other name than, comes last.
    """
    queue: list[tuple[int, int, int, str, Any]] = [(0, 0, 0, "", layer)]
    seen: set[int] = set()
    count = 0
    while queue:
        tracked, depth, _, path, value = heapq.heappop(queue)
        if isinstance(value, keras.Variable):
            yield path, value
            continue
        if id(value) in seen:
            continue
        seen.add(id(value))
        for name, item in _parts(value):
            count += 1
            inside = f"{path}/{name.lstrip('_')}" if path else name.lstrip("_")
            heapq.heappush(queue, (tracked + (name == "_layers"), depth + 1, count, inside, item))


def _parts(value: object) -> list[tuple[str, Any]]:
    """The named parts of a layer, a mapping or a sequence; none of anything else."""
    if isinstance(value, keras.Layer):
        attributes = [(name, item) for name, item in vars(value).items() if not name.startswith(_SKIPPED)]
        return sorted(attributes, key=lambda pair: pair[0].startswith("_"))  # public ones first
    if isinstance(value, Mapping):
        return [(str(key), item) for key, item in value.items()]
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [(str(index), item) for index, item in enumerate(value)]
    return []


# Attributes that Keras and TensorFlow keep for themselves, and what is no part of a model's weights.
_SKIPPED = (
    "_self_", "_tracker", "_functional", "_trainable_variables", "_non_trainable_variables", "_seed_generators",
    "_metrics", "_losses", "_operations", "_nodes", "optimizer", "_optimizer", "extra_optimizers", "trackers",
)  # fmt: skip


def _numpy_dtype(variable: Any) -> str:
    return "float32" if str(variable.dtype) == "bfloat16" else str(variable.dtype)


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")


def check_hdf5(path: str | Path, limit: int) -> None:
    """Look at a `.weights.h5` of an earlier version before Keras reads it: datasets within the file, and nothing else.

    Args:
      path: of the file.
      limit: bytes that its arrays may have when they are read: a compressed hole must not fill the memory.

    Raises:
      CorruptFileError: no HDF5, links (soft or external), external or virtual storage, or more than `limit` bytes.
    """
    total = 0
    try:
        with h5py.File(path, "r") as file:
            groups: list[Any] = [file]
            seen = {h5py.h5o.get_info(file.id).addr}
            while groups:
                group = groups.pop()
                for name in group:
                    if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                        raise ValueError(f"{group.name}/{name} is a link")
                    item = group[name]
                    address = h5py.h5o.get_info(item.id).addr
                    if address in seen:
                        raise ValueError(f"{group.name}/{name} is a second name of another item")
                    seen.add(address)
                    if isinstance(item, h5py.Group):
                        groups.append(item)
                    elif not isinstance(item, h5py.Dataset):
                        raise ValueError(f"{item.name} is neither a group nor an array")
                    elif item.external or item.is_virtual:
                        raise ValueError(f"{item.name} is stored outside the file")
                    else:
                        total += int(item.size or 0) * item.dtype.itemsize
                    if total > limit:
                        raise ValueError(f"its arrays have more than {limit:,} bytes")
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, RecursionError, MemoryError) as error:
        raise CorruptFileError(f"{path} does not hold weights: {_first_line(error)}.") from error
