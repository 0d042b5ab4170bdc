"""Export of zoo models by name: one, or all of them with the formats that can hold each."""

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from keras_vae import files, priors, zoo
from keras_vae.errors import ExportError, UserError
from keras_vae.export.assemble import export
from keras_vae.export.support import DEFAULT
from keras_vae.runtimes.bundle import MANIFEST, Bundle
from keras_vae.types import Examples
from keras_vae.zoo.encoding import read_file
from keras_vae.zoo.priors import exported


@dataclasses.dataclass
class Exported:
    """The outcome for one model: a bundle, or the error; and the formats that cannot hold it, with the reasons."""

    name: str
    path: Path
    bundle: Bundle | None = None
    error: str | None = None
    refused: dict[str, str] = dataclasses.field(default_factory=dict)
    seconds: float = 0.0

    def summary(self) -> dict[str, Any]:
        """Return the outcome as plain data, with the comparison that is nearest to its tolerance."""
        row = {"name": self.name, "path": str(self.path), "error": self.error, "refused": self.refused}
        if self.bundle is not None:
            worst = max(self.bundle.parity, key=lambda row: row.max_error / (row.tolerance or 1.0))
            row |= {"bytes": self.bundle.size, "formats": list(self.bundle.formats)}
            row |= {"comparisons": len(self.bundle.parity), "worst": worst._asdict()}
        return row | {"seconds": self.seconds}


def export_entry(
    name: str | Path,
    folder: str | Path,
    formats: Sequence[str] = DEFAULT,
    prior: str | Path | None = None,
    overwrite: bool = False,
    examples: str | Path | None = None,
    labels: str | Path | None = None,
    **options: Any,
) -> Bundle:
    """Export the model `name` to `folder`, with the prior that was fitted for it.

    Args:
      name: of the model, as `keras_vae.zoo.load` takes it.
      folder: new, empty, or a bundle, which is replaced.
      formats: as of `keras_vae.export.export`.
      prior: a file that an autoregressive prior's `save` wrote, in place of the model's.
      overwrite: replace a folder with other contents.
      examples: a .npy of x, or a file that the recipe's source reads, to calibrate and measure on, in place of the
        split that the card was measured on.
      labels: a .npy of a condition for each of `examples`, for a conditional model.
      **options: of `keras_vae.export.export`.

    Raises:
      UserError: an unknown name, or as `keras_vae.export.export`.
    """
    files.check_output_folder(folder, MANIFEST, overwrite)  # before the seconds that loading takes
    read = _examples(name, examples, labels)
    model = zoo.load(name)
    fitted_prior = exported(model) if prior is None else priors.load(prior)
    return export(model, folder, formats, read, overwrite, prior=fitted_prior, **options)


def _examples(name: str | Path, path: str | Path | None, labels: str | Path | None) -> Examples | None:
    """Return the examples in a file, with conditions from a .npy."""
    if path is None:
        if labels is not None:
            raise UserError(f"--labels are the conditions of --examples. Given: {labels} alone. Give --examples too.")
        return None
    condition = None if labels is None else files.read_array(labels)
    return dataclasses.replace(read_file(name, path), condition=condition)


def export_what_can_be(
    name: str | Path, folder: str | Path, formats: Sequence[str] = DEFAULT, **options: Any
) -> tuple[Bundle, dict[str, str]]:
    """Return a bundle of the formats that can hold the model `name`, and the reasons against the others.

    Args and errors: as `export_entry`; an ExportError only if no format is left, or if a runtime disagrees.
    """
    remaining, refused = list(formats), {}
    while True:
        try:
            return export_entry(name, folder, remaining, **options), refused
        except ExportError as error:
            if error.format_name is None or len(remaining) == 1:
                raise
            refused[error.format_name] = str(error)
            remaining.remove(error.format_name)


def export_every(
    folder: str | Path,
    formats: Sequence[str] = DEFAULT,
    names: Iterable[str] | None = None,
    stage: Callable[[str], contextlib.AbstractContextManager[object]] = contextlib.nullcontext,
    **options: Any,
) -> list[Exported]:
    """Export each model into a folder of its name; an error is recorded in the outcome, and the others continue.

    Args:
      folder: of the bundles' folders.
      formats: as `export_entry`; one that cannot hold a model is left out, and named in the outcome.
      names: of the models; by default all of the zoo.
      stage: a context that each export runs in, made from its title.
      **options: of `keras_vae.export.export`.
    """
    outcomes, names = [], list(zoo.names() if names is None else names)
    for number, name in enumerate(names, 1):
        began, outcome = time.monotonic(), Exported(name, Path(folder) / name)
        with stage(f"Exporting {name}, {number} of {len(names)}"):
            try:
                outcome.bundle, outcome.refused = export_what_can_be(name, outcome.path, formats, **options)
            except UserError as error:
                outcome.error = str(error)
            except Exception as error:  # of a library, in one model: the others are exported all the same
                outcome.error = f"{type(error).__name__}: {error}"
        outcome.seconds = round(time.monotonic() - began, 1)
        outcomes.append(outcome)
    return outcomes
