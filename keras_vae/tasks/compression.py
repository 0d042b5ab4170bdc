"""The size of a lossless code of images."""

import zlib
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from keras_vae.errors import UserError
from keras_vae.types import ConditionLike

if TYPE_CHECKING:
    from keras_vae.core import VAE
    from keras_vae.priors.base import FittedPrior


class CodeLength(NamedTuple):
    """Bits an image, averaged over images; no code is written."""

    bits: float  # -ELBO / ln 2: what bits-back coding with this model would need
    standard_error: float  # of `bits`, over images
    bits_per_dimension: float  # bits / pixels and channels
    least_bits: float  # -log p(x) / ln 2, importance-weighted: the model's own limit
    deflate_bits: float  # the same images one after the other through zlib, level 9, packed to bits or bytes


def code_length(
    model: "VAE",
    x: ArrayLike,
    samples: int = 100,
    seed: int = 0,
    condition: ConditionLike = None,
    prior: "FittedPrior | None" = None,
) -> CodeLength:
    """Return an estimate of the size of a lossless code of images.

    Bits-back coding reaches the -ELBO: Townsend et al. 2019, https://arxiv.org/abs/1901.04866.

    Args:
      model: a model whose likelihood is a probability of discrete pixels: Bernoulli, logistic mixture or categorical.
      x: images in its support.
      samples: importance samples of `least_bits`.
      seed: of the noise.
      condition: one for each image, where the model is conditional.
      prior: of `keras_vae.priors`, fitted to this model, in place of its own prior.

    Raises:
      UserError: a model that is not of images; a likelihood that is a density, which has no code length; fewer
        than two images.
    """
    if model.x_spec().kind != "image":
        raise UserError(
            f"This is the size of a code of images. Given: a {type(model).__name__}, whose x is "
            f"{model.x_spec().kind}. The negative ELBO over ln 2 is the size in bits of anything."
        )
    levels = model.likelihood_family.levels
    if not levels:
        raise UserError(
            f"A lossless code needs a likelihood that is a probability of discrete pixels. Given: "
            f"{model.likelihood_family.title}, a density. Train with 'bernoulli' or 'logistic_mixture'."
        )
    images = model.check_x(x)
    if len(images) < 2:
        raise UserError(f"A standard error needs two images or more. Given: {len(images)}.")
    bits = -np.asarray(model.elbo(images, seed=seed, condition=condition, prior=prior), "float64") / np.log(2.0)
    least = -np.asarray(model.log_prob(images, samples, seed, condition, prior), "float64") / np.log(2.0)
    pixels = np.rint(images * (levels - 1)).astype("uint8" if levels <= 256 else "uint16")
    packed = np.packbits(pixels, axis=None) if levels == 2 else pixels
    return CodeLength(
        float(bits.mean()),
        float(bits.std(ddof=1) / np.sqrt(len(bits))),
        float(bits.mean() / np.prod(model.image_shape)),
        float(least.mean()),
        8.0 * len(zlib.compress(packed.tobytes(), 9)) / len(images),
    )
