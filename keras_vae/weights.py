"""Weights on disk: safetensors, each array under its attribute path from the model, as `encoder/layers/0/kernel`.

A path is made of the names of attributes, of places in lists and of keys in mappings. It depends on the class alone,
not on what was built before in the process, as `variable.path` of Keras does.
"""

import hashlib
import heapq
import json
import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

from keras_vae.errors import CorruptFileError, UserError, reading
from keras_vae.files import atomic, require_room

SUFFIX, HDF5_SUFFIX = ".safetensors", ".weights.h5"
REMEDY = "Use an intact copy of it, or save the weights again."
_RULE = "does not hold weights"
_DIGEST = "sha256"  # the key of metadata that is the digest of all else
_METADATA = "keras_vae"  # the key of the header under which the caller's metadata stand, as JSON
_HEADER = 256  # bytes for each array's entry in the header, at most
_LONGEST_HEADER = 2**26  # bytes; metadata are the history of a training at most
_HDF5_OVERHEAD = 4096  # bytes that HDF5 needs for each array and its groups, at most
_HDF5_TIMES = 8  # the size of a model; Keras stores its optimizers in the same file, with up to five slots a weight
_HDF5_COUNTERS = 2**16  # bytes, more than the counters and rates of all optimizers
STORAGES = ("float32", "float16", "int8")  # of the float32 arrays of a model
SCALES = ":scales"  # what the name of an array's scales ends in
_BLOCK = 32  # numbers of one output, which share a scale
_LEVELS = 127  # on either side of zero
_SMALLEST = 4096  # numbers of an array that is stored as int8; what is smaller saves nothing
_LARGEST = float(np.finfo(np.float16).max)


def load(model: keras.Model, path: str | Path, remedy: str = REMEDY) -> None:
    """Assign the weights in a file to a model of the same architecture; all of them, or none.

    Args:
      model: of any class.
      path: of a `.safetensors`, or of a `.weights.h5` that Keras wrote.
      remedy: the last sentences of a message about the file.

    Raises:
      UserError: another ending.
      CorruptFileError: no such file, one that is damaged, or one of another model.
    """
    if suffix(path) == HDF5_SUFFIX:
        load_hdf5(model, path, remedy)
        return
    variables = named_variables(model)
    assign(variables, read(path, size(variables), remedy)[0], path, remedy)


def suffix(path: str | Path) -> str:
    """The ending of a weights file: `.safetensors` or `.weights.h5`.

    Raises:
      UserError: another one.
    """
    for ending in (SUFFIX, HDF5_SUFFIX):
        if Path(path).name.endswith(ending):
            return ending
    raise UserError(
        f"The name of a weights file ends in {SUFFIX}, or in {HDF5_SUFFIX} for Keras's own format. Given: {path}. "
        f"Name it {Path(path).name.split('.')[0] or 'model'}{SUFFIX}."
    )


def named_variables(layer: keras.Layer) -> dict[str, Any]:
    """The variables of a layer or model by attribute path: its `weights`, in their order, and no others.

    Raises:
      UserError: a weight that no attribute leads to.
    """
    paths: dict[int, str] = {}
    for path, item in _walk(layer):
        if isinstance(item, keras.Variable):
            paths.setdefault(id(item), path)
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


def named_layers(layer: keras.Layer) -> dict[str, keras.Layer]:
    """The layers within a layer or model by attribute path, outer ones first: itself is \"\"."""
    return {path: item for path, item in _walk(layer) if isinstance(item, keras.Layer)}


def size(variables: Mapping[str, Any]) -> int:
    """The bytes that arrays for variables take in memory, at most."""
    return sum(
        math.prod(variable.shape) * max(4, np.dtype(_numpy_dtype(variable)).itemsize) for variable in variables.values()
    )


def save(
    path: str | Path,
    arrays: Mapping[str, np.ndarray],
    metadata: Mapping[str, Any] | None = None,
    previous: Path | None = None,
) -> None:
    """Write named arrays, metadata as JSON, and the digest of both into one file, which is read back.

    Until that is done `path` holds the old contents, and afterwards all of the new ones.

    Args:
      path: of the file.
      arrays: by name.
      metadata: what JSON can hold.
      previous: where to keep the old file; by default it is not kept.

    Raises:
      UserError: no room for the file.
      CorruptFileError: what was written is not what is read.
    """
    plain = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    about = json.loads(json.dumps(dict(metadata or {})))
    text = json.dumps({**about, _DIGEST: _digest(plain, about)})
    total = sum(array.nbytes + _HEADER + len(name) for name, array in plain.items()) + len(text)
    with atomic(path) as temporary:
        require_room(temporary, total)
        save_file(plain, temporary, {_METADATA: text})
        read(temporary, None, sealed=True)
        if previous is not None and Path(path).is_file():
            os.replace(path, previous)


