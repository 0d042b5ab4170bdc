"""Imputation of missing pixels from the observed ones."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from keras_vae import backend, checks, randomness
from keras_vae.core.inference import checked_inputs
from keras_vae.errors import UserError
from keras_vae.types import Condition, ConditionLike, Tensor

if TYPE_CHECKING:
    from keras_vae.backend import tfd
    from keras_vae.core import VAE


def impute(
    model: "VAE", x: ArrayLike, observed: ArrayLike, steps: int = 50, seed: int = 0, condition: ConditionLike = None
) -> np.ndarray:
    """Return the images with their missing pixels drawn, `(batch, *image_shape)`. Observed pixels do not change.

    Pseudo-Gibbs sampling: z from q(z|x) and the missing pixels from p(x|z) in turn, appendix F of Rezende et al. 2014,
    https://arxiv.org/abs/1401.4082. Its stationary distribution is p(missing|observed) where q is the true posterior,
    and near it where q is near. In the last step the missing pixels are the likelihood's mean. Where labels are missing
    that the decoder needs, the chain draws y from q(y|x) before each z.

    Args:
      model: a model with a posterior and a likelihood.
      x: images; the values of missing pixels do not matter, and may be NaN.
      observed: true where a pixel is observed: of the images' shape, or of one image's.
      steps: of the chain.
      seed: of the draws.
      condition: one for each image, where the model is conditional.

    Raises:
      UserError: images or masks that do not fit, or a model that is not of images.
    """
    steps = checks.check_whole_number(steps, "steps")
    seed = checks.check_whole_number(seed, "seed", minimum=0)
    if model.x_spec().kind != "image":
        raise UserError(
            f"Imputation needs a model of images. Given: a {type(model).__name__}, whose x is {model.x_spec().kind}."
        )
    images = checks.as_array(x, "x")
    mask = _checked_mask(observed, images.shape)
    # Before the first step a missing pixel is 0, which every likelihood of this library supports.
    inputs = checked_inputs(model, np.where(mask, images, 0.0), condition)
    model.likelihood_family.check(inputs["x"])
    base = randomness.fold(randomness.seed_of(seed, randomness.SAMPLING), 7)

    def imputed(part: Mapping[str, Tensor], turns: Tensor, noise: Tensor) -> Tensor:
        return _pseudo_gibbs(model, part["x"], part["observed"], model.condition_in(part), turns, noise)

    graph, turns = backend.compiled(imputed, reduce_retracing=True), ops.convert_to_tensor(steps)
    arrays = {**inputs, "observed": mask}
    return checks.in_blocks(lambda block, part: graph(part, turns, randomness.fold(base, block)), arrays, pad=True)


def _checked_mask(observed: ArrayLike, shape: tuple[int, ...]) -> np.ndarray:
    """Return the mask of `(batch, *image_shape)`, repeated over the batch where there is one for all images."""
    mask = checks.as_array(observed, "observed")
    if mask.dtype != bool or mask.shape not in (shape, shape[1:]):
        raise UserError(
            f"observed is true or false for each pixel, of shape {shape} or {shape[1:]}. Given: {mask.dtype} of "
            f"shape {mask.shape}."
        )
    return np.broadcast_to(mask, shape)


def _pseudo_gibbs(
    model: "VAE", x: Tensor, observed: Tensor, condition: Condition | None, turns: Tensor, noise: Tensor
) -> Tensor:
    """Return `x` after `turns` steps of the chain; the last one takes the mean of p(x|z) in place of a draw."""

    def likelihood(x: Tensor, step: Tensor) -> "tfd.Distribution":
        y = model.draw_condition(x, condition, randomness.fold(noise, step, 2))
        z = model.posterior(x, y).sample(seed=randomness.fold(noise, step, 0))
        return model.likelihood(z, y)

    def filled(x: Tensor, missing: Tensor) -> Tensor:
        return ops.where(observed, x, ops.clip(ops.cast(missing, x.dtype), 0.0, 1.0))

    def turn(step: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        return step + 1, filled(x, likelihood(x, step).sample(seed=randomness.fold(noise, step, 1)))

    last, x = ops.while_loop(lambda step, _: step < turns - 1, turn, (ops.convert_to_tensor(0), x))
    return filled(x, likelihood(x, last).mean())
