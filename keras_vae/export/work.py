"""The export job that every writer of a format receives."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import onnx

from keras_vae.export.graphs import TracedGraph
from keras_vae.export.support import OPSET

if TYPE_CHECKING:
    from keras_vae.core import VAE
    from keras_vae.priors.base import FittedPrior


@dataclasses.dataclass(frozen=True)
class Work:
    """One export: the graphs to write, and metadata of their model.

    Args:
      graphs: traced.
      model: the owner of their variables.
      facts: name -> text, metadata for every format that can carry it.
      opset: of ONNX files.
      prior: of `keras_vae.priors`, which is exported too, or None.
      calibration: graph -> inputs by name, from which an integer format takes its ranges.
      protos: a cache of ONNX graphs, from which several formats start.
    """

    graphs: Sequence[TracedGraph]
    model: "VAE"
    facts: Mapping[str, str]
    opset: int = OPSET
    prior: "FittedPrior | None" = None
    calibration: Mapping[str, Mapping[str, np.ndarray]] = dataclasses.field(default_factory=dict)
    protos: dict[str, onnx.ModelProto] = dataclasses.field(default_factory=dict)

    @property
    def files(self) -> list[TracedGraph]:
        """The graphs that are written to a file each."""
        return [traced for traced in self.graphs if traced.graph.own_file]

    @property
    def reduced(self) -> list[TracedGraph]:
        """The graphs that formats of reduced precision hold."""
        return [traced for traced in self.files if traced.graph.reduced]

    def metadata(self, traced: TracedGraph) -> dict[str, str]:
        """Return the facts, and the graph's name, inputs and outputs as in `bundle.json`, to be stored in the file."""
        described = traced.description()
        of_graph = {
            "keras_vae.graph": traced.name,
            "keras_vae.inputs": json.dumps(described["inputs"], sort_keys=True),
            "keras_vae.outputs": json.dumps(described["outputs"], sort_keys=True),
        }
        return dict(sorted({**self.facts, **of_graph}.items()))
