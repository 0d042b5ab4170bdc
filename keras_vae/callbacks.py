"""A TensorBoard callback: the terms of the bound, and pictures of reconstructions, samples, traversals and codes."""

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
from keras_vae.tasks.embedding import to_plane
from keras_vae.tasks.traversal import traversable, traverse
from keras_vae.types import ConditionLike

_SHOWN, _COUNTED = 16, 1000  # images in pictures, and for the count of active units


class TensorBoard(keras.callbacks.Callback):
    """Write scalars to TensorBoard after each epoch, and pictures every few epochs.

    Scalars are all logs of the epoch (loss, elbo, log_px, kl, beta and the variant's metrics, with `val_` for held-out
    data) and, for codes of real numbers, `active_units`. Pictures are reconstructions, samples and a traversal, as far
    as the model has them; and, of data of any kind, the codes in the plane.

    Args:
      folder: of the event files; TensorBoard's `--logdir`.
      x: images `(batch, *image_shape)` to show and to count active units on: the first 16, and the first 1,000.
      every: epochs between pictures.
      condition: one for each image, where the model is conditional.
      codes: `"pca"` or `"tsne"`: the projection of the codes of x, a picture named `codes`; None: no such picture.
      labels: one for each x, for the colours of codes.

    Raises:
      UserError: fewer than two images, or three with `codes`; `every` below 1; another projection, or labels of
        another number.
      UnavailableError: the package tensorboard is not installed.
    """

    def __init__(
        self,
        folder: str | Path,
        x: ArrayLike,
        every: int = 1,
        condition: ConditionLike = None,
        codes: str | None = None,
        labels: ArrayLike | None = None,
    ) -> None:
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
        self.codes, self.labels = codes, None if labels is None else np.asarray(labels)[:_COUNTED]
        if codes is not None:
            self._plane(np.zeros((len(self.x), 2)))  # the rules of a projection, before the first epoch
        if self.labels is not None and len(self.labels) != len(self.x):
            raise UserError(f"labels has one for each x. Given: {len(self.labels)} for {len(self.x)}.")
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
            if (epoch + 1) % self.every == 0:
                if model.x_spec().kind == "image":
                    self._pictures(evaluation)
                if self.codes is not None:
                    with contextlib.suppress(NotApplicable):  # all codes are one
                        figure = plots.scatter(self._plane(evaluation.vectors), labels=self.labels, title=self.codes)
                        backend.summary.image("codes", plots.pixels(figure)[None])
        self.writer.flush()

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        self.writer.close()

    def _plane(self, codes: np.ndarray) -> np.ndarray:
        return to_plane(codes, self.codes or "", perplexity=max(1.0, min(30.0, len(codes) - 2.0)))

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
