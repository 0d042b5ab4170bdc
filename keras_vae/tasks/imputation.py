"""Missing pixels, drawn from what the model thinks of those that are seen."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from keras_vae import backend, checks, randomness
from keras_vae.core.inference import checked_inputs
from keras_vae.errors import UserError
from keras_vae.types import ConditionLike, Tensor

if TYPE_CHECKING:
    from keras_vae.core import VAE


def impute(
    model: "VAE", x: ArrayLike, observed: Any, steps: int = 50, seed: int = 0, condition: ConditionLike = None
) -> np.ndarray:
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
      UserError: images or masks that do not fit, or a model of other things than images.
    """
    steps = checks.check_whole_number(steps, "steps")
    if model.x_spec().kind != "image":
        raise UserError(f"Missing pixels are of images. Given: a {type(model).__name__}, whose x is "
                        f"{model.x_spec().kind}.")  # fmt: skip
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
        randomness.seed_of(checks.check_whole_number(seed, "seed", minimum=0), randomness.SAMPLING), 7
    )

    def imputed(part: Mapping[str, Any], turns: Any, noise: Tensor) -> Any:
        given = {name: value for name, value in part.items() if name not in ("x", "observed")}

        def likelihood(x: ArrayLike, step: Any) -> Any:
            z = model.posterior(x, **given).sample(seed=randomness.fold(noise, step, 0))
            return model.likelihood(z, **given)

        def filled(x: ArrayLike, missing: Any) -> Any:
            return ops.where(part["observed"], x, ops.clip(ops.cast(missing, x.dtype), 0.0, 1.0))

        def turn(step: Any, x: ArrayLike) -> Any:
            drawn = likelihood(x, step).sample(seed=randomness.fold(noise, step, 1))
            return step + 1, filled(x, drawn)

        last, x = ops.while_loop(lambda step, _: step < turns - 1, turn, (ops.convert_to_tensor(0), part["x"]))
        return filled(x, likelihood(x, last).mean())

    graph, turns = backend.compiled(imputed, reduce_retracing=True), ops.convert_to_tensor(steps)

    def one_block(block: int, part: Mapping[str, Any]) -> Any:
        tensors = {name: ops.convert_to_tensor(value) for name, value in part.items()}
        return graph(tensors, turns, randomness.fold(base, block))

    return checks.in_blocks(one_block, {**inputs, "observed": seen}, pad=True)
