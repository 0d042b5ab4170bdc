"""VAE of counts with a latent library size."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Unpack, cast

import keras
import numpy as np
from keras import ops

from keras_vae.backend import soft_bound
from keras_vae.checks import is_number
from keras_vae.core import VAE
from keras_vae.errors import UserError
from keras_vae.likelihoods import Likelihood
from keras_vae.likelihoods.rates import Rates
from keras_vae.models.parts.arguments import CountArguments
from keras_vae.types import Condition, Latent, Tensor

_MEANS, _WIDEST = (-8.0, 28.0), 10.0  # of log l
_LOG_LIBRARIES = (-20.0, 40.0)  # to 1e-5 the identity from -8 to 28; a share of e**-20 is above 0 in float32


@keras.saving.register_keras_serializable(package="keras_vae")
class LibraryVAE(VAE):
    """Counts x_k ~ p(x_k | mean l softmax_k(f(z))), with a latent library size l: what is counted, apart from how many.

    z ~ N(0, I), `log l ~ N(mu, sigma**2)`, and q(z, log l|x) a Gaussian with a diagonal covariance: the model of Lopez
    et al. 2018, Methods, https://doi.org/10.1038/s41592-018-0229-2, without batches and with one encoder, trained by
    equation 10 of Kingma and Welling 2014, https://arxiv.org/abs/1312.6114, both KLs in closed form. Unlike
    `library="observed"` of a likelihood, which takes the total of x as an offset, it has a distribution of x.

    A code has the numbers of z, and last u = (log l - mu) / sigma, which is N(0, 1) a priori: so all of it is N(0, I),
    and the KL of u is that of log l. The decoder's network reads the others alone, `code[:, :-1]`.

    Args:
      latent_dim: the numbers of a code, 2 or more: those of z, and one.
      likelihood: of independent counts: `"negative_binomial"`, `"zero_inflated_negative_binomial"` or `"poisson"`, or a
        mapping with their arguments but for `library`.
      library: mu and sigma, of log l; None: the mean and the standard deviation of the logarithms of the totals of the
        training data, once `fit` has seen them. A total of 0 is taken for 1.
      **kwargs: as `VAE`.

    Raises:
      UserError: as `VAE`; or another likelihood.
    """

    rejects = MappingProxyType(
        {
            "active_dims": "Its last dimension is the library size. ",
            "latent_shape": "Its last dimension is the library size. ",
            "missing": "Of what is observed in part, the total tells no library size. ",
        }
    )

    def __init__(
        self,
        latent_dim: int = 11,
        likelihood: str | Mapping[str, Any] | Likelihood = "negative_binomial",
        library: Sequence[float] | None = None,
        **kwargs: Unpack[CountArguments],
    ) -> None:
        self.library = None if library is None else _checked_library(library)
        super().__init__(latent_dim=latent_dim, likelihood=likelihood, **kwargs)
        if not isinstance(self.likelihood_family, Rates) or self.likelihood_family.library:
            raise UserError(
                f"The likelihood of a LibraryVAE is 'negative_binomial', 'zero_inflated_negative_binomial' or "
                f"'poisson', without library. Given: {likelihood!r}. Use one of these."
            )
        # By this name, it is stored in full precision.
        self.log_library = self.add_weight(
            shape=(2,), initializer="zeros", trainable=False, name="normalisation_library"
        )
        self.log_library.assign((0.0, 1.0) if self.library is None else self.library)

    def network_shapes(self) -> dict[str, tuple[Any, ...]]:
        if self.latent_dim < 2:
            raise UserError(f"A code has a number of z and the library size. Given: latent_dim={self.latent_dim}.")
        shapes = super().network_shapes()
        return {**shapes, "decoder": ((self.latent_dim - 1,), shapes["decoder"][1])}

    def likelihood_parameters(
        self, z: Latent, condition: Condition | None = None, training: bool = False
    ) -> dict[str, Tensor]:
        code: Any = z
        mean, deviation = ops.unstack(ops.cast(self.log_library, code.dtype))
        log_library = soft_bound(mean + deviation * code[:, -1], *_LOG_LIBRARIES)
        family = cast(Rates, self.likelihood_family)
        return family.of_library(self.apply_network(self.decoder, code[:, :-1], training), log_library)

    @property
    def reads_totals(self) -> bool:
        return self.library is None

    def adapt_totals(self, totals: np.ndarray) -> None:
        """mu and sigma of log l, of the totals."""
        logs = np.log(np.maximum(totals, 1.0))
        self.log_library.assign((logs.mean(), logs.std()))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "library": self.library}


def _checked_library(library: object) -> tuple[float, float]:
    listed = library.tolist() if isinstance(library, np.ndarray) else library
    numbers = tuple(listed) if isinstance(listed, Sequence) and not isinstance(listed, str) else ()
    if (
        len(numbers) != 2
        or not all(map(is_number, numbers))
        or not (_MEANS[0] <= numbers[0] <= _MEANS[1] and 0 <= numbers[1] <= _WIDEST)
    ):
        raise UserError(
            f"library is mu, from {_MEANS[0]:g} to {_MEANS[1]:g}, and sigma, from 0 to {_WIDEST:g}: the mean and the "
            f"standard deviation of log l, such as (8.5, 0.4). Given: {library!r}. Leave it out: fit takes them from "
            f"the totals."
        )
    return float(numbers[0]), float(numbers[1])
