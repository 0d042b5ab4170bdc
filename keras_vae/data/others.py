"""Images of other things than a model was trained on, made with no network: what anomaly detection is tried against.

Each is brought to the model's size. None of them is a published benchmark: say which one a number was measured on.
"""

from collections.abc import Callable, Sequence

import numpy as np

from keras_vae.checks import check_whole_number
from keras_vae.errors import UserError
from keras_vae.registry import choose


def _sprites(count: int, generator: np.random.Generator) -> np.ndarray:
    """White shapes on black, of `keras_vae.data.sprites`' test split."""
    from keras_vae.data import sprites

    factors = sprites.split_factors("test")
    return sprites.render(factors[generator.permutation(len(factors))[:count]]).astype("float32")


def _photographs(count: int, generator: np.random.Generator) -> np.ndarray:
    """Grey patches of 56 x 56 pixels at random places of the two photographs that scikit-learn brings."""
    from sklearn.datasets import load_sample_images

    grey = [picture.mean(axis=-1) / 255.0 for picture in load_sample_images().images]
    places = [(generator.integers(len(grey)), generator.random(2)) for _ in range(count)]
    size = 56
    corners = [(which, (share * (np.array(grey[which].shape) - size)).astype(int)) for which, share in places]
    patches = [grey[which][top : top + size, left : left + size] for which, (top, left) in corners]
    return np.stack(patches)[..., None].astype("float32")


def _small_digits(count: int, generator: np.random.Generator) -> np.ndarray:
    """Digits of other writers, 8 x 8 pixels of 17 grey levels: scikit-learn's copy of the test set of UCI's optical
    recognition of handwritten digits. Digits they are, so that they are near anomalies."""
    from sklearn.datasets import load_digits

    images = load_digits().images / 16.0
    return images[generator.permutation(len(images))[:count]][..., None].astype("float32")


def _noise(count: int, generator: np.random.Generator) -> np.ndarray:
    """Pixels that know nothing of each other."""
    return generator.random((count, 28, 28, 1)).astype("float32")


OTHERS: dict[str, Callable[..., np.ndarray]] = {
    "sprites": _sprites, "photographs": _photographs, "small_digits": _small_digits, "noise": _noise,
}  # fmt: skip


def other_images(
    name: str, image_shape: Sequence[int], count: int = 1000, binary: bool = False, seed: int = 0
) -> np.ndarray:
    """At most `count` images of other things, of a model's size: float32 `(count, *image_shape)` in [0, 1].

    They are enlarged bilinearly, or made smaller by the means of areas; a single channel is repeated.

    Args:
      name: `"sprites"`, `"photographs"`, `"small_digits"` or `"noise"`.
      image_shape: height, width and channels.
      count: there are 10,000 sprites and 1,797 small digits.
      binary: 1 with the pixel's probability, else 0: as `binarize="static"` makes of a data set.
      seed: of which ones, and of the binarisation.

    Raises:
      UserError: an unknown name, a count below 1, or a shape that is no image's.
    """
    import tensorflow as tf

    make = choose("other images", name, OTHERS)
    count = check_whole_number(count, "count")
    if len(image_shape) != 3:
        raise UserError(f"Other images are (height, width, channels). Given: the shape {tuple(image_shape)}.")
    generator = np.random.default_rng(check_whole_number(seed, "seed", 0))
    images = make(count, generator)
    height, width, channels = image_shape
    method = "area" if height < images.shape[1] else "bilinear"
    images = np.clip(tf.image.resize(images, (height, width), method=method).numpy(), 0.0, 1.0)
    images = np.repeat(images, channels, axis=-1)
    return (generator.random(images.shape) < images).astype("float32") if binary else images
