"""The likelihood of what is observed of an x, of which some numbers are missing."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from keras import ops

from keras_vae.errors import UserError
from keras_vae.likelihoods.base import Independent, Likelihood
from keras_vae.types import Tensor


class Marginal(Independent):
    """Independent numbers, of which log_prob sums over those that are not NaN: the marginal of what is observed.

    Args:
      joint: of all numbers.
      fill: a number in its support, to compute with in place of NaN.
    """

    def __init__(self, joint: Independent, fill: float) -> None:
        self._joint, self._fill = joint, fill
        super().__init__(joint.independent)

    def number_log_prob(self, value: Tensor) -> Any:
        """Return log p of each number of `value`, in its shape; 0 where it is missing."""
        missing = ops.not_equal(value, value)  # as in `VAE.apply_network`
        # Not a zero weight: the gradient of a density at NaN is NaN, and 0 times NaN too.
        log_p = self._joint.number_log_prob(ops.where(missing, ops.full_like(value, self._fill), value))
        return ops.where(missing, ops.zeros_like(log_p), log_p)

    def _log_prob(self, value: Tensor) -> Tensor:
        return ops.sum(self.number_log_prob(value), axis=tuple(range(-self.event_shape.rank, 0)))


class Observed(Likelihood):
    """The family of p(x_o|z), x_o what is observed of x: a number that is NaN is missing, and has no term.

    The integral of p(x|z) over what is missing, as the numbers of x are independent given z: Nazabal et al. 2020,
    equation 2, https://arxiv.org/abs/1807.03653.

    Args:
      family: of the whole x, whose distribution is `tfd.Independent`.
    """

    def __init__(self, family: Likelihood) -> None:
        super().__init__(dtype=family.dtype_policy)
        if not family.tells_total:
            raise UserError(
                f"Numbers can be missing where they are independent given the code. Given: missing, and the likelihood "
                f"{family.title}, whose numbers share a total. Use 'negative_binomial' or 'poisson' without a library; "
                f"or fill the holes, and leave missing out."
            )
        self.family, self.channels_per_pixel = family, family.channels_per_pixel
        self.support, self.standardizes = family.support.or_missing(), family.standardizes
        self.columns, self.tells_total = family.columns, family.tells_total
        self.built = True

    @property
    def title(self) -> str:
        return self.family.title

    @property
    def by_channel(self) -> bool:
        return self.family.by_channel

    def standardized(self, x: Tensor) -> Tensor:
        return self.family.standardized(x)

    def adapt(self, x: np.ndarray) -> None:
        self.family.adapt(x)

    def read_shape(self, x_shape: tuple[int, ...]) -> tuple[int, ...]:
        return self.family.read_shape(x_shape)

    def placed(self, raw: Tensor) -> Tensor:
        return self.family.placed(raw)

    def raw_shape(self, x_shape: tuple[int, ...]) -> tuple[int, ...]:
        return self.family.raw_shape(x_shape)

    def moments(self, parameters: Mapping[str, Tensor]) -> Tensor:
        return self.family.moments(parameters)

    def expected(self, moments: np.ndarray) -> np.ndarray:
        return self.family.expected(moments)

    def parameters(self, raw: Tensor) -> dict[str, Tensor]:
        return self.family.parameters(raw)

    def deviances(self, x: np.ndarray, mean: np.ndarray, parameters: Mapping[str, np.ndarray]) -> np.ndarray:
        return self.family.deviances(x, mean, parameters)

    def distribution(self, parameters: Mapping[str, Tensor]) -> Marginal:
        joint: Any = self.family.distribution(parameters)
        numbers = getattr(joint, "independent", joint)
        # By name: tfd.Independent returns another class for a base that TFP does not know.
        if not hasattr(numbers, "reinterpreted_batch_ndims") or numbers.distribution.event_shape.rank:
            raise UserError(
                f"Values can be missing where the likelihood's numbers are independent: a tfd.Independent of scalars. "
                f"Given: {self.title}, a {type(joint).__name__}. Leave missing out."
            )
        return Marginal(joint if isinstance(joint, Independent) else Independent(joint), self.support.fill)
