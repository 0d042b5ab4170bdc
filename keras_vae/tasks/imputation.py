"""Missing pixels, drawn from what the model thinks of those that are seen."""

from typing import Any

import numpy as np
import tensorflow as tf
from keras import ops

from keras_vae import arrays, randomness
from keras_vae.errors import UserError
from keras_vae.inference import checked_inputs


def impute(model: Any, x: Any, observed: Any, steps: int = 50, seed: int = 0, condition: Any = None) -> np.ndarray:
    """The images with their missing pixels drawn, `(batch, *image_shape)`: seen pixels come back as they are.

    Pseudo-Gibbs: in turns z from q(z|x) and the missing pixels from p(x|z), appendix F of Rezende et al. 2014,
    https://arxiv.org/abs/1401.4082. Its stationary distribution is p(missing|seen) where q is the true posterior, and
    near it where q is near. In the last step the missing pixels are the likelihood's mean.

    Args:
      model: a model with a posterior and a likelihood.
      x: images; what stands at missing pixels does not matter, and may be NaN.
      observed: true where a pixel is seen: of the images' shape, or of one image's.
      steps: turns.
      seed: of the draws.
      condition: one for each image, where the model is conditional.

    Raises:
      UserError: images or masks that do not fit.
    """
    steps = arrays.check_whole_number(steps, "steps")
    images = np.asarray(x)
    seen = np.asarray(observed)
    if seen.dtype != bool or seen.shape not in (images.shape, images.shape[1:]):
        raise UserError(
            f"observed is true or false for each pixel, of shape {images.shape} or {images.shape[1:]}. Given: "
            f"{seen.dtype} of shape {seen.shape}."
        )
    seen = np.broadcast_to(seen, images.shape)
    # Before the first turn a missing pixel is 0, which every likelihood of this library can hold.
    inputs = checked_inputs(model, np.where(seen, images, 0.0), condition)
    model.likelihood_family.check(inputs["x"])
    base = randomness.fold(
        randomness.seed_of(arrays.check_whole_number(seed, "seed", minimum=0), randomness.SAMPLING), 7
    )

    @tf.function(autograph=False)
    def turn(part: Any, mask: Any, noise: Any, last: bool) -> Any:
        given = {name: value for name, value in part.items() if name != "x"}
        z = model.posterior(part["x"], **given).sample(seed=randomness.fold(noise, 0))
        likelihood = model.likelihood(z, **given)
        drawn = likelihood.mean() if last else likelihood.sample(seed=randomness.fold(noise, 1))
        return ops.where(mask, part["x"], ops.clip(ops.cast(drawn, part["x"].dtype), 0.0, 1.0))

    def one_block(block: int, part: Any) -> Any:
        mask = ops.convert_to_tensor(part["observed"], "bool")
        current = {name: tf.constant(value) for name, value in part.items() if name != "observed"}
        for step in range(steps):
            noise = randomness.fold(base, block, step)
            current = {**current, "x": turn(current, mask, noise, last=step == steps - 1)}
        return current["x"]

    return arrays.in_blocks(one_block, {**inputs, "observed": seen}, pad=True)
