"""The examples that an export is calibrated, compared and measured on: the caller's, or those of a zoo model's recipe.

Nothing is inferred from the shape of a model. Without examples, `LEFT_OUT` is left out of a bundle.
"""

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from keras_vae import checks
from keras_vae.errors import ExportError, UnavailableError, UserError
from keras_vae.types import Examples

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from keras_vae.core import VAE

MEASURED, CALIBRATION = 1000, 512  # the most examples to measure on, and to calibrate int8 on
# Part of `bundle.json` -> the reason why it is missing.
LEFT_OUT = {
    "quality": "what a reduced precision costs is measured on examples, and the export had none",
    "latent.codes": "the statistics of codes are of examples, and the export had none",
}


@dataclasses.dataclass(frozen=True)
class CheckedExamples:
    """Examples that fit a model, in two disjoint parts.

    Args:
      measured: "x", and conditions by the names of `condition_spec`: for parity, golden outputs, statistics and costs.
      calibration: the same for the other part, from which int8 takes its ranges; empty if there was a single example.
      origin: the source of the data.
      licence: of the data; None if unknown.
      labels: classes of the measured examples, for display.
      alphabet: the letters, if tokens are letters.
      columns: the names of the numbers of x, if it is a row of a table.
    """

    measured: Mapping[str, np.ndarray]
    calibration: Mapping[str, np.ndarray]
    origin: str
    licence: str | None = None
    labels: np.ndarray | None = None
    alphabet: str | None = None
    columns: tuple[str, ...] = ()

    def description(self) -> dict[str, str | int | None]:
        """Return the fields of `examples` in `bundle.json`."""
        return {
            "origin": self.origin,
            "licence": self.licence,
            "measured": len(self.measured["x"]),
            "calibration": len(self.calibration["x"]),
        }


def checked_examples(model: "VAE", examples: "Examples | ArrayLike | None") -> CheckedExamples | None:
    """Return the examples of an export: `examples`, or those of a zoo model's recipe, or None.

    The first half is to measure on, the second to calibrate on.

    Raises:
      UserError: examples that do not fit the model.
      UnavailableError: none, and the data of the model's recipe are not here.
    """
    if examples is None:
        if model.provenance is None:
            return None
        try:
            examples = model.provenance.examples()
        except UnavailableError as error:
            raise UnavailableError(
                f"{error} Or export with examples of your own: examples=x, --examples FILE.npy."
            ) from error
    if not isinstance(examples, Examples):
        examples = Examples(checks.numbers(examples, "examples", integers=True))
    x = model.check_x(examples.x, "examples").astype(model.x_spec().dtype, copy=False)
    if not len(x):
        raise UserError("An export takes at least one example. Given: none. Leave examples out to export without.")
    if model.stochastic:
        model.likelihood_family.check(x)
    arrays = {"x": x} | _conditions(model, examples, len(x))
    labels = examples.labels
    if labels is not None and np.shape(labels) != (len(x),):
        raise UserError(f"There must be one label for each example. Given: {np.shape(labels)} for {len(x)} examples.")
    if labels is None and model.condition_classes:
        labels = arrays["condition"]
    half = -(-len(x) // 2)
    return CheckedExamples(
        {name: array[:half][:MEASURED] for name, array in arrays.items()},
        {name: array[half:][:CALIBRATION] for name, array in arrays.items()},
        examples.origin or "examples of no recorded origin",
        examples.licence,
        None if labels is None else np.asarray(labels)[:half],
        examples.alphabet,
        tuple(examples.columns),
    )


def _conditions(model: "VAE", examples: Examples, count: int) -> dict[str, np.ndarray]:
    try:
        return model.check_condition(examples.condition, count)
    except UserError as error:
        if examples.condition is not None or not model.conditional:
            raise
        raise UserError(
            f"{error} Export with examples=keras_vae.export.Examples(x, condition), or --examples FILE.npy and "
            f"--labels FILE.npy."
        ) from error


def require_calibration(examples: CheckedExamples | None) -> None:
    """Raise ExportError if there is nothing to calibrate int8 on."""
    if examples is None:
        raise ExportError(
            "onnx_int8 is calibrated on examples, and priced on others. Given: none, for a model that is not of the "
            "zoo. Give real inputs of the model, export(model, folder, formats, examples=x), or --examples FILE.npy; "
            "or leave onnx_int8 out."
        )
    if not len(examples.calibration["x"]):
        raise ExportError(
            "onnx_int8 needs 2 examples or more: it is not priced on those it is calibrated on. Given: 1."
        )
