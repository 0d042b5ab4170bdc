"""What the contenders of `benchmarks/decoding.py` share: the codes, and calls from codes in numpy to images in numpy.

Imports nothing of keras_vae, since a peer's interpreter may not have it.
"""

import abc

import numpy as np


def codes(path: str, case: dict) -> tuple[np.ndarray]:
    """Codes of N(0, I), float32 `(batch, latent_dim)`, as a contender reads them in place of images."""
    generator = np.random.default_rng(0)
    return (generator.normal(size=(case["batch"], case["latent_dim"])).astype("float32"),)


class Decoder(abc.ABC):
    """Decodes the same codes again and again."""

    def __init__(self, case: dict, codes: np.ndarray) -> None:
        self.case, self.codes = case, codes

    @abc.abstractmethod
    def decode(self, codes: np.ndarray) -> np.ndarray:
        """Return the mean image of each code."""

    def epochs(self, count: int) -> None:
        for _ in range(count * self.case["calls"]):
            self.decode(self.codes)
