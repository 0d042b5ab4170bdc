"""Densities around a location, with a scale that is fixed, learned, or the decoder's: of pixels or real numbers."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any, Unpack

import keras
import numpy as np
from keras import ops

from keras_vae.backend import soft_bound, tfd
from keras_vae.checks import is_number
from keras_vae.errors import UserError
from keras_vae.likelihoods.base import Likelihood, Standardized, over_x
from keras_vae.networks.arguments import LayerArguments
from keras_vae.supports import POSITIVE, REALS
from keras_vae.types import Tensor


class LocationScale(Likelihood):
    """A density of (x - mean) / scale for each pixel. A subclass names the distribution, and how the scale is learned.

    Args:
      scale: a number (fixed), `"global"` (one learned number), or `"pixel"` (the decoder's second head gives it for
        each pixel and channel).
      minimum_scale: what a learned scale stays above.
      bounded_mean: the mean is a sigmoid of the decoder's output, an image in [0, 1]; false: it is the output itself.
        x lies in [0, 1] either way: numbers that are no pixels have `Normal` and others.
    """

    family: Any  # of TFP, of a mean and a scale
    parameter: str  # what is learned, and exported
    power: float  # scale = exp(parameter / power)
    location = "mean"  # the parameter that is the decoder's output
    scales: tuple[str, ...] = ("global", "pixel")  # that are learned; the last is the decoder's
    highest = 5.0  # of the logarithm of a learned scale

    def __init__(
        self,
        scale: float | str = 0.1,
        minimum_scale: float = 0.01,
        bounded_mean: bool = True,
        **kwargs: Unpack[LayerArguments],
    ) -> None:
        super().__init__(**kwargs)
        number = None if isinstance(scale, str) or not is_number(scale) else float(scale)
        if not (number and 0 < number < float("inf")) and scale not in self.scales:
            *names, last = map(repr, self.scales)
            raise UserError(
                f"The scale of a {type(self).__name__} likelihood is a positive number, {', '.join(names)} or {last}. "
                f"Given: {scale!r}."
            )
        if not is_number(minimum_scale) or not 0 < minimum_scale < 1:
            raise UserError(f"minimum_scale must lie between 0 and 1. Given: {minimum_scale!r}.")
        self.scale: float | str = scale if number is None else number
        self.minimum_scale, self.bounded_mean = float(minimum_scale), bounded_mean
        self.channels_per_pixel = 2 if scale == self.scales[-1] else 1
        self.learned: Any = None
        if scale == "global":
            self._learn(())
        self.built = scale not in ("feature", "channel")

    def parameters(self, raw: Tensor) -> dict[str, Tensor]:
        mean, learned = ops.split(raw, 2, axis=-1) if self.channels_per_pixel == 2 else (raw, self.learned)
        parameters = {self.location: ops.sigmoid(mean) if self.bounded_mean else mean}
        if learned is not None:
            low = self.power * float(np.log(self.minimum_scale))
            learned = soft_bound(ops.cast(learned, raw.dtype), low, self.highest * self.power)
            parameters[self.parameter] = ops.broadcast_to(learned, ops.shape(mean))
        return parameters

    def distribution(self, parameters: Mapping[str, Tensor]) -> tfd.Distribution:
        return over_x(self.family(parameters[self.location], self.scale_of(parameters)))

    def scale_of(self, parameters: Mapping[str, Tensor]) -> Tensor:
        if self.parameter in parameters:
            return ops.exp(parameters[self.parameter] / self.power)
        # Not ops.cast, which takes a Python number through float32.
        return ops.convert_to_tensor(self.scale, parameters[self.location].dtype)

    def build(self, x_shape: Sequence[int | None]) -> None:
        self._learn(x_shape[1:] if self.scale == "feature" else x_shape[-1:])

    def _learn(self, shape: Sequence[int | None]) -> None:
        self.learned = self.add_weight(shape=shape, initializer="zeros", name=f"raw_{self.parameter}")

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "scale": self.scale,
            "minimum_scale": self.minimum_scale,
            "bounded_mean": self.bounded_mean,
        }


@keras.saving.register_keras_serializable(package="keras_vae")
class Gaussian(LocationScale):
    """`p(x|z) = N(x; mean, scale**2)` for each pixel. A density, in nats; it can be positive. Learned: `log scale**2`.

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


