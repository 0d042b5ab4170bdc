"""A second VAE over the codes of the first."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Self, cast

import keras
import numpy as np
from keras import ops

from keras_vae import backend, checks, randomness
from keras_vae.backend import tfd
from keras_vae.core import VAE
from keras_vae.priors.base import FittedPrior
from keras_vae.priors.mixture import check_vectors
from keras_vae.priors.training import arrays_of, check_arguments, restore_into
from keras_vae.types import Tensor

LOOSE = 0.1  # nats


class TwoStagePrior(FittedPrior):
    """`p(z) = E_u N(z; mean(u), scale**2)`, u from N(0, I): a second VAE, trained on draws z of the first one's q(z|x).

    Section 4 of Dai and Wipf 2019, https://arxiv.org/abs/1903.05789: u has as many dimensions as z; the scale is one
    learned number, relative to the range of each dimension. Of any model whose code is one vector.

    Its density has no closed form: `log_prob` is the importance-weighted bound of `samples` draws of the second
    posterior, at most log p(z) in expectation, with fixed noise; so `model.elbo(x, prior=...)` stays a lower bound. How
    far it is below depends on the fit, and may be a nat: `log_prob` estimates that, and warns.

    Args:
      hidden: the sizes of the hidden layers of the encoder, and of the decoder.
      epochs: passes over the codes.
      batch_size: codes in a step of Adam.
      learning_rate: Adam's.
      samples: of the bound.
      seed: of the draws of q(z|x), the second VAE, and the bound's noise.
    """

    def __init__(
        self,
        hidden: Sequence[int] = (128, 128),
        epochs: int = 50,
        batch_size: int = 128,
        learning_rate: float = 1e-3,
        samples: int = 16,
        seed: int = 0,
    ) -> None:
        super().__init__(seed)
        self.hidden = tuple(checks.check_whole_number(size, "a size in hidden") for size in hidden)
        self.epochs, self.batch_size, self.learning_rate = check_arguments(epochs, batch_size, learning_rate)
        self.samples = checks.check_whole_number(samples, "samples")

    def fit_codes(self, codes: np.ndarray, classes: int = 0) -> Self:
        """Fit to `(count, dimensions)` codes.

        Raises:
          UserError: not finite vectors, or fewer than one batch.
        """
        codes = check_vectors(codes, 2, "a second VAE")
        self.shape, self.fitted = codes.shape[1:], False
        # The second VAE takes numbers in [0, 1]: an affine map, whose Jacobian is constant.
        self.low = codes.min(0)
        self.range = np.maximum(codes.max(0) - self.low, 1e-6)
        self.model = self._model()
        self.model.compile(keras.optimizers.Adam(self.learning_rate), jit_compile=False)
        images = np.clip((codes - self.low) / self.range, 0.0, 1.0).reshape(-1, 1, 1, self.shape[0])
        # From below the codes' own deviation: from above it, the decoder would first learn to ignore u.
        family: Any = self.model.likelihood_family  # of the class that has a learned scale
        family.learned.assign(2.0 * np.log(0.3 * images.std(0).mean() + 1e-3))
        self.history = self.model.fit(images, batch_size=self.batch_size, epochs=self.epochs, verbose=0).history
        self.fitted = True
        return self

    def log_prob(self, codes: np.ndarray) -> np.ndarray:
        """As `FittedPrior.log_prob`: the bound. Warns where it is loose, by more than 0.1 nats in the mean over codes.

        By the first-order jackknife, of two samples or more: Nowozin 2018,
        https://openreview.net/forum?id=HyZoi-WRb.
        """
        distribution, count = cast(_SecondVAE, self.distribution()), self.samples

        def bounds(codes: Tensor) -> dict[str, Tensor]:
            log_weights = distribution.log_weights(codes)
            bound = ops.logsumexp(log_weights, axis=0)
            left = 1.0 - ops.minimum(ops.exp(log_weights - bound), 1.0 - 1e-6)  # of the sum, without a draw
            gap = (count - 1) * (np.log(max(count - 1, 1) / count) - ops.mean(ops.log(left), axis=0))
            return {"bound": bound - float(np.log(count)), "gap": gap}

        function = self._graphs.setdefault("bounds", backend.compiled(bounds))
        bounds_and_gaps = checks.in_blocks(
            lambda _, part: function(part["codes"]), {"codes": self.checked(codes)}, pad=True
        )
        if len(bounds_and_gaps["gap"]) and (gap := float(bounds_and_gaps["gap"].mean())) > LOOSE:
            warnings.warn(
                f"log_prob of a TwoStagePrior is a lower bound, here some {gap:.2g} nats below log p(z) on average, by "
                f"the jackknife's estimate. Fit it with more samples than samples={count}, or for more epochs.",
                stacklevel=2,
            )
        return bounds_and_gaps["bound"]

    def make_distribution(self, dtype: str) -> "_SecondVAE":
        return _SecondVAE(self, dtype)

    def arrays(self) -> dict[str, np.ndarray]:
        return {"low": self.low, "range": self.range, **arrays_of(self.model)}

    def restore(self, held: Mapping[str, np.ndarray]) -> None:
        self.low, self.range, self.model = held["low"], held["range"], self._model()
        restore_into(self.model, held)

    def _model(self) -> VAE:
        size, network = self.shape[0], {"name": "mlp", "hidden": self.hidden}
        likelihood = {"name": "gaussian", "scale": "global", "minimum_scale": 1e-3, "bounded_mean": False}
        return VAE((1, 1, size), size, network, network, likelihood, seed=self.seed, dtype="float32")


class _SecondVAE(tfd.Distribution):
    """The distribution of one code, event shape `(dimensions,)`."""

    estimated = True

    def __init__(self, prior: TwoStagePrior, dtype: str) -> None:
        self._prior, self._size = prior, prior.shape[0]
        super().__init__(backend.dtype_of(dtype), tfd.NOT_REPARAMETERIZED, validate_args=False, allow_nan_stats=True)

    def _log_prob(self, value: Tensor) -> Tensor:
        return ops.logsumexp(self.log_weights(value), axis=0) - float(np.log(self._prior.samples))

    def log_weights(self, value: Tensor) -> Tensor:
        """Return log p(z, u) - log q(u|z) of draws u of the second posterior: `(samples, ...)`, nats."""
        prior = self._prior
        scaled = (value - prior.low) / prior.range
        images = ops.cast(ops.reshape(scaled, (-1, 1, 1, self._size)), "float32")
        log_weights = prior.model.log_weights(images, prior.samples, prior.seed) - float(np.log(prior.range).sum())
        return ops.reshape(ops.cast(log_weights, value.dtype), (prior.samples, *ops.shape(value)[:-1]))

    def _sample_n(self, n: Any, seed: Tensor) -> Any:
        prior = self._prior
        u = prior.model.prior().sample(n, seed=randomness.fold(seed, 0))
        images = prior.model.likelihood(u).sample(seed=randomness.fold(seed, 1))
        scaled = ops.cast(ops.reshape(images, (n, self._size)), self.dtype)
        return scaled * prior.range.astype(self.dtype.name) + prior.low.astype(self.dtype.name)

    def _batch_shape(self) -> Any:
        return backend.TensorShape([])

    def _batch_shape_tensor(self) -> Any:
        return ops.zeros((0,), "int32")

    def _event_shape(self) -> Any:
        return backend.TensorShape([self._size])

    def _event_shape_tensor(self) -> Any:
        return ops.convert_to_tensor([self._size], "int32")
