"""Checks of arguments and arrays, on the host since XLA drops asserts; and calls in blocks of examples."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np

from keras_vae import progress, supports
from keras_vae.errors import UserError, label_remedy, shape_remedy

# Examples in one call of a compiled function; also the unit of evaluation noise, so that results do not depend on the
# number of examples.
BLOCK = 256
LENGTH_TOLERANCE = 0.01  # of a code that is a direction: float16, bfloat16 and 4 decimals round by less


def check_images(
    x: object, image_shape: Sequence[int], name: str = "x", support: supports.Support = supports.PIXELS
) -> np.ndarray:
    """Return `x` as a float array of shape `(batch, *image_shape)`, in `support`: finite, in [0, 1].

    Raises:
      UserError: one of these does not hold; the message has the rule, the value received, and a remedy.
    """
    expected = f"(batch, {', '.join(map(str, image_shape))})"
    array = numbers(x, name)
    if array.shape[1:] != tuple(image_shape) or array.ndim != len(image_shape) + 1:
        remedy = shape_remedy(array.shape, tuple(image_shape), name)
        raise UserError(f"{name} must have shape {expected}. Given: {array.shape}. {remedy}")
    support.check(array, name)
    return array


def check_codes(
    z: object,
    shape: Sequence[int],
    name: str = "z",
    source: str = "the model's latent size",
    dtype: str | None = None,
) -> np.ndarray:
    """Return `z` as a finite float array of shape `(batch, *shape)`.

    Args:
      z: codes, or other vectors of any size.
      shape: of one of them.
      name: of `z` in messages.
      source: explains the shape in messages.
      dtype: of the result, in which it is finite too; None: float64 stays, all else becomes float32.

    Raises:
      UserError: wrong shape or dtype, NaN or infinity, or a number too large for `dtype`.
    """
    array = numbers(z, name)
    if array.ndim != len(shape) + 1 or array.shape[1:] != tuple(shape):
        raise UserError(
            f"{name} must have shape (batch, {', '.join(map(str, shape))}), {source}. Given: "
            f"{array.shape}.{f' Add the batch axis: {name}[None].' if array.shape == tuple(shape) else ''}"
        )
    result = array
    if dtype is not None and array.dtype != dtype:
        with np.errstate(over="ignore"):  # which takes a quarter of the time of the check of one code
            result = array.astype(dtype)
    if np.count_nonzero(np.isfinite(result)) < result.size:  # a third of the time of `all`, for one code
        if np.isfinite(array).all():
            largest = float(np.abs(array).max())
            raise UserError(f"{name} must be finite in {dtype}. Given: {largest:g}, which is not. Use smaller numbers.")
        raise UserError(f"{name} must be finite. Given: values that are NaN or infinite.")
    return result


def check_directions(z: object, shape: Sequence[int], name: str = "z", dtype: str | None = None) -> np.ndarray:
    """Return `z` as `check_codes`, each code of length 1.

    Raises:
      UserError: as `check_codes`, or a length that differs from 1 by more than 0.01, more than rounding does.
    """
    array = check_codes(z, shape, name, dtype=dtype)
    lengths = np.linalg.norm(array, axis=-1)
    if (np.abs(lengths - 1.0) > LENGTH_TOLERANCE).any():
        raise UserError(
            f"{name} must be directions, of length 1 within {LENGTH_TOLERANCE}. Given: lengths from {lengths.min():g} "
            f"to {lengths.max():g}. Divide each code by its length."
        )
    return array


def check_whole_number(value: object, name: str, minimum: int = 1) -> int:
    """Return `value` as an int, at least `minimum` and within int32, the type of seeds and sizes in a graph.

    Raises:
      UserError: it is no whole number, too small or too large.
    """
    if not is_whole_number(value) or value < minimum:
        raise UserError(f"{name} must be a whole number, {minimum} or more. Given: {value!r}.")
    if value >= 2**31:
        raise UserError(f"{name} must be a whole number, at most {2**31 - 1}. Given: {value!r}.")
    return int(value)


def check_memory(count: int, size: int, name: str) -> None:
    """Raise UserError if `count` examples of `size` bytes do not fit in the memory that is free.

    Args:
      name: of the argument that `count` is.
    """
    free = free_memory()
    if count * size > free:
        raise UserError(
            f"{name} examples must fit in memory, of which {free / 1e9:.1f} GB are free. Given: {name}={count}, which "
            f"takes {count * size / 1e9:,.1f} GB. Take {free // size} or fewer at a time."
        )


def free_memory() -> int:
    """Return the bytes of memory that this process may still take, at most the limit of its container."""
    import psutil

    limit = Path("/sys/fs/cgroup/memory.max")
    text = limit.read_text(encoding="ascii").strip() if limit.exists() else "max"
    free = int(psutil.virtual_memory().available)
    return min(free, int(text)) if text.isdecimal() else free


def is_whole_number(value: object) -> TypeGuard[int]:
    """Whether `value` is an integer of Python or numpy, and not a bool."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def is_number(value: object) -> TypeGuard[float]:
    """Whether `value` is a real number of Python or numpy, and not a bool."""
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool | np.bool_)