class Unbounded(LocationScale, Standardized):
    """A density of numbers that are no pixels: its location is the decoder's output, and not bounded.

    Args:
      scale: a number (fixed), `"global"` (one learned number), `"feature"` (one learned for each number of an x, as for
        each column of a table), `"channel"` (for each along the last axis, as for each channel of a series), or
        `"example"` (the decoder gives them for each example).
      minimum_scale: what a learned scale stays above.
      standardize: the networks read and give (x - shift) / spread, with the mean and standard deviation of each number
        over the training examples; or `"channel"`, of each channel, over the steps of a series too. x itself, its
        density and all that is exported stay in the units of the data; scales are in units of the spread. `VAE.fit`
        sets them before the first step, or `adapt`. What is missing does not count.
    """

    support, scales = REALS, ("global", "feature", "channel", "example")

    def __init__(
        self,
        scale: float | str = "feature",
        minimum_scale: float = 0.01,
        standardize: bool | str = False,
        **kwargs: Unpack[LayerArguments],
    ) -> None:
        super().__init__(scale, minimum_scale, bounded_mean=False, **kwargs)
        self.standardize_by(standardize)
        self.built = self.built and not standardize

    def build(self, x_shape: Sequence[int | None]) -> None:
        if self.scale in ("feature", "channel"):
            LocationScale.build(self, x_shape)
        Standardized.build(self, x_shape)

    @property
    def by_channel(self) -> bool:
        return self.scale == "channel" or super().by_channel

    def parameters(self, raw: Tensor) -> dict[str, Tensor]:
        parameters = super().parameters(raw)
        if self.standardizes:
            parameters[self.location] = self.located(parameters[self.location])
            if self.parameter in parameters:
                parameters[self.parameter] += self.power * ops.log(self.spread)
        return parameters

    def scale_of(self, parameters: Mapping[str, Tensor]) -> Tensor:
        scale = super().scale_of(parameters)
        return scale * self.spread if self.standardizes and self.parameter not in parameters else scale

    def get_config(self) -> dict[str, Any]:
        return {name: value for name, value in super().get_config().items() if name != "bounded_mean"}


@keras.saving.register_keras_serializable(package="keras_vae")
class Normal(Unbounded):
    """`p(x|z) = N(x; mean, scale**2)` for each number of x, any real one. A density, in nats. Learned: `log scale**2`.

    Kingma and Welling 2014, appendix C.2, https://arxiv.org/abs/1312.6114. `Gaussian` is the same of pixels in [0, 1].

    Args: as `Unbounded`; the scale is the standard deviation.
    """

    family, parameter, power = tfd.Normal, "log_var", 2.0


@keras.saving.register_keras_serializable(package="keras_vae")
class StudentT(Unbounded):
    """p(x|z) = Student's t of (x - mean) / scale for each number of x. A density, in nats. Learned: log scale.

    Its tails fall off as a power, so that outliers cost the logarithm of their distance. Equation 9 of Takahashi et al.
    2018, https://www.ijcai.org/proceedings/2018/0374.pdf, with degrees of freedom that are fixed.

    Args: as `Unbounded`, and degrees: of freedom, above 1, where there is a mean.
    """

    parameter, power = "log_scale", 1.0

    def __init__(self, degrees: float = 5.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not is_number(degrees) or not 1 < degrees < float("inf"):
            raise UserError(f"degrees of freedom are a number above 1, so that there is a mean. Given: {degrees!r}.")
        self.degrees = float(degrees)
        self.family = functools.partial(tfd.StudentT, self.degrees)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "degrees": self.degrees}


@keras.saving.register_keras_serializable(package="keras_vae")
class LogNormal(Unbounded):
    """`p(x|z) = N(log x; loc, scale**2) / x` for each number of x, above 0. A density, in nats. Learned: log scale.

    `mean` is `exp(loc + scale**2 / 2)`. The likelihood of positive columns in Nazabal et al. 2020,
    https://arxiv.org/abs/1807.03653, section 2.2.

    Args: as `Unbounded`; the scale is that of the logarithm, at most e.
    """

    family, parameter, power, location = tfd.LogNormal, "log_scale", 1.0, "loc"
    support, highest = POSITIVE, 1.0  # a larger scale has a mean that no float holds

    def __init__(self, scale: float | str = "feature", **kwargs: Any) -> None:
        super().__init__(scale, **kwargs)
        if not isinstance(self.scale, str) and self.scale > np.exp(self.highest):
            raise UserError(f"The scale of a logarithm is at most e, a factor of 15. Given: {scale!r}.")

    def link(self, x: Tensor, ops: Any = ops) -> Any:
        return ops.log(x)

    def unlink(self, numbers: Tensor) -> Tensor:
        return ops.exp(soft_bound(numbers, -60.0, 60.0))

    def parameters(self, raw: Tensor) -> dict[str, Tensor]:
        parameters = super().parameters(raw)
        loc = soft_bound(parameters["loc"], -60.0, 60.0)
        return {**parameters, "loc": loc, "mean": ops.exp(loc + 0.5 * self.scale_of(parameters) ** 2)}
