"""The input of every writer of a format: one export."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import onnx

from keras_vae.export.graphs import TracedGraph

if TYPE_CHECKING:
    from keras_vae.core import VAE
    from keras_vae.priors.base import FittedPrior

OPSET = 18  # the newest that tf2onnx 1.17 writes; onnx converts from it to newer ones
OPSETS = (13, 21)  # the oldest and the newest that can be chosen


@dataclasses.dataclass(frozen=True)
class Work:
    """One export: graphs to be written, and the facts of their model.

    Args:
      graphs: traced.
      model: whose variables they use.
      facts: of the model, for every format that can carry text: name -> text.
      opset: of ONNX files.
      prior: of `keras_vae.priors`, which is exported too, or None.
      calibration: graph -> inputs by name, from which an integer format takes its ranges.
      protos: ONNX graphs that were made already; several formats begin with them.
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
        """The graphs that have a file of their own."""
        return [traced for traced in self.graphs if traced.graph.own_file]

    @property
    def reduced(self) -> list[TracedGraph]:
        """Those that formats of reduced precision hold."""
        return [traced for traced in self.files if traced.graph.reduced]

    def metadata(self, traced: TracedGraph) -> dict[str, str]:
        """The facts, and the graph's name, inputs and outputs: what `bundle.json` says, in the file itself."""
        described = traced.description()
        own = {
            "keras_vae.graph": traced.name,
            "keras_vae.inputs": json.dumps(described["inputs"], sort_keys=True),
            "keras_vae.outputs": json.dumps(described["outputs"], sort_keys=True),
        }
        return dict(sorted({**self.facts, **own}.items()))