def check_number(value: object, name: str, minimum: float = 0.0) -> float:
    """Return `value` as a finite float, at least `minimum`.

    Raises:
      UserError: it is no number, not finite, or too small.
    """
    if not is_number(value) or not minimum <= value < float("inf"):
        raise UserError(f"{name} must be a finite number, {minimum:g} or more. Given: {value!r}.")
    return float(value)


def check_weights(weights: object, count: int, name: str = "sample_weight", whole: bool = True) -> np.ndarray:
    """Return the weights of `count` examples as float32 `(count,)`.

    Args:
      weights: numbers or bools.
      count: of the examples.
      name: of `weights` in messages.
      whole: they are all that there are; not the first of several batches, which may weigh nothing.

    Raises:
      UserError: not one for each example, not finite, below 0, or all of them 0.
    """
    array = numbers(weights, name)
    if array.shape != (count,):
        raise UserError(weights_shape(array.shape, count, name))
    with np.errstate(over="ignore"):
        array = array.astype("float32")  # in which a number of float64 may be infinite, or 0
    supports.WEIGHTS.check(array, name)
    if whole and not array.any():
        raise UserError(weightless(str(count), name))
    return array


def weightless(examples: str, name: str = "sample_weight") -> str:
    """Return the message about weights that are all 0, of so many `examples`."""
    return (
        f"{name} must be above 0 for some example. Given: 0 for all {examples}, in float32. Leave it out, or raise it."
    )


def weights_shape(shape: Sequence[int | None], count: int | None = None, name: str = "sample_weight") -> str:
    """Return the message about weights of another shape than `(count,)`."""
    remedy = "Give one number for each example"
    if len(shape) != 1 and shape and count in (None, shape[0]) and all(size == 1 for size in shape[1:]):
        remedy = f"Take its one column: numpy.ravel({name})"
    of = "(examples,)" if count is None else f"({count},)"
    return f"{name} must have shape {of}, one weight an example. Given: {tuple(shape)}. {remedy}."


def check_labels(labels: object, classes: int, name: str = "condition", missing: bool = True) -> np.ndarray:
    """Return `labels` as int32 of shape `(batch,)`, from 0 to `classes - 1`; if `missing`, -1 is a missing label.

    Raises:
      UserError: not whole numbers, of another shape, or out of range.
    """
    array = as_array(labels, name)
    if array.dtype.kind in "USO":
        remedy = "Number the classes: numpy.unique(labels, return_inverse=True)[1]"
        if array.dtype.kind == "O" and not any(isinstance(label, str) for label in array.flat):
            remedy = "Convert it: numpy.asarray(labels, int), with -1 for a label that is None"
        raise UserError(
            f"{name} must be whole numbers from 0 to {classes - 1}{', -1 unlabelled' if missing else ''}. Given: dtype "
            f"{array.dtype}. {remedy}."
        )
    array = numbers(labels, name, integers=True)
    if array.dtype.kind not in "iu" or array.ndim != 1:
        raise UserError(
            f"{name} must be whole numbers, one label an example. Given: {array.dtype} of shape {array.shape}. "
            f"{label_remedy(array)}."
        )
    supports.labels(classes, missing).check(array, name)
    return array.astype("int32")


