"""Base of the likelihoods: from a decoder's output to named parameters, a distribution, and its mean image."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_vae.backend import base_of, tfd
from keras_vae.backend import soft_bound as soft_bound
from keras_vae.columns import Column
from keras_vae.errors import NotApplicable, UserError
from keras_vae.supports import PIXELS, Facts, Support, grid
from keras_vae.types import Tensor


class Likelihood(keras.layers.Layer):
    """A family of distributions over x of any shape, such as images, event dimensions included.

    A subclass gives `parameters`, `distribution` and, if not every number in [0, 1] has a density, or others have one
    too, `support`. One with a weight for each number of an x makes it in `build`, of the shape of a batch of x.
    """

    channels_per_pixel = 1  # numbers of the decoder for each number of x
    support: Support = PIXELS  # what x may be: arrays are checked on the host by it, and batches in the graph
    columns: Mapping[str, Column] = MappingProxyType({})  # by name, where they differ
    tells_total: bool = True  # of counts: whether the mean says how many there are in all
    reads_totals: bool = False  # whether `adapt_totals` is due before the first step
    in_model: bool = False  # whether a model was made with it, of whose data its weights are
    standardizes: bool = False  # whether networks read and give x standardised, and all else is of x as it is

    @property
    def title(self) -> str:
        """The name of the family in messages and in what is written."""
        return type(self).__name__

    @property
    def levels(self) -> int:
        """How many values a pixel can take, k / (levels - 1); 0: any number in [0, 1]."""
        return self.support.levels

    @property
    def by_channel(self) -> bool:
        """Whether the last axis of x is of channels: the user has said so of a scale, a dispersion or `standardize`."""
        return False

    def parameters(self, raw: Tensor) -> dict[str, Tensor]:
        """Named parameters, `mean` among them, of `(batch, ..., channels * channels_per_pixel)` numbers."""
        raise NotImplementedError(f"{type(self).__name__} must define parameters(raw)")

    def distribution(self, parameters: Mapping[str, Tensor]) -> tfd.Distribution:
        """p(x|z) with batch shape `(batch,)`: log_prob sums over the numbers of an x, in nats."""
        raise NotImplementedError(f"{type(self).__name__} must define distribution(parameters)")

    def standardized(self, x: Tensor) -> Tensor:
        """Return x as the encoder reads it: here as it is."""
        return x

    def adapt(self, x: np.ndarray) -> None:
        """Set what x is standardised by, from all training examples, where the family does that."""

    def adapt_totals(self, totals: np.ndarray) -> None:
        """Set what is of the total of each training example, `(examples,)`, where `reads_totals`."""

    def read_shape(self, x_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of one `standardized` x."""
        return x_shape

    def placed(self, raw: Tensor) -> Tensor:
        """Return numbers such as x, which a network may read, of unbounded ones that are learned."""
        return ops.sigmoid(raw) if self.support.hull.pixels else raw

    def raw_shape(self, x_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of a decoder's output for one x."""
        *others, channels = x_shape
        return (*others, channels * self.channels_per_pixel)

    def moments(self, parameters: Mapping[str, Tensor]) -> Tensor:
        """Return the numbers whose average over codes z tells `expected` x: here the mean of each number."""
        return parameters["mean"]

    def expected(self, moments: np.ndarray) -> np.ndarray:
        """Return x of averages of `moments`."""
        return moments

    def deviances(self, x: np.ndarray, mean: np.ndarray, parameters: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return the deviance of each count of x from a mean, 0 where they are equal: float64, in the shape of x.

        Args:
          x: counts; NaN gives NaN.
          mean: of x, or of a shape that is broadcast to it; above 0.
          parameters: of p(x|z), for all but the mean.

        Raises:
          NotApplicable: a family that is not of counts.
        """
        raise NotApplicable(f"Deviances are of counts. Given: the likelihood {self.title}.")

    def check(self, x: np.ndarray) -> None:
        """Raise UserError if `x` is outside the distribution's support."""
        self.support.check(np.asarray(x))


class Standardized(Likelihood):
    """A family whose networks read and give `link(x)` standardised, where `standardizes`: base of families of numbers.

    By mean and standard deviation of each number over the training examples; or, if `standardize` is `"channel"`, of
    each channel, over the steps of a series too. x itself, its density and all that is exported stay in its units.
    """

    standardize: bool | str = False
    shift: Any
    spread: Any

    def standardize_by(self, standardize: bool | str) -> None:
        """Set `standardize` and `standardizes`.

        Raises:
          UserError: neither a bool nor "channel".
        """
        if standardize not in (False, True, "channel"):
            raise UserError(f"standardize is true, false or 'channel'. Given: {standardize!r}.")
        self.standardize, self.standardizes = standardize, bool(standardize)

    def build(self, x_shape: Sequence[int | None]) -> None:
        if self.standardizes:  # by these names, weights are stored in full precision
            shape = x_shape[-1:] if self.standardize == "channel" else x_shape[1:]
            self.shift, self.spread = (
                self.add_weight(shape=shape, initializer=initial, trainable=False, name=f"normalisation_{name}")
                for name, initial in (("shift", "zeros"), ("spread", "ones"))
            )

    @property
    def by_channel(self) -> bool:
        return self.standardize == "channel"

    def link(self, x: Tensor, ops: Any = ops) -> Any:
        """Return the numbers whose location the decoder gives: here x; `ops` is numpy or keras.ops."""
        return x

    def standardized(self, x: Tensor) -> Tensor:
        return (self.link(x) - self.shift) / self.spread if self.standardizes else x

    def located(self, raw: Tensor) -> Tensor:
        """Return the location of `link(x)` that a network gave standardised."""
        return self.shift + self.spread * raw if self.standardizes else raw

    def unlink(self, numbers: Tensor) -> Tensor:
        """Return the x of which `numbers` are the `link`."""
        return numbers

    def placed(self, raw: Tensor) -> Tensor:
        return self.unlink(self.located(raw))

    def adapt(self, x: np.ndarray) -> None:
        if self.standardizes:
            numbers = np.ma.masked_invalid(np.asarray(self.link(x, np), "float64"))  # NaN is a missing number
            numbers = numbers.reshape(-1, *self.shift.shape)
            spread = numbers.std(axis=0).filled(1.0)
            self.shift.assign(numbers.mean(axis=0).filled(0.0))
            self.spread.assign(np.where(spread > 0, spread, 1.0))  # of a constant column, no unit

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **({"standardize": self.standardize} if self.standardizes else {})}


class Alike(tfd.Distribution):
    """A distribution like another in all but log_prob, which a subclass defines."""

    def __init__(self, other: tfd.Distribution) -> None:
        self._other = other
        super().__init__(other.dtype, other.reparameterization_type, validate_args=False, allow_nan_stats=True)

    def _sample_n(self, n: Tensor | int, seed: Tensor | None = None) -> Tensor:
        return self._other.sample(n, seed=seed)

    def _mean(self) -> Tensor:
        return self._other.mean()

    def _mode(self) -> Tensor:
        return self._other.mode()

    def _variance(self) -> Tensor:
        return self._other.variance()

    def _entropy(self) -> Tensor:
        return self._other.entropy()

    def _batch_shape(self) -> Any:
        return self._other.batch_shape

    def _batch_shape_tensor(self) -> Any:
        return self._other.batch_shape_tensor()

    def _event_shape(self) -> Any:
        return self._other.event_shape

    def _event_shape_tensor(self) -> Any:
        return self._other.event_shape_tensor()


class Independent(Alike):
    """A `tfd.Independent` in all but log_prob, which a subclass defines."""

    @property
    def independent(self) -> tfd.Distribution:
        """The `tfd.Independent`."""
        return self._other

    def number_log_prob(self, value: Tensor) -> Tensor:
        """Return log p of each number of `value`, in its shape."""
        return base_of(self.independent).log_prob(value)


def over_x(numbers: tfd.Distribution) -> tfd.Distribution:
    """Return the distribution of an x whose numbers are independent: all axes but the batch are of the event."""
    return tfd.Independent(numbers, reinterpreted_batch_ndims=numbers.batch_shape.rank - 1)


def grey_levels(levels: int, family: str) -> Support:
    """Return the support of a probability of `levels` grey levels; `family` is its name in messages."""
    steps = levels - 1

    def message(name: str, facts: Facts) -> str:
        return (
            f"A {family} likelihood is a probability of {levels} grey levels, k / {steps}. Given: a pixel of "
            f"{facts.value:.4g}. Round them (np.round(x * {steps}) / {steps}) or use likelihood='gaussian'."
        )

    return grid(levels, message)


def softplus(value: Tensor) -> Tensor:
    """Return log(1 + exp(value)), by way of negative numbers: LiteRT's softplus ends at 88, where exp overflows."""
    return ops.maximum(value, 0.0) + ops.softplus(-ops.abs(value))
