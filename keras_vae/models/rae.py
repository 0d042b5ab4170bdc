"""Regularised autoencoder."""

from collections.abc import Callable
from types import MappingProxyType
from typing import Any, Unpack

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from keras_vae import backend
from keras_vae.backend import tfd
from keras_vae.checks import check_number
from keras_vae.core import VAE, Batch, Terms
from keras_vae.errors import NotApplicable, UserError
from keras_vae.models.parts.arguments import PlainArguments
from keras_vae.types import Condition, Tensor

REGULARISERS = ("l2", "gradient")


@keras.saving.register_keras_serializable(package="keras_vae")
class RAE(VAE):
    """Minimises `-log p(x|z) + code_weight * |z|**2 / 2 + decoder_weight * R(decoder)` at z = encoder(x).

    Equations 9 to 12 of Ghosh et al. 2020, https://arxiv.org/abs/1903.12436. R is the sum of squares of the decoder's
    parameters, all of them as in the paper, so biases and BatchNorm's scales too ("l2"); or the squared Frobenius norm
    of the Jacobian of the mean image by z ("gradient"), estimated without bias by one random projection:
    `E |v J|**2 = |J|**2` for v from N(0, I). Both weights 0 is `AE`. Logs `code_length`, `|z|**2 / 2`, `(batch,)`, and
    `regulariser`, R.

    Args:
      code_weight: of the codes' squared length.
      decoder_weight: of the decoder's regulariser.
      regulariser: `"l2"` or `"gradient"`.
      **kwargs: as `VAE`, but for `beta` and `free_bits`; the encoder gives `latent_dim` numbers.
    """

    stochastic = False
    has_sampler = False
    rejects = MappingProxyType({"beta": "It has no KL. ", "free_bits": "It has no KL. "})
    metric_names = ("code_length", "regulariser")

    def __init__(
        self,
        code_weight: float = 0.01,
        decoder_weight: float = 1e-6,
        regulariser: str = "l2",
        **kwargs: Unpack[PlainArguments],
    ) -> None:
        super().__init__(**kwargs)
        if regulariser not in REGULARISERS:
            raise UserError(f"regulariser is one of {', '.join(REGULARISERS)}. Given: {regulariser!r}.")
        self.code_weight = check_number(code_weight, "code_weight")
        self.decoder_weight = check_number(decoder_weight, "decoder_weight")
        self.regulariser = regulariser
        size = self.latent_dim
        self.density_mean = self.add_weight(shape=(size,), initializer="zeros", trainable=False, name="density_mean")
        self.density_factor = self.add_weight(  # lower triangular; zeros: not fitted
            shape=(size, size), initializer="zeros", trainable=False, name="density_factor"
        )

    def fit_density(self, x: ArrayLike) -> None:
        """Fit the density that `prior` and `sample` draw codes from to the codes of `x`, the training images.

        A Gaussian of full covariance, with 1e-6 on its diagonal; it is saved with the weights.

        Raises:
          UserError: as `encode`, or fewer than two images.
        """
        codes = self.encode(x).astype("float64")
        if len(codes) < 2:
            raise UserError(f"A density of codes is fitted to two images or more. Given: {len(codes)}. Give more.")
        matrix = np.cov(codes, rowvar=False, bias=True).reshape(self.latent_dim, self.latent_dim)
        self.density_mean.assign(codes.mean(axis=0))
        self.density_factor.assign(np.linalg.cholesky(matrix + 1e-6 * np.eye(self.latent_dim)))

    def after_training(self, images: Callable[[], Any]) -> None:
        """Fit the density to the codes of all training images."""
        self.fit_density(images())

    def prior(self, condition: Condition | None = None, training: bool = False) -> tfd.Distribution:
        """The density of codes, fitted after training: section 4 of the paper.

        Raises:
          UserError: it was not fitted.
        """
        with backend.outside_of_graphs():
            fitted = np.any(self.density_factor)
        if not fitted:
            raise NotApplicable(
                "An RAE has a density of codes once one is fitted. Call model.fit_density(train_images)."
            )
        mean, factor = (ops.cast(weight, self.float_dtype) for weight in (self.density_mean, self.density_factor))
        return tfd.MultivariateNormalTriL(mean, factor)

    def terms(self, batch: Batch, training: bool) -> Terms:
        x = batch["x"]
        z = self.draws.sample(self.posterior(x, training=training))
        if self.regulariser == "l2":
            parameters, regulariser = self.likelihood_parameters(z, training=training), self._weights()
        else:
            parameters, regulariser = self._with_jacobian(z, training)
        log_px = self.likelihood_family.distribution(parameters).log_prob(x)
        length = 0.5 * ops.sum(ops.square(z), axis=-1)
        penalty = self.code_weight * length + self.decoder_weight * regulariser
        logs = {"code_length": length, "regulariser": regulariser}
        return Terms(log_px, ops.zeros_like(log_px)[:, None], penalty, logs, cache={"z": z})

    def weighted(self, terms: Terms, weights: Tensor) -> Terms:
        """As `VAE.weighted`. What is of the decoder's parameters has no weight, as no regulariser of Keras has one."""
        scaled = super().weighted(terms, weights)
        if self.regulariser == "gradient":  # of each example
            return scaled
        constant = self.decoder_weight * terms.logs["regulariser"]
        return scaled._replace(penalty=scaled.penalty + constant * (1.0 - weights))

    def _weights(self) -> Any:
        squares = [ops.sum(ops.square(variable)) for variable in self.decoder.trainable_variables]
        return ops.cast(sum(squares[1:], squares[0]) if squares else 0.0, self.float_dtype)

    def _with_jacobian(self, z: Any, training: bool) -> tuple[dict[str, Tensor], Tensor]:
        """The likelihood's parameters and `|v J|**2`, `(batch,)`, of one pass of the decoder: one mask of Dropout,
        and BatchNorm's averages move once."""

        def projected(z: Tensor) -> tuple[Tensor, dict[str, Any]]:
            parameters = self.likelihood_parameters(z, training=training)
            mean = parameters["mean"]
            direction = self.draws.normal(ops.shape(mean), mean.dtype)
            return ops.sum(mean * direction), parameters

        gradient, parameters = backend.gradient_at(projected, z)
        return parameters, ops.sum(ops.square(gradient), axis=-1)

    def get_config(self) -> dict[str, Any]:
        arguments = {name: getattr(self, name) for name in ("code_weight", "decoder_weight", "regulariser")}
        return {**super().get_config(), **arguments}