def check_tokens(x: object, shape: Sequence[int], classes: int, name: str = "x") -> np.ndarray:
    """Return `x` as int32 token ids `(batch, *shape)` below `classes`, with only 0 after the first 0 of a sequence.

    Raises:
      UserError: not whole numbers, of another shape, out of range, or a sequence that goes on after its end.
    """
    array = numbers(x, name, integers=True)
    if array.dtype.kind not in "iu" or array.shape[1:] != tuple(shape) or array.ndim != len(shape) + 1:
        remedy = f" Add the batch axis: {name}[None]." if array.shape == tuple(shape) else ""
        raise UserError(
            f"{name} must be token ids, whole numbers of shape (batch, {', '.join(map(str, shape))}). Given: "
            f"{array.dtype} of shape {array.shape}.{remedy}"
        )
    supports.tokens(classes).check(array, name)
    return array.astype("int32", copy=False)


def check_indices(codes: object, shape: Sequence[int], classes: int, name: str = "codes") -> np.ndarray:
    """Return `codes` as int32 of shape `(batch, *shape)`, from 0 to `classes - 1`.

    Raises:
      UserError: not whole numbers, of another shape, or out of range.
    """
    array = numbers(codes, name, integers=True)
    expected = f"(batch, {', '.join(map(str, shape))})"
    if array.dtype.kind not in "iu" or array.shape[1:] != tuple(shape) or array.ndim != len(shape) + 1:
        raise UserError(
            f"{name} must be whole numbers of shape {expected}, as encode gives them. Given: {array.dtype} of shape "
            f"{array.shape}."
        )
    if array.size and not 0 <= int(array.min()) <= int(array.max()) < classes:
        raise UserError(
            f"{name} must lie from 0 to {classes - 1}, the entries of the codebook. Given: codes from {array.min()} to "
            f"{array.max()}."
        )
    return array.astype("int32")


def check_results(results: Any, what: str, infinite: bool = False, first: int = 0) -> Any:
    """Return `results`, an array or a mapping of arrays with a row for each example.

    Args:
      results: of a model.
      what: computed them.
      infinite: whether infinity is a result.
      first: the number of the first example.

    Raises:
      UserError: a float is NaN, or infinite.
    """
    for array in results.values() if isinstance(results, Mapping) else [results]:
        if array.dtype.kind == "f":
            bad = np.isnan(array) if infinite else ~np.isfinite(array)
            if bad.any():
                rows = np.flatnonzero(bad.reshape(len(bad), -1).any(axis=-1))
                raise UserError(
                    f"{what} must give numbers. Given by the model: NaN or infinity for {len(rows)} of {len(bad)} "
                    f"examples, the first of them number {first + rows[0]}. Look for NaN in its weights, for inputs "
                    f"much larger than those of its training, and at what a layer of your own does to them."
                )
    return results


def in_blocks(
    function: Callable[..., Any],
    arrays: Mapping[str, np.ndarray] | Iterator[Mapping[str, np.ndarray]],
    pad: bool = False,
    size: int = BLOCK,
    out: Mapping[str, np.ndarray] | np.ndarray | None = None,
    what: str = "",
) -> Any:
    """Call `function(block, arrays)` on blocks of `size` examples, and join the results along the batch.

    Args:
      function: from the number of the block and a mapping of arrays to an array, or a mapping of arrays.
      arrays: at least one, of equal first axis, which may be 0; or such mappings of `size` examples each, in the last
        perhaps fewer, where the whole is not in memory.
      pad: fill the last block with repetitions of its first example, so that noise of the shape of a block does not
        depend on the number of examples.
      size: of a block.
      out: array to write the result into, such as a `numpy.memmap`, or a mapping of some of the results' names to such.
      what: computes the results, which must then be finite, as of `check_results`; the title of its progress.

    Raises:
      UserError: `out` does not fit, or a result is not finite.
    """
    count = len(next(iter(arrays.values()))) if isinstance(arrays, Mapping) else None
    parts = _cut(arrays, size) if isinstance(arrays, Mapping) else arrays
    outs, joined = {"": out} if isinstance(out, np.ndarray) else dict(out or {}), dict[str, _Joined]()
    with progress.listening(what):
        for block, part in enumerate(parts):
            length = len(next(iter(part.values())))
            missing = (size if pad else max(length, 1)) - length
            if missing:
                part = {name: np.concatenate([a, _filler(a, missing)]) for name, a in part.items()}
            result = function(block, part)
            for name, value in (result if isinstance(result, Mapping) else {"": result}).items():
                value = np.asarray(value)[:length]
                if what:
                    check_results(value, what, first=block * size)
                if name not in joined:
                    joined[name] = _Joined(value, count, outs.get(name))
                joined[name].add(value)
            if count is not None and count > size:
                progress.count(min((block + 1) * size, count), count)
    results = {name: one.whole() for name, one in joined.items()}
    if not results:
        raise UserError("A stream must have a batch. Given: none. Make a new iterator: each can be read once.")
    return results.get("", results)


