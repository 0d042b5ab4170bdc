"""Traced graphs, checked to be functions of their inputs in float32."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from keras_vae import checks
from keras_vae.core.graphs import compiled, tensor_specs
from keras_vae.errors import ExportError, UserError
from keras_vae.export.remedies import is_random, remedy
from keras_vae.runtimes.contents import odd_words
from keras_vae.types import Graph

if TYPE_CHECKING:
    from keras_vae.core import VAE
    from keras_vae.runtimes.bundle import GraphEntry

_HALF = (tf.bfloat16.as_datatype_enum, tf.float16.as_datatype_enum)


@dataclasses.dataclass(frozen=True)
class TracedGraph:
    """A graph and its concrete function, which holds no random op."""

    graph: Graph
    function: Any  # the tf.function
    concrete: Any
    batch: int | None = None  # a fixed batch size; None: open

    @property
    def name(self) -> str:
        return self.graph.name

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return Keras's outputs, for any number of examples."""
        count = len(next(iter(inputs.values())))
        return checks.in_blocks(
            lambda _, part: self.concrete(*(tf.constant(part[name]) for name in self.graph.inputs)),
            inputs,
            pad=self.batch is not None,
            size=self.batch or max(count, 1),
        )

    @property
    def specs(self) -> list[tf.TensorSpec]:
        """The specs of the inputs that it was traced with."""
        return tensor_specs(self.graph, self.batch)

    def description(self) -> "GraphEntry":
        """Return the graph's entry in `bundle.json`; None in a shape is an open batch."""
        outputs = self.concrete.structured_outputs
        return {
            "signature": self.graph.signature,
            "result": self.graph.result,
            "inputs": {name: spec.description(self.batch) for name, spec in self.graph.inputs.items()},
            "outputs": {
                name: {
                    "shape": [self.batch, *outputs[name].shape[1:]],
                    "dtype": outputs[name].dtype.name,
                    "tolerance": "absolute" if name in self.graph.absolute else "relative",
                }
                for name in sorted(outputs)
            },
        }


def trace(graph: Graph, batch: int | None = None) -> TracedGraph:
    """Trace a graph, and check that its outputs are a function of its inputs, computed in float32.

    Args:
      graph: the graph.
      batch: a fixed batch size; None: open.

    Raises:
      UserError: an input or output with a name that is no word.
      ExportError: the graph draws random numbers, or computes in half precision.
    """
    _require_words(graph.inputs)
    function = compiled(graph)
    concrete = function.get_concrete_function(*tensor_specs(graph, batch))
    _require_words(concrete.structured_outputs)
    definition = concrete.graph.as_graph_def()
    nodes = [*definition.node, *(node for inner in definition.library.function for node in inner.node_def)]
    random = sorted({node.op for node in nodes if is_random(node.op)})
    if random:
        raise ExportError(
            f"An exported graph must be a function of its inputs. Given: the {graph.name}, which holds the random "
            f"{'op' if len(random) == 1 else 'ops'} {', '.join(random)}. {remedy(random)}"
        )
    half = [node.name for node in nodes if any(attr.type in _HALF for attr in node.attr.values())]
    if half:
        raise ExportError(
            f"Exported graphs compute in float32. Given: the {graph.name}, where {half[0]!r} and {len(half) - 1} "
            f"other operations compute in 16 bits. Build the networks that you pass to the model with dtype='float32'."
        )
    return TracedGraph(graph, function, concrete, batch)


def _require_words(names: Iterable[str]) -> None:
    odd = odd_words(names)
    if odd:
        raise UserError(
            f"Names in a bundle are made of letters, digits and underscores. Given: {odd[0]!r}. Rename that latent, "
            f"condition or parameter."
        )


def config_of(model: "VAE") -> dict[str, Any]:
    """Return the model's configuration.

    Raises:
      ExportError: a network is a layer without a `get_config`.
    """
    try:
        return model.get_config()
    except NotImplementedError as error:
        layer = " ".join(str(error).split()).split(" was created")[0]
        raise ExportError(
            f"To be rebuilt, a model needs a configuration. Given: a layer without one ({layer}). Define its "
            f"get_config, or export a float32 model to formats other than 'keras'."
        ) from error


def as_float32(model: "VAE") -> "VAE":
    """Return the model, or, if its policy is not float32, a float32 model with the same weights.

    A network that was passed as a layer keeps its precision; `trace` refuses it.
    """
    if model.dtype_policy.name == "float32":
        return model
    single = type(model).from_config({**config_of(model), "dtype": "float32"})
    single.set_weights(model.get_weights())
    single.record_provenance(model.provenance)
    return single
