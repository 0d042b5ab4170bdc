"""Pixels that are 0 or 1, and the density on [0, 1] of the same form."""

import math
from collections.abc import Mapping

import keras
from keras import ops

from keras_vae.backend import tfd
from keras_vae.likelihoods.base import Independent, Likelihood, over_x
from keras_vae.supports import grid
from keras_vae.types import Tensor


class BernoulliImages(Independent):
    """tfd.Independent(tfd.Bernoulli(logits)), log_prob along one axis: x l - softplus(l), one exponential a pixel.

    XLA on CPU takes twice the time for axes of which the last is 1, and TFP's formula has two exponentials. This is
    what importance-weighted likelihoods spend most of their time on, after matrix products.
    """

    def __init__(self, logits: Tensor) -> None:
        self.logits = logits
        pixels = tfd.Bernoulli(logits=logits, dtype=logits.dtype)
        super().__init__(tfd.Independent(pixels, reinterpreted_batch_ndims=len(logits.shape) - 1))

    def number_log_prob(self, value: Tensor) -> Tensor:
        return value * self.logits - ops.softplus(self.logits)

    def _log_prob(self, value: Tensor) -> Tensor:
        axes = len(self.logits.shape) - 1
        x, logits = _flat(value, axes), _flat(self.logits, axes)
        return ops.sum(x * logits - ops.softplus(logits), axis=-1)


def _flat(value: Tensor, axes: int) -> Tensor:
    """The last `axes`, of one x, as one."""
    return ops.reshape(value, (*ops.shape(value)[:-axes], math.prod(value.shape[-axes:])))


@keras.saving.register_keras_serializable(package="keras_vae")
class Bernoulli(Likelihood):
    """p(x|z) = Bernoulli(x; sigmoid(logits)) for each pixel, x in {0, 1}. A probability mass, in nats.

    Kingma and Welling 2014, appendix C.1, https://arxiv.org/abs/1312.6114.
    """

    support = grid(
        2,
        lambda name, facts: (
            f"A Bernoulli likelihood is a probability of pixels that are 0 or 1. Given: grey levels, such as "
            f"{facts.value:.4g}, which have no such probability. Binarise them "
            f"(keras_vae.data.load(..., binarize='dynamic')) or use likelihood='gaussian'."
        ),
    )

    def parameters(self, raw: Tensor) -> dict[str, Tensor]:
        return {"logits": raw, "mean": ops.sigmoid(raw)}

    def distribution(self, parameters: Mapping[str, Tensor]) -> tfd.Distribution:
        return BernoulliImages(parameters["logits"])


@keras.saving.register_keras_serializable(package="keras_vae")
class ContinuousBernoulli(Likelihood):
    """p(x|z) = C(l) exp(l x) / (1 + exp(l)) for each pixel, x in [0, 1], l its logit. A density, in nats.

    Equation 6 of Loaiza-Ganem and Cunningham 2019, https://arxiv.org/abs/1907.06845: the Bernoulli's formula with the
    constant C(l) that makes it integrate to 1. Its mean is not sigmoid(l) but 1 / (1 - exp(-l)) - 1 / l, equation 8,
    which is drawn towards 1/2.
    """

    def parameters(self, raw: Tensor) -> dict[str, Tensor]:
        return {"logits": raw, "mean": _continuous_mean(raw)}

    def distribution(self, parameters: Mapping[str, Tensor]) -> tfd.Distribution:
        return over_x(tfd.ContinuousBernoulli(logits=parameters["logits"]))


def _continuous_mean(logits: Tensor) -> Tensor:
    """1 / (1 - exp(-l)) - 1 / l = (1 + coth(l / 2) - 2 / l) / 2, its series near 0, where both terms are infinite.

    TFP's own formula has expm1, which ONNX lacks.
    """
    half = 0.5 * logits
    near = ops.abs(half) < 0.5
    y = ops.where(near, half, ops.zeros_like(half))
    square = y * y
    series = y * (1.0 / 3.0 - square * (1.0 / 45.0 - square * (2.0 / 945.0 - square / 4725.0)))
    far = ops.where(near, ops.ones_like(half), half)
    return 0.5 * (1.0 + ops.where(near, series, 1.0 / ops.tanh(far) - 1.0 / far))
