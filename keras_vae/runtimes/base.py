"""The base class of runtimes: checked arrays by name in, arrays by name out. A runtime adds two methods."""

import abc
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from keras_vae import checks, supports
from keras_vae.errors import RefusedError, UserError, reading, reason_of
from keras_vae.runtimes.bundle import MANIFEST, Bundle, example_shape
from keras_vae.types import InputEntry

Loaded = TypeVar("Loaded")  # a graph, ready to be called
_REPAIR = "Export the model again: keras-vae export NAME OUTPUT."

# an input's check: an array and the input's name in, an array of the input's dtype out
Check = Callable[[object, str], np.ndarray]


def _check_of(spec: InputEntry) -> Check:
    """Return the check of an input, by its kind."""
    shape, classes, dtype = example_shape(spec), spec.get("classes", 0), spec["dtype"]
    support = spec.get("support", "")
    kinds: dict[str, Check] = {
        "image": lambda array, name: checks.check_images(array, shape, name, supports.named(support or "pixels", 0)),
        "numbers": lambda array, name: checks.check_images(array, shape, name, supports.named(support, classes)),
        "tokens": lambda array, name: checks.check_tokens(array, shape, classes, name),
        "code": lambda array, name: checks.check_codes(array, shape, name, dtype=dtype),
        "direction": lambda array, name: checks.check_directions(array, shape, name, dtype),
        "level": lambda array, name: checks.check_codes(array, shape, name, dtype=dtype),
        "index": lambda array, name: checks.check_indices(array, shape, classes, name),
        "vector": lambda array, name: checks.check_codes(array, shape, name, "one vector an example"),
        "noise": lambda array, name: checks.check_codes(array, shape, name),
        "label": lambda array, name: checks.check_labels(array, classes, name, spec.get("missing", True)),
    }
    check = kinds[spec["kind"]]
    return lambda array, name: np.ascontiguousarray(check(array, name), dtype)


