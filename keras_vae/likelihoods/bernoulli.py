"""Pixels that are 0 or 1, and the density on [0, 1] of the same form."""

import math
from collections.abc import Callable, Mapping

import keras
from keras import ops

from keras_vae.backend import summed_to, tfd
from keras_vae.likelihoods.base import Independent, Likelihood, over_x
from keras_vae.supports import grid
from keras_vae.types import Tensor

_FACTORS = 16  # at most, of a product of numbers up to 2


class BernoulliImages(Independent):
    """tfd.Independent(tfd.Bernoulli(logits)), its log_prob with one exponential a pixel, and a logarithm for sixteen.

    After matrix products, an importance-weighted likelihood spends most of its time on log_prob: TFP's formula has two
    exponentials and two logarithms a pixel.
    """

    def __init__(self, logits: Tensor) -> None:
        self.logits = logits
        pixels = tfd.Bernoulli(logits=logits, dtype=logits.dtype)
        super().__init__(tfd.Independent(pixels, reinterpreted_batch_ndims=len(logits.shape) - 1))

    def number_log_prob(self, value: Tensor) -> Tensor:
        return value * self.logits - ops.softplus(self.logits)

    def _log_prob(self, value: Tensor) -> Tensor:
        axes = len(self.logits.shape) - 1
        x, logits = _flat(value, axes), _flat(self.logits, axes)  # XLA on CPU takes twice the time for a last axis of 1
        return _sum_of_log_prob(x, logits)


@ops.custom_gradient
def _sum_of_log_prob(x: Tensor, logits: Tensor) -> tuple[Tensor, Callable[..., tuple[Tensor, Tensor]]]:
    """Return the sum over the last axis of x l - softplus(l) = x l - max(l, 0) - log(1 + exp(-|l|)), and its gradient.

    The logarithms of several numbers between 1 and 2 are the logarithm of their product, at most `2**16`. Its gradient
    by way of the product would divide by each of them; it is x - sigmoid(l).
    """
    pixels = logits.shape[-1]
    factors = max(count for count in range(1, _FACTORS + 1) if pixels % count == 0)
    numbers = ops.reshape(1.0 + ops.exp(-ops.abs(logits)), (*ops.shape(logits)[:-1], factors, pixels // factors))
    logs = ops.sum(ops.log(ops.prod(numbers, axis=-2)), axis=-1)

    def gradient(*arguments: Tensor, upstream: Tensor | None = None) -> tuple[Tensor, Tensor]:
        outer = (arguments[0] if upstream is None else upstream)[..., None]  # TensorFlow passes it without its name
        return summed_to(outer * logits, x), summed_to(outer * (x - ops.sigmoid(logits)), logits)

    return ops.sum(x * logits - ops.maximum(logits, 0.0), axis=-1) - logs, gradient


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
