"""Numbers about the latent space."""

from typing import Any

import numpy as np

from keras_vae.arrays import in_blocks
from keras_vae.inference import checked_inputs


def kl_per_dimension(model: Any, x: Any, condition: Any = None) -> np.ndarray:
    """The mean over images of KL(q(z_j|x) || p(z_j)) for each group j of `Terms.kl`: `(groups,)`, nats.

    Raises:
      UserError: `x` is not a batch of images in [0, 1] of the model's shape.
    """
    inputs = checked_inputs(model, x, condition)
    return in_blocks(lambda _, part: model.functions.kl(part), inputs).mean(axis=0)
