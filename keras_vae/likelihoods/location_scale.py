"""Densities around a mean image, with a scale that is fixed, learned, or the decoder's."""

from collections.abc import Mapping
from typing import Any, Unpack

import keras
import numpy as np
from keras import ops

from keras_vae.backend import tfd
from keras_vae.checks import is_number
from keras_vae.errors import UserError
from keras_vae.likelihoods.base import Likelihood, soft_bound
from keras_vae.networks.arguments import LayerArguments
from keras_vae.types import Tensor


class LocationScale(Likelihood):
    """A density of (x - mean) / scale for each pixel. A subclass names the distribution, and how the scale is learned.

    Args:
      scale: a number (fixed), `"global"` (one learned number), or `"pixel"` (the decoder's second head gives it for
        each pixel and channel).
      minimum_scale: what a learned scale stays above.
      bounded_mean: the mean is a sigmoid of the decoder's output, an image in [0, 1]; false leaves it unbounded, for
        data that are not images.
    """

    family: Any  # of TFP, of a mean and a scale
    parameter: str  # what is learned, and exported
    power: float  # scale = exp(parameter / power)

    def __init__(
        self,
        scale: float | str = 0.1,
        minimum_scale: float = 0.01,
        bounded_mean: bool = True,
        **kwargs: Unpack[LayerArguments],
    ) -> None:
        super().__init__(**kwargs)
        number = None if isinstance(scale, str) or not is_number(scale) else float(scale)
        if not (number and 0 < number < float("inf")) and scale not in ("global", "pixel"):
            raise UserError(
                f"The scale of a {type(self).__name__} likelihood is a positive number, 'global' or 'pixel'. "
                f"Given: {scale!r}."
            )
        if not is_number(minimum_scale) or not 0 < minimum_scale < 1:
            raise UserError(f"minimum_scale must lie between 0 and 1. Given: {minimum_scale!r}.")
        self.scale: float | str = scale if number is None else number
        self.minimum_scale, self.bounded_mean = float(minimum_scale), bounded_mean
        self.channels_per_pixel = 2 if scale == "pixel" else 1
        self.learned: Any = None
        if scale == "global":
            self.learned = self.add_weight(shape=(), initializer="zeros", name=f"raw_{self.parameter}")
        self.built = True

    def parameters(self, raw: Tensor) -> dict[str, Tensor]:
        mean, learned = ops.split(raw, 2, axis=-1) if self.scale == "pixel" else (raw, self.learned)
        parameters = {"mean": ops.sigmoid(mean) if self.bounded_mean else mean}
        if learned is not None:
            low = self.power * float(np.log(self.minimum_scale))
            learned = soft_bound(ops.cast(learned, raw.dtype), low, 5.0 * self.power)
            parameters[self.parameter] = ops.broadcast_to(learned, ops.shape(mean))
        return parameters

    def distribution(self, parameters: Mapping[str, Tensor]) -> tfd.Distribution:
        mean = parameters["mean"]
        if self.parameter in parameters:
            scale = ops.exp(parameters[self.parameter] / self.power)
        else:  # not ops.cast, which takes a Python number through float32
            scale = ops.convert_to_tensor(self.scale, mean.dtype)
        return tfd.Independent(self.family(mean, scale), reinterpreted_batch_ndims=3)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "scale": self.scale,
            "minimum_scale": self.minimum_scale,
            "bounded_mean": self.bounded_mean,
        }


@keras.saving.register_keras_serializable(package="keras_vae")
class Gaussian(LocationScale):
    """p(x|z) = N(x; mean, scale**2) for each pixel. A density, in nats; it can be positive. Learned: log scale**2.

    Kingma and Welling 2014, appendix C.2, https://arxiv.org/abs/1312.6114. A learned scale: Rybkin et al. 2021,
    https://arxiv.org/abs/2006.13202; its lower bound keeps the density of constant pixels finite.

    Args: as `LocationScale`; the scale is the standard deviation.
    """

    family, parameter, power = tfd.Normal, "log_var", 2.0


@keras.saving.register_keras_serializable(package="keras_vae")
class Laplace(LocationScale):
    """p(x|z) = exp(-abs(x - mean) / scale) / (2 scale) for each pixel. A density, in nats. Learned: log scale.

    Absolute error as a likelihood: far pixels cost less than under a Gaussian. `mean` is also the median.

    Args: as `LocationScale`; the standard deviation is sqrt(2) times the scale.
    """

    family, parameter, power = tfd.Laplace, "log_scale", 1.0
