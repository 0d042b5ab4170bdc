"""Anomalies by a ratio of likelihoods: a model's over that of one that learned the background alone."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from keras_vae import checks
from keras_vae.errors import UserError
from keras_vae.types import ConditionLike

if TYPE_CHECKING:
    from keras_vae.core import VAE


def likelihood_ratio(
    model: "VAE",
    background: "VAE",
    x: ArrayLike,
    samples: int = 100,
    seed: int = 0,
    condition: ConditionLike = None,
) -> np.ndarray:
    """Return log p_background(x) - log p(x) of each example, `(batch,)`, nats: higher is more anomalous.

    What both models have learned, such as how many pixels are black, cancels: a simple x has a high likelihood under
    either. The background model is one of the same class that was trained on `mutated` examples. Ren et al. 2019,
    https://arxiv.org/abs/1906.02845, with the other sign. Both likelihoods are importance-weighted.

    Args:
      model: trained on the normal examples.
      background: trained on `mutated` ones.
      x: images, or whatever their x is.
      samples: importance samples of each likelihood.
      seed: of the noise, the same for both.
      condition: one for each example, where the models are conditional.

    Raises:
      UserError: models of another x, or as `log_prob`.
    """
    if model.x_spec() != background.x_spec():
        raise UserError(
            f"Both models are of the same x. Given: a model of {model.x_shape} and a background of "
            f"{background.x_shape}. Train the background on mutated examples of the same data."
        )
    of_background, of_model = (one.log_prob(x, samples, seed, condition) for one in (background, model))
    return of_background - of_model


def mutated(x: ArrayLike, rate: float = 0.2, levels: int = 2, seed: int = 0) -> np.ndarray:
    """Return images in which pixels were replaced, to train a background model on: float32, of the shape of x.

    Each channel of a pixel is replaced with probability `rate` by one of the levels, all equally likely: what makes a
    picture is spoilt, and how its pixels are distributed is kept in part. Algorithm 1 of Ren et al. 2019,
    https://arxiv.org/abs/1906.02845.

    Args:
      x: images of `levels` levels from 0 to 1, black and white or grey.
      rate: the probability of a replacement, which may be the old level again.
      levels: 2 of binary images, 256 of grey levels k / 255.
      seed: of the draws.

    Raises:
      UserError: a rate outside [0, 1], fewer than two levels, or pixels that are none of them.
    """
    levels = checks.check_whole_number(levels, "levels", minimum=2)
    if not checks.is_number(rate) or not 0.0 <= rate <= 1.0:
        raise UserError(f"rate lies between 0 and 1. Given: {rate!r}.")
    images = np.asarray(checks.numbers(x, "x"), "float32")
    between = np.abs(images * (levels - 1) - np.rint(images * (levels - 1))) > 1e-3
    if not np.isfinite(images).all() or images.min(initial=0.0) < 0.0 or images.max(initial=1.0) > 1.0 or between.any():
        raise UserError(
            f"x has {levels} levels from 0 to 1, which are drawn from. Given: other values. Binarise the images, or "
            f"give levels=256 for grey levels k / 255."
        )
    generator = np.random.default_rng(checks.check_whole_number(seed, "seed", minimum=0))
    drawn = generator.integers(0, levels, images.shape) / (levels - 1)
    return np.where(generator.random(images.shape) < rate, drawn, images).astype("float32")
