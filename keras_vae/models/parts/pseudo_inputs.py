"""The VampPrior: the mixture of a model's own posteriors at learned images.

Equation 9 of Tomczak and Welling 2018, https://arxiv.org/abs/1705.07120: p(z) = (1/K) sum_k q(z|u_k).

Posterior and prior are one network's, so they are to be one function of an image in training too: `terms` runs the
encoder once over pseudo-inputs and images together. BatchNorm then takes its statistics from both, and
its moving averages, which evaluation normalises both with, are of the same and move once a step.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
from keras import ops

from keras_vae.backend import tfd
from keras_vae.types import Tensor

if TYPE_CHECKING:
    from keras_vae.core import VAE


def add_pseudo_inputs(model: "VAE", count: int) -> Any:
    """A weight of `model`, `(count, *image_shape)`, whose sigmoid is the pseudo-inputs u_k: dark images at first."""
    start = np.random.default_rng(model.seed).normal(-2.0, 0.5, (count, *model.image_shape))
    weight = model.add_weight(shape=start.shape, initializer="zeros", name="pseudo_inputs")
    weight.assign(start)
    return weight


def images_of(raw: Tensor, dtype: str) -> Tensor:
    """The pseudo-inputs u_k of the weight that `add_pseudo_inputs` made: `(count, *image_shape)`, in (0, 1)."""
    return ops.sigmoid(ops.cast(raw, dtype))


def mixture(components: tfd.Distribution, count: int) -> tfd.Distribution:
    """(1/K) sum_k q(z|u_k) of posteriors of batch shape `(count,)`; batch shape `()`."""
    equal = tfd.Categorical(logits=ops.zeros((count,), components.dtype))
    return tfd.MixtureSameFamily(equal, components)
