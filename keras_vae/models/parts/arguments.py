"""The arguments of `VAE` that a variant passes on, typed: so a misspelt one is found before the program runs.

A variant that has an argument of its own in the place of one of these, or none (`rejects`), takes the type without it.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from keras_vae.likelihoods import Likelihood
from keras_vae.networks import NetworkSpec
from keras_vae.schedules import ScheduleLike


class _Common(TypedDict, total=False):
    seed: int
    name: str
    dtype: Any  # a name, a mapping or a policy of Keras
    trainable: bool


class _Latent(TypedDict, total=False):
    latent_dim: int
    latent_shape: Sequence[int] | None
    active_dims: ScheduleLike | None


class _Beta(TypedDict, total=False):
    beta: ScheduleLike


class _FreeBits(TypedDict, total=False):
    free_bits: float
    free_bits_on: str | None
    free_bits_group: int


class _Networks(_Common, total=False):
    image_shape: Sequence[int]
    x_shape: Sequence[int] | None
    encoder: NetworkSpec
    decoder: NetworkSpec


class _Images(_Networks, total=False):
    likelihood: str | Mapping[str, Any] | Likelihood


class ImageArguments(_Images, total=False):
    """Without a latent of one size, and without a KL to weigh: as of models with integer codes."""

    missing: str | None


class PlainArguments(ImageArguments, _Latent):
    """Without a KL to weigh."""


class BetaArguments(PlainArguments, _Beta):
    """Without free bits."""


class FreeBitsArguments(PlainArguments, _FreeBits):
    """Without beta."""


class LevelArguments(ImageArguments, _Beta, _FreeBits):
    """Without latent_dim."""


class CountArguments(_Networks, _Beta, _FreeBits):
    """Without latent_dim and likelihood, and of an x of which nothing is missing."""


class SequenceArguments(_Common, _Latent, _Beta, _FreeBits):
    """Without images, and the networks and likelihoods of images."""


class WholeBetaArguments(_Images, _Latent, _Beta):
    """Without free bits, and of an x of which nothing is missing."""


class WholeArguments(WholeBetaArguments, _FreeBits):
    """Of an x of which nothing is missing."""


class VAEArguments(BetaArguments, _FreeBits):
    """All of them."""