def available_processors() -> int:
    """Return the number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def checked_threads(threads: int | None) -> int:
    """Return `threads`, or for None the number of processors that this process may use.

    Raises:
      UserError: no whole number of 1 or more, or more than the machine has processors.
    """
    if threads is None:
        return available_processors()
    threads, most = checks.check_whole_number(threads, "threads"), os.cpu_count() or 1
    if threads > most:
        raise UserError(
            f"threads must be at most {most}, the processors of this machine, as more only wait for each other. Given: "
            f"{threads}. Leave it out to use every processor that this process may."
        )
    return threads


def _complete(array: np.ndarray, count: int) -> bool:
    return len(array) == count and (array.dtype.kind != "f" or np.count_nonzero(np.isfinite(array)) == array.size)


class Runtime(abc.ABC, Generic[Loaded]):
    """An opened bundle: `encode` and `decode` are those of the model, `run` returns every output of a graph.

    All three may be called by any number of threads at once, and their arrays are the caller's. A runtime defines
    `load` and `call`. `settings` describes its configuration for the benchmark, as reported by the runtime itself where
    possible.

    Args:
      bundle: a bundle; its files are verified.
      format_name: the format to open.
      threads: the number that computes one call; None for every processor this process may use.
      mode: one of the runtime's modes.
    """

    name: ClassVar[str]
    reads: ClassVar[bool] = False  # `load` takes a file's contents from `Bundle.read`, which verifies them

    def __init__(self, bundle: Bundle, format_name: str, threads: int | None = None, mode: str | None = None) -> None:
        self.bundle, self.format_name, self.mode = bundle, format_name, mode
        self.threads = checked_threads(threads)
        self.settings: dict[str, Any] = {"threads": self.threads, "precision": bundle.precision_of(format_name)}
        self.settings |= self.setup(explicit=threads is not None)
        if not self.reads:
            bundle.verify(bundle.files_of(format_name))
        self.graphs: dict[str, Loaded] = {}
        for graph, file in bundle.formats[format_name]["files"].items():
            with reading(bundle.path / file, f"cannot be opened by {self.name}", _REPAIR, RefusedError):
                self.graphs[graph] = self.load(graph, file)
        with reading(bundle.path / MANIFEST, "does not describe the graphs of its files", _REPAIR):
            held = [(name, described) for name, described in bundle.graphs.items() if name in self.graphs]
            # signature -> its graph, the name of the graph's first input, and the output that the signature returns
            self.signatures = {one["signature"]: (name, next(iter(one["inputs"])), one["result"]) for name, one in held}
            # graph -> input -> its check, read from the bundle once
            self.expected = {
                graph: {name: _check_of(spec) for name, spec in one["inputs"].items()} for graph, one in held
            }

    def setup(self, explicit: bool) -> dict[str, Any]:
        """Return further settings to record; called before the first `load`. `explicit`: `threads` was not None."""
        return {}

    @abc.abstractmethod
    def load(self, graph: str, file: str) -> Loaded:
        """Return the graph in `file`, ready to be called."""

    @abc.abstractmethod
    def call(self, loaded: Loaded, inputs: Mapping[str, np.ndarray], outputs: Sequence[str]) -> dict[str, np.ndarray]:
        """Return some outputs by name, for contiguous inputs of the right shape and dtype, on any thread.

        Nothing writes to the arrays afterwards, and none shares memory with a weight or an input.
        """

    def encode(self, x: ArrayLike, **inputs: ArrayLike) -> np.ndarray:
        """Return the mean code of each image, `(batch, latent_dim)`, as `model.encode`.

        Raises:
          UserError: images of another shape, not finite, or outside [0, 1].
        """
        return self._signature("encode", x, inputs)

    def decode(self, z: ArrayLike, **inputs: ArrayLike) -> np.ndarray:
        """Return the likelihood's mean for each code, images `(batch, *image_shape)` in [0, 1], as `model.decode`.

        Raises:
          UserError: codes of another size, or not finite.
        """
        return self._signature("decode", z, inputs)

    def run(self, graph: str, inputs: Mapping[str, ArrayLike]) -> dict[str, np.ndarray]:
        """Return all outputs of a graph by name, such as `run("decoder", {"z": z})["logits"]`.

        Raises:
          UserError: an unknown graph or input, or an invalid array.
        """
        return self._run(graph, inputs, list(self.bundle.graphs.get(graph, {}).get("outputs", ())))

    def _run(self, graph: str, inputs: Mapping[str, ArrayLike], outputs: Sequence[str]) -> dict[str, np.ndarray]:
        if graph not in self.graphs:
            raise UserError(
                f"{self.name} holds the graphs {', '.join(self.graphs)} of {self.bundle.path}. Given: {graph!r}."
            )
        expected = self.expected[graph]
        if not isinstance(inputs, Mapping) or inputs.keys() != expected.keys():
            listed = ", ".join(map(str, inputs)) if isinstance(inputs, Mapping) else type(inputs).__name__
            raise UserError(f"The {graph} takes the inputs {', '.join(expected)}. Given: {listed or 'none'}.")
        checked = {name: check(inputs[name], name) for name, check in expected.items()}
        counts = {len(array) for array in checked.values()}
        if len(counts) > 1:
            sizes = ", ".join(f"{name}: {len(array)}" for name, array in checked.items())
            raise UserError(f"The inputs of the {graph} must have one batch size. Given: {sizes}.")
        (count,), fixed, loaded = counts, self.bundle.batch, self.graphs[graph]
        try:
            if count == fixed or (fixed is None and 0 < count <= checks.BLOCK):
                results = self.call(loaded, checked, outputs)  # one block: nothing to cut, to pad or to join
            else:
                results = checks.in_blocks(
                    lambda _, part: self.call(loaded, part, outputs), checked, fixed is not None, fixed or checks.BLOCK
                )
            wrong = [name for name in outputs if not _complete(results[name], count)]
        except UserError:
            raise
        except Exception as error:  # each runtime has its own
            raise RefusedError(
                f"The {graph} of {self.bundle.path} cannot be run by {self.name}: {reason_of(error)}. {_REPAIR}"
            ) from error
        if wrong:
            raise RefusedError(
                f"The {graph} of {self.bundle.path} must give finite numbers for each example. Given: {self.name}'s "
                f"{wrong[0]!r} of shape {np.shape(results[wrong[0]])}, or with numbers that are not finite. {_REPAIR}"
            )
        return results

    def _signature(self, signature: str, first: ArrayLike, others: Mapping[str, ArrayLike]) -> np.ndarray:
        if signature not in self.signatures:
            raise UserError(f"{self.bundle.path} has no graph with the signature {signature!r}.")
        graph, name, result = self.signatures[signature]
        return self._run(graph, {name: first, **others}, (result,))[result]
