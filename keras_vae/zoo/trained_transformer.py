"""A trained model as a scikit-learn transformer of rows of pixels."""

from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_array, check_is_fitted, validate_data

from keras_vae.errors import UserError
from keras_vae.tasks.codes import check_real, dimension_names, flatten, real_codes, unflatten


class TrainedTransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Rows of pixels to codes of a model of the zoo and back, for pipelines and grid searches: `fit` trains nothing.

    A row is an image in [0, 1], flattened as `images.reshape(n, -1)`. Codes of a hierarchy are all its levels, side by
    side. To train on a table of numbers, see `VAETransformer`.

    Args:
      model: a zoo name, or a folder that `train` wrote. A name, and no model, as `clone` copies parameters, and a grid
        search may then choose between models; a pickle holds the name, and loads the weights again.
      samples: importance samples of `score_samples`.
    """

    def __init__(self, model: str | Path = "vae_mnist", *, samples: int = 100) -> None:
        self.model = model
        self.samples = samples

    def fit(self, X: ArrayLike, y: ArrayLike | None = None) -> "TrainedTransformer":
        """Load the model, and check that rows `(samples, features)` are images of its shape.

        Raises:
          UserError: an unknown model; one that is not of images, has integer codes or takes a condition; rows that are
            not images in [0, 1] of its shape.
        """
        from keras_vae import zoo

        model = zoo.load(self.model)
        check_real(model)
        if model.conditional or model.x_spec().kind != "image":
            reason = "is conditional" if model.conditional else f"is of {model.x_spec().kind}"
            raise UserError(
                f"TrainedTransformer takes a model of images without a condition. Given: one that {reason}."
            )
        rows = validate_data(self, X, dtype=["float64", "float32"])
        if rows.shape[1] != np.prod(model.image_shape):
            raise UserError(f"A row has the pixels of one image, {model.image_shape}. Given: {rows.shape[1]} numbers.")
        model.check_x(rows.reshape(-1, *model.image_shape), "X")
        self.model_ = model
        return self

    def transform(self, X: ArrayLike) -> np.ndarray:
        """Return the mean codes of rows, `(samples, dimensions)`."""
        images = self._images(X)
        return flatten(real_codes(self.model_, images)).astype(images.dtype)

    def inverse_transform(self, X: ArrayLike) -> np.ndarray:
        """Return the mean images of codes, as rows `(samples, features)`."""
        check_is_fitted(self)
        codes = check_array(X, dtype=["float64", "float32"])
        if codes.shape[1] != self._n_features_out:
            raise UserError(f"A code has {self._n_features_out} numbers. Given: {codes.shape[1]}.")
        return self.model_.decode(unflatten(self.model_, codes)).reshape(len(codes), -1).astype(codes.dtype)

    def score_samples(self, X: ArrayLike) -> np.ndarray:
        """Return the importance-weighted log p(x) of rows, `(samples,)`, nats. Raises what `log_prob` raises."""
        return self.model_.log_prob(self._images(X), samples=self.samples)

    def score(self, X: ArrayLike, y: ArrayLike | None = None) -> float:
        """Return the mean of `score_samples`."""
        return float(self.score_samples(X).mean())

    def _images(self, X: ArrayLike) -> np.ndarray:
        check_is_fitted(self)
        rows = validate_data(self, X, dtype=["float64", "float32"], reset=False)
        return rows.reshape(-1, *self.model_.image_shape)

    @property
    def _n_features_out(self) -> int:
        return len(dimension_names(self.model_))

    def __getstate__(self) -> dict[str, object]:
        """Return the parameters without the model, whose compiled functions cannot be pickled."""
        state: dict[str, object] = dict(super().__getstate__())
        if "model_" in state:
            state["model_"] = None
        return state

    def __setstate__(self, state: dict[str, object]) -> None:
        from keras_vae import zoo

        super().__setstate__(state)
        if "model_" in state:
            self.model_ = zoo.load(self.model)
