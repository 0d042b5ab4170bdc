"""A VAE as a scikit-learn transformer of tables of real numbers."""

import functools
import json
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_array, check_is_fitted, validate_data

from keras_vae import backend, progress, randomness
from keras_vae.backend import tfd
from keras_vae.checks import BLOCK, check_whole_number, in_blocks
from keras_vae.models import VAE
from keras_vae.types import Tensor

# Standard deviations of a column that a pixel's range [0, 1] covers.
_RANGE = 40.0
# As scikit-learn: the code and density of a row do not depend on its position, within the tolerance of its checks.
_DTYPE = "float64"
_NUMBERS = 2**24  # of decoded rows, held at once


class _OneNoise(tfd.Distribution):
    """A Gaussian q(z|x) with the same noise for all examples of a draw."""

    def __init__(self, posterior: tfd.Distribution) -> None:
        self._posterior = posterior
        super().__init__(posterior.dtype, tfd.FULLY_REPARAMETERIZED, validate_args=False, allow_nan_stats=True)

    def _sample_n(self, n: Any, seed: Tensor) -> Tensor:
        mean, deviation = self._posterior.mean(), self._posterior.stddev()
        unit = tfd.Normal(ops.zeros_like(mean[:1]), ops.ones_like(mean[:1]))
        noise = unit.sample(n, seed=seed)  # (samples, 1, latent_dim)
        return mean + deviation * noise

    def _log_prob(self, value: Tensor) -> Tensor:
        return self._posterior.log_prob(value)

    def _batch_shape(self) -> Any:
        return self._posterior.batch_shape

    def _batch_shape_tensor(self) -> Any:
        return self._posterior.batch_shape_tensor()

    def _event_shape(self) -> Any:
        return self._posterior.event_shape

    def _event_shape_tensor(self) -> Any:
        return self._posterior.event_shape_tensor()


def _log_density(model: VAE) -> Callable[[Tensor, int, Tensor], Tensor]:
    """The function from images, a number of samples and a seed to log p(x) of each image, `(batch,)`, nats."""

    def log_density(x: Tensor, samples: int, seed: Tensor) -> Tensor:
        log_weights = model.log_weights(x, samples, seed, posterior=_OneNoise(model.posterior(x)))
        return ops.logsumexp(ops.cast(log_weights, "float64"), axis=0) - np.log(samples)

    return log_density


class VAETransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Rows of real numbers to codes of a VAE and back, for pipelines and grid searches.

    Each column is standardised, and 40 standard deviations of it are mapped to [0, 1]; the VAE has dense networks and a
    Gaussian likelihood with a learned scale. A row beyond that range is clipped to it, and has density 0. The estimator
    passes every check of scikit-learn's `check_estimator`: parameters, cloning and pickling work as usual. It computes
    in float64. For a trained model see `TrainedTransformer`.

    Args:
      latent_dim: the size of the code.
      hidden: the sizes of the hidden layers of encoder and decoder.
      beta: the weight of the KL in the loss.
      epochs: passes over the rows.
      batch_size: rows in a step, or all where there are fewer.
      learning_rate: of Adam.
      samples: importance samples of `score_samples`.
      random_state: a whole number, for the same codes at each fit; a `numpy.random.RandomState`, for other codes at
        each fit; None is 0.
      jit_compile: compile the training step with XLA, which takes some seconds before the first step.
    """

    def __init__(
        self,
        latent_dim: int = 2,
        *,
        hidden: tuple[int, ...] = (64,),
        beta: float = 1.0,
        epochs: int = 50,
        batch_size: int = 64,
        learning_rate: float = 1e-3,
        samples: int = 100,
        random_state: int | np.random.RandomState | None = None,
        jit_compile: bool = False,
    ) -> None:
        self.latent_dim = latent_dim
        self.hidden = hidden
        self.beta = beta
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.samples = samples
        self.random_state = random_state
        self.jit_compile = jit_compile

    @progress.listening("")
    def fit(self, X: ArrayLike, y: ArrayLike | None = None) -> "VAETransformer":
        """Train on rows `(samples, features)`; `y` is not looked at."""
        rows = validate_data(self, X, dtype=["float64", "float32"], ensure_min_samples=2)
        self.mean_ = rows.mean(axis=0)
        deviation = rows.std(axis=0)
        self.scale_ = np.where(deviation > 1e-12 * np.maximum(1.0, np.abs(self.mean_)), deviation, 1.0)
        self._take(self._model(rows.shape[1]))
        # A scale of one standard deviation to begin with: 1 would be forty.
        likelihood: Any = self.model_.likelihood_family
        likelihood.learned.assign(-likelihood.power * np.log(_RANGE))
        self.model_.compile(
            keras.optimizers.Adam(self.learning_rate), jit_compile=self.jit_compile, steps_per_execution=1
        )
        size = min(self.batch_size, len(rows))
        history = self.model_.fit(self._images(rows), batch_size=size, epochs=self.epochs, verbose=0).history
        self.elbo_ = float(history["elbo"][-1])
        return self

    def transform(self, X: ArrayLike) -> np.ndarray:
        """Return the mean codes of rows, `(samples, latent_dim)`."""
        rows = self._rows(X)
        return self.model_.encode(self._images(rows)).astype(rows.dtype)

    def inverse_transform(self, X: ArrayLike) -> np.ndarray:
        """Return the decoded rows of codes, `(samples, features)`, in the units of the data."""
        check_is_fitted(self)
        codes = check_array(X, dtype="float64")
        means = self.model_.decode(codes).reshape(len(codes), -1)
        return (means - 0.5) * _RANGE * self.scale_ + self.mean_

    def score_samples(self, X: ArrayLike) -> np.ndarray:
        """Return the importance-weighted log density of each row, `(samples,)`: nats, in the units of the data.

        It is the density of the pixels u = (x - mean) / (40 scale) + 1/2, times |du/dx|. All rows share the noise of
        the draws, so that the density of a row does not depend on its position.
        """
        rows = self._rows(X)
        inside = (np.abs(rows - self.mean_) <= 0.5 * _RANGE * self.scale_).all(axis=1)
        density = self._log_density(self._images(rows)) - np.log(_RANGE * self.scale_).sum()
        return np.where(inside, density, -np.inf)

    def score(self, X: ArrayLike, y: ArrayLike | None = None) -> float:
        """Return the mean of `score_samples`."""
        return float(self.score_samples(X).mean())

    def _rows(self, X: ArrayLike) -> np.ndarray:
        check_is_fitted(self)
        return validate_data(self, X, dtype=["float64", "float32"], reset=False)

    def _images(self, rows: np.ndarray) -> np.ndarray:
        pixels = np.clip((rows - self.mean_) / (_RANGE * self.scale_) + 0.5, 0.0, 1.0)
        return pixels.astype("float64").reshape(len(rows), 1, -1, 1)

    def _log_density(self, images: np.ndarray) -> np.ndarray:
        samples = check_whole_number(self.samples, "samples")
        seed = randomness.seed_of(0, randomness.EVALUATION)
        size = max(1, min(BLOCK, _NUMBERS // (samples * images.shape[2])))
        return in_blocks(lambda _, part: self._density(part["x"], samples, seed), {"x": images}, pad=True, size=size)

    def _take(self, model: VAE) -> None:
        """Keep a model, and the graph of its density, which is traced once for each number of samples."""
        self.model_, self._density = model, backend.compiled(_log_density(model), reduce_retracing=True)

    def _model(self, features: int) -> VAE:
        shape = (1, features, 1)
        sizes, dense = tuple(self.hidden), functools.partial(keras.layers.Dense, dtype=_DTYPE)

        def network(first: list[keras.Layer], count: int, last: list[keras.Layer]) -> keras.Sequential:
            return keras.Sequential([*first, *(dense(size, activation="tanh") for size in sizes), dense(count), *last])

        seed = 0 if self.random_state is None else self.random_state
        seed = int(seed if isinstance(seed, int | np.integer) else check_random_state(seed).randint(2**31 - 1))
        with randomness.initial_weights(seed, "networks"):  # drawn where the layers are made
            # The networks' unit is a standard deviation, 40 of which are a pixel's range.
            standard = [keras.layers.Rescaling(_RANGE, -0.5 * _RANGE, dtype=_DTYPE), keras.layers.Flatten(dtype=_DTYPE)]
            encoder = network(standard, 2 * self.latent_dim, [])
            encoder.build((None, *shape))
            pixels = [
                keras.layers.Rescaling(1.0 / _RANGE, 0.5, dtype=_DTYPE),
                keras.layers.Reshape(shape, dtype=_DTYPE),
            ]
            decoder = network([], features, pixels)
            decoder.build((None, self.latent_dim))
        likelihood = {"name": "gaussian", "scale": "global", "minimum_scale": 1e-3 / _RANGE, "bounded_mean": False}
        return VAE(shape, self.latent_dim, encoder, decoder, likelihood, self.beta, seed=seed, dtype=_DTYPE)

    @property
    def _n_features_out(self) -> int:
        return self.latent_dim

    def __getstate__(self) -> dict[str, Any]:
        """Weights and configuration in place of the Keras model, whose compiled functions cannot be pickled."""
        state = dict(super().__getstate__())
        if "model_" in state:
            model, _ = state.pop("model_"), state.pop("_density")
            state["_saved"] = json.dumps(model.get_config()), model.get_weights()
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        saved = state.pop("_saved", None)
        super().__setstate__(state)
        if saved is not None:
            self._take(VAE.from_config(json.loads(saved[0])))
            self.model_.set_weights(saved[1])
