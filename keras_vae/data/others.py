"""Images of other kinds than a model was trained on, for anomaly detection; they need no network.

All are resized to the images of the model. None of them is a published benchmark: name the one that a number is of.
"""

from collections.abc import Callable, Sequence

import numpy as np

from keras_vae.checks import check_whole_number
from keras_vae.errors import UserError
from keras_vae.registry import choose


def _sprites(count: int, generator: np.random.Generator) -> np.ndarray:
    """White shapes on black: the test split of `keras_vae.data.sprites`."""
    from keras_vae.data import sprites

    factors = sprites.split_factors("test")
    return sprites.render(factors[generator.permutation(len(factors))[:count]]).astype("float32")


def _photographs(count: int, generator: np.random.Generator) -> np.ndarray:
    """Grey patches of 56 x 56 pixels at random positions in the two photographs of scikit-learn."""
    from sklearn.datasets import load_sample_images

    grey = [picture.mean(axis=-1) / 255.0 for picture in load_sample_images().images]
    positions = [(generator.integers(len(grey)), generator.random(2)) for _ in range(count)]
    size = 56
    corners = [(photo, (share * (np.array(grey[photo].shape) - size)).astype(int)) for photo, share in positions]
    patches = [grey[photo][top : top + size, left : left + size] for photo, (top, left) in corners]
    return np.stack(patches)[..., None].astype("float32")


def _small_digits(count: int, generator: np.random.Generator) -> np.ndarray:
    """Digits of 8 x 8 pixels and 17 grey levels, which are near to MNIST.

    They are the test set of UCI's optical recognition of handwritten digits, as scikit-learn has it.
    """
    from sklearn.datasets import load_digits

    images = load_digits().images / 16.0
    return images[generator.permutation(len(images))[:count]][..., None].astype("float32")


def _noise(count: int, generator: np.random.Generator) -> np.ndarray:
    """Independent uniform pixels."""
    return generator.random((count, 28, 28, 1)).astype("float32")


OTHERS: dict[str, Callable[..., np.ndarray]] = {
    "sprites": _sprites, "photographs": _photographs, "small_digits": _small_digits, "noise": _noise,
}  # fmt: skip


def other_images(
    name: str, image_shape: Sequence[int], count: int = 1000, binary: bool = False, seed: int = 0
) -> np.ndarray:
    """Return at most `count` images of another kind: float32 `(count, *image_shape)` in [0, 1].

    They are enlarged bilinearly, or reduced to the means of areas; a single channel is repeated.

    Args:
      name: `"sprites"`, `"photographs"`, `"small_digits"` or `"noise"`.
      image_shape: height, width and channels.
      count: there are 10,000 sprites and 1,797 small digits.
      binary: draw each pixel, 1 with the probability of its grey level, as `binarize="static"` does.
      seed: of the choice of images, and of the binarisation.

    Raises:
      UserError: an unknown name, a count below 1, or a shape of other than three axes.
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
