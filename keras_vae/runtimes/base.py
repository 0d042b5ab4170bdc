"""The base class of runtimes: checked arrays by name in, arrays by name out. A runtime adds two methods."""

import abc
import os
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from keras_vae import checks
from keras_vae.errors import UserError
from keras_vae.runtimes.bundle import Bundle, example_shape
from keras_vae.types import InputEntry

Loaded = TypeVar("Loaded")  # a graph, ready to be called

# kind of input -> its check; arguments: an array, the input's entry in the bundle, and its name
_CHECKS: dict[str, Callable[[object, InputEntry, str], np.ndarray]] = {
    "image": lambda array, spec, name: checks.check_images(array, example_shape(spec), name),
    "tokens": lambda array, spec, name: checks.check_tokens(array, example_shape(spec), spec.get("classes", 0), name),
    "code": lambda array, spec, name: checks.check_codes(array, example_shape(spec), name, dtype=spec["dtype"]),
    "level": lambda array, spec, name: checks.check_codes(array, example_shape(spec), name, dtype=spec["dtype"]),
    "index": lambda array, spec, name: checks.check_indices(array, example_shape(spec), spec.get("classes", 0), name),
    "vector": lambda array, spec, name: checks.check_codes(array, example_shape(spec), name, "one vector an example"),
    "noise": lambda array, spec, name: checks.check_codes(array, example_shape(spec), name),
    "label": lambda array, spec, name: checks.check_labels(array, spec.get("classes", 0), name),
}


def available_processors() -> int:
    """Return the number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Runtime(abc.ABC, Generic[Loaded]):
    """An opened bundle: `encode` and `decode` are those of the model, `run` returns every output of a graph.

    A runtime defines `load` and `call`. `settings` describes its configuration for the benchmark, as reported by the
    runtime itself where possible.

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
        self.threads = available_processors() if threads is None else checks.check_whole_number(threads, "threads")
        self.settings: dict[str, Any] = {"threads": self.threads, "precision": bundle.precision_of(format_name)}
        self.settings |= self.setup(explicit=threads is not None)
        if not self.reads:
            bundle.verify(bundle.files_of(format_name))
        self.graphs: dict[str, Loaded] = {}
        for graph, file in bundle.formats[format_name]["files"].items():
            self.graphs[graph] = self.load(graph, file)

    def setup(self, explicit: bool) -> dict[str, Any]:
        """Return further settings to record; called before the first `load`. `explicit`: `threads` was not None."""
        return {}

    @abc.abstractmethod
    def load(self, graph: str, file: str) -> Loaded:
        """Return the graph in `file`, ready to be called."""

    @abc.abstractmethod
    def call(self, loaded: Loaded, inputs: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """Return every output by name, for contiguous inputs of the right shape and dtype."""

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
        if graph not in self.graphs:
            raise UserError(
                f"{self.name} holds the graphs {', '.join(self.graphs)} of {self.bundle.path}. Given: {graph!r}."
            )
        expected = self.bundle.graphs[graph]["inputs"]
        if set(inputs) != set(expected):
            raise UserError(
                f"The {graph} takes the inputs {', '.join(expected)}. Given: {', '.join(inputs) or 'none'}."
            )
        checked = {name: self._checked(name, inputs[name], spec) for name, spec in expected.items()}
        if len({len(array) for array in checked.values()}) > 1:
            sizes = ", ".join(f"{name}: {len(array)}" for name, array in checked.items())
            raise UserError(f"The inputs of the {graph} must have one batch size. Given: {sizes}.")
        size = self.bundle.batch  # with a fixed batch size, the last batch is padded
        return checks.in_blocks(
            lambda _, part: self.call(self.graphs[graph], part),
            checked,
            pad=size is not None,
            size=size or checks.BLOCK,
        )

    def _signature(self, signature: str, first: ArrayLike, others: Mapping[str, ArrayLike]) -> np.ndarray:
        graph = self.bundle.graph_of(self.format_name, signature)
        if graph is None:
            raise UserError(f"{self.bundle.path} has no graph with the signature {signature!r}.")
        entry = self.bundle.graphs[graph]
        return self.run(graph, {next(iter(entry["inputs"])): first, **others})[entry["result"]]

    def _checked(self, name: str, array: object, spec: InputEntry) -> np.ndarray:
        checked = _CHECKS[spec["kind"]](array, spec, name)
        return np.ascontiguousarray(checked, spec["dtype"])
