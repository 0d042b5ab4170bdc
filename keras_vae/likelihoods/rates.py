"""Probabilities of counts that are independent, each with a mean of its own, or with a share of the library size."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Unpack

import keras
import numpy as np
from keras import ops

from keras_vae.backend import soft_bound, tfd
from keras_vae.checks import is_number
from keras_vae.errors import NotApplicable, UserError
from keras_vae.likelihoods.base import Alike, over_x
from keras_vae.likelihoods.counted import LOG_MEANS, Counts, x_log_ratio
from keras_vae.networks.arguments import LayerArguments
from keras_vae.types import Tensor

_LEARNED = ("global", "feature", "channel")  # dispersions that are weights
_LOG_DISPERSIONS = (-10.0, 10.0)  # beyond e**10 it is a Poisson to float32
_TOTALS = (1e-6, 1e12)
_NONE_COUNTED = 1e-30  # in place of a total of 0: a mean that no float32 tells from 0, with a logarithm


class OfOwnTotal(Alike):
    """Counts whose means are shares of the total of the x that is evaluated. Mean and draws are of `log_mean`.

    No `tfd.Independent`: a number of x moves the means of all others.

    Args:
      numbers: from log means, of the shape of a batch of x or with axes before it, to the distribution of each number.
      log_mean: of a batch of x, `(batch, ...)`, of whatever total; the shares are those in it.
    """

    def __init__(self, numbers: Callable[[Tensor], tfd.Distribution], log_mean: Tensor) -> None:
        self._numbers, self._log_share = numbers, log_shares(log_mean)
        super().__init__(over_x(numbers(log_mean)))

    def _log_prob(self, value: Tensor) -> Tensor:
        axes = tuple(range(-self.event_shape.rank, 0))
        total: Any = ops.maximum(ops.sum(value, axis=axes, keepdims=True), _NONE_COUNTED)
        return ops.sum(self._numbers(self._log_share + ops.log(total)).log_prob(value), axis=axes)


class Rates(Counts):
    """Counts that are independent, each with a mean of its own: base of Poisson and negative binomial ones.

    With `library="observed"` the decoder gives shares, and the mean of a count is its share of the total of the x that
    is evaluated, `mean = total(x) * softmax(decoder)` over all numbers of an x, and so the code carries nothing of how
    many are counted: what scvi-tools does by default with the model of Lopez et al. 2018,
    https://doi.org/10.1038/s41592-018-0229-2. The total is an offset, as of a generalised linear model, and x is not
    held to it: log p(x|z) sums to less than 1 over the x of one total, and to no number over all x, so that it compares
    with that of the same offset only. Of a Poisson it is that of the multinomial, which is held to it, plus what no
    code changes, log Poisson(n; n). None may be missing.

    Args:
      standardize: as `Counts`.
      library: None, the decoder gives the logarithm of each mean; or `"observed"`. For a library size that is latent,
        give the likelihood of `LibraryVAE` neither.
      total: with library, of the counts of `mean` and of draws, before further zeros, which no code tells; None: the
        mean total of the training data, once `fit` has seen them.
    """

    log_name = "log_mean"  # the parameter that is the logarithm of the mean

    def __init__(
        self,
        standardize: bool | str = False,
        library: str | None = None,
        total: float | None = None,
        **kwargs: Unpack[LayerArguments],
    ) -> None:
        super().__init__(standardize, **kwargs)
        if library not in (None, "observed"):
            raise UserError(
                f"library is None or 'observed'. Given: {library!r}. Leave it out; a latent one is of the model "
                f"LibraryVAE."
            )
        if total is not None and not (library and is_number(total) and _TOTALS[0] <= total <= _TOTALS[1]):
            raise UserError(
                f"total is a number from {_TOTALS[0]:g} to {_TOTALS[1]:g}, of counts with library='observed'. Given: "
                f"{total!r}, with "
                f"library={library!r}. Leave it out."
            )
        self.library, self.total = library, None if total is None else float(total)
        self.tells_total, self.reads_totals = library is None, library is not None and total is None
        self.typical: Any = None

    def build(self, x_shape: Sequence[int | None]) -> None:
        if self.library:  # by this name, it is stored in full precision
            self.typical = self.add_weight(shape=(), initializer="ones", trainable=False, name="normalisation_total")
            self.typical.assign(self.total or 1.0)
        super().build(x_shape)

    def adapt_totals(self, totals: np.ndarray) -> None:
        if self.reads_totals:
            self.typical.assign(totals.mean() or 1.0)

    def parameters(self, raw: Tensor) -> dict[str, Tensor]:
        if self.library:
            return self.of_library(raw, ops.log(ops.cast(self.typical, raw.dtype)))
        heads = ops.split(raw, self.channels_per_pixel, axis=-1)
        return self.of_log_mean(soft_bound(self.located(heads[0]), *LOG_MEANS), heads[1:])

    def of_library(self, raw: Tensor, log_library: Tensor) -> dict[str, Tensor]:
        """Return the parameters where the means are shares of a library size, which they sum to.

        Args:
          raw: the decoder's output, as for `parameters`.
          log_library: the logarithm of the size: a scalar, or `(batch,)`.
        """
        heads = ops.split(raw, self.channels_per_pixel, axis=-1)
        log_share = log_shares(soft_bound(self.located(heads[0]), *LOG_MEANS))
        if log_library.shape.rank:
            log_library = ops.reshape(log_library, (-1, *(1,) * (log_share.shape.rank - 1)))
        return self.of_log_mean(log_share + log_library, heads[1:])

    def of_log_mean(self, log_mean: Tensor, others: Sequence[Tensor]) -> dict[str, Tensor]:
        """Return the parameters, `mean` among them, of log means and the decoder's other numbers."""
        raise NotImplementedError(f"{type(self).__name__} must define of_log_mean(log_mean, others)")

    def numbers(self, parameters: Mapping[str, Tensor], log_mean: Tensor) -> tfd.Distribution:
        """Return the distribution of each number of x, with other log means than those of `parameters`."""
        raise NotImplementedError(f"{type(self).__name__} must define numbers(parameters, log_mean)")

    def distribution(self, parameters: Mapping[str, Tensor]) -> tfd.Distribution:
        log_mean = parameters[self.log_name]
        if self.library:
            return OfOwnTotal(lambda log_mean: self.numbers(parameters, log_mean), log_mean)
        return over_x(self.numbers(parameters, log_mean))

    def deviances(self, x: np.ndarray, mean: np.ndarray, parameters: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return those of `Counts`; with library, of a mean that is scaled to the total of x."""
        return super().deviances(x, self.of_total(x, mean), parameters)

    def of_total(self, x: np.ndarray, mean: np.ndarray) -> np.ndarray:
        """Return the mean; with library, scaled to the total of x."""
        if not self.library:
            return mean
        axes = tuple(range(1, x.ndim))
        mean = np.broadcast_to(mean, x.shape)
        return mean * (x.sum(axes, keepdims=True) / np.maximum(mean.sum(axes, keepdims=True), _NONE_COUNTED))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **({"library": self.library, "total": self.total} if self.library else {})}


@keras.saving.register_keras_serializable(package="keras_vae")
class Poisson(Rates):
    """`p(x|z) = mean**x exp(-mean) / x!` for each count x. A probability mass, in nats.

    Parameters: `mean`; `log_rate`, its logarithm.

    Args: as `Rates`.
    """

    log_name = "log_rate"

    def of_log_mean(self, log_mean: Tensor, others: Sequence[Tensor]) -> dict[str, Tensor]:
        return {"log_rate": log_mean, "mean": ops.exp(log_mean)}

    def numbers(self, parameters: Mapping[str, Tensor], log_mean: Tensor) -> tfd.Distribution:
        return tfd.Poisson(log_rate=log_mean)


class Overdispersed(Rates):
    """Negative binomial counts of mean m and variance `m + m**2 / dispersion`: base of the one with more zeros too.

    Args:
      dispersion: theta, a number (fixed), `"global"` (one learned number), `"feature"` (one learned for each number of
        an x, as for each gene), `"channel"` (for each along the last axis, as for each channel of a series), or
        `"example"` (the decoder gives them for each example). The larger, the nearer to a Poisson.
      standardize: as `Counts`.
      library: as `Rates`.
      total: as `Rates`.
    """

    inflated = False  # whether the decoder gives logits of further zeros

    def __init__(
        self,
        dispersion: float | str = "feature",
        standardize: bool | str = False,
        library: str | None = None,
        total: float | None = None,
        **kwargs: Unpack[LayerArguments],
    ) -> None:
        super().__init__(standardize, library, total, **kwargs)
        number = float(dispersion) if is_number(dispersion) else None
        if not (number and 0 < number < float("inf")) and dispersion not in (*_LEARNED, "example"):
            raise UserError(
                f"The dispersion of a {type(self).__name__} is a positive number, 'global', 'feature', 'channel' or "
                f"'example'. Given: {dispersion!r}."
            )
        self.dispersion: float | str = dispersion if number is None else number
        self.channels_per_pixel = 1 + self.inflated + (dispersion == "example")
        self.learned: Any = None
        self.built = dispersion not in _LEARNED and not standardize and not library

    def build(self, x_shape: Sequence[int | None]) -> None:
        if self.dispersion in _LEARNED:
            shape = {"feature": x_shape[1:], "channel": x_shape[-1:]}.get(str(self.dispersion), ())
            self.learned = self.add_weight(shape=shape, initializer="zeros", name="raw_log_dispersion")
        super().build(x_shape)

    @property
    def by_channel(self) -> bool:
        return self.dispersion == "channel" or super().by_channel

    def of_log_mean(self, log_mean: Tensor, others: Sequence[Tensor]) -> dict[str, Tensor]:
        parameters = {"log_mean": log_mean, "mean": ops.exp(log_mean)}
        if self.inflated:
            parameters |= {"zero_logits": others[0], "mean": parameters["mean"] * ops.sigmoid(-others[0])}
        if isinstance(self.dispersion, str):
            learned = others[-1] if self.learned is None else ops.cast(self.learned, log_mean.dtype)
            learned = soft_bound(learned, *_LOG_DISPERSIONS)
            parameters["log_dispersion"] = ops.broadcast_to(learned, ops.shape(log_mean))
        return parameters

    def numbers(self, parameters: Mapping[str, Tensor], log_mean: Tensor) -> tfd.Distribution:
        log_dispersion = parameters.get("log_dispersion")
        if log_dispersion is None:
            log_dispersion = ops.log(ops.full_like(log_mean, self.dispersion))
        family: Any = tfd.NegativeBinomial(ops.exp(log_dispersion), logits=log_mean - log_dispersion)
        if self.inflated:
            zero_logits = ops.broadcast_to(parameters["zero_logits"], ops.shape(log_mean))
            # TFP takes the softmax of (l, -l), which is sigmoid(2 l): its logits are half the logarithm of the odds.
            family = tfd.Inflated(family, inflated_loc_logits=0.5 * zero_logits)
        return family

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "dispersion": self.dispersion}


@keras.saving.register_keras_serializable(package="keras_vae")
class NegativeBinomial(Overdispersed):
    """`p(x|z) = C(x + theta - 1, x) (m / (m + theta))**x (theta / (m + theta))**theta` for each count x. In nats.

    A Poisson whose rate is drawn from a gamma distribution of mean m and shape theta. Grønbech et al. 2020,
    https://doi.org/10.1093/bioinformatics/btaa293. Parameters: `mean`, `log_mean` and, if learned, `log_dispersion`.

    Args: as `Overdispersed`.
    """

    def deviances(self, x: np.ndarray, mean: np.ndarray, parameters: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return 2 (x log(x / m) - (x + theta) log((x + theta) / (m + theta))): 2 log p(x; x) / p(x; m), of one theta.

        Hilbe 2011, Negative Binomial Regression, chapter 8.
        """
        mean = self.of_total(x, mean)
        theta = np.exp(parameters["log_dispersion"]) if isinstance(self.dispersion, str) else self.dispersion
        return 2.0 * (x_log_ratio(x, mean) - x_log_ratio(x + theta, mean + theta))


@keras.saving.register_keras_serializable(package="keras_vae")
class ZeroInflatedNegativeBinomial(Overdispersed):
    """p(x|z) = s(l) [x = 0] + (1 - s(l)) NegativeBinomial(x; m, theta) for each count x, s the sigmoid. In nats.

    Lopez et al. 2018, https://doi.org/10.1038/s41592-018-0229-2. Parameters: `log_mean`, log m; `zero_logits`, l;
    `mean`, (1 - s(l)) m; and, if learned, `log_dispersion`.

    Args: as `Overdispersed`.
    """

    inflated = True

    def deviances(self, x: np.ndarray, mean: np.ndarray, parameters: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return the Poisson's, as `Counts`.

        Raises:
          NotApplicable: with library, where the mean has fewer than the total by an unknown number of further zeros.
        """
        if self.library:
            raise NotApplicable(
                "A deviance from an offset is of means that have the total. Given: zero-inflated counts with a library."
            )
        return super().deviances(x, mean, parameters)


def log_shares(log_means: Tensor) -> Tensor:
    """Return the logarithm of what share each number of an x has of their sum, of the logarithms of numbers."""
    rows = ops.reshape(log_means, (-1, math.prod(log_means.shape[1:])))
    return ops.reshape(ops.log_softmax(rows, axis=-1), (-1, *log_means.shape[1:]))
