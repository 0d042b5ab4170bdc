"""Probabilities of counts: whole numbers from 0, such as reads of a gene in a cell."""

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

import keras
import numpy as np
from keras import ops

from keras_vae.backend import soft_bound, tfd
from keras_vae.checks import check_whole_number, is_number
from keras_vae.errors import UserError
from keras_vae.likelihoods.base import Likelihood, Standardized, over_x
from keras_vae.networks.arguments import LayerArguments
from keras_vae.supports import counts
from keras_vae.types import Tensor

_LOG_MEANS = (-20.0, 20.0)
_LEARNED = ("global", "feature", "channel")  # dispersions that are weights
_LOG_DISPERSIONS = (-10.0, 10.0)  # beyond e**10 it is a Poisson to float32


class Counts(Standardized):
    """Counts from 0, of a mean whose logarithm the decoder gives: base of Poisson and negative binomial ones.

    Args:
      standardize: the encoder reads log(1 + x) standardised, and the decoder gives the logarithm of the mean in these
        units, so that it starts near the data's: as `Unbounded`, for counts of any size.
    """

    support = counts()

    def __init__(self, standardize: bool | str = False, **kwargs: Unpack[LayerArguments]) -> None:
        super().__init__(**kwargs)
        self.standardize_by(standardize)

    def link(self, x: Tensor, ops: Any = ops) -> Any:
        return ops.log(1.0 + x)

    def unlink(self, numbers: Tensor) -> Tensor:
        return ops.exp(soft_bound(numbers, *_LOG_MEANS)) - 1.0

    def deviances(self, x: np.ndarray, mean: np.ndarray, parameters: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return the Poisson's, 2 (x log(x / m) - x + m), which the true mean of counts of any family minimises.

        McCullagh and Nelder 1989, Generalized Linear Models, section 2.3.
        """
        return 2.0 * (_x_log_ratio(x, mean) - x + mean)


@keras.saving.register_keras_serializable(package="keras_vae")
class Poisson(Counts):
    """`p(x|z) = mean**x exp(-mean) / x!` for each count x. A probability mass, in nats.

    Parameters: `mean`; `log_rate`, its logarithm.

    Args: as `Counts`.
    """

    def parameters(self, raw: Tensor) -> dict[str, Tensor]:
        log_rate = soft_bound(self.located(raw), *_LOG_MEANS)
        return {"log_rate": log_rate, "mean": ops.exp(log_rate)}

    def distribution(self, parameters: Mapping[str, Tensor]) -> tfd.Distribution:
        return over_x(tfd.Poisson(log_rate=parameters["log_rate"]))


@keras.saving.register_keras_serializable(package="keras_vae")
class Binomial(Likelihood):
    """`p(x|z) = C(n, x) p**x (1 - p)**(n - x)`, `p = sigmoid(logits)`, for each count x. A probability mass, in nats.

    Parameters: `logits`; `mean`, n p.

    Args:
      trials: n, the most that can be counted.
    """

    support = counts()

    def __init__(self, trials: int, **kwargs: Unpack[LayerArguments]) -> None:
        super().__init__(**kwargs)
        self.trials = check_whole_number(trials, "trials")
        self.support = counts(self.trials)

    def parameters(self, raw: Tensor) -> dict[str, Tensor]:
        return {"logits": raw, "mean": self.trials * ops.sigmoid(raw)}

    def distribution(self, parameters: Mapping[str, Tensor]) -> tfd.Distribution:
        logits = parameters["logits"]
        return over_x(tfd.Binomial(ops.full_like(logits, self.trials), logits=logits))

    def deviances(self, x: np.ndarray, mean: np.ndarray, parameters: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return 2 (x log(x / m) + (n - x) log((n - x) / (n - m))): McCullagh and Nelder 1989, section 2.3."""
        mean = np.clip(mean, 1e-7 * self.trials, (1 - 1e-7) * self.trials)  # float32 rounds it to 0 and n
        return 2.0 * (_x_log_ratio(x, mean) + _x_log_ratio(self.trials - x, self.trials - mean))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "trials": self.trials}


