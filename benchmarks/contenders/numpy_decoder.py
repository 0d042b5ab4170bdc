"""The decoder in numpy by hand."""

import itertools

import decoders
import numpy as np

PACKAGES = ("numpy",)
read = decoders.codes


class Contender(decoders.Decoder):
    def __init__(self, case: dict, codes: np.ndarray) -> None:
        super().__init__(case, codes)
        sizes, generator = (case["latent_dim"], *reversed(case["hidden"]), 784), np.random.default_rng(1)
        self.layers = [
            (generator.normal(0, rows**-0.5, (rows, columns)).astype("float32"), np.zeros(columns, "float32"))
            for rows, columns in itertools.pairwise(sizes)
        ]

    def decode(self, codes: np.ndarray) -> np.ndarray:
        x = codes
        for kernel, bias in self.layers[:-1]:
            x = np.maximum(x @ kernel + bias, 0)
        kernel, bias = self.layers[-1]
        return (1 / (1 + np.exp(-(x @ kernel + bias)))).reshape(-1, 28, 28, 1)
