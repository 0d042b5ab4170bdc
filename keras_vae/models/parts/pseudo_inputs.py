"""The VampPrior: the mixture of a model's posteriors at learned images.

Equation 9 of Tomczak and Welling 2018, https://arxiv.org/abs/1705.07120: p(z) = (1/K) sum_k q(z|u_k).

Posterior and prior are of one network, and must be one function of an image in training too: `terms` runs the encoder
once over pseudo-inputs and images together. BatchNorm then takes its statistics from both, and its moving averages,
which evaluation normalises both with, are of both and move once a step.
"""

from collections.abc import Sequence

import numpy as np
from keras import ops

from keras_vae.types import Tensor


def initial_pseudo_inputs(count: int, image_shape: Sequence[int], seed: int) -> np.ndarray:
    """The numbers that the learned weight starts from, `(count, *image_shape)`: dark images, after a sigmoid."""
    return np.random.default_rng(seed).normal(-2.0, 0.5, (count, *image_shape))


def images_of(raw: Tensor, dtype: str) -> Tensor:
    """The pseudo-inputs u_k, the sigmoid of the learned weight: `(count, *image_shape)`, in (0, 1)."""
    return ops.sigmoid(ops.cast(raw, dtype))
