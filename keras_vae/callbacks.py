"""A TensorBoard callback: the terms of the bound, and pictures of reconstructions, samples and traversals."""

import contextlib
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import ArrayLike

from keras_vae import backend, plots
from keras_vae.checks import check_whole_number
from keras_vae.errors import NotApplicable, UnavailableError, UserError
from keras_vae.evaluation.evaluation import Evaluation, rows_of
from keras_vae.evaluation.latent import active_units_of
from keras_vae.tasks.traversal import traversable, traverse
from keras_vae.types import ConditionLike

_SHOWN, _COUNTED = 16, 1000  # images in pictures, and for the count of active units


class TensorBoard(keras.callbacks.Callback):
    """Write scalars to TensorBoard after each epoch, and pictures every few epochs.

    Scalars are all logs of the epoch (loss, elbo, log_px, kl, beta and the variant's metrics, with `val_` for held-out
    data) and, for codes of real numbers, `active_units`. Pictures are reconstructions, samples and a traversal, as far
    as the model has them.

    Args:
      folder: of the event files; TensorBoard's `--logdir`.
      x: images `(batch, *image_shape)` to show and to count active units on: the first 16, and the first 1,000.
      every: epochs between pictures.
      condition: one for each image, where the model is conditional.

    Raises:
      UserError: fewer than two images, or `every` below 1.
      UnavailableError: the package tensorboard is not installed.
    """

    def __init__(self, folder: str | Path, x: ArrayLike, every: int = 1, condition: ConditionLike = None) -> None:
        super().__init__()
        # backend.summary.scalar and image need the package.
        if importlib.util.find_spec("tensorboard") is None:
            raise UnavailableError(
                "The TensorBoard callback needs the package tensorboard, which is not installed. Install it: "
                "pip install 'keras-vae[tensorboard]'."
            )
        self.x, self.condition = np.asarray(x)[:_COUNTED], rows_of(condition, slice(_COUNTED))
        if len(self.x) < 2:
            raise UserError(f"TensorBoard needs two images or more, to count active units. Given: {len(self.x)}.")
        self.folder, self.every = str(folder), check_whole_number(every, "every")
        self.writer: Any = None

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        self.writer = backend.summary.create_file_writer(self.folder)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        model: Any = self.model
        with self.writer.as_default(step=epoch + 1):
            for name, value in (logs or {}).items():
                backend.summary.scalar(name, value)
            evaluation = Evaluation(model, self.x, condition=self.condition)
            if traversable(model):
                backend.summary.scalar("active_units", active_units_of(evaluation)["value"])
            if (epoch + 1) % self.every == 0 and model.x_spec().kind == "image":
                self._pictures(evaluation)
        self.writer.flush()

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        self.writer.close()

    def _pictures(self, evaluation: Evaluation) -> None:
        model, shown = evaluation.model, evaluation.first(_SHOWN)
        _show("reconstructions", np.concatenate([self.x[:_SHOWN], shown.reconstructions]), len(shown))
        with contextlib.suppress(NotApplicable):  # no prior
            _show("samples", model.sample(len(shown), condition=shown.condition), len(shown))
        if traversable(model):
            rows = traverse(model, self.x, condition=self.condition).images
            _show("traversal", rows.reshape(-1, *rows.shape[2:]), rows.shape[1])


def _show(name: str, images: np.ndarray, columns: int) -> None:
    backend.summary.image(name, plots.mosaic(images, columns)[None])
