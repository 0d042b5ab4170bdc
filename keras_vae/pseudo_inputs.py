"""The VampPrior: the mixture of a model's own posteriors at learned images.

Equation 9 of Tomczak and Welling 2018, https://arxiv.org/abs/1705.07120: p(z) = (1/K) sum_k q(z|u_k).
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from keras import ops
from tensorflow_probability import distributions as tfd


def add_pseudo_inputs(model: Any, count: int) -> Any:
    """A weight of `model`, `(count, *image_shape)`, whose sigmoid is the pseudo-inputs u_k: dark images at first."""
    start = np.random.default_rng(model.seed).normal(-2.0, 0.5, (count, *model.image_shape))
    weight = model.add_weight(shape=start.shape, initializer="zeros", name="pseudo_inputs")
    weight.assign(start)
    return weight


def mixture(raw: Any, posterior: Callable[[Any], tfd.Distribution], dtype: str) -> tfd.Distribution:
    """(1/K) sum_k posterior(u_k), the pseudo-inputs u_k being the sigmoid of `raw`; batch shape `()`.

    Args:
      raw: `(count, *image_shape)`, as `add_pseudo_inputs` made it.
      posterior: from images to a distribution of batch shape `(count,)`.
      dtype: what to compute in.
    """
    components = posterior(ops.sigmoid(ops.cast(raw, dtype)))
    equal = tfd.Categorical(logits=ops.zeros((raw.shape[0],), dtype))
    return tfd.MixtureSameFamily(equal, components)
