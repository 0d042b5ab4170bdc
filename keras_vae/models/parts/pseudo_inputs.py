"""The VampPrior: the mixture of a model's posteriors at learned images.

Equation 9 of Tomczak and Welling 2018, https://arxiv.org/abs/1705.07120: p(z) = (1/K) sum_k q(z|u_k).

Posterior and prior are of one network, and must be one function of an image in training too: `terms` runs the encoder
once over pseudo-inputs and images together. BatchNorm then takes its statistics from both, and its moving averages,
which evaluation normalises both with, are of both and move once a step.
"""

from collections.abc import Sequence

import numpy as np
from keras import ops

from keras_vae.core import VAE
from keras_vae.errors import UserError
from keras_vae.likelihoods import Likelihood
from keras_vae.types import Tensor


def initial_pseudo_inputs(count: int, family: Likelihood, x_shape: Sequence[int], seed: int) -> np.ndarray:
    """Return the numbers that the learned weight starts from, `(count, *x_shape)`: as images, dark ones.

    Raises:
      UserError: columns of classes, between which no number is learned.
    """
    if family.columns:
        raise UserError(
            f"Pseudo-inputs are learned numbers, and columns of classes have none between. Given: a {family.title} "
            f"likelihood. Use a FlowPriorVAE, whose prior is learned too; or a VAE."
        )
    generator = np.random.default_rng(seed)
    mean, spread = (-2.0, 0.5) if family.support.hull.pixels else (0.0, 1.0)
    return generator.normal(mean, spread, (count, *x_shape))


def pseudo_inputs_of(model: VAE, raw: Tensor) -> Tensor:
    """Return the pseudo-inputs u_k, in the units of x, of the learned weight: images are its sigmoid, in (0, 1).

    Of numbers, the weight is standardised as the encoder reads them.
    """
    return model.likelihood_family.placed(ops.cast(raw, model.float_dtype))
