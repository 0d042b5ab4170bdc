"""SavedModel: all graphs in one folder, each a signature under its own name."""

from collections.abc import Sequence
from pathlib import Path

import tensorflow as tf

from keras_vae.errors import ExportError
from keras_vae.export.graphs import TracedGraph
from keras_vae.export.work import Work
from keras_vae.runtimes.bundle import FormatEntry
from keras_vae.runtimes.safety.saved_model import forbidden

FOLDER = "saved_model"


def write(work: Work, folder: Path) -> FormatEntry:
    """Write `saved_model/` with the signatures encode, decode, reconstruct.

    Raises:
      ExportError: an operation that no reader of a bundle would open.
    """
    save(work.graphs, work, folder / FOLDER)
    problems = forbidden((folder / FOLDER / "saved_model.pb").read_bytes())
    if problems:
        raise ExportError(
            f"A SavedModel in a bundle may only compute: no files, no Python, no network. Given: "
            f"{', '.join(problems)}, which would be refused wherever the bundle is opened. Write that part of the "
            f"network with other operations, or leave 'saved_model' out of formats."
        )
    return {"files": {traced.name: FOLDER for traced in work.graphs}}


class _Variables(tf.Module):
    """The variables that the functions refer to, so that TensorFlow saves them."""

    def __init__(self, work: Work) -> None:
        super().__init__()
        variables = [*work.model.variables, *(work.prior.variables if work.prior is not None else [])]
        self.held = [variable.value for variable in variables]


def save(graphs: Sequence[TracedGraph], work: Work, folder: Path) -> None:
    """Write a SavedModel of these graphs and the variables of model and prior only."""
    module = _Variables(work)
    try:
        tf.saved_model.save(
            module, str(folder), signatures={traced.graph.signature: traced.concrete for traced in graphs}
        )
    except tf.errors.OpError as error:  # a full disk: "...tempstate42; File too large [Op:SaveV2]"
        raise OSError(error.message.rsplit(";", 1)[-1].partition("[Op")[0].strip()) from error
