"""Numbers about the latent space."""

from typing import Any

import numpy as np

from keras_vae import randomness
from keras_vae.arrays import in_blocks
from keras_vae.errors import UserError
from keras_vae.inference import checked_inputs


def kl_per_dimension(model: Any, x: Any, condition: Any = None) -> np.ndarray:
    """The mean over images of KL(q(z_j|x) || p(z_j)) for each group j of `Terms.kl`: `(groups,)`, nats.

    In closed form, or from one draw for each image where the variant's KL has none.

    Raises:
      UserError: `x` is not a batch of images in [0, 1] of the model's shape, or the model has no KL.
    """
    if not model.stochastic:
        raise UserError(f"{type(model).__name__} has no distribution over codes, and so no KL. Train a VAE.")
    inputs = checked_inputs(model, x, condition)
    base = randomness.seed_of(0, randomness.EVALUATION)
    return in_blocks(lambda block, part: model.functions.kl(part, randomness.fold(base, block)), inputs).mean(axis=0)
