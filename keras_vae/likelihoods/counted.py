"""Probabilities of counts: whole numbers from 0, such as reads of a gene in a cell."""

from collections.abc import Mapping
from typing import Any, Unpack

import keras
import numpy as np
from keras import ops

from keras_vae.backend import soft_bound, tfd
from keras_vae.checks import check_whole_number
from keras_vae.likelihoods.base import Likelihood, Standardized, over_x
from keras_vae.networks.arguments import LayerArguments
from keras_vae.supports import counts
from keras_vae.types import Tensor

LOG_MEANS = (-20.0, 20.0)


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
        return ops.exp(soft_bound(numbers, *LOG_MEANS)) - 1.0

    def deviances(self, x: np.ndarray, mean: np.ndarray, parameters: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return the Poisson's, 2 (x log(x / m) - x + m), which the true mean of counts of any family minimises.

        McCullagh and Nelder 1989, Generalized Linear Models, section 2.3.
        """
        return 2.0 * (x_log_ratio(x, mean) - x + mean)


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
        return 2.0 * (x_log_ratio(x, mean) + x_log_ratio(self.trials - x, self.trials - mean))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "trials": self.trials}


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


def x_log_ratio(x: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return x log(x / other), 0 at x = 0."""
    return x * np.log(np.where(x == 0, 1.0, x) / np.where(x == 0, 1.0, other))
