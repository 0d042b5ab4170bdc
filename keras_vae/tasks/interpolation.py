"""Interpolation between images, through codes or through posteriors."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from numpy.typing import ArrayLike

from keras_vae import backend, randomness
from keras_vae.checks import check_whole_number, in_blocks
from keras_vae.core.inference import checked_inputs
from keras_vae.errors import UserError
from keras_vae.tasks.codes import check_real, decoded, real_codes
from keras_vae.types import ConditionLike, Tensor

if TYPE_CHECKING:
    from keras_vae.core import VAE

METHODS = ("linear", "spherical")
PATHS = ("codes", "posteriors")
DECODED_WITH = ("nearer", "first", "second")


def linear(first: np.ndarray, second: np.ndarray, share: float) -> np.ndarray:
    """(1 - share) first + share second."""
    return (1.0 - share) * first + share * second


def spherical(first: np.ndarray, second: np.ndarray, share: float) -> np.ndarray:
    """Along the great circle between two directions: (sin((1 - t) w) a + sin(t w) b) / sin(w), w the angle between.

    The length of draws of N(0, I) is nearly constant, and so is it along this path: White 2016,
    https://arxiv.org/abs/1609.04468. Where the angle is 0 or 180 degrees, which have no one great circle, it is linear.

    Args:
      first: codes `(batch, latent_dim)`; of a level that is a map, its numbers are one vector.
      second: of the same shape.
      share: how far, 0 to 1.
    """
    lengths = [np.linalg.norm(each, axis=-1, keepdims=True) for each in (first, second)]
    product = np.sum(first * second, axis=-1, keepdims=True) / np.maximum(lengths[0] * lengths[1], 1e-20)
    angle = np.arccos(np.clip(product, -1.0, 1.0))
    sine = np.sin(angle)
    curved = sine > 1e-4
    safe = np.where(curved, sine, 1.0)
    path = (np.sin((1.0 - share) * angle) * first + np.sin(share * angle) * second) / safe
    return np.where(curved, path, linear(first, second, share))


def interpolate(
    model: "VAE",
    first: Any,
    second: Any,
    steps: int = 11,
    method: str = "linear",
    path: str = "codes",
    seed: int = 0,
    condition: tuple[Any, Any] | None = None,
    decoded_with: str = "nearer",
) -> np.ndarray:
    """Images on the way from each image of `first` to that of `second`: `(batch, steps, *image_shape)`, in [0, 1].

    Every level of a hierarchy goes its own way, all at once. Codes that are directions stay on their sphere.

    Args:
      model: a model whose code is made of real numbers.
      first: images `(batch, *image_shape)`.
      second: as many.
      steps: images in a row, both ends among them.
      method: `"linear"` or `"spherical"`.
      path: `"codes"`: between the mean codes. `"posteriors"`: between a draw of either posterior, both from the same
        noise, as all rows of a block of images have noise of their own. Where the posteriors are diagonal Gaussians and
        the method is linear, each code on the way is a draw of the Gaussian whose mean and standard deviation are as
        far on theirs: the geodesic of the Wasserstein distance, McCann 1997, https://doi.org/10.1006/aima.1997.1634.
      seed: of that noise.
      condition: where the model is conditional, that of the first images and that of the second, a pair.
      decoded_with: whose condition an image on the way is decoded with: that of the `"nearer"` end, or of the `"first"`
        or the `"second"` all along.

    Raises:
      UserError: images that do not pair, a model whose codes are integers, or without a posterior where it is asked
        for; conditions that are no pair; words out of their lists.
    """
    steps, seed = check_whole_number(steps, "steps", minimum=2), check_whole_number(seed, "seed", minimum=0)
    for name, word, known in (("method", method, METHODS), ("path", path, PATHS),
                              ("decoded_with", decoded_with, DECODED_WITH)):  # fmt: skip
        if word not in known:
            raise UserError(f"{name} is one of {', '.join(known)}. Given: {word!r}.")
    if len(first) != len(second):
        raise UserError(f"Images pair one to one. Given: {len(first)} and {len(second)}.")
    if condition is not None and (not isinstance(condition, list | tuple) or len(condition) != 2):
        raise UserError(
            "condition is a pair, that of the first images and that of the second. Given: "
            f"{type(condition).__name__}. Write condition=(of_first, of_second)."
        )
    conditions = (None, None) if condition is None else condition
    pairs = list(zip((first, second), conditions, strict=True))
    if path == "codes":
        ends = [real_codes(model, each, given) for each, given in pairs]
    else:
        ends = [_draws(model, each, given, seed) for each, given in pairs]
    images = []
    for share in np.linspace(0.0, 1.0, steps):
        codes = keras.tree.map_structure(lambda a, b, at=share: _between(model, method, a, b, at), *ends)
        nearer = {"first": 0, "second": 1}.get(decoded_with, int(share > 0.5))
        images.append(decoded(model, codes, conditions[nearer]))
    return np.stack(images, axis=1)


def _between(model: "VAE", method: str, first: np.ndarray, second: np.ndarray, share: float) -> np.ndarray:
    vectors = [each.reshape(len(each), -1).astype("float64") for each in (first, second)]
    code = {"linear": linear, "spherical": spherical}[method](vectors[0], vectors[1], share)
    if model.latent_space == "directions":
        code = code / np.maximum(np.linalg.norm(code, axis=-1, keepdims=True), 1e-20)
    return code.reshape(first.shape)


def _draws(model: "VAE", x: ArrayLike, condition: ConditionLike, seed: int) -> Any:
    """A draw of q(z|x) for each image, whose noise is a function of the seed and of its place."""
    check_real(model)
    if not model.stochastic:
        raise UserError(
            f"path='posteriors' needs a distribution over codes. Given: {type(model).__name__}. Use path='codes'."
        )
    base = randomness.seed_of(seed, randomness.SAMPLING)

    def posterior_draw(part: Mapping[str, Any], noise: Tensor) -> Any:
        return model.posterior(**part).sample(seed=noise)

    graph = backend.compiled(posterior_draw, reduce_retracing=True)
    inputs = checked_inputs(model, x, condition)
    return in_blocks(lambda block, part: graph(part, randomness.fold(base, block)), inputs, pad=True)