def read(
    path: str | Path, limit: int | None, remedy: str = REMEDY, sealed: bool = False
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The named arrays and the metadata of a file that `save` wrote; what it holds as int8, as float32.

    Nothing of it is executed.

    Args:
      path: of the file.
      limit: bytes that its arrays may have, the `size` of the variables that they are for; more is not read. None: the
        size of the file.
      remedy: the last sentences of a message about the file.
      sealed: refuse a file without a digest, which an earlier version wrote.

    Raises:
      CorruptFileError: no such file, one that is not safetensors of this library, one of more bytes, or one whose
        contents have another digest than it says.
    """
    with reading(path, _RULE, remedy):
        _check_size(path, limit)
        with safe_open(path, framework="np") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
            metadata = _metadata(file)
        digest = metadata.pop(_DIGEST, None)
        if (sealed or digest is not None) and digest != _digest(arrays, metadata):
            raise OSError("its contents have another SHA-256 than it says" if digest else "it has no SHA-256 of itself")
        return restored(arrays), metadata


def _digest(arrays: Mapping[str, np.ndarray], metadata: Mapping[str, Any]) -> str:
    """The SHA-256 of arrays with their names, types and shapes, and of metadata."""
    digest = hashlib.sha256(json.dumps(metadata, sort_keys=True).encode())
    for name, array in sorted(arrays.items()):
        digest.update(f"\0{name}\0{array.dtype.str}\0{array.shape}\0".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def assign(
    variables: Mapping[str, Any], arrays: Mapping[str, np.ndarray], path: str | Path, remedy: str = REMEDY
) -> None:
    """Assign arrays to variables of the same names and shapes; all of them, or none.

    Args:
      variables: by attribute path.
      arrays: by the same paths; of float16 or float32 for a float variable, or of its own type.
      path: of the file they are from, for messages.
      remedy: the last sentences of a message about the file.

    Raises:
      CorruptFileError: names that are missing or left over, or an array of another shape or kind.
    """
    missing, extra = sorted(variables.keys() - arrays.keys()), sorted(arrays.keys() - variables.keys())
    if missing or extra:
        names = [f"{name} is missing" for name in missing[:1]] + [f"{name} is not the model's" for name in extra[:1]]
        counts = f"{len(missing)} missing, {len(extra)} left over"
        raise CorruptFileError(
            f"{path} does not hold the weights of this model: {' and '.join(names)} ({counts}). {remedy}"
        )
    for name, variable in variables.items():
        array, dtype = arrays[name], np.dtype(_numpy_dtype(variable))
        dtypes = {dtype, np.dtype("float16"), np.dtype("float32")} if np.issubdtype(dtype, np.floating) else {dtype}
        if array.shape != tuple(variable.shape) or array.dtype not in dtypes:
            raise CorruptFileError(
                f"{path} does not hold the weights of this model: {name} is {array.dtype} of shape {array.shape}, not "
                f"{variable.dtype} of {tuple(variable.shape)}. {remedy}"
            )
        _check_finite(name, array, path, remedy)
    for name, variable in variables.items():
        variable.assign(arrays[name])


def _check_finite(name: str, array: np.ndarray, path: str | Path, remedy: str) -> None:
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise CorruptFileError(f"{path} does not hold the weights of a model: {name} is not finite. {remedy}")


def numpy_arrays(variables: Mapping[str, Any], storage: str = "float32") -> dict[str, np.ndarray]:
    """The values of variables, by the same names, bfloat16 as float32, and those of float32 as `storage` says.

    Counters keep their type, and so do the statistics of normalisation layers: a running variance can be smaller than
    float16 can tell from zero.

    Args:
      variables: by attribute path.
      storage: as of `stored`.

    Raises:
      UserError: a weight that float16 cannot hold.
    """
    arrays: dict[str, np.ndarray] = {}
    for name, variable in variables.items():
        array = np.asarray(keras.ops.convert_to_numpy(variable), _numpy_dtype(variable))
        statistic = re.search(r"normali[sz]ation|/moving_", variable.path)
        arrays.update(stored(name, array, "float32" if statistic else storage))
    return arrays


def stored(name: str, array: np.ndarray, storage: str) -> dict[str, np.ndarray]:
    """The arrays that a file holds of one, by name.

    As int8, in blocks of 32 and with scales of float16, a number takes 8.5 bits. It changes by 1/254 of the largest of
    its block at most, and by what float16 rounds of the scale. Q8_0 of GGUF is alike:
    https://huggingface.co/docs/hub/gguf.

    Args:
      name: of the array.
      array: any; one that is not float32 stays as it is.
      storage: `"float32"`; `"float16"`; or `"int8"`, which holds arrays of 4,096 numbers or more, and of 32 or more
        for each output, their last axis, as int8 with their scales beside them, and the others as float16.

    Raises:
      UserError: another storage, or a number that float16 cannot hold, unless all is stored as it is.
    """
    if storage not in STORAGES:
        raise UserError(f"storage must be one of {', '.join(STORAGES)}. Given: {storage!r}.")
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


def _walk(layer: keras.Layer) -> Iterator[tuple[str, Any]]:
    """The attribute path of all variables and layers within a layer, and each of them; the shortest path comes first.

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
        if isinstance(value, keras.Layer):
            yield path, value
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


def _check_size(path: str | Path, limit: int | None) -> None:
    """Raise OSError unless the file is there, and its header and its arrays have no more bytes than they may."""
    if not Path(path).is_file():
        raise OSError("there is no such file")
    with open(path, "rb") as file:
        header = int.from_bytes(file.read(8), "little")
        total = file.seek(0, os.SEEK_END) - 8 - header
    if total < 0:
        raise OSError("it is no safetensors, or cut off")
    if header > _LONGEST_HEADER:
        raise OSError(f"its header has {header:,} bytes, and may have {_LONGEST_HEADER:,}")
    if limit is not None and total > limit:
        raise OSError(f"its arrays have {total:,} bytes, and the model's {limit:,}")


def _metadata(file: Any) -> dict[str, Any]:
    metadata = json.loads((file.metadata() or {}).get(_METADATA, "{}"))
    if not isinstance(metadata, dict):
        raise TypeError("its metadata are no mapping")
    return metadata


def save_hdf5(model: keras.Model, path: str | Path) -> None:
    """Write the weights of a model, and its optimizers if it is compiled, in Keras's own format.

    Raises:
      UserError: no room for the file: on a full disk HDF5 crashes the process.
    """
    with atomic(path) as temporary:
        arrays = _state(model)
        require_room(temporary, size(arrays) + _HDF5_OVERHEAD * len(arrays))
        keras.Model.save_weights(model, temporary)


def load_hdf5(model: keras.Model, path: str | Path, remedy: str = REMEDY, **kwargs: Any) -> None:
    """Load a `.weights.h5` that Keras wrote, after `check_hdf5`; if it does not fit, the model stays as it was.

    Args:
      model: with its optimizers, if the file has them and training is to go on from it.
      path: of the file.
      remedy: the last sentences of a message about the file.
      **kwargs: what else `keras.Model.load_weights` takes of such a file: `skip_mismatch`, `objects_to_skip`.

    Raises:
      UserError: another option.
      CorruptFileError: no such file, one that is damaged, or one of another model.
    """
    if others := sorted(kwargs.keys() - {"skip_mismatch", "objects_to_skip"}):
        raise UserError(
            f"Of a {HDF5_SUFFIX} Keras takes the options skip_mismatch and objects_to_skip. Given: {others[0]}="
            f"{kwargs[others[0]]!r}, for {path}. Leave it out."
        )
    state = _state(model)
    check_hdf5(path, _HDF5_TIMES * size(state) + _HDF5_COUNTERS, remedy)
    before = {name: keras.ops.convert_to_numpy(variable) for name, variable in state.items()}
    try:
        with reading(path, _RULE, remedy):
            keras.Model.load_weights(model, path, **kwargs)
        for variable in state.values():
            _check_finite(
                variable.path, np.asarray(keras.ops.convert_to_numpy(variable), _numpy_dtype(variable)), path, remedy
            )
    except CorruptFileError:
        for name, variable in state.items():
            variable.assign(before[name])
        raise


def _state(model: keras.Model) -> dict[str, Any]:
    """The variables that Keras stores of a model: its own, and those of its optimizers, which a VAE has several of."""
    optimizers = getattr(model, "optimizers", None) or [getattr(model, "optimizer", None)]
    variables = [*model.variables, *(item for optimizer in optimizers if optimizer for item in optimizer.variables)]
    return {str(index): variable for index, variable in enumerate(variables)}


def check_hdf5(path: str | Path, limit: int, remedy: str = REMEDY) -> None:
    """Look at a `.weights.h5` of an earlier version before Keras reads it: datasets within the file, and nothing else.

    Args:
      path: of the file.
      limit: bytes that its arrays may have when they are read: a compressed hole must not fill the memory.
      remedy: the last sentences of a message about the file.

    Raises:
      CorruptFileError: no HDF5, links (soft or external), external or virtual storage, or more than `limit` bytes.
    """
    with reading(path, _RULE, remedy):
        if not Path(path).is_file():
            raise OSError("there is no such file")
        with h5py.File(path, "r") as file:
            _check_items(file, limit)


def _check_items(file: h5py.File, limit: int) -> None:
    """Raise ValueError unless a file has arrays of numbers within itself only, of `limit` bytes together."""
    total = 0
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
                continue
            if not isinstance(item, h5py.Dataset) or item.dtype.kind not in "biufV":
                raise ValueError(f"{item.name} is neither a group nor an array of numbers")
            if item.external or item.is_virtual:
                raise ValueError(f"{item.name} is stored outside the file")
            total += int(item.size or 0) * item.dtype.itemsize
            if total > limit:
                raise ValueError(f"its arrays have more than {limit:,} bytes")
