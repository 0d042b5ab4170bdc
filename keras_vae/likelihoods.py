"""p(x|z) as families: what a decoder's output means, its distribution, and its mean image.

A family turns the raw output of a decoder network, `channels_per_pixel` numbers for each channel of a pixel, into named
parameters, among them always `mean`, an image in [0, 1]. Those names are the outputs of an exported decoder.
"""

from typing import Any

import keras
import numpy as np
from keras import ops
from tensorflow_probability import distributions as tfd

from keras_vae.errors import UserError
from keras_vae.naming import build


def soft_bound(value: Any, low: float, high: float) -> Any:
    """The identity well inside `(low, high)`, levelling off smoothly at both ends: exp(log_var) neither overflows
    nor vanishes, and the gradient never stops."""
    value = high - ops.softplus(high - value)
    return low + ops.softplus(value - low)


class Likelihood(keras.layers.Layer):
    """A family of distributions over images of shape `(height, width, channels)`, event dimensions included.

    A subclass gives `parameters`, `distribution` and, if not every image in [0, 1] has a density, `check`.
    """

    channels_per_pixel = 1

    def parameters(self, raw: Any) -> dict[str, Any]:
        """Named parameters, `mean` among them, of `(batch, height, width, channels * channels_per_pixel)` numbers."""
        raise NotImplementedError(f"{type(self).__name__} must define parameters(raw)")

    def distribution(self, parameters: dict[str, Any]) -> tfd.Distribution:
        """p(x|z) with batch shape `(batch,)`: log_prob sums over pixels, in nats."""
        raise NotImplementedError(f"{type(self).__name__} must define distribution(parameters)")

    def check(self, x: np.ndarray) -> None:
        """Raise UserError if `x`, already known to lie in [0, 1], is outside the distribution's support."""


@keras.saving.register_keras_serializable(package="keras_vae")
class Bernoulli(Likelihood):
    """p(x|z) = Bernoulli(x; sigmoid(logits)) for each pixel, x in {0, 1}. A probability mass, in nats.

    Kingma and Welling 2014, appendix C.1, https://arxiv.org/abs/1312.6114.
    """

    def parameters(self, raw: Any) -> dict[str, Any]:
        return {"logits": raw, "mean": ops.sigmoid(raw)}

    def distribution(self, parameters: dict[str, Any]) -> tfd.Distribution:
        logits = parameters["logits"]
        return tfd.Independent(tfd.Bernoulli(logits=logits, dtype=logits.dtype), reinterpreted_batch_ndims=3)

    def check(self, x: np.ndarray) -> None:
        grey = (x != 0) & (x != 1)
        if grey.any():
            raise UserError(
                f"A Bernoulli likelihood is a probability of pixels that are 0 or 1. Given: grey levels, such as "
                f"{float(x[grey][0]):.4g}, which have no such probability. Binarise them "
                f"(keras_vae.data.load(..., binarize='dynamic')) or use likelihood='gaussian'."
            )


@keras.saving.register_keras_serializable(package="keras_vae")
class Gaussian(Likelihood):
    """p(x|z) = N(x; mean, scale**2) for each pixel. A density, in nats; it can be positive.

    Kingma and Welling 2014, appendix C.2, https://arxiv.org/abs/1312.6114. A learned scale: Rybkin et al. 2021,
    https://arxiv.org/abs/2006.13202; its lower bound keeps the density of constant pixels finite.

    Args:
      scale: the standard deviation: a number (fixed), `"global"` (one learned number), or `"pixel"` (the decoder's
        second head gives log sigma**2 for each pixel and channel).
      minimum_scale: what a learned scale stays above.
      bounded_mean: the mean is a sigmoid of the decoder's output, an image in [0, 1]; false leaves it unbounded, for
        data that are not images.
    """

    def __init__(
        self, scale: float | str = 0.1, minimum_scale: float = 0.01, bounded_mean: bool = True, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        number = isinstance(scale, int | float) and not isinstance(scale, bool)
        if not (number and 0 < float(scale) < float("inf")) and scale not in ("global", "pixel"):
            raise UserError(
                f"The scale of a Gaussian likelihood is a positive number, 'global' or 'pixel'. Given: {scale!r}."
            )
        if isinstance(minimum_scale, bool) or not isinstance(minimum_scale, int | float) or not 0 < minimum_scale < 1:
            raise UserError(f"minimum_scale must lie between 0 and 1. Given: {minimum_scale!r}.")
        self.scale, self.minimum_scale, self.bounded_mean = scale, minimum_scale, bounded_mean
        self.channels_per_pixel = 2 if scale == "pixel" else 1
        if scale == "global":
            self.raw_log_var = self.add_weight(shape=(), initializer="zeros", name="raw_log_var")
        self.built = True

    def parameters(self, raw: Any) -> dict[str, Any]:
        if self.scale == "pixel":
            mean, log_var = ops.split(raw, 2, axis=-1)
        else:
            mean = raw
            log_var = self.raw_log_var if self.scale == "global" else None
        parameters = {"mean": ops.sigmoid(mean) if self.bounded_mean else mean}
        if log_var is not None:
            log_var = soft_bound(ops.cast(log_var, raw.dtype), 2.0 * float(np.log(self.minimum_scale)), 10.0)
            parameters["log_var"] = ops.broadcast_to(log_var, ops.shape(mean))
        return parameters

    def distribution(self, parameters: dict[str, Any]) -> tfd.Distribution:
        mean = parameters["mean"]
        if "log_var" in parameters:
            scale = ops.exp(0.5 * parameters["log_var"])
        else:  # not ops.cast, which takes a Python number through float32
            scale = ops.convert_to_tensor(self.scale, mean.dtype)
        return tfd.Independent(tfd.Normal(mean, scale), reinterpreted_batch_ndims=3)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "scale": self.scale,
            "minimum_scale": self.minimum_scale,
            "bounded_mean": self.bounded_mean,
        }


LIKELIHOODS = {"bernoulli": Bernoulli, "gaussian": Gaussian}


def likelihood(spec: Any, **given: Any) -> Likelihood:
    """A `Likelihood` from a name, a mapping such as `{"name": "gaussian", "scale": "global"}`, or itself.

    Raises:
      UserError: an unknown name or argument.
    """
    return spec if isinstance(spec, Likelihood) else build("likelihood", spec, LIKELIHOODS, **given)
