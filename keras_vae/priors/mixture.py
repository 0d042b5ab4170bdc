"""A mixture of Gaussians over codes."""

from collections.abc import Mapping
from typing import Self

import numpy as np
from sklearn.mixture import GaussianMixture

from keras_vae import checks
from keras_vae.backend import tfd
from keras_vae.errors import UserError
from keras_vae.priors.base import FittedPrior


class MixturePrior(FittedPrior):
    """sum_k w_k N(z; m_k, S_k) with full covariances, fitted by expectation maximisation (scikit-learn).

    Section 4 of Ghosh et al. 2020, https://arxiv.org/abs/1903.12436, where 10 components are fitted to the codes of an
    autoencoder; one component is the density of `RAE.fit_density`. Of any model whose code is one vector, among them
    those that have no prior of their own: AE and RAE.

    Args:
      components: how many Gaussians.
      regularisation: added to the diagonal of each covariance.
      seed: of the draws of q(z|x) and of the initial components.
    """

    in_eight_bits = False  # a block's small numbers, as on the diagonal of a factor, would become zero

    def __init__(self, components: int = 10, regularisation: float = 1e-6, seed: int = 0) -> None:
        super().__init__(seed)
        self.components = checks.check_whole_number(components, "components")
        self.regularisation = checks.check_number(regularisation, "regularisation")

    def fit_codes(self, codes: np.ndarray, classes: int = 0) -> Self:
        """Fit to `(count, dimensions)` codes.

        Raises:
          UserError: not finite vectors, or fewer of them than components (or than 2).
        """
        codes = check_vectors(codes, self.least_codes, "a mixture's components")
        mixture = GaussianMixture(
            self.components, reg_covar=self.regularisation, max_iter=500, random_state=self.seed
        ).fit(codes)
        self.weights, self.means = np.asarray(mixture.weights_), np.asarray(mixture.means_)
        self.factors = np.linalg.cholesky(np.asarray(mixture.covariances_))
        self.shape, self.fitted = codes.shape[1:], True
        return self

    def make_distribution(self, dtype: str) -> tfd.Distribution:
        weights, means, factors = (array.astype(dtype) for array in (self.weights, self.means, self.factors))
        return tfd.MixtureSameFamily(
            tfd.Categorical(logits=np.log(weights)), tfd.MultivariateNormalTriL(means, factors)
        )

    def arrays(self) -> dict[str, np.ndarray]:
        return {"weights": self.weights, "means": self.means, "factors": self.factors}

    def restore(self, held: Mapping[str, np.ndarray]) -> None:
        self.weights, self.means, self.factors = held["weights"], held["means"], held["factors"]
        expected = (self.components, *self.shape, *self.shape)
        if self.factors.shape != expected:
            raise ValueError(f"factors of shape {self.factors.shape} instead of {expected}")
        if not (np.diagonal(self.factors, axis1=-2, axis2=-1) > 0).all():
            raise ValueError("factors with a number on the diagonal that is not positive")


def check_vectors(codes: np.ndarray, minimum: int, use: str) -> np.ndarray:
    """Return codes as finite float64 vectors, `(count, dimensions)`.

    Raises:
      UserError: of another shape, not finite, or fewer than `minimum`.
    """
    array = checks.as_array(codes, "codes")
    if array.ndim != 2 or not array.shape[1]:
        raise UserError(f"Codes must be vectors, (count, dimensions). Given: shape {array.shape}.")
    array = checks.check_codes(array, array.shape[1:], "codes").astype("float64")
    if len(array) < minimum:
        raise UserError(f"There must be {minimum} codes or more for {use}. Given: {len(array)}. Give more images.")
    return array
