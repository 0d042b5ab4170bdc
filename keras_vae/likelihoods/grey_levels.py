"""Probabilities of grey levels: images whose pixels lie on a grid in [0, 1]."""

from collections.abc import Mapping
from typing import Any, Unpack

import keras
import numpy as np
from keras import ops

from keras_vae import backend
from keras_vae.backend import soft_bound, tfd
from keras_vae.checks import check_whole_number
from keras_vae.likelihoods.base import Likelihood, grey_levels, over_x, softplus
from keras_vae.networks.arguments import LayerArguments
from keras_vae.types import Tensor

_STEPS = 255.0
# exp(-7) on pixels in [-1, 1], the least scale of Salimans et al., is half of it on [0, 1]; 1 is flat.
_LOG_SCALES = (-7.0 - float(np.log(2.0)), 0.0)


class DiscretizedLogistic(tfd.Distribution):
    """The probability of x = k / 255, k from 0 to 255: of a logistic variable that is rounded and clipped to the grid.

    P(x) = s(b) - s(a), s the sigmoid, b and a half a level above and below x, in scales from the mean; at 0 and 1 the
    whole tail. Between, s(b) - s(a) = s(b) s(-a) (1 - exp(a - b)), which loses no digits however small it is.
    """

    def __init__(self, loc: Tensor, log_scale: Tensor) -> None:
        self._loc, self._log_scale = loc, log_scale
        super().__init__(loc.dtype, tfd.NOT_REPARAMETERIZED, validate_args=False, allow_nan_stats=True)

    def _log_prob(self, value: Tensor) -> Tensor:
        inverse = ops.exp(-self._log_scale)
        below = -ops.softplus(-(value + 0.5 / _STEPS - self._loc) * inverse)  # log s(b)
        above = -ops.softplus((value - 0.5 / _STEPS - self._loc) * inverse)  # log s(-a)
        width = ops.log(-ops.expm1(-inverse / _STEPS))
        first, last = value < 0.5 / _STEPS, value > 1.0 - 0.5 / _STEPS
        return ops.where(first, below, ops.where(last, above, below + above + width))

    def _sample_n(self, n: int, seed: Tensor | None = None) -> Any:
        samples = tfd.Logistic(self._loc, ops.exp(self._log_scale)).sample(n, seed=seed)
        return ops.round(ops.clip(samples, 0.0, 1.0) * _STEPS) / _STEPS

    def _mean(self) -> Tensor:
        """The mean of the clipped logistic: the integral over [0, 1] of s((mean - x) / scale)."""
        scale = ops.exp(self._log_scale)
        return scale * (softplus(self._loc / scale) - softplus((self._loc - 1.0) / scale))

    def _batch_shape(self) -> Any:
        return backend.broadcast_shape(self._loc.shape, self._log_scale.shape)

    def _batch_shape_tensor(self) -> Any:
        return ops.shape(self._loc + self._log_scale)

    def _event_shape(self) -> Any:
        return backend.TensorShape([])


@keras.saving.register_keras_serializable(package="keras_vae")
class LogisticMixture(Likelihood):
    """p(x|z) = sum_m w_m P(x; mean_m, scale_m) for each pixel, P a logistic over 256 grey levels. A mass, in nats.

    Equations 1 and 2 of Salimans et al. 2017, https://arxiv.org/abs/1701.05517, with one difference: channels are
    independent given z, where the paper makes green depend on red, and blue on both.

    `mean` is that of the mixture before it is rounded to the grid: it differs from the mean of the 256 probabilities by
    less than half a level, and by less than 0.02 of one where scales are a level or more.

    Parameters: `mean` `(batch, height, width, channels)`; `mixture_logits`, `means`, `log_scales`, each
    `(batch, height, width, channels, components)`.

    Args:
      components: the number of logistics in each mixture.
    """

    support = grey_levels(256, "LogisticMixture")

    def __init__(self, components: int = 5, **kwargs: Unpack[LayerArguments]) -> None:
        super().__init__(**kwargs)
        self.components = check_whole_number(components, "components")
        self.channels_per_pixel = 3 * self.components

    def parameters(self, raw: Tensor) -> dict[str, Tensor]:
        channels = raw.shape[-1] // self.channels_per_pixel
        parts = ops.reshape(raw, (-1, *raw.shape[1:-1], channels, 3, self.components))
        # An untrained decoder gives zeros: means spread over [0, 1], scales of some ten levels.
        places = (np.arange(self.components) + 0.5) / self.components
        parameters = {
            "mixture_logits": parts[..., 0, :],
            "means": 0.5 * parts[..., 1, :] + ops.convert_to_tensor(places, raw.dtype),
            "log_scales": soft_bound(parts[..., 2, :] - 3.0, *_LOG_SCALES),
        }
        logistics = DiscretizedLogistic(parameters["means"], parameters["log_scales"])
        logits = parameters["mixture_logits"]  # not ops.softmax, which warns of a single component
        # Not ops.logsumexp, which asks for infinities: IsInf has no float16.
        weights = ops.exp(logits - ops.max(logits, axis=-1, keepdims=True))
        weights = weights / ops.sum(weights, axis=-1, keepdims=True)
        mean = ops.sum(weights * logistics._mean(), axis=-1)
        return {**parameters, "mean": ops.clip(mean, 0.0, 1.0)}  # rounding leads beyond

    def distribution(self, parameters: Mapping[str, Tensor]) -> tfd.Distribution:
        logistics = DiscretizedLogistic(parameters["means"], parameters["log_scales"])
        mixture = tfd.MixtureSameFamily(tfd.Categorical(logits=parameters["mixture_logits"]), logistics)
        return over_x(mixture)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "components": self.components}


@keras.saving.register_keras_serializable(package="keras_vae")
class Categorical(Likelihood):
    """p(x|z) = softmax(logits)_k for each pixel x = k / (levels - 1). A probability mass, in nats; levels unordered.

    Equation 1 of van den Oord et al. 2016, https://arxiv.org/abs/1601.06759, channels independent given z.

    Parameters: `mean` `(batch, height, width, channels)`; `logits` `(batch, height, width, channels, levels)`.

    Args:
      levels: K, the number of grey levels, 2 or more.
    """

    def __init__(self, levels: int = 16, **kwargs: Unpack[LayerArguments]) -> None:
        super().__init__(**kwargs)
        self.channels_per_pixel = check_whole_number(levels, "levels", minimum=2)
        self.support = grey_levels(self.channels_per_pixel, "Categorical")

    def parameters(self, raw: Tensor) -> dict[str, Tensor]:
        logits = ops.reshape(raw, (-1, *raw.shape[1:-1], raw.shape[-1] // self.levels, self.levels))
        mean = ops.sum(ops.softmax(logits, axis=-1) * self._grid(raw.dtype), axis=-1)
        return {"logits": logits, "mean": ops.clip(mean, 0.0, 1.0)}  # rounding leads beyond

    def distribution(self, parameters: Mapping[str, Tensor]) -> tfd.Distribution:
        logits = parameters["logits"]
        levels = tfd.FiniteDiscrete(self._grid(logits.dtype), logits=logits, atol=1e-2 / (self.levels - 1))
        return over_x(levels)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "levels": self.levels}

    def _grid(self, dtype: str) -> Tensor:
        return ops.convert_to_tensor(np.linspace(0.0, 1.0, self.levels), dtype)