def _cut(arrays: Mapping[str, np.ndarray], size: int) -> Iterator[dict[str, np.ndarray]]:
    for start in range(0, max(len(next(iter(arrays.values()))), 1), size):
        yield {name: array[start : start + size] for name, array in arrays.items()}


class _Joined:
    """Blocks of results in one array, which grows in place: to join a list of them would take their memory twice."""

    def __init__(self, first: np.ndarray, count: int | None, out: np.ndarray | None) -> None:
        self.shape, self.count, self.fixed, self.done = first.shape[1:], count, out is not None, 0
        self.array = (
            np.empty((len(first) if count is None else count, *self.shape), first.dtype) if out is None else out
        )
        fits = self.array.shape[1:] == self.shape and np.can_cast(first.dtype, self.array.dtype, "same_kind")
        if not fits or count not in (None, len(self.array)):
            expected = (count or "examples", *self.shape)
            raise UserError(
                f"out must be an array of {first.dtype} of shape ({', '.join(map(str, expected))}). Given: "
                f"{self.array.dtype} of shape {self.array.shape}."
            )

    def add(self, block: np.ndarray) -> None:
        end = self.done + len(block)
        if end > len(self.array):
            if self.fixed:
                raise UserError(
                    f"out must have a row for each example. Given: {len(self.array)} rows, and more examples."
                )
            self._resize(end + end // 8)
        self.array[self.done : end] = block
        self.done = end

    def whole(self) -> np.ndarray:
        if self.done < len(self.array) and not self.fixed:
            self._resize(self.done)
        return self.array[: self.done] if self.done < len(self.array) else self.array

    def _resize(self, rows: int) -> None:
        self.array.resize((rows, *self.shape), refcheck=False)  # nobody else has it yet


def _filler(array: np.ndarray, count: int) -> np.ndarray:
    return np.repeat(array[:1], count, axis=0) if len(array) else np.zeros((count, *array.shape[1:]), array.dtype)


def as_array(value: object, name: str) -> np.ndarray:
    """Return `value` as an array of any dtype.

    Raises:
      UserError: it is none, such as rows of different lengths.
    """
    try:
        return np.asarray(value)
    except (ValueError, TypeError) as error:
        raise UserError(f"{name} must be an array of numbers. Given: {type(value).__name__}: {error}.") from error


def numbers(value: object, name: str, integers: bool = False) -> np.ndarray:
    """Return `value` as an array of floats, or with `integers` of any numbers.

    What a `numpy.ma.MaskedArray` masks is NaN.

    Raises:
      UserError: it is no array of numbers.
    """
    if isinstance(value, np.ma.MaskedArray):
        value = np.ma.filled(value.astype(value.dtype if value.dtype.kind == "f" else "float32"), np.nan)
    if hasattr(value, "toarray"):
        raise UserError(
            f"{name} must be an array of floats. Given: {type(value).__name__}, a sparse one. Make it dense: "
            f"{name}.toarray()."
        )
    array = as_array(value, name)
    if array.dtype.kind not in "fbiu" and array.dtype.name != "bfloat16":
        raise UserError(f"{name} must be an array of floats. Given: dtype {array.dtype}. Convert it with astype.")
    return array if integers or array.dtype.char in "fd" else array.astype("float32", copy=False)