class Overdispersed(Counts):
    """Negative binomial counts of mean m and variance `m + m**2 / dispersion`: base of the one with more zeros too.

    Args:
      dispersion: theta, a number (fixed), `"global"` (one learned number), `"feature"` (one learned for each number of
        an x, as for each gene), `"channel"` (for each along the last axis, as for each channel of a series), or
        `"example"` (the decoder gives them for each example). The larger, the nearer to a Poisson.
      standardize: as `Counts`.
    """

    inflated = False  # whether the decoder gives logits of further zeros

    def __init__(
        self, dispersion: float | str = "feature", standardize: bool | str = False, **kwargs: Unpack[LayerArguments]
    ) -> None:
        super().__init__(standardize, **kwargs)
        number = float(dispersion) if is_number(dispersion) else None
        if not (number and 0 < number < float("inf")) and dispersion not in (*_LEARNED, "example"):
            raise UserError(
                f"The dispersion of a {type(self).__name__} is a positive number, 'global', 'feature', 'channel' or "
                f"'example'. Given: {dispersion!r}."
            )
        self.dispersion: float | str = dispersion if number is None else number
        self.channels_per_pixel = 1 + self.inflated + (dispersion == "example")
        self.learned: Any = None
        self.built = dispersion not in _LEARNED and not standardize

    def build(self, x_shape: Sequence[int | None]) -> None:
        if self.dispersion in _LEARNED:
            shape = {"feature": x_shape[1:], "channel": x_shape[-1:]}.get(str(self.dispersion), ())
            self.learned = self.add_weight(shape=shape, initializer="zeros", name="raw_log_dispersion")
        super().build(x_shape)

    @property
    def by_channel(self) -> bool:
        return self.dispersion == "channel" or super().by_channel

    def parameters(self, raw: Tensor) -> dict[str, Tensor]:
        heads = ops.split(raw, self.channels_per_pixel, axis=-1)
        log_mean = soft_bound(self.located(heads[0]), *_LOG_MEANS)
        parameters = {"log_mean": log_mean, "mean": ops.exp(log_mean)}
        if self.inflated:
            parameters |= {"zero_logits": heads[1], "mean": parameters["mean"] * ops.sigmoid(-heads[1])}
        if isinstance(self.dispersion, str):
            learned = heads[-1] if self.learned is None else ops.cast(self.learned, raw.dtype)
            learned = soft_bound(learned, *_LOG_DISPERSIONS)
            parameters["log_dispersion"] = ops.broadcast_to(learned, ops.shape(log_mean))
        return parameters

    def distribution(self, parameters: Mapping[str, Tensor]) -> tfd.Distribution:
        log_mean = parameters["log_mean"]
        log_dispersion = parameters.get("log_dispersion")
        if log_dispersion is None:
            log_dispersion = ops.log(ops.full_like(log_mean, self.dispersion))
        family: Any = tfd.NegativeBinomial(ops.exp(log_dispersion), logits=log_mean - log_dispersion)
        if self.inflated:
            # TFP takes the softmax of (l, -l), which is sigmoid(2 l): its logits are half the logarithm of the odds.
            family = tfd.Inflated(family, inflated_loc_logits=0.5 * parameters["zero_logits"])
        return over_x(family)

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
        theta = np.exp(parameters["log_dispersion"]) if isinstance(self.dispersion, str) else self.dispersion
        return 2.0 * (_x_log_ratio(x, mean) - _x_log_ratio(x + theta, mean + theta))


@keras.saving.register_keras_serializable(package="keras_vae")
class ZeroInflatedNegativeBinomial(Overdispersed):
    """p(x|z) = s(l) [x = 0] + (1 - s(l)) NegativeBinomial(x; m, theta) for each count x, s the sigmoid. In nats.

    Lopez et al. 2018, https://doi.org/10.1038/s41592-018-0229-2. Parameters: `log_mean`, log m; `zero_logits`, l;
    `mean`, (1 - s(l)) m; and, if learned, `log_dispersion`.

    Args: as `Overdispersed`.
    """

    inflated = True


class OwnTotal(tfd.Multinomial):
    """`tfd.Multinomial`, whose density is of counts of any total, each row's own."""

    def _log_prob(self, counts: Tensor) -> Tensor:
        return tfd.Multinomial(ops.sum(counts, axis=-1), logits=self.logits).log_prob(counts)


@keras.saving.register_keras_serializable(package="keras_vae")
class Multinomial(Counts):
    """`p(x|z) = n! prod_k p_k**x_k / x_k!`, `p = softmax(logits)`, n the sum of x: words by topic, ratings. In nats.

    It says which things are counted, and nothing of how many: n is each row's own. Equation 2 of Liang et al. 2018,
    https://arxiv.org/abs/1802.05814. The numbers of an x depend on one another, so that none may be missing.

    Parameters: `logits`, log p; `mean`, total p.

    Args:
      total: of the counts of `mean` and of draws, which no code tells.
      standardize: as `Counts`; the logits are then near the logarithms of the data's counts.
    """

    tells_total = False

    def __init__(self, total: int = 1, standardize: bool | str = False, **kwargs: Unpack[LayerArguments]) -> None:
        super().__init__(standardize, **kwargs)
        self.total = check_whole_number(total, "total")

    def parameters(self, raw: Tensor) -> dict[str, Tensor]:
        logits = ops.log_softmax(self.located(raw), axis=-1)
        return {"logits": logits, "mean": self.total * ops.exp(logits)}

    def distribution(self, parameters: Mapping[str, Tensor]) -> tfd.Distribution:
        logits = parameters["logits"]
        return over_x(OwnTotal(ops.full_like(logits[..., 0], self.total), logits=logits))

    def deviances(self, x: np.ndarray, mean: np.ndarray, parameters: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return 2 (x log(x / m) - x + m), m of the total of x: the sum over x is 2 log p(x; x / n) / p(x; m / n)."""
        return super().deviances(
            x, mean * (x.sum(-1, keepdims=True) / np.maximum(mean.sum(-1, keepdims=True), 1e-30)), parameters
        )

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "total": self.total}


def _x_log_ratio(x: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return x log(x / other), 0 at x = 0."""
    return x * np.log(np.where(x == 0, 1.0, x) / np.where(x == 0, 1.0, other))
