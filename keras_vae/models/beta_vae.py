"""β-VAE."""

from collections.abc import Mapping
from typing import Any, Unpack

import keras

from keras_vae.core import VAE
from keras_vae.models.parts.arguments import FreeBitsArguments
from keras_vae.schedules import Schedule


@keras.saving.register_keras_serializable(package="keras_vae")
class BetaVAE(VAE):
    """β-VAE: minimises -log p(x|z) + beta * KL(q(z|x) || p(z)), in nats per example.

    Equation 4 of Higgins et al. 2017, https://openreview.net/forum?id=Sy2fzU9gl. With beta > 1 the posterior uses fewer
    dimensions, and those it uses tend to be factors of variation. beta = 1 is `VAE`.

    Args:
      beta: a number, or a schedule that ends there, such as
        `{"name": "sigmoid", "final": 4.0, "threshold": 5000, "rate": 1000}`. Steps are optimizer steps.
      **kwargs: as `VAE`.
    """

    def __init__(self, beta: float | Mapping[str, Any] | Schedule = 4.0, **kwargs: Unpack[FreeBitsArguments]) -> None:
        super().__init__(beta=beta, **kwargs)
